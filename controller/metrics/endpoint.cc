#include "controller/metrics/endpoint.h"

#include <optional>
#include <string_view>
#include <utility>

#include "controller/serving/web_server.h"

namespace handfast::metrics {
namespace {

using serving::WebReply;
using serving::WebRequest;
using serving::WebServer;

std::optional<WebReply> refuse(const WebRequest& request) {
  if (request.method == "GET" || request.method == "HEAD") return std::nullopt;
  return WebReply{.status = 405, .body = "only GET\n", .fields = {{"Allow", "GET, HEAD"}}};
}

WebReply answer(std::string_view path, const Questions& questions) {
  if (path == "/metrics") {
    return {.body = questions.metrics(), .type = "text/plain; version=0.0.4; charset=utf-8"};
  }
  if (path == "/healthz") return {.body = "ok\n"};
  if (path == "/readyz") {
    if (questions.is_ready()) return {.body = "ok\n"};
    return {.status = 503, .body = "no generation acknowledged yet\n"};
  }
  return {.status = 404, .body = "not found\n"};
}

class Handle final : public Endpoint {
 public:
  explicit Handle(std::unique_ptr<WebServer> server) : server_(std::move(server)) {}

 private:
  const std::unique_ptr<WebServer> server_;
};

}  // namespace

Result<std::unique_ptr<Endpoint>> Endpoint::open(const std::string& address, Questions questions) {
  auto server = WebServer::open(
      address, {},
      {.refuse = refuse, .handle = [questions = std::move(questions)](const WebRequest& request) {
         return answer(request.path, questions);
       }});
  if (!server) return fail(std::move(server.error()));
  return std::make_unique<Handle>(*std::move(server));
}

}  // namespace handfast::metrics
