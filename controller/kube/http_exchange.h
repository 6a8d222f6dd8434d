#pragma once
// One request by cpprestsdk's client, with a body that is passed on as it comes: the library's own
// buffers gather it without a bound, and hand out its lines character by character. Internal to
// what speaks through that client.

#include <functional>
#include <string>
#include <string_view>

#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_client.h>

namespace handfast::kube {

struct HttpCallbacks {
  std::function<void(const web::http::http_response& head)> on_head;
  // False: more than is allowed, which ends the request with an error.
  std::function<bool(std::string_view bytes)> on_bytes;
  // Last, and always. Empty: it ended in order.
  std::function<void(std::string failure)> on_end;
};

// On the pool's thread, on which everything is called back too, on_bytes perhaps before on_head.
// `client` must live until on_end.
void exchange(web::http::client::http_client& client, web::http::http_request message,
              const pplx::cancellation_token& token, HttpCallbacks callbacks);

}  // namespace handfast::kube
