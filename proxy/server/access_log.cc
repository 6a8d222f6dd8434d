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
#include <cstdio>
#include <cstring>

#include "proxy/base/log.h"

namespace handfast::server {
namespace {

constexpr std::chrono::milliseconds kInterval{50};
// A target or a header longer than this tells nothing more, but fills the log.
constexpr std::size_t kMaxText = 2048;

class Line {
 public:
  explicit Line(std::string& out) : out_(out) { out_.push_back('{'); }

  void text(std::string_view key, std::string_view value) {
    begin(key);
    out_.push_back('"');
    append_json_escaped(out_, value.substr(0, kMaxText));
    out_.push_back('"');
  }
  void text_if(std::string_view key, std::string_view value) {
    if (!value.empty()) text(key, value);
  }
  void number(std::string_view key, std::uint64_t value) {
    begin(key);
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out_.append(digits, end);
  }
  void flag(std::string_view key, bool value) {
    begin(key);
    out_.append(value ? "true" : "false");
  }
  void seconds(std::string_view key, std::chrono::microseconds value) {
    begin(key);
    char digits[32];
    const int length = std::snprintf(digits, sizeof digits, "%lld.%06lld",
                                     static_cast<long long>(value.count() / 1'000'000),
                                     static_cast<long long>(value.count() % 1'000'000));
    out_.append(digits, static_cast<std::size_t>(length));
  }
  void end() { out_.append("}\n"); }

 private:
  void begin(std::string_view key) {
    if (!first_) out_.push_back(',');
    first_ = false;
    out_.push_back('"');
    out_.append(key);
    out_.append("\":");
  }
  std::string& out_;
  bool first_ = true;
};

// "2026-11-24T04:26:02.123Z"; the part up to the second is made once a second and thread.
void append_time(std::string& text, std::int64_t unix_milliseconds) {
  thread_local std::int64_t cached_second = -1;
  thread_local char cached[32];
  thread_local std::size_t cached_length = 0;
  const std::int64_t second = unix_milliseconds / 1000;
  if (second != cached_second) {
    const time_t seconds = static_cast<time_t>(second);
    tm parts{};
    ::gmtime_r(&seconds, &parts);
    cached_length = ::strftime(cached, sizeof cached, "%Y-%m-%dT%H:%M:%S", &parts);
    cached_second = second;
  }
  text.append(cached, cached_length);
  const auto millis = static_cast<int>(unix_milliseconds % 1000);
  text.push_back('.');
  text.push_back(static_cast<char>('0' + millis / 100));
  text.push_back(static_cast<char>('0' + millis / 10 % 10));
  text.push_back(static_cast<char>('0' + millis % 10));
  text.push_back('Z');
}

std::string_view protocol_name(const session::ExchangeRecord& record) {
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

void append_record(std::string& out, const session::ExchangeRecord& record) {
  std::string stamp;
  append_time(stamp, record.unix_milliseconds);
  Line line(out);
  line.text("time", stamp);
  line.text("client", record.client_address);
  line.text("scheme", record.scheme);
  line.text("method", record.method);
  line.text("host", record.host);
  line.text("target", record.target);
  line.text("protocol", protocol_name(record));
  line.number("status", static_cast<std::uint64_t>(record.status));
  line.seconds("duration", record.duration);
  line.number("request_bytes", record.request_body_bytes);
  line.number("response_bytes", record.response_body_bytes);
  if (record.response_cut) line.flag("response_cut", true);
  line.text("request_id", record.request_id);
  line.text_if("user_agent", record.user_agent);
  line.text_if("referer", record.referer);
  if (record.route != nullptr) {
    line.text("namespace", record.route->ingress_namespace);
    line.text("ingress", record.route->ingress);
    line.text_if("service", record.route->service);
  }
  line.text_if("tls_version", record.downstream_tls_version);
  line.text_if("tls_cipher", record.downstream_tls_cipher);
  line.text_if("tls_server_name", record.server_name);
  if (record.upstream_tries > 0) {
    line.text("upstream", record.upstream_address);
    line.number("upstream_status", static_cast<std::uint64_t>(record.upstream_status));
    line.number("upstream_tries", static_cast<std::uint64_t>(record.upstream_tries));
    line.flag("upstream_reused", record.upstream_reused);
  }
  if (!record.upstream_tls_version.empty()) {
    line.text("upstream_tls_version", record.upstream_tls_version);
    line.text("upstream_tls_cipher", record.upstream_tls_cipher);
    line.flag("upstream_tls_resumed", record.upstream_tls_resumed);
    line.text("upstream_peer_subject", record.upstream_peer_subject);
    line.text("upstream_peer_serial", record.upstream_peer_serial);
    line.flag("upstream_client_certificate_requested", record.upstream_certificate_requested);
    line.text_if("upstream_client_subject", record.upstream_client_subject);
    line.text_if("upstream_client_serial", record.upstream_client_serial);
  }
  if (record.reason != Reason::Ok) {
    line.text("upstream_tls_error", to_string(record.reason));
    line.text_if("detail", record.detail);
  }
  line.end();
}

AccessLog::AccessLog(std::size_t workers, UniqueFd fd) : fd_(std::move(fd)), scratch_(workers) {
  if (!fd_) return;
  struct stat status{};
  is_file_ = ::fstat(fd_.get(), &status) == 0 && S_ISREG(status.st_mode);
  for (std::size_t i = 0; i < workers; ++i) rings_.push_back(std::make_unique<LogRing>());
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
  std::string& scratch = scratch_[worker];
  scratch.clear();
  append_record(scratch, record);
  if (!rings_[worker]->append(scratch)) dropped_.fetch_add(1, std::memory_order_relaxed);
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
