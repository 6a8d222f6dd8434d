#include "proxy/server/http_service.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "proxy/http/body.h"
#include "proxy/http/h1_parser.h"
#include "proxy/http/phrases.h"
#include "proxy/net/stream.h"

namespace handfast::server {
namespace {

constexpr std::size_t kMaxBody = 1 << 20;
constexpr std::chrono::seconds kPatience{60};

}  // namespace

class HttpService::Session final : public event::Handler, public event::RoundEnd {
 public:
  Session(HttpService& service, net::Socket socket, const Handle& handle)
      : service_(service),
        stream_(std::move(socket), service.buffers_),
        in_(service.buffers_),
        handle_(handle),
        timer_(service.loop_.timers(), [this] { service_.close(*this); }) {}

  Status start() {
    timer_.set(service_.loop_.now() + kPatience);
    return service_.loop_.add(stream_.socket().fd(), *this);
  }

  void on_event(std::uint32_t events) override {
    if (closed_) return;
    stream_.socket().note_events(events);
    if (handled_) {
      service_.loop_.at_round_end(*this);
      return;
    }
    read();
  }

  void on_round_end() override {
    if (closed_ || !replied_) return;
    const net::FlushState flushed = stream_.flush();
    if (flushed == net::FlushState::Failed ||
        (flushed == net::FlushState::Done && stream_.queued() == 0)) {
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
  void read() {
    for (;;) {
      const net::IoResult result = stream_.read(in_.prepare(4096));
      if (result.state == net::IoState::WouldBlock) return;
      if (result.state != net::IoState::Data) {
        service_.close(*this);
        return;
      }
      in_.commit(result.bytes);
      if (parse()) return;
    }
  }

  // True: no more is to be read.
  bool parse() {
    parser_.reset();
    const http::ParseResult result = parser_.parse(in_.view(), head_);
    if (result.status == http::ParseStatus::Incomplete) return false;
    if (result.status == http::ParseStatus::Bad) {
      handled_ = true;
      reply({result.http_status, "text/plain; charset=utf-8", std::string(result.error) + "\n"});
      return true;
    }
    HttpRequest request{std::string(head_.method),
                        std::string(head_.path),
                        {},
                        std::string(head_.query),
                        std::string(head_.host)};
    http::BodyDecoder body(head_.framing, head_.content_length);
    std::string_view rest = in_.view().substr(result.consumed);
    while (!body.done()) {
      const auto step = body.decode(rest);
      request.body.append(step.payload);
      rest.remove_prefix(step.consumed);
      if (!step.error.empty() || request.body.size() > kMaxBody) {
        handled_ = true;
        reply({step.error.empty() ? 413 : 400, "text/plain; charset=utf-8", "bad body\n"});
        return true;
      }
      if (step.consumed == 0) break;
    }
    if (!body.done()) return in_.size() > 2 * kMaxBody;
    handled_ = true;
    handle_(request, [alive = alive_](HttpReply answer) {
      if (*alive != nullptr) (*alive)->reply(std::move(answer));
    });
    return true;
  }

  void reply(HttpReply answer) {
    if (closed_) return;
    std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " ";
    text.append(http::reason_phrase(answer.status));
    text.append("\r\nContent-Type: ").append(answer.content_type);
    text.append("\r\nContent-Length: ").append(std::to_string(answer.body.size()));
    text.append("\r\nConnection: close\r\n").append(answer.headers).append("\r\n");
    if (head_.method != "HEAD") text.append(answer.body);
    stream_.write(text);
    stream_.end_write();
    replied_ = true;
    service_.loop_.at_round_end(*this);
  }

  HttpService& service_;
  net::PlainStream stream_;
  Buffer in_;
  Handle handle_;
  event::Timer timer_;
  http::H1RequestParser parser_;
  http::RequestHead head_;
  // Outlives the session in answers that come late.
  std::shared_ptr<Session*> alive_ = std::make_shared<Session*>(this);
  bool handled_ = false;
  bool replied_ = false;
  bool closed_ = false;
};

HttpService::HttpService(event::Loop& loop, BufferPool& buffers) : loop_(loop), buffers_(buffers) {}
HttpService::~HttpService() = default;

Status HttpService::listen(UniqueFd fd, Handle handle, bool same_user_only) {
  auto listener = net::Listener::create(loop_, std::move(fd),
                                        [this, handle = std::move(handle), same_user_only](
                                            net::Socket socket, const net::Address& /*peer*/) {
                                          adopt(std::move(socket), handle, same_user_only);
                                        });
  if (!listener) return fail(listener.error());
  listeners_.push_back(std::move(*listener));
  return {};
}

void HttpService::adopt(net::Socket socket, const Handle& handle, bool same_user_only) {
  if (same_user_only) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(socket.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
    if (peer.uid != ::geteuid() && peer.uid != 0) return;
  }
  auto session = std::make_unique<Session>(*this, std::move(socket), handle);
  if (!session->start()) return;
  sessions_.push_back(std::move(session));
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
