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

constexpr serving::WebLimits kLimits{.connections = 256, .body_bytes = kMaxReviewBytes};

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

class Handle final : public Server {
 public:
  explicit Handle(std::unique_ptr<WebServer> server) : server_(std::move(server)) {}

 private:
  const std::unique_ptr<WebServer> server_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::open(const std::string& address, ServingTls& tls,
                                             Handler handler) {
  auto server =
      WebServer::open(address, kLimits,
                      {.refuse = refuse,
                       .handle =
                           [handler = std::move(handler)](const WebRequest& request) {
                             Reply reply = handler(request.body);
                             WebReply answer{.status = reply.status, .body = std::move(reply.body)};
                             if (answer.status == 200) answer.type = "application/json";
                             return answer;
                           },
                       .prepare_tls = [&tls](ssl_ctx_st* context) { tls.prepare(context); }});
  if (!server) return fail(std::move(server.error()));
  return std::make_unique<Handle>(*std::move(server));
}

}  // namespace handfast::admission
