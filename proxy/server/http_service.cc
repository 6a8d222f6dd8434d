#include "proxy/server/http_service.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include "proxy/http/body.h"
#include "proxy/http/h1_parser.h"
#include "proxy/http/message.h"
#include "proxy/http/phrases.h"
#include "proxy/net/stream.h"

namespace handfast::server {
namespace {

constexpr std::chrono::seconds kPatience{60};
// A client that was refused may still be sending; a socket that is closed over unread bytes takes
// the answer back.
constexpr std::chrono::seconds kRefusedPatience{1};
constexpr std::size_t kMostOfRefused = std::size_t{256} << 10;
constexpr const char* kText = "text/plain; charset=utf-8";

}  // namespace

class HttpService::Session final : public event::Handler, public event::RoundEnd {
 public:
  Session(HttpService& service, net::Socket socket, const Port& port)
      : service_(service),
        port_(port),
        stream_(std::move(socket), service.buffers_),
        in_(service.buffers_),
        timer_(service.loop_.timers(), [this] { service_.close(*this); }) {}

  Status start() {
    timer_.set(service_.loop_.now() + kPatience);
    return service_.loop_.add(stream_.socket().fd(), *this);
  }

  [[nodiscard]] const Port& port() const { return port_; }
  [[nodiscard]] bool has_asked() const { return state_ != State::Head && state_ != State::Body; }
  [[nodiscard]] std::size_t unsent() const { return stream_.queued(); }

  void on_event(std::uint32_t events) override {
    if (closed_) return;
    stream_.socket().note_events(events);
    if (has_asked()) service_.loop_.at_round_end(*this);
    if (state_ != State::Asked && state_ != State::Replied) read();
  }

  void on_round_end() override {
    if (closed_ || (state_ != State::Replied && state_ != State::Refused)) return;
    const net::FlushState flushed = stream_.flush();
    const bool is_sent = flushed == net::FlushState::Done && stream_.queued() == 0;
    if (flushed == net::FlushState::Failed || (is_sent && state_ == State::Replied)) {
      service_.close(*this);
    }
  }

  void end() {
    closed_ = true;
    timer_.cancel();
    service_.loop_.remove(stream_.socket().fd());
    stream_.socket().close();
    *alive_ = nullptr;
  }

 private:
  // Head -> Body -> Asked -> Replied; from the first two also -> Refused, until the client ends.
  enum class State : std::uint8_t { Head, Body, Asked, Replied, Refused };

  void read() {
    for (;;) {
      const net::IoResult result = stream_.read(in_.prepare(4096));
      if (result.state == net::IoState::WouldBlock) return;
      if (result.state != net::IoState::Data) {
        service_.close(*this);
        return;
      }
      in_.commit(result.bytes);
      if (state_ == State::Head) take_head();
      if (state_ == State::Body) take_body();
      if (state_ == State::Refused && !drop()) return;
      if (state_ == State::Asked || state_ == State::Replied) return;
    }
  }

  void take_head() {
    http::RequestHead head;
    const http::ParseResult result = parser_.parse(in_.view(), head);
    if (result.status == http::ParseStatus::Incomplete) return;
    if (result.status == http::ParseStatus::Bad) {
      refuse(result.http_status, result.error);
      return;
    }
    request_ = {std::string(head.method),
                std::string(head.path),
                {},
                std::string(head.query),
                std::string(head.host)};
    const bool has_body = head.framing == http::Framing::Chunked || head.content_length > 0;
    if (has_body &&
        (head.content_length > port_.access.body_bytes || port_.access.body_bytes == 0)) {
      refuse(413, "the body is too large");
      return;
    }
    body_ = http::BodyDecoder(head.framing, head.content_length);
    in_.consume(result.consumed);
    state_ = State::Body;
  }

  void take_body() {
    while (!body_.done()) {
      const auto step = body_.decode(in_.view());
      request_.body.append(step.payload);
      in_.consume(step.consumed);
      if (!step.error.empty()) {
        refuse(400, step.error);
        return;
      }
      if (request_.body.size() > port_.access.body_bytes) {
        refuse(413, "the body is too large");
        return;
      }
      if (step.consumed == 0) return;
    }
    state_ = State::Asked;
    port_.handle(request_, [alive = alive_](HttpReply answer) {
      if (*alive != nullptr) (*alive)->reply(std::move(answer));
    });
  }

  void refuse(int status, std::string_view why) {
    write({status, kText, std::string(why) + "\n"});
    state_ = State::Refused;
    timer_.set(service_.loop_.now() + kRefusedPatience);
  }

  // What still comes of a request that was refused. False: it is too much.
  bool drop() {
    dropped_ += in_.size();
    in_.clear();
    if (dropped_ <= kMostOfRefused) return true;
    service_.close(*this);
    return false;
  }

  void reply(HttpReply answer) {
    if (closed_ || state_ != State::Asked) return;
    write(std::move(answer));
    state_ = State::Replied;
    service_.bound_unsent(*this);
  }

  void write(HttpReply answer) {
    std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " ";
    text.append(http::reason_phrase(answer.status));
    text.append("\r\nContent-Type: ").append(answer.content_type);
    text.append("\r\nContent-Length: ").append(std::to_string(answer.body.size()));
    text.append("\r\nConnection: close\r\n").append(answer.headers).append("\r\n");
    stream_.write(text);
    if (request_.method != "HEAD") stream_.write(answer.body);
    stream_.end_write();
    service_.loop_.at_round_end(*this);
  }

  HttpService& service_;
  const Port& port_;
  net::PlainStream stream_;
  Buffer in_;
  event::Timer timer_;
  http::H1RequestParser parser_;
  HttpRequest request_;
  http::BodyDecoder body_;
  // Outlives the session in answers that come late.
  std::shared_ptr<Session*> alive_ = std::make_shared<Session*>(this);
  std::size_t dropped_ = 0;
  State state_ = State::Head;
  bool closed_ = false;
};

HttpService::HttpService(event::Loop& loop, BufferPool& buffers) : loop_(loop), buffers_(buffers) {}
HttpService::~HttpService() = default;

Status HttpService::listen(UniqueFd fd, Handle handle, Access access) {
  const Port& port = *ports_.emplace_back(std::make_unique<Port>(Port{std::move(handle), access}));
  auto listener = net::Listener::create(
      loop_, std::move(fd), [this, &port](net::Socket socket, const net::Address& /*peer*/) {
        adopt(std::move(socket), port);
      });
  if (!listener) return fail(listener.error());
  listeners_.push_back(std::move(*listener));
  return {};
}

void HttpService::adopt(net::Socket socket, const Port& port) {
  if (port.access.same_user_only) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(socket.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
    if (peer.uid != ::geteuid() && peer.uid != 0) return;
  }
  make_room(port);
  auto session = std::make_unique<Session>(*this, std::move(socket), port);
  if (!session->start()) return;
  sessions_.push_back(std::move(session));
}

void HttpService::make_room(const Port& port) {
  std::size_t open = 0;
  Session* oldest = nullptr;
  for (const auto& session : sessions_) {
    if (&session->port() != &port) continue;
    ++open;
    if (oldest == nullptr || (oldest->has_asked() && !session->has_asked())) oldest = session.get();
  }
  if (open >= port.access.connections && oldest != nullptr) close(*oldest);
}

void HttpService::bound_unsent(const Session& newest) {
  const Port& port = newest.port();
  std::size_t unsent = 0;
  for (const auto& session : sessions_) {
    if (&session->port() == &port) unsent += session->unsent();
  }
  while (unsent > port.access.unsent_bytes) {
    const auto oldest = std::ranges::find_if(sessions_, [&](const auto& session) {
      return &session->port() == &port && session.get() != &newest && session->unsent() > 0;
    });
    if (oldest == sessions_.end()) return;
    unsent -= (*oldest)->unsent();
    close(**oldest);
  }
}

void HttpService::close(Session& session) {
  const auto found =
      std::ranges::find_if(sessions_, [&](const auto& held) { return held.get() == &session; });
  if (found == sessions_.end()) return;
  session.end();
  loop_.defer_delete(std::move(*found));
  sessions_.erase(found);
}

}  // namespace handfast::server
