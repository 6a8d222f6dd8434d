#pragma once
// What gRPC clients understand (gRPC over HTTP/2): whether a request is theirs, and what an answer
// of ours is called among them.
//
// Pure; thread-safe.

#include <string_view>

#include "proxy/http/message.h"

namespace handfast::http {

// "application/grpc", with a suffix or parameters; not grpc-web, which is HTTP/1.1's.
[[nodiscard]] bool is_grpc_type(std::string_view content_type);
[[nodiscard]] bool is_grpc(const RequestHead& head);

// The code for an answer with this status.
[[nodiscard]] int grpc_status_of(int status);

}  // namespace handfast::http
