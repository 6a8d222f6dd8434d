#pragma once
// One request of an HTTP/2 client and its response: the ClientSide of one exchange.
//
//   begin() -> on_data()* -> on_end() from the client; meanwhile the exchange answers
//   -> on_closed(), however it ended
//
// Request bytes that the exchange has no room for wait here, at most the stream's window: the
// client may send as many more as were handed on. Response bytes wait in the codec.
//
// A stream is given up when the client owes the body of a request that isn't answered yet, or takes
// nothing of its response, for as long as the limits say. What is silent in both directions is a
// conversation, and the backend's timers' affair.
//
// Threading: one worker's. Ownership: the H2Session's; reused from one stream to the next.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "proxy/base/buffer.h"
#include "proxy/event/timer_wheel.h"
#include "proxy/http/h2_codec.h"
#include "proxy/http/trailers.h"
#include "proxy/session/exchange.h"

namespace handfast::session {

class H2Session;

class H2ClientStream final : public ClientSide {
 public:
  explicit H2ClientStream(H2Session& session);

  [[nodiscard]] http::H2StreamId id() const noexcept { return id_; }
  void add_guarded_host(std::vector<std::string_view>& hosts) const {
    if (exchange_ != nullptr) exchange_->add_guarded_host(hosts);
  }

  // From the codec.
  void begin(http::H2StreamId id, const http::RequestHead& head);
  void on_data(std::string_view payload);
  void on_end(const http::HeaderList& trailers);
  void on_drained();
  // Ends the exchange, if it isn't over; then it may begin() anew.
  void on_closed();

  void send_informational(const http::ResponseHead& head) override;
  void send_head(const http::ResponseHead& head, std::string_view strict_transport) override;
  void send_body(std::string_view payload) override;
  void send_own_response(const OwnResponse& response) override;
  void on_exchange_done(const http::HeaderList& trailers) override;
  void on_exchange_cut(bool cancelled) override;
  [[nodiscard]] bool has_room() const override;
  void resume_request_body() override;

 private:
  void pump();
  void on_timeout();
  // The client has something to take from now on.
  void await_client();
  void send_fields(int status, bool end);
  void give_back_exchange();
  [[nodiscard]] std::uint64_t drawn() const;

  H2Session& session_;
  event::Timer timer_;
  std::unique_ptr<Exchange> exchange_;  // until it is over
  Buffer in_;                           // received, not taken
  std::unique_ptr<http::TrailerSection> trailers_;
  http::H2StreamId id_ = 0;
  std::uint64_t sent_ = 0;        // bytes of body given to the codec
  std::uint64_t drawn_then_ = 0;  // of them taken by the client, when the timer was set
  bool ended_ = false;            // the request is complete
  bool end_told_ = false;         // and the exchange knows
  bool pumping_ = false;
};

}  // namespace handfast::session
