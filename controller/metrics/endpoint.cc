#include "controller/metrics/endpoint.h"

#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_listener.h>

#include <exception>
#include <mutex>
#include <utility>

#include "controller/metrics/listening.h"
#include "proxy/base/log.h"

namespace handfast::metrics {
namespace {

using web::http::http_request;
using web::http::http_response;
using web::http::methods;
using web::http::status_codes;
using web::http::experimental::listener::http_listener;

http_response plain_text(web::http::status_code status, const std::string& body,
                         const char* type = "text/plain; charset=utf-8") {
  http_response response(status);
  response.set_body(body, type);
  return response;
}

http_response answer(const http_request& request, const Questions& questions) {
  if (request.method() != methods::GET && request.method() != methods::HEAD) {
    http_response response = plain_text(status_codes::MethodNotAllowed, "only GET\n");
    response.headers().add("Allow", "GET, HEAD");
    return response;
  }
  const std::string path = request.relative_uri().path();
  if (path == "/metrics") {
    return plain_text(status_codes::OK, questions.metrics(),
                      "text/plain; version=0.0.4; charset=utf-8");
  }
  if (path == "/healthz") return plain_text(status_codes::OK, "ok\n");
  if (path == "/readyz") {
    return questions.is_ready()
               ? plain_text(status_codes::OK, "ok\n")
               : plain_text(status_codes::ServiceUnavailable, "no generation acknowledged yet\n");
  }
  return plain_text(status_codes::NotFound, "not found\n");
}

class Listener final {
 public:
  Listener(const std::string& uri, Questions questions)
      : questions_(std::move(questions)), listener_(web::uri(uri)) {
    listener_.support([this](const http_request& request) {
      try {
        const std::lock_guard lock{asking_};
        // Whether the reply arrived is the peer's business; asking for it keeps the library from
        // ending the process over an unobserved error.
        const bool is_over = !questions_.metrics;
        request
            .reply(is_over ? plain_text(status_codes::ServiceUnavailable, "shutting down\n")
                           : answer(request, questions_))
            .then([](const pplx::task<void>& sent) {
              try {
                sent.get();
              } catch (const std::exception& e) {
                log(LogLevel::Debug, "a metrics client went away", {{"detail", e.what()}});
              }
            });
      } catch (const std::exception& e) {
        log(LogLevel::Warning, "a metrics request failed", {{"detail", e.what()}});
      }
    });
  }

  void open() { listener_.open().wait(); }
  void close() {
    try {
      listener_.close().wait();
    } catch (const std::exception& e) {
      log(LogLevel::Warning, "the metrics endpoint did not close", {{"detail", e.what()}});
    }
  }

  // Nothing is asked from here on.
  void silence() {
    const std::lock_guard lock{asking_};
    questions_ = {};
  }

 private:
  std::mutex asking_;
  Questions questions_;  // guarded by asking_
  http_listener listener_;
};

class Handle final : public Endpoint {
 public:
  Handle(std::unique_ptr<Listener> listener, bool can_close)
      : listener_(std::move(listener)), can_close_(can_close) {}
  ~Handle() override {
    if (can_close_) {
      listener_->close();
    } else {
      listener_.release()->silence();
    }
  }

 private:
  std::unique_ptr<Listener> listener_;
  const bool can_close_;
};

}  // namespace

Result<std::unique_ptr<Endpoint>> Endpoint::open(const std::string& address, Questions questions) {
  const auto uri = try_listen_uri("http", address);
  if (!uri) {
    return fail(Reason::InvalidValue,
                "\"" + address + "\" is not an address like 0.0.0.0:10254 (port 1 to 65535)");
  }
  const bool can_close = start_server_threads();
  try {
    auto listener = std::make_unique<Listener>(*uri, std::move(questions));
    listener->open();
    return std::make_unique<Handle>(std::move(listener), can_close);
  } catch (const std::exception& e) {
    return fail(Reason::Io, "can't listen on " + address + ": " + e.what());
  }
}

}  // namespace handfast::metrics
