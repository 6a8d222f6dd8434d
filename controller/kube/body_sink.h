#pragma once
// A body of cpprestsdk's that is passed on as it comes. The library's own buffers gather it without
// a bound, and hand out its lines character by character. Internal to what speaks through its
// client.

#include <functional>
#include <string_view>

#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/streams.h>

namespace handfast::kube {

// `take`: false for more than is allowed, which ends the request with an error. Called on the
// pool's thread.
[[nodiscard]] concurrency::streams::ostream body_stream(
    std::function<bool(std::string_view bytes)> take);

}  // namespace handfast::kube
