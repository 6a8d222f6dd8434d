#pragma once
// Asks a route's auth server about one request (auth-url): a request without a body, over the same
// connections, policies and verification as those to Services.
//
//   ask() -> [from the cache, or Attempts -> the head -> the end of a short body] ->
//   on_authorized()
//
// Whatever isn't a whole answer of 2xx, 401 or 403 in time denies the request: nothing here, and
// nothing that fails here, lets one through. What the answer says about the Service's request and
// the client's response stays with this object until the next ask().
//
// Threading: one worker's. Ownership: its Exchange's.

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/event/timer_wheel.h"
#include "proxy/http/forwarding.h"
#include "proxy/http/message.h"
#include "proxy/session/attempts.h"
#include "proxy/session/auth_cache.h"
#include "proxy/session/record.h"
#include "proxy/upstream/channel.h"
#include "proxy/upstream/request_values.h"

namespace handfast::session {

// All of it outlives the answer, but for what `forward` says of how the client's certificate was
// judged, which is copied.
struct AuthQuestion {
  const config::Route& route;  // with auth
  const route::AuthRules& rules;
  const route::Snapshot& pinned;
  upstream::RequestFacts facts;
  http::ForwardContext forward;  // as to the Service
};

class AuthorizationUser {
 public:
  virtual ~AuthorizationUser() = default;
  // Once for each ask(), perhaps from within; the object may be asked again from within this.
  virtual void on_authorized() = 0;
};

class Authorization final : public AttemptUser {
 public:
  Authorization(Context& context, AuthorizationUser& user);
  ~Authorization() override;

  void ask(const AuthQuestion& question);
  // No on_authorized() follows.
  void cancel();

  [[nodiscard]] AuthResult result() const noexcept { return result_; }
  // What the client is answered, unless it is allowed.
  [[nodiscard]] int denial() const noexcept { return denial_; }
  [[nodiscard]] Reason reason() const noexcept { return reason_; }
  [[nodiscard]] const std::string& detail() const noexcept { return detail_; }
  [[nodiscard]] const AuthAnswer& answer() const noexcept { return answer_; }
  [[nodiscard]] bool cached() const noexcept { return cached_; }
  // Whether the client gets the answer's cookies with a response of this status.
  [[nodiscard]] bool gives_cookies(int status) const;
  // What the Service gets of the answer.
  [[nodiscard]] const std::vector<http::Header>& fields() const noexcept { return fields_; }
  // Where a client that must sign in goes; empty: nowhere.
  [[nodiscard]] std::string signin() const;
  // Empty: nobody was asked.
  [[nodiscard]] std::string_view address(std::array<char, net::Address::kMaxText>& text) const;

  [[nodiscard]] PolicyToday find_policy_today(const route::Snapshot& newest) const override;
  void on_way(upstream::Channel& channel) override;
  void on_no_way(const NoWay& why) override;
  void on_upstream_ready(upstream::Channel& channel) override { attempts_.ready(channel); }
  void on_upstream_head(const http::ResponseHead& response) override;
  void on_upstream_body(std::string_view payload) override;
  void on_upstream_end(const http::HeaderList& trailers) override;
  void on_upstream_failed(const upstream::Failure& failure) override;
  void on_upstream_drained() override {}
  [[nodiscard]] bool wants_upstream_body() const override { return true; }

 private:
  void time_out();
  bool use_kept();
  void compose();
  void add(std::string_view name, std::string_view value);
  void take(const http::ResponseHead& response);
  void drop_channel();
  // The answer is whole.
  void settle();
  void fail(Reason reason, std::string_view detail, int status);
  void tell(AuthResult result);

  Context& context_;
  AuthorizationUser& user_;
  Attempts attempts_;
  event::Timer timer_;
  std::optional<AuthQuestion> asked_;
  upstream::Channel* channel_ = nullptr;
  std::shared_ptr<Authorization*> self_ = std::make_shared<Authorization*>(this);
  Monotonic began_{};
  std::uint64_t serial_ = 0;  // tells late timeouts from this question's
  http::RequestHead head_;
  std::vector<http::Header> added_;
  std::deque<std::string> texts_;  // of the head and what is added to it
  std::string key_;                // empty: the answer isn't to be kept
  std::uint64_t body_ = 0;         // of the answer, so far
  std::uint32_t freshness_ = 0;    // seconds that the answer lets itself be kept
  bool answered_ = false;
  Reason last_ = Reason::Ok;  // of the last try
  std::string last_detail_;

  AuthResult result_ = AuthResult::Failed;
  int denial_ = 503;
  Reason reason_ = Reason::Ok;
  std::string detail_;
  AuthAnswer answer_;
  bool cached_ = false;
  std::vector<http::Header> fields_;
};

}  // namespace handfast::session
