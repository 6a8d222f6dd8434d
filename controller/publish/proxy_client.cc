#include "controller/publish/proxy_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <system_error>

#include "proxy/base/unique_fd.h"

namespace handfast::publish {
namespace {

using Clock = std::chrono::steady_clock;

// The state of 10,000 policies is about 5 MiB.
constexpr std::size_t kMostResponseBytes = 64u << 20;

[[nodiscard]] tl::unexpected<Error> io_error(std::string_view what, int error) {
  std::string detail{what};
  return fail(Reason::Io,
              detail.append(" the proxy: ").append(std::generic_category().message(error)));
}

// How long a call may take, and whether it was called off.
struct Limit {
  Clock::time_point deadline;
  const std::atomic<bool>& stopped;
};

// Waits until the socket can do it or the deadline has passed.
Status wait_for(int fd, short events, const Limit& limit) {
  // How soon stop() is noticed.
  constexpr long long kSlice = 100;
  while (true) {
    if (limit.stopped.load(std::memory_order_relaxed)) {
      return fail(Reason::Io, "the controller is stopping");
    }
    const long long left =
        std::chrono::duration_cast<std::chrono::milliseconds>(limit.deadline - Clock::now())
            .count();
    if (left <= 0) return fail(Reason::Io, "the proxy did not answer in time");
    pollfd waiting{fd, events, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::min(left, kSlice)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return io_error("can't wait for", errno);
  }
}

// No descriptor: nobody listens there.
Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(Reason::Io, "the path of the control socket is too long: " + path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!fd) return io_error("can't make a socket for", errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) return UniqueFd{};
    // EAGAIN: its queue of connections is full, so it lives but does not accept.
    return io_error("can't connect to", errno);
  }
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return io_error("can't identify", errno);
  }
  if (peer.uid != ::geteuid() && peer.uid != 0) {
    return fail(Reason::Io, "the control socket " + path + " belongs to another user");
  }
  return fd;
}

Status send_all(int fd, std::string_view bytes, const Limit& limit) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (Status ready = wait_for(fd, POLLOUT, limit); !ready) return ready;
    } else if (errno != EINTR) {
      return io_error("can't write to", errno);
    }
  }
  return {};
}

Result<std::string> receive_all(int fd, const Limit& limit) {
  std::string bytes;
  std::array<char, 16384> chunk{};
  while (true) {
    const ssize_t got = ::recv(fd, chunk.data(), chunk.size(), 0);
    if (got == 0) return bytes;
    if (got > 0) {
      bytes.append(chunk.data(), static_cast<std::size_t>(got));
      if (bytes.size() > kMostResponseBytes) {
        return fail(Reason::BadResponse, "the proxy's answer is too long");
      }
    } else if (errno == EAGAIN) {
      if (Status ready = wait_for(fd, POLLIN, limit); !ready) return fail(ready.error());
    } else if (errno != EINTR) {
      return io_error("can't read from", errno);
    }
  }
}

std::optional<std::uint64_t> try_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return number;
}

// The value of a header field, or nothing. Names are compared without case.
std::optional<std::string_view> try_header(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const std::size_t end = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(end + 2, head.size()));
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    if (::strncasecmp(line.data(), name.data(), name.size()) != 0) continue;
    std::string_view value = line.substr(name.size() + 1);
    while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
    while (value.ends_with(' ') || value.ends_with('\t')) value.remove_suffix(1);
    return value;
  }
  return std::nullopt;
}

}  // namespace

Result<ProxyClient::Response> ProxyClient::exchange(std::string_view method,
                                                    std::string_view target,
                                                    std::string_view body) const {
  const Limit limit{Clock::now() + deadline_, stopped_};
  const auto fd = connect_to(path_);
  if (!fd) return fail(fd.error());
  Response response;
  if (!*fd) {
    response.absent = true;
    return response;
  }

  std::string request;
  request.append(method).append(" ").append(target);
  request.append(" HTTP/1.1\r\nHost: handfast\r\nConnection: close\r\n");
  if (!body.empty()) {
    request.append("Content-Type: application/json\r\nContent-Length: ");
    request.append(std::to_string(body.size())).append("\r\n");
  }
  request.append("\r\n").append(body);
  if (Status sent = send_all(fd->get(), request, limit); !sent) return fail(sent.error());
  const auto bytes = receive_all(fd->get(), limit);
  if (!bytes) return fail(bytes.error());

  const std::size_t end_of_head = bytes->find("\r\n\r\n");
  if (end_of_head == std::string::npos || !bytes->starts_with("HTTP/1.")) {
    return fail(Reason::BadResponse, bytes->empty() ? "the proxy closed without an answer"
                                                    : "the proxy's answer is cut or not HTTP");
  }
  const std::string_view head = std::string_view(*bytes).substr(0, end_of_head);
  const auto status = head.size() >= 12 ? try_number(head.substr(9, 3)) : std::nullopt;
  if (!status) return fail(Reason::BadResponse, "the proxy's answer has no status");
  response.status = static_cast<int>(*status);
  response.body = bytes->substr(end_of_head + 4);
  // Without a length a cut body could not be told from a whole one.
  const auto length = try_header(head, "content-length");
  if (!length || try_number(*length) != response.body.size()) {
    return fail(Reason::BadResponse, "the proxy's answer is cut or has no Content-Length");
  }
  return response;
}

ProxyControl::LoadResult ProxyClient::load(std::uint64_t generation) {
  LoadResult result;
  const auto response =
      exchange("POST", "/v1/load", config::to_json(config::LoadRequest{generation}));
  result.kind = LoadResult::Kind::Failed;
  if (!response) {
    result.error = response.error();
  } else if (response->absent) {
    result.kind = LoadResult::Kind::Absent;
  } else if (response->status != 200 && response->status != 409) {
    result.error = {Reason::BadResponse,
                    "the proxy answered " + std::to_string(response->status) + " to load"};
  } else if (auto answer = config::parse_load_answer(response->body); !answer) {
    result.error = answer.error();
  } else {
    result.kind = LoadResult::Kind::Answered;
    result.answer = std::move(*answer);
  }
  return result;
}

Result<config::StateAnswer> ProxyClient::state() {
  const auto response = exchange("GET", "/v1/state", "");
  if (!response) return fail(response.error());
  if (response->absent) return fail(Reason::Io, "no proxy listens on " + path_);
  if (response->status != 200) {
    return fail(Reason::BadResponse,
                "the proxy answered " + std::to_string(response->status) + " to state");
  }
  return config::parse_state_answer(response->body);
}

Result<config::PreflightAnswer> ProxyClient::preflight(
    const config::PreflightRequest& request) const {
  const auto response = exchange("POST", "/v1/preflight", config::to_json(request));
  if (!response) return fail(response.error());
  if (response->absent) return fail(Reason::Io, "no proxy listens on " + path_);
  if (response->status != 200) {
    return fail(Reason::BadResponse,
                "the proxy answered " + std::to_string(response->status) + " to preflight");
  }
  return config::parse_preflight_answer(response->body);
}

}  // namespace handfast::publish
