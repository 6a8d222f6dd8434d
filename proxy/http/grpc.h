#pragma once
// What gRPC clients understand (gRPC over HTTP/2): whether a request is theirs, and what an answer
// of ours is called among them.
//
// Pure; thread-safe.

#include <chrono>
#include <optional>
#include <string_view>

#include "proxy/http/message.h"

namespace handfast::http {

// "application/grpc", with a suffix or parameters; not grpc-web, which is HTTP/1.1's.
[[nodiscard]] bool is_grpc_type(std::string_view content_type);
[[nodiscard]] bool is_grpc(const RequestHead& head);

// The codes that no HTTP status stands for.
inline constexpr int kGrpcCancelled = 1;
inline constexpr int kGrpcDeadlineExceeded = 4;
inline constexpr int kGrpcUnauthenticated = 16;

// How long the client waits, from the request on ("grpc-timeout"); nothing if it doesn't say, or
// not in the words of the protocol. Too long for a clock is as long as a clock goes.
[[nodiscard]] std::optional<std::chrono::nanoseconds> grpc_timeout(const RequestHead& head);

// The code for an answer with this status.
[[nodiscard]] int grpc_status_of(int status);

}  // namespace handfast::http
