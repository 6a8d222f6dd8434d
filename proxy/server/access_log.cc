#include "proxy/server/access_log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>

#include "proxy/base/log.h"

namespace handfast::server {
namespace {

constexpr std::chrono::milliseconds kInterval{50};
char* write_digits(char* to, unsigned value, int digits) {
  for (int i = digits; i-- > 0; value /= 10) to[i] = static_cast<char>('0' + value % 10);
  return to + digits;
}

// A field's name with what stands around it, put together by the compiler.
template <std::size_t kSize>
struct Name {
  consteval Name(const char (&name)[kSize]) {
    lead[0] = ',';
    lead[1] = '"';
    std::copy_n(name, kSize - 1, lead + 2);
    lead[kSize + 1] = '"';
    lead[kSize + 2] = ':';
  }
  [[nodiscard]] constexpr std::string_view view() const { return {lead, sizeof lead}; }

  char lead[kSize + 3];
};

class Line {
 public:
  // "2026-11-24T04:26:02.123Z"; the part up to the second is made once a second and thread.
  Line(char* to, std::int64_t unix_milliseconds) : at_(to) {
    static constexpr std::size_t kLength = 19;
    thread_local std::int64_t cached_second = -1;
    thread_local char cached[32];
    const std::int64_t second = unix_milliseconds / 1000;
    if (second != cached_second) {
      const time_t seconds = static_cast<time_t>(second);
      tm parts{};
      ::gmtime_r(&seconds, &parts);
      ::strftime(cached, sizeof cached, "%Y-%m-%dT%H:%M:%S", &parts);
      cached_second = second;
    }
    put(R"({"time":")");
    at_ = std::copy_n(cached, kLength, at_);
    *at_++ = '.';
    at_ = write_digits(at_, static_cast<unsigned>(unix_milliseconds % 1000), 3);
    put("Z\"");
  }

  template <Name kName>
  void text(std::string_view value) {
    put(kName.view());
    *at_++ = '"';
    at_ = write_json_escaped(at_, value.substr(0, kMaxLogText));
    *at_++ = '"';
  }
  // What is chosen among constants needs no escaping.
  template <Name kName>
  void word(std::string_view value) {
    put(kName.view());
    *at_++ = '"';
    put(value.substr(0, kMaxLogText));
    *at_++ = '"';
  }
  template <Name kName>
  void text_if(std::string_view value) {
    if (!value.empty()) text<kName>(value);
  }
  template <Name kName>
  void number(std::uint64_t value) {
    put(kName.view());
    at_ = std::to_chars(at_, at_ + 20, value).ptr;
  }
  template <Name kName>
  void flag(bool value) {
    put(kName.view());
    value ? put("true") : put("false");
  }
  template <Name kName>
  void seconds(std::chrono::microseconds value) {
    const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(value.count(), 0));
    number<kName>(count / 1'000'000);
    *at_++ = '.';
    at_ = write_digits(at_, static_cast<unsigned>(count % 1'000'000), 6);
  }
  [[nodiscard]] char* end() {
    put("}\n");
    return at_;
  }

 private:
  // Inlined, so that a literal is a few stores.
  [[gnu::always_inline]] void put(std::string_view text) {
    // An empty one may be null, which memcpy must not be given.
    if (!text.empty()) std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }

  char* at_;
};

std::string_view protocol_name(const session::ExchangeRecord& record) {
  if (record.relay) return "TCP";
  if (record.major_version == 2) return "HTTP/2.0";
  return record.minor_version == 0 ? "HTTP/1.0" : "HTTP/1.1";
}

}  // namespace

bool LogRing::append(std::string_view line) {
  const std::uint64_t written = written_.load(std::memory_order_relaxed);
  const std::uint64_t taken = taken_.load(std::memory_order_acquire);
  if (line.size() > kSize - (written - taken)) return false;
  const std::size_t at = written % kSize;
  const std::size_t first = std::min(line.size(), kSize - at);
  std::memcpy(bytes_.get() + at, line.data(), first);
  std::memcpy(bytes_.get(), line.data() + first, line.size() - first);
  written_.store(written + line.size(), std::memory_order_release);
  return true;
}

std::size_t LogRing::take(std::string& out) {
  const std::uint64_t taken = taken_.load(std::memory_order_relaxed);
  const std::uint64_t written = written_.load(std::memory_order_acquire);
  const auto bytes = static_cast<std::size_t>(written - taken);
  const std::size_t at = taken % kSize;
  const std::size_t first = std::min(bytes, kSize - at);
  out.append(bytes_.get() + at, first);
  out.append(bytes_.get(), bytes - first);
  taken_.store(taken + bytes, std::memory_order_release);
  return bytes;
}

char* write_record(char* to, const session::ExchangeRecord& record) {
  Line line(to, record.unix_milliseconds);
  line.text<"client">(record.client_address);
  line.word<"scheme">(record.scheme);
  line.text<"method">(record.method);
  line.text<"host">(record.host);
  line.text<"target">(record.target);
  line.word<"protocol">(protocol_name(record));
  if (record.tcp_port != 0) line.number<"port">(record.tcp_port);
  line.number<"status">(static_cast<std::uint64_t>(record.status));
  line.seconds<"duration">(record.duration);
  line.number<"request_bytes">(record.request_body_bytes);
  line.number<"response_bytes">(record.response_body_bytes);
  if (record.response_cut) line.flag<"response_cut">(true);
  line.text<"request_id">(record.request_id);
  line.text_if<"user_agent">(record.user_agent);
  line.text_if<"referer">(record.referer);
  if (record.route != nullptr) {
    line.text<"namespace">(record.route->ingress_namespace);
    line.text<"ingress">(record.route->ingress);
    line.text_if<"service">(record.route->service);
  }
  if (!record.downstream_tls_version.empty()) {
    line.word<"tls_version">(record.downstream_tls_version);
    line.word<"tls_cipher">(record.downstream_tls_cipher);
  }
  line.text_if<"tls_server_name">(record.server_name);
  line.text_if<"tls_client_verify">(record.client_verify);
  line.text_if<"tls_client_subject">(record.client_subject);
  line.text_if<"tls_client_issuer">(record.client_issuer);
  line.text_if<"tls_client_serial">(record.client_serial);
  if (record.upstream_tries > 0) {
    line.text<"upstream">(record.upstream_address);
    if (!record.relay) {
      line.number<"upstream_status">(static_cast<std::uint64_t>(record.upstream_status));
    }
    line.number<"upstream_tries">(static_cast<std::uint64_t>(record.upstream_tries));
    line.flag<"upstream_reused">(record.upstream_reused);
  }
  if (!record.upstream_tls_version.empty()) {
    line.word<"upstream_tls_version">(record.upstream_tls_version);
    line.word<"upstream_tls_cipher">(record.upstream_tls_cipher);
    line.flag<"upstream_tls_resumed">(record.upstream_tls_resumed);
    line.text<"upstream_peer_subject">(record.upstream_peer_subject);
    line.text<"upstream_peer_serial">(record.upstream_peer_serial);
    line.flag<"upstream_client_certificate_requested">(record.upstream_certificate_requested);
    if (record.upstream_would_refuse != Reason::Ok) {
      line.word<"upstream_tls_would_refuse">(to_string(record.upstream_would_refuse));
    }
    line.text_if<"upstream_client_subject">(record.upstream_client_subject);
    line.text_if<"upstream_client_serial">(record.upstream_client_serial);
  }
  if (!record.auth.empty()) {
    line.word<"auth">(record.auth);
    line.text_if<"auth_upstream">(record.auth_upstream);
    line.number<"auth_status">(static_cast<std::uint64_t>(record.auth_status));
    line.flag<"auth_cached">(record.auth_cached);
  }
  if (record.reason != Reason::Ok) {
    line.word<"upstream_tls_error">(to_string(record.reason));
    line.text_if<"detail">(record.detail);
  }
  return line.end();
}

AccessLog::AccessLog(std::size_t workers, UniqueFd fd) : fd_(std::move(fd)) {
  if (!fd_) return;
  struct stat status{};
  is_file_ = ::fstat(fd_.get(), &status) == 0 && S_ISREG(status.st_mode);
  for (std::size_t i = 0; i < workers; ++i) {
    rings_.push_back(std::make_unique<LogRing>());
    scratch_.push_back(std::make_unique_for_overwrite<char[]>(kMaxLogLine));
  }
  thread_ = std::thread([this] { run(); });
}

AccessLog::~AccessLog() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void AccessLog::append(std::size_t worker, const session::ExchangeRecord& record) {
  if (!fd_) return;
  char* const line = scratch_[worker].get();
  const char* const end = write_record(line, record);
  if (!rings_[worker]->append({line, end})) dropped_.fetch_add(1, std::memory_order_relaxed);
}

void AccessLog::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, kInterval);
    lock.unlock();
    while (write_some()) {
    }
    lock.lock();
  }
  lock.unlock();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (write_some() && std::chrono::steady_clock::now() < deadline) {
  }
}

// True: there may be more, and the reader takes it.
bool AccessLog::write_some() {
  // Refilled once empty: each ring in its turn, and no line of one begins within a line of another.
  if (pending_.empty()) {
    for (auto& ring : rings_) ring->take(pending_);
  }
  if (pending_.empty()) return false;
  pollfd poll{fd_.get(), POLLOUT, 0};
  if (::poll(&poll, 1, static_cast<int>(kInterval.count())) <= 0) return false;
  // Writable means room for PIPE_BUF in a pipe; more could block, and with it the end of the
  // program.
  const std::size_t left = pending_.size() - sent_;
  const std::size_t most = is_file_ ? left : std::min<std::size_t>(left, PIPE_BUF);
  const ssize_t written = ::write(fd_.get(), pending_.data() + sent_, most);
  if (written < 0) {
    if (errno == EINTR || errno == EAGAIN) return false;
    pending_.clear();  // closed: nobody reads it any more
    sent_ = 0;
    return false;
  }
  sent_ += static_cast<std::size_t>(written);
  if (sent_ == pending_.size()) {
    pending_.clear();
    sent_ = 0;
  }
  return true;
}

}  // namespace handfast::server
