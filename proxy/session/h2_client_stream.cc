#include "proxy/session/h2_client_stream.h"

#include <string>
#include <utility>

#include "proxy/http/forwarding.h"
#include "proxy/session/h2_session.h"

namespace handfast::session {
namespace {

// Above this many bytes that the client hasn't taken, nothing more is read from the backend.
constexpr std::size_t kSendMark = 64 * 1024;
// Nor above the codec's low mark, once all streams of the connection hold this many.
constexpr std::size_t kCrowded = 1024 * 1024;
constexpr std::size_t kMaxSpareExchanges = 1024;

}  // namespace

H2ClientStream::H2ClientStream(H2Session& session)
    : session_(session),
      timer_(session.context_.loop.timers(), [this] { on_timeout(); }),
      in_(session.context_.buffers) {}

void H2ClientStream::begin(http::H2StreamId id, const http::RequestHead& head) {
  Context& context = session_.context_;
  id_ = id;
  sent_ = drawn_then_ = 0;
  ended_ = end_told_ = false;
  timer_.set(context.loop.now() + context.limits.body);
  if (context.spare_exchanges.empty()) {
    exchange_ = std::make_unique<Exchange>(context);
  } else {
    exchange_ = std::move(context.spare_exchanges.back());
    context.spare_exchanges.pop_back();
  }
  exchange_->head = head;
  exchange_->start(*this, session_.facts_);
}

void H2ClientStream::on_data(std::string_view payload) {
  if (exchange_ == nullptr) return;  // answered without it: the codec resets the stream
  timer_.set(session_.context_.loop.now() + session_.context_.limits.body);
  if (in_.empty() && !pumping_ && exchange_->wants_request_body()) {
    session_.codec_.consume(id_, payload.size());
    exchange_->on_request_body(payload);
    return;
  }
  in_.append(payload);
}

void H2ClientStream::on_end(const http::HeaderList& trailers) {
  ended_ = true;
  if (exchange_ == nullptr) return;
  if (exchange_->head.framing == http::Framing::None) {
    end_told_ = true;
    exchange_->on_request_end(http::no_trailers());
    return;
  }
  if (!trailers.items().empty()) {
    trailers_ = std::make_unique<http::TrailerSection>();
    for (const http::Header& field : trailers.items()) trailers_->add(field);
  }
  pump();
}

void H2ClientStream::resume_request_body() {
  timer_.set(session_.context_.loop.now() + session_.context_.limits.body);
  pump();
}

void H2ClientStream::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (exchange_ != nullptr && !in_.empty() && exchange_->wants_request_body()) {
    const std::size_t size = in_.size();
    exchange_->on_request_body(in_.view());
    in_.consume(size);
    session_.codec_.consume(id_, size);
    session_.schedule();
  }
  in_.release_if_empty();
  pumping_ = false;
  if (exchange_ == nullptr || !ended_ || end_told_ || !in_.empty()) return;
  if (!exchange_->wants_request_body()) return;  // it couldn't pass the end on yet
  end_told_ = true;
  exchange_->on_request_end(trailers_ == nullptr ? http::no_trailers() : trailers_->list());
}

void H2ClientStream::on_drained() {
  if (exchange_ != nullptr) exchange_->on_client_room();
}

void H2ClientStream::on_closed() {
  timer_.cancel();
  if (exchange_ != nullptr) {
    exchange_->abort();
    give_back_exchange();
  }
  in_.clear();
  in_.release_if_empty();
  trailers_ = nullptr;
}

void H2ClientStream::await_client() {
  drawn_then_ = drawn();
  timer_.set(session_.context_.loop.now() + session_.context_.limits.send);
}

std::uint64_t H2ClientStream::drawn() const { return sent_ - session_.codec_.queued(id_); }

void H2ClientStream::on_timeout() {
  const bool owes_body = exchange_ != nullptr && !ended_ && in_.empty() &&
                         !exchange_->response_started() && exchange_->wants_request_body();
  // The end, too, may have to wait for the client's window.
  const bool owed = session_.codec_.queued(id_) > 0 || exchange_ == nullptr;
  const bool takes_nothing = owed && drawn() == drawn_then_;
  if (owes_body) {
    exchange_->abort(408);
    send_own_response(own_response(exchange_->head, 408));
    on_exchange_done(http::no_trailers());
  } else if (takes_nothing) {
    session_.codec_.reset(id_, http::H2Error::Cancel);  // on_closed() follows
    session_.schedule();
    return;
  }
  await_client();
}

void H2ClientStream::send_fields(int status, bool end) {
  session_.codec_.send_head(id_, status, session_.fields_, end);
  session_.schedule();
}

void H2ClientStream::send_informational(const http::ResponseHead& head) {
  session_.fields_.clear();
  http::forward_response_fields(session_.fields_, session_.storage_, head);
  send_fields(head.status, /*end=*/false);
}

void H2ClientStream::send_head(const http::ResponseHead& head, std::string_view strict_transport) {
  session_.fields_.clear();
  http::forward_response_fields(session_.fields_, session_.storage_, head, strict_transport);
  // A response of gRPC that is trailers alone must end with its head. A length that the backend
  // told itself may be followed by trailers, even if it is 0.
  const bool ended_there = head.framing == http::Framing::Length && head.content_length == 0 &&
                           head.headers.find(http::HeaderId::ContentLength) == nullptr;
  send_fields(head.status, ended_there || head.framing == http::Framing::None);
}

void H2ClientStream::send_body(std::string_view payload) {
  if (session_.codec_.queued(id_) == 0) await_client();
  session_.codec_.send_body(id_, payload);
  sent_ += payload.size();
  session_.schedule();
}

void H2ClientStream::send_own_response(const OwnResponse& response) {
  if (response.grpc_status >= 0) {
    session_.send_grpc_error(id_, response.grpc_status);
    return;
  }
  auto& fields = session_.fields_;
  fields.clear();
  http::own_response_fields(fields, session_.storage_, response.status, response.extra,
                            response.strict_transport);
  std::string& page = session_.context_.scratch;
  page.clear();
  if (exchange_->head.method != "HEAD") http::append_own_page(page, response.status);
  send_fields(response.status, page.empty());
  if (!page.empty()) send_body(page);
}

void H2ClientStream::on_exchange_done(const http::HeaderList& trailers) {
  session_.codec_.send_end(id_, trailers.items());
  await_client();
  session_.schedule();
  give_back_exchange();
}

void H2ClientStream::on_exchange_cut(bool cancelled) {
  session_.codec_.reset(id_, cancelled ? http::H2Error::Cancel : http::H2Error::Internal);
  session_.schedule();
  give_back_exchange();
}

bool H2ClientStream::has_room() const {
  const bool crowded = session_.codec_.queued_in_all() > kCrowded;
  return session_.codec_.queued(id_) <= (crowded ? http::H2Codec::kLowMark : kSendMark);
}

void H2ClientStream::give_back_exchange() {
  auto& spares = session_.context_.spare_exchanges;
  if (spares.size() < kMaxSpareExchanges) spares.push_back(std::move(exchange_));
  exchange_.reset();
}

}  // namespace handfast::session
