#include "controller/kube/credentials.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "controller/objects/names.h"
#include "proxy/base/log.h"
#include "proxy/base/unique_fd.h"

namespace handfast::kube {
namespace {

// client-go trusts what it read for a minute.
constexpr std::chrono::seconds kTrustFile{50};
// Before a credential of a plugin expires; and between two runs, whatever the server says.
constexpr std::int64_t kRefreshEarly = 60;
constexpr std::chrono::seconds kBetweenRuns{10};
constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;

Result<std::string> read_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const auto failed = [&path] {
    return fail(Reason::Io, path + " can't be read: " + std::strerror(errno));
  };
  if (!file) return failed();
  std::string text;
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t size = ::read(file.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed();
    if (size == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(size));
    if (text.size() > kMaxFileBytes) return fail(Reason::Io, path + " is larger than a MiB");
  }
}

Result<std::string> read_pem(const PemSource& source) {
  if (source.file.empty()) return source.text;
  auto text = read_file(source.file);
  if (text && text->empty()) return fail(Reason::Io, source.file + " is empty");
  return text;
}

}  // namespace

Result<std::string> read_pod_namespace(std::string_view folder) {
  const std::string path = std::string(folder) + "/namespace";
  auto text = read_file(path);
  if (!text) return fail(std::move(text.error()));
  text->resize(text->find_last_not_of(" \t\r\n") + 1);
  if (!objects::is_dns_label(*text)) {
    return fail(Reason::InvalidValue, path + " has no name of a namespace");
  }
  return text;
}

Credentials::Credentials(Access access, const Clock& clock)
    : access_(std::move(access)), clock_(clock) {}

Credentials::~Credentials() {
  std::thread last;
  {
    const std::lock_guard lock{mutex_};
    is_refreshing_ = true;  // none begins anymore
    last = std::move(refresh_);
  }
  if (last.joinable()) last.join();
}

Status Credentials::start() {
  if (access_.exec) {
    auto credential = run(*access_.exec);
    if (!credential) return fail(std::move(credential.error()));
    const std::lock_guard lock{mutex_};
    credential_ = std::move(*credential);
    refreshed_at_ = clock_.now();
  }
  if (!access_.token_file.empty()) {
    const std::lock_guard lock{mutex_};
    read_token_file();
    if (file_token_.empty()) {
      return fail(Reason::Io, "no token could be read from " + access_.token_file);
    }
  }
  auto read = pems();
  if (!read) return fail(std::move(read.error()));
  return {};
}

std::string Credentials::token() {
  const std::lock_guard lock{mutex_};
  if (access_.exec) {
    if (credential_.expires != 0 && credential_.expires - kRefreshEarly <= clock_.unix_now()) {
      refresh_soon();
    }
    return credential_.token;
  }
  if (access_.token_file.empty()) return access_.token;
  if (!read_at_ || clock_.now() - *read_at_ >= kTrustFile) read_token_file();
  // Of an API token beside a file, the file's counts, as for client-go.
  return file_token_.empty() ? access_.token : file_token_;
}

void Credentials::on_refused() {
  const std::lock_guard lock{mutex_};
  read_at_.reset();
  if (access_.exec) refresh_soon();
}

void Credentials::read_token_file() {
  read_at_ = clock_.now();
  auto text = read_file(access_.token_file);
  if (!text) {
    log(LogLevel::Warning, "the token can't be read; the last one is used",
        {{"file", access_.token_file}, {"detail", text.error().detail}});
    return;
  }
  const std::size_t end = text->find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return;  // being written
  text->resize(end + 1);
  file_token_ = std::move(*text);
}

// Precondition: mutex_ is held.
void Credentials::refresh_soon() {
  if (is_refreshing_ || clock_.now() - refreshed_at_ < kBetweenRuns) return;
  is_refreshing_ = true;
  if (refresh_.joinable()) refresh_.join();  // of a run that has ended
  refresh_ = std::thread([this] {
    auto credential = run(*access_.exec);
    if (!credential) {
      log(LogLevel::Error, "credentials can't be renewed; the last ones are used",
          {{"detail", credential.error().detail}});
    }
    const std::lock_guard lock{mutex_};
    if (credential) credential_ = std::move(*credential);
    refreshed_at_ = clock_.now();
    is_refreshing_ = false;
  });
}

Result<Credentials::Pems> Credentials::pems() {
  Pems pems;
  auto ca = read_pem(access_.ca);
  if (!ca) return fail(std::move(ca.error()));
  pems.ca = std::move(*ca);
  {
    const std::lock_guard lock{mutex_};
    pems.certificate = credential_.client_certificate;
    pems.key = credential_.client_key;
  }
  if (pems.certificate.empty() && access_.client_certificate.is_set()) {
    auto certificate = read_pem(access_.client_certificate);
    if (!certificate) return fail(std::move(certificate.error()));
    auto key = read_pem(access_.client_key);
    if (!key) return fail(std::move(key.error()));
    pems.certificate = std::move(*certificate);
    pems.key = std::move(*key);
  }
  return pems;
}

}  // namespace handfast::kube
