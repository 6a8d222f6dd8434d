// A request and the server that its route asks about it.

#include <string>

#include "proxy/session/exchange.h"

namespace handfast::session {

void Exchange::authorize() {
  state_ = State::Authorizing;
  if (authorization_ == nullptr) authorization_ = std::make_unique<Authorization>(context_, *this);
  const http::ForwardContext forward = forward_context();
  asked_ = true;
  authorization_->ask({.route = *route_,
                       .rules = *host_->rules[route_index_].auth,
                       .pinned = *snapshot_,
                       .facts = {.head = head,
                                 .path = path_,
                                 .server_name = host_->config.host,
                                 .client = facts_.address,
                                 .https = https_,
                                 .request_id = request_id_},
                       .forward = forward});
}

void Exchange::on_authorized() {
  switch (authorization_->result()) {
    case AuthResult::Allowed:
      state_ = State::Connecting;
      proceed();
      return;
    case AuthResult::Denied:
      deny();
      return;
    case AuthResult::Failed:
      answer(authorization_->reason(), authorization_->detail(), authorization_->denial());
      return;
  }
}

void Exchange::deny() {
  const Authorization& auth = *authorization_;
  int status = auth.denial();
  std::string extra;
  const auto add = [&extra](std::string_view name, std::string_view value) {
    extra.append(name).append(": ").append(value).append("\r\n");
  };
  const std::string signin = status == 401 ? auth.signin() : std::string();
  // A redirect is of no use to a gRPC client.
  if (!signin.empty() && own_response(head, status).grpc_status < 0) {
    status = 302;
    add("Location", signin);
  } else if (status == 401) {
    for (const std::string& challenge : auth.answer().challenges) {
      add("WWW-Authenticate", challenge);
    }
  }
  if (auth.gives_cookies(status)) {
    for (const std::string& cookie : auth.answer().cookies) add("Set-Cookie", cookie);
  }
  answer_status(status, extra);
}

void Exchange::send_head(const http::ResponseHead& response) {
  if (!asked_ || !authorization_->gives_cookies(response.status)) {
    client_->send_head(response, strict_transport());
    return;
  }
  http::ResponseHead with_cookies = response;
  for (const std::string& cookie : authorization_->answer().cookies) {
    with_cookies.headers.add({"Set-Cookie", cookie});
  }
  client_->send_head(with_cookies, strict_transport());
}

}  // namespace handfast::session
