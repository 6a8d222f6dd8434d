#include "controller/metrics/endpoint.h"

#include <mutex>
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

class Open final : public Endpoint {
 public:
  explicit Open(Questions questions) : questions_(std::move(questions)) {}

  Status listen(const std::string& address) {
    auto server = WebServer::open(address, {},
                                  {.refuse = refuse, .handle = [this](const WebRequest& request) {
                                     return answer(request.path);
                                   }});
    if (!server) return fail(std::move(server.error()));
    server_ = *std::move(server);
    return {};
  }

 private:
  WebReply answer(std::string_view path) {
    if (path == "/healthz") return {.body = "ok\n"};
    if (path == "/readyz") {
      if (questions_.is_ready()) return {.body = "ok\n"};
      return {.status = 503, .body = "no generation acknowledged yet\n"};
    }
    if (path != "/metrics") return {.status = 404, .body = "not found\n"};
    const std::lock_guard one_scrape{scraping_};
    return {.body = questions_.metrics(), .type = "text/plain; version=0.0.4; charset=utf-8"};
  }

  const Questions questions_;
  std::mutex scraping_;
  std::unique_ptr<WebServer> server_;  // ends first
};

}  // namespace

Result<std::unique_ptr<Endpoint>> Endpoint::open(const std::string& address, Questions questions) {
  auto endpoint = std::make_unique<Open>(std::move(questions));
  if (Status listening = endpoint->listen(address); !listening) {
    return fail(std::move(listening.error()));
  }
  return endpoint;
}

}  // namespace handfast::metrics
