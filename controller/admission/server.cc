#include "controller/admission/server.h"

#include <optional>
#include <utility>

#include "controller/admission/review.h"
#include "controller/serving/web_server.h"

namespace handfast::admission {
namespace {

using serving::WebReply;
using serving::WebRequest;
using serving::WebServer;

constexpr serving::WebLimits kLimits{
    .connections = 256, .network_bodies = 8, .handlers = 1, .body_bytes = kMaxReviewBytes};

std::optional<WebReply> refuse(const WebRequest& request) {
  if (request.path != "/validate") return WebReply{.status = 404, .body = "not found\n"};
  if (request.method != "POST") {
    return WebReply{.status = 405, .body = "only POST\n", .fields = {{"Allow", "POST"}}};
  }
  if (!request.length) return WebReply{.status = 411, .body = "Content-Length is missing\n"};
  if (*request.length > kMaxReviewBytes)
    return WebReply{.status = 413, .body = "larger than 3 MiB\n"};
  return std::nullopt;
}

class Open final : public Server {
 public:
  explicit Open(Handler handler) : handler_(std::move(handler)) {}

  Status listen(const std::string& address, ServingTls& tls, const Clock& clock) {
    auto server =
        WebServer::open(address, kLimits,
                        {.refuse = refuse,
                         .handle = [this](const WebRequest& request) { return answer(request); },
                         .prepare_tls = [&tls](ssl_ctx_st* context) { tls.prepare(context); },
                         .trust = [&tls] { return tls.trust(); },
                         .clock = &clock});
    if (!server) return fail(std::move(server.error()));
    server_ = *std::move(server);
    return {};
  }

 private:
  WebReply answer(const WebRequest& request) {
    Reply reply = handler_(request.body);
    WebReply answer{.status = reply.status, .body = std::move(reply.body)};
    if (answer.status == 200) answer.type = "application/json";
    return answer;
  }

  const Handler handler_;
  std::unique_ptr<WebServer> server_;  // ends first
};

}  // namespace

Result<std::unique_ptr<Server>> Server::open(const std::string& address, ServingTls& tls,
                                             Handler handler, const Clock& clock) {
  auto server = std::make_unique<Open>(std::move(handler));
  if (Status listening = server->listen(address, tls, clock); !listening) {
    return fail(std::move(listening.error()));
  }
  return server;
}

}  // namespace handfast::admission
