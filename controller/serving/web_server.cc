#include "controller/serving/web_server.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>

#include "controller/serving/listen_address.h"
#include "controller/serving/peer.h"
#include "proxy/base/unique_fd.h"
#include "proxy/http/h1_parser.h"
#include "proxy/http/message.h"
#include "proxy/http/phrases.h"

namespace handfast::serving {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kAnswerTime{10'000};
constexpr std::chrono::milliseconds kFinishTime{500};
// No descriptor, memory or thread is free.
constexpr std::chrono::milliseconds kAcceptPause{100};
// How often it is asked for what clients are judged by.
constexpr int kTrustMilliseconds = 500;

// accept() hands on what became of one connection (accept(2), "Error handling"), or nobody is there
// any more: the next one may be good. All else is a want of something.
bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

std::string text_of(const WebReply& reply, bool closes, bool has_body) {
  std::string text = "HTTP/1.1 " + std::to_string(reply.status);
  text.append(" ").append(http::reason_phrase(reply.status));
  text.append("\r\nContent-Type: ").append(reply.type);
  text.append("\r\nContent-Length: ").append(std::to_string(reply.body.size())).append("\r\n");
  for (const auto& [name, value] : reply.fields) {
    text.append(name).append(": ").append(value).append("\r\n");
  }
  if (closes) text += "Connection: close\r\n";
  text += "\r\n";
  if (has_body) text += reply.body;
  return text;
}

// Whose peer it is: an IPv4 address, or the /64 of an IPv6 address, of which one host has all.
using Network = std::array<unsigned char, 16>;

Network network_of(const sockaddr_storage& peer) {
  Network network{};
  if (peer.ss_family == AF_INET) {
    std::memcpy(network.data(), &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, 4);
  } else if (peer.ss_family == AF_INET6) {
    const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
    std::memcpy(network.data(), &address, IN6_IS_ADDR_V4MAPPED(&address) ? 16 : 8);
  }
  return network;
}

class Server;

struct Connection {
  Server* server = nullptr;
  UniqueFd fd;
  Network network{};
  std::uint64_t trust = 0;  // Parts::trust of before its handshake
  pthread_t thread{};
  // Of the rest the server's mutex is the guard.
  Clock::time_point since;  // of what it waits for
  bool waits = true;        // for its peer
  bool has_asked = false;   // a whole request came
  bool has_body = false;    // here, on its way, or in the handler's hands
  // Of a request whose body has no room yet: the least of its network is next.
  std::optional<std::uint64_t> room;
  // Of a request that is handled or waits for that: the least is next, of equal ones who asked
  // first.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> turn;
  bool is_handled = false;
  bool is_given_up = false;
  bool is_over = false;                                         // its thread does nothing more
  UnixSeconds until = std::numeric_limits<UnixSeconds>::max();  // of the client's certificates
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
  [[nodiscard]] std::size_t waiting() const override {
    const std::lock_guard lock{mutex_};
    return static_cast<std::size_t>(std::ranges::count_if(all_, waits_for_turn));
  }

 private:
  struct Exchange;

  void accept_all();
  bool make_room(std::unique_lock<std::mutex>& lock);
  void pause(std::unique_lock<std::mutex>& lock);
  void end_others(std::uint64_t trust, UnixSeconds now);
  void add(UniqueFd fd, const Network& network, std::uint64_t trust,
           std::unique_lock<std::mutex>& lock);
  static void* run(void* connection);
  void bury(std::unique_lock<std::mutex>& lock);
  void give_up(Connection& one);
  template <class Among>
  Connection* find_longest_waiting(Among among);
  void serve(Connection& one);
  bool serve_one(Connection& one, Exchange& exchange, bool is_first);
  bool take_head(Exchange& exchange, bool is_first);
  std::optional<WebReply> reply_to(Connection& one, Exchange& exchange);
  bool take_body(Connection& one, Exchange& exchange, WebRequest& request);
  bool read_body(Exchange& exchange, std::string& body, std::uint64_t length);
  bool make_room_for_body(Connection& one);
  static bool waits_for_turn(const Connection& one) { return one.turn && !one.is_handled; }
  [[nodiscard]] bool is_next(const Connection& one) const;
  bool take_turn(Connection& one);
  void end_turn(Connection& one);
  [[nodiscard]] std::uint64_t trust() const { return parts_.trust ? parts_.trust() : 0; }
  [[nodiscard]] UnixSeconds unix_now() const {
    return parts_.clock == nullptr ? SystemClock{}.unix_now() : parts_.clock->unix_now();
  }
  void answer_last(Exchange& exchange, const WebReply& reply);

  const UniqueFd socket_, wake_;
  const WebLimits limits_;
  const Parts parts_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Connection> all_;  // guarded by mutex_, as all below
  std::size_t open_ = 0;
  std::size_t handling_ = 0;
  std::uint64_t turn_ = 0;   // of who was handled last
  std::uint64_t asked_ = 0;  // for a turn, or for room for a body
  bool is_over_ = false;
  std::thread acceptor_;
};

// What a connection's thread works with.
struct Server::Exchange {
  Exchange(int fd, std::size_t head_bytes)
      : peer(fd), parser({.head_bytes = head_bytes, .line_bytes = head_bytes}) {}
  Peer peer;
  std::string bytes;     // that came, from the head on
  std::size_t used = 0;  // of them, by this request
  http::H1RequestParser parser;
  http::RequestHead head;  // of `bytes`
  Clock::time_point head_until{};
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

// Precondition: mutex_ is held. Its thread notices at once, or when the handler is done.
void Server::give_up(Connection& one) {
  one.is_given_up = true;
  (void)::shutdown(one.fd.get(), SHUT_RDWR);
  changed_.notify_all();
}

// Of the network that has most of them, so that nobody is driven out by who has many; of its
// connections one that never asked, if there is one.
template <class Among>
Connection* Server::find_longest_waiting(Among among) {
  std::map<Network, std::size_t> count;
  for (const Connection& one : all_) {
    if (!one.is_over && !one.is_given_up && among(one)) ++count[one.network];
  }
  Connection* found = nullptr;
  const auto comes_before = [&](const Connection& a, const Connection& b) {
    return std::tuple(count[b.network], a.has_asked, a.since) <
           std::tuple(count[a.network], b.has_asked, b.since);
  };
  for (Connection& one : all_) {
    if (one.is_over || one.is_given_up || !one.waits || !among(one)) continue;
    if (found == nullptr || comes_before(one, *found)) found = &one;
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
  for (Connection& one : over) (void)::pthread_join(one.thread, nullptr);
  over.clear();
  lock.lock();
}

// One goes for one that comes. False: the server ends.
bool Server::make_room(std::unique_lock<std::mutex>& lock) {
  const auto goes = [](const Connection& each) { return each.is_given_up && !each.is_over; };
  while (!is_over_ && open_ >= limits_.connections) {
    if (std::ranges::none_of(all_, goes)) {
      Connection* const longest = find_longest_waiting([](const Connection&) { return true; });
      if (longest != nullptr) give_up(*longest);
    }
    changed_.wait(lock);
  }
  return !is_over_;
}

void Server::accept_all() {
  for (;;) {
    std::array<pollfd, 2> ready{pollfd{socket_.get(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
    const int patience = parts_.trust ? kTrustMilliseconds : -1;
    const bool is_told = ::poll(ready.data(), ready.size(), patience) >= 0 || errno == EINTR;
    const std::uint64_t trusted = trust();
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    UniqueFd fd{::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &length,
                          SOCK_CLOEXEC | SOCK_NONBLOCK)};
    const bool is_short = !is_told || (!fd && is_shortage(errno));
    std::unique_lock lock{mutex_};
    bury(lock);
    if (is_over_) return;
    end_others(trusted, unix_now());
    if (is_short) pause(lock);
    if (!fd) continue;
    if (!make_room(lock)) return;
    add(std::move(fd), network_of(peer), trusted, lock);
  }
}

// Somebody who waits goes, so that the next one finds what this one didn't: what may be had can be
// less than our own limits.
void Server::pause(std::unique_lock<std::mutex>& lock) {
  if (Connection* const longest = find_longest_waiting([](const Connection&) { return true; })) {
    give_up(*longest);
  }
  changed_.wait_for(lock, kAcceptPause, [this] { return is_over_; });
}

// Those that are being answered end after that.
void Server::end_others(std::uint64_t trust, UnixSeconds now) {
  for (Connection& one : all_) {
    const bool is_good = one.trust == trust && now <= one.until;
    if (!is_good && one.waits && !one.is_over && !one.is_given_up) give_up(one);
  }
}

// Precondition: mutex_ is held, and the server doesn't end.
void Server::add(UniqueFd fd, const Network& network, std::uint64_t trust,
                 std::unique_lock<std::mutex>& lock) {
  Connection& one = all_.emplace_back();
  one.server = this;
  one.fd = std::move(fd);
  one.network = network;
  one.trust = trust;
  one.since = Clock::now();
  // std::thread would throw where there are as many as may be (RLIMIT_NPROC, pids.max).
  if (::pthread_create(&one.thread, nullptr, &Server::run, &one) != 0) {
    all_.pop_back();
    pause(lock);
    return;
  }
  ++open_;
}

void* Server::run(void* connection) {
  Connection& one = *static_cast<Connection*>(connection);
  Server& server = *one.server;
  server.serve(one);
  const std::lock_guard lock{server.mutex_};
  one.fd.reset();
  one.is_over = true;
  --server.open_;
  server.changed_.notify_all();
  return nullptr;
}

void Server::serve(Connection& one) {
  Exchange exchange{one.fd.get(), limits_.head_bytes};
  exchange.head_until = Clock::now() + limits_.head_time;
  if (parts_.prepare_tls) {
    // Each connection has a context of its own, with the material of now.
    const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context{SSL_CTX_new(TLS_server_method()),
                                                               SSL_CTX_free};
    if (!context) return;
    parts_.prepare_tls(context.get());
    if (!exchange.peer.accept_tls(context.get(), exchange.head_until)) return;
    const std::lock_guard lock{mutex_};
    one.until = exchange.peer.let_in_until();
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
  bytes.erase(0, std::exchange(exchange.used, 0));
  exchange.parser.reset();
  std::array<char, 16384> piece{};
  // The first one's began with the connection.
  if (!is_first) exchange.head_until = Clock::now() + limits_.head_time;
  for (;;) {
    const http::ParseResult parsed = exchange.parser.parse(bytes, exchange.head);
    if (parsed.status == http::ParseStatus::Bad) {
      answer_last(exchange,
                  {.status = parsed.http_status, .body = std::string(parsed.error) + '\n'});
      return false;
    }
    if (parsed.status == http::ParseStatus::Complete) {
      exchange.used = parsed.consumed;
      return true;
    }
    const bool is_idle = !is_first && bytes.empty();
    std::size_t count = 0;
    const auto got =
        exchange.peer.read(piece.data(), piece.size(), count,
                           is_idle ? Clock::now() + limits_.idle_time : exchange.head_until);
    if (got != Peer::Got::Bytes) return false;
    if (is_idle) exchange.head_until = Clock::now() + limits_.head_time;
    bytes.append(piece.data(), count);
  }
}

// False: the connection ends.
bool Server::serve_one(Connection& one, Exchange& exchange, bool is_first) {
  if (!take_head(exchange, is_first)) return false;
  const auto reply = reply_to(one, exchange);
  {
    const std::lock_guard lock{mutex_};
    one.has_body = false;
    one.waits = true;
    one.since = Clock::now();
    changed_.notify_all();  // somebody may wait for this one to wait, or for the body's room
    if (one.is_given_up || !reply) return false;
  }
  const http::RequestHead& head = exchange.head;
  // A client of HTTP/1.0 would have to be told that its connection goes on.
  if (!head.keep_alive || head.is_http_1_0()) {
    answer_last(exchange, *reply);
    return false;
  }
  return exchange.peer.write(text_of(*reply, false, head.method != "HEAD"),
                             Clock::now() + kAnswerTime);
}

// Nothing: it was refused, or its body didn't come. The body is gone when this returns.
std::optional<WebReply> Server::reply_to(Connection& one, Exchange& exchange) {
  const http::RequestHead& head = exchange.head;
  WebRequest request{.method = head.method, .path = head.path, .length = {}};
  if (head.framing == http::Framing::Length) request.length = head.content_length;
  auto refused = parts_.refuse ? parts_.refuse(request) : std::nullopt;
  if (!refused && head.framing == http::Framing::Chunked) {
    refused = WebReply{.status = 411, .body = "Content-Length is missing\n"};
  }
  if (!refused && request.length.value_or(0) > limits_.body_bytes) {
    refused = WebReply{.status = 413, .body = "the body is too large\n"};
  }
  if (refused) {
    answer_last(exchange, *refused);
    return std::nullopt;
  }
  if (!take_body(one, exchange, request) || !take_turn(one)) return std::nullopt;
  std::optional<WebReply> reply;
  if (one.trust == trust() && unix_now() <= one.until) reply = parts_.handle(request);
  end_turn(one);
  return reply;
}

// False: it didn't come, or there was no room for it.
bool Server::take_body(Connection& one, Exchange& exchange, WebRequest& request) {
  const std::uint64_t length = request.length.value_or(0);
  if (length > 0) {
    if (!make_room_for_body(one)) {
      answer_last(exchange, {.status = 503, .body = "too many bodies at once\n"});
      return false;
    }
    if (!read_body(exchange, request.body, length)) return false;
  }
  const std::lock_guard lock{mutex_};
  one.waits = false;
  one.has_asked = true;
  return !one.is_given_up;
}

// Of those that are still on their way the oldest is given up, but not one that began just now,
// else many at once would end each other; one that is being handled is waited for. Where its
// network has all that it may have, of that network. False: it took too long, or this one is given
// up itself.
bool Server::make_room_for_body(Connection& one) {
  const auto has_body = [](const Connection& each) { return each.has_body; };
  const auto is_own = [&one](const Connection& each) {
    return each.has_body && each.network == one.network;
  };
  const auto is_before = [&one](const Connection& each) {
    return each.room && each.network == one.network && *each.room < *one.room;
  };
  const auto count = [this](auto among) {
    return static_cast<std::size_t>(std::ranges::count_if(all_, among));
  };
  std::unique_lock lock{mutex_};
  one.since = Clock::now();
  one.room = ++asked_;
  const Clock::time_point until = one.since + limits_.body_time;
  bool is_late = false;
  while (!one.is_given_up && !is_late) {
    const bool is_first = std::ranges::none_of(all_, is_before);
    const bool is_own_full = count(is_own) >= limits_.network_bodies;
    if (is_first && !is_own_full && count(has_body) < limits_.bodies) break;
    const auto among = [&](const Connection& each) {
      return is_own_full ? is_own(each) : has_body(each);
    };
    const auto goes = [&](const Connection& each) { return among(each) && each.is_given_up; };
    Connection* const oldest =
        is_first && std::ranges::none_of(all_, goes) ? find_longest_waiting(among) : nullptr;
    if (oldest != nullptr && oldest->since + limits_.body_grace <= Clock::now()) give_up(*oldest);
    changed_.wait_until(lock, oldest == nullptr || oldest->is_given_up
                                  ? until
                                  : std::min(until, oldest->since + limits_.body_grace));
    is_late = Clock::now() >= until;
  }
  one.room.reset();
  one.since = Clock::now();
  one.has_body = !one.is_given_up && !is_late;
  changed_.notify_all();  // another is first
  return one.has_body;
}

// Precondition: mutex_ is held.
bool Server::is_next(const Connection& one) const {
  return std::ranges::none_of(all_, [&one](const Connection& each) {
    return waits_for_turn(each) && !each.is_given_up && *each.turn < *one.turn;
  });
}

// By fair queueing: a request stands behind those of its network and beside those of others, so
// whoever comes alone waits for one of each network at most. False: it is given up.
bool Server::take_turn(Connection& one) {
  std::unique_lock lock{mutex_};
  std::uint64_t turn = turn_;
  for (const Connection& each : all_) {
    if (each.turn && each.network == one.network) turn = std::max(turn, each.turn->first + 1);
  }
  one.turn = {turn, ++asked_};
  changed_.wait(lock,
                [&] { return one.is_given_up || (handling_ < limits_.handlers && is_next(one)); });
  if (one.is_given_up) {
    one.turn.reset();
    changed_.notify_all();
    return false;
  }
  one.is_handled = true;
  ++handling_;
  turn_ = std::max(turn_, turn);
  changed_.notify_all();  // another may be next
  return true;
}

void Server::end_turn(Connection& one) {
  const std::lock_guard lock{mutex_};
  one.turn.reset();
  one.is_handled = false;
  --handling_;
  changed_.notify_all();
}

bool Server::read_body(Exchange& exchange, std::string& body, std::uint64_t length) {
  const Clock::time_point until = Clock::now() + limits_.body_time;
  body.reserve(length);  // memory is taken as it arrives, and not twice while it grows
  body.append(exchange.bytes, exchange.used, length);
  exchange.used += body.size();
  if (exchange.head.expect_continue && body.size() < length &&
      !exchange.peer.write("HTTP/1.1 100 Continue\r\n\r\n", until)) {
    return false;
  }
  std::array<char, 16384> piece{};
  while (body.size() < length) {
    const std::size_t most = std::min<std::uint64_t>(piece.size(), length - body.size());
    std::size_t count = 0;
    const auto got = exchange.peer.read(piece.data(), most, count, until);
    if (got == Peer::Got::Late) {
      answer_last(exchange, {.status = 408, .body = "the body did not arrive\n"});
    }
    if (got != Peer::Got::Bytes) return false;
    body.append(piece.data(), count);
  }
  return true;
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
