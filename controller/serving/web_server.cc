#include "controller/serving/web_server.h"

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <thread>
#include <tuple>

#include "controller/serving/listen_address.h"
#include "controller/serving/peer.h"
#include "proxy/base/log.h"
#include "proxy/base/unique_fd.h"

namespace handfast::serving {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kAnswerTime{10'000};
constexpr std::chrono::milliseconds kFinishTime{500};
// No descriptor is free: nothing can be done but wait.
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::string_view kHeadEnd = "\r\n\r\n";

std::string_view phrase_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    default:
      return status == 503 ? "Service Unavailable" : "Error";
  }
}

std::string text_of(const WebReply& reply, bool closes, bool has_body) {
  std::string text = "HTTP/1.1 " + std::to_string(reply.status);
  text.append(" ").append(phrase_of(reply.status)).append("\r\nContent-Type: ").append(reply.type);
  text.append("\r\nContent-Length: ").append(std::to_string(reply.body.size())).append("\r\n");
  for (const auto& [name, value] : reply.fields) {
    text.append(name).append(": ").append(value).append("\r\n");
  }
  if (closes) text += "Connection: close\r\n";
  text += "\r\n";
  if (has_body) text += reply.body;
  return text;
}

struct Connection {
  UniqueFd fd;
  std::thread thread;
  // Of the rest the server's mutex is the guard.
  Clock::time_point since;  // of what it waits for
  bool waits = true;        // for its peer
  bool has_asked = false;   // a whole request came
  bool sends_body = false;
  bool is_given_up = false;
  bool is_over = false;  // its thread does nothing more
};

class Server final : public WebServer {
 public:
  Server(UniqueFd socket, UniqueFd wake, WebLimits limits, Parts parts)
      : socket_(std::move(socket)),
        wake_(std::move(wake)),
        limits_(limits),
        parts_(std::move(parts)),
        acceptor_([this] { accept_all(); }) {}
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::size_t connections() const override {
    const std::lock_guard lock{mutex_};
    return open_;
  }

 private:
  struct Exchange;

  void accept_all();
  bool make_room(std::unique_lock<std::mutex>& lock);
  void add(UniqueFd fd);
  void bury(std::unique_lock<std::mutex>& lock);
  void give_up(Connection& one);
  template <class Among>
  Connection* find_longest_waiting(Among among);
  void serve(Connection& one);
  bool serve_one(Connection& one, Exchange& exchange, bool is_first);
  bool take_head(Exchange& exchange, bool is_first);
  bool take_body(Connection& one, Exchange& exchange);
  void answer_last(Exchange& exchange, const WebReply& reply);

  const UniqueFd socket_, wake_;
  const WebLimits limits_;
  const Parts parts_;
  std::mutex handling_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Connection> all_;  // guarded by mutex_, as all below
  std::size_t open_ = 0;
  bool is_over_ = false;
  std::thread acceptor_;
};

// What a connection's thread works with.
struct Server::Exchange {
  explicit Exchange(int fd) : peer(fd) {}
  Peer peer;
  std::string bytes;  // that came and weren't read yet
  RequestHead head;
};

Server::~Server() {
  {
    const std::lock_guard lock{mutex_};
    is_over_ = true;
    for (Connection& one : all_) {
      if (!one.is_over) give_up(one);
    }
  }
  changed_.notify_all();
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
  acceptor_.join();
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this] { return open_ == 0; });
  bury(lock);
}

// Precondition: mutex_ is held. Its thread notices at its next step.
void Server::give_up(Connection& one) {
  one.is_given_up = true;
  (void)::shutdown(one.fd.get(), SHUT_RDWR);
}

template <class Among>
Connection* Server::find_longest_waiting(Among among) {
  Connection* found = nullptr;
  const auto rank = [](const Connection& one) { return std::tuple(one.has_asked, one.since); };
  for (Connection& one : all_) {
    if (one.is_over || one.is_given_up || !one.waits || !among(one)) continue;
    if (found == nullptr || rank(one) < rank(*found)) found = &one;
  }
  return found;
}

// Joins the threads of those that are over.
void Server::bury(std::unique_lock<std::mutex>& lock) {
  std::list<Connection> over;
  for (auto at = all_.begin(); at != all_.end();) {
    const auto next = std::next(at);
    if (at->is_over) over.splice(over.end(), all_, at);
    at = next;
  }
  lock.unlock();
  for (Connection& one : over) one.thread.join();
  over.clear();
  lock.lock();
}

// False: the server ends.
bool Server::make_room(std::unique_lock<std::mutex>& lock) {
  while (!is_over_ && open_ >= limits_.connections) {
    Connection* const longest = find_longest_waiting([](const Connection&) { return true; });
    if (longest != nullptr) give_up(*longest);
    changed_.wait(lock);
  }
  return !is_over_;
}

void Server::accept_all() {
  for (;;) {
    std::array<pollfd, 2> ready{pollfd{socket_.get(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) return;
    UniqueFd fd{::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    const bool is_short = !fd && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS);
    std::unique_lock lock{mutex_};
    bury(lock);
    if (is_over_) return;
    if (is_short) changed_.wait_for(lock, kAcceptPause, [this] { return is_over_; });
    if (!fd) continue;
    if (!make_room(lock)) return;
    bury(lock);
    add(std::move(fd));
  }
}

// Precondition: mutex_ is held.
void Server::add(UniqueFd fd) {
  Connection& one = all_.emplace_back();
  one.fd = std::move(fd);
  one.since = Clock::now();
  ++open_;
  one.thread = std::thread{[this, &one] {
    serve(one);
    const std::lock_guard lock{mutex_};
    one.fd.reset();
    one.is_over = true;
    --open_;
    changed_.notify_all();
  }};
}

void Server::serve(Connection& one) {
  Exchange exchange{one.fd.get()};
  if (parts_.prepare_tls) {
    // Each connection has a context of its own, with the material of now.
    const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context{SSL_CTX_new(TLS_server_method()),
                                                               SSL_CTX_free};
    if (!context) return;
    parts_.prepare_tls(context.get());
    if (!exchange.peer.accept_tls(context.get(), Clock::now() + limits_.head_time)) return;
  }
  for (bool is_first = true; serve_one(one, exchange, is_first);) is_first = false;
}

void Server::answer_last(Exchange& exchange, const WebReply& reply) {
  const bool has_body = exchange.head.method != "HEAD";
  if (exchange.peer.write(text_of(reply, true, has_body), Clock::now() + kAnswerTime)) {
    exchange.peer.finish(Clock::now() + kFinishTime);
  }
}

// False: none came that is one.
bool Server::take_head(Exchange& exchange, bool is_first) {
  std::string& bytes = exchange.bytes;
  std::array<char, 16384> piece{};
  std::size_t end = std::string::npos;
  exchange.head = {};
  Clock::time_point until = Clock::now() + limits_.head_time;
  while ((end = bytes.find(kHeadEnd)) == std::string::npos) {
    if (bytes.size() > limits_.head_bytes) {
      answer_last(exchange, {.status = 400, .body = "the head is too long\n"});
      return false;
    }
    const bool is_idle = !is_first && bytes.empty();
    std::size_t count = 0;
    const auto got = exchange.peer.read(piece.data(), piece.size(), count,
                                        is_idle ? Clock::now() + limits_.idle_time : until);
    if (got != Peer::Got::Bytes) return false;
    if (is_idle) until = Clock::now() + limits_.head_time;
    bytes.append(piece.data(), count);
  }
  auto head = parse_request_head(std::string_view(bytes).substr(0, end + kHeadEnd.size()));
  bytes.erase(0, end + kHeadEnd.size());
  if (!head) {
    answer_last(exchange, {.status = 400, .body = head.error().detail + '\n'});
    return false;
  }
  exchange.head = *std::move(head);
  return true;
}

// False: the connection ends.
bool Server::serve_one(Connection& one, Exchange& exchange, bool is_first) {
  if (!take_head(exchange, is_first) || !take_body(one, exchange)) return false;
  const RequestHead& head = exchange.head;
  const std::string body = exchange.bytes.substr(0, head.length);
  exchange.bytes.erase(0, head.length);
  WebReply reply;
  {
    const std::lock_guard handling{handling_};
    reply = parts_.handle(head, body);
  }
  {
    const std::lock_guard lock{mutex_};
    one.waits = true;
    one.since = Clock::now();
    changed_.notify_all();  // who makes room may have found nobody that waits
    if (one.is_given_up) return false;
  }
  if (head.closes) {
    answer_last(exchange, reply);
    return false;
  }
  return exchange.peer.write(text_of(reply, false, head.method != "HEAD"),
                             Clock::now() + kAnswerTime);
}

// False: it was refused, or didn't come.
bool Server::take_body(Connection& one, Exchange& exchange) {
  const RequestHead& head = exchange.head;
  auto refused = parts_.refuse ? parts_.refuse(head) : std::nullopt;
  if (!refused && head.is_chunked) {
    refused = WebReply{.status = 411, .body = "Content-Length is missing\n"};
  }
  if (!refused && head.length > limits_.body_bytes) {
    refused = WebReply{.status = 413, .body = "the body is too large\n"};
  }
  if (refused) {
    answer_last(exchange, *refused);
    return false;
  }
  const Clock::time_point now = Clock::now();
  {
    const std::lock_guard lock{mutex_};
    one.since = now;
    const auto is_sending = [](const Connection& each) { return each.sends_body; };
    if (std::ranges::count_if(all_, is_sending) >= static_cast<long>(limits_.bodies)) {
      if (Connection* const oldest = find_longest_waiting(is_sending)) {
        oldest->sends_body = false;
        give_up(*oldest);
      }
    }
    one.sends_body = head.length > exchange.bytes.size();
  }
  if (head.expects_continue &&
      !exchange.peer.write("HTTP/1.1 100 Continue\r\n\r\n", now + limits_.body_time)) {
    return false;
  }
  std::array<char, 16384> piece{};
  auto got = Peer::Got::Bytes;
  while (got == Peer::Got::Bytes && exchange.bytes.size() < head.length) {
    std::size_t count = 0;
    got = exchange.peer.read(piece.data(), piece.size(), count, now + limits_.body_time);
    if (got == Peer::Got::Bytes) exchange.bytes.append(piece.data(), count);
  }
  {
    const std::lock_guard lock{mutex_};
    one.sends_body = false;
    one.waits = got != Peer::Got::Bytes;
    one.has_asked = true;
    if (one.is_given_up) return false;
  }
  if (got == Peer::Got::Late) {
    answer_last(exchange, {.status = 408, .body = "the body did not arrive\n"});
  }
  return got == Peer::Got::Bytes;
}

}  // namespace

Result<std::unique_ptr<WebServer>> WebServer::open(const std::string& address, WebLimits limits,
                                                   Parts parts) {
  const auto wanted = try_listen_address(address);
  if (!wanted) {
    return fail(Reason::InvalidValue,
                "\"" + address + "\" is not an address like 0.0.0.0:10254 (port 1 to 65535)");
  }
  auto socket = listen_on(*wanted);
  if (!socket) {
    return fail(Reason::Io, "can't listen on " + address + ": " + socket.error().detail);
  }
  UniqueFd wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!wake) return fail(Reason::Io, "no descriptor is free");
  return std::make_unique<Server>(*std::move(socket), std::move(wake), limits, std::move(parts));
}

}  // namespace handfast::serving
