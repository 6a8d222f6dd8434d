#include "controller/reconcile/ticket_ring.h"

#include <string.h>
#include <sys/random.h>

#include <array>
#include <charconv>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/base/hex.h"

namespace handfast::reconcile {
namespace {

constexpr std::size_t kKeyBytes = 80;
constexpr std::size_t kLineBytes = 2 * kKeyBytes + 1;
// No namespace and no kind of Kubernetes is called so.
constexpr std::string_view kDirectory = "tls/_controller/session-tickets/";
constexpr std::string_view kSource = "Controller/session-tickets@";

std::string make_line() {
  std::array<unsigned char, kKeyBytes> key{};
  check(::getrandom(key.data(), key.size(), 0) == static_cast<ssize_t>(key.size()), "getrandom");
  std::string line;
  line.reserve(TicketRing::kKeys * kLineBytes);
  for (const unsigned char byte : key) append_hex(line, byte);
  line += '\n';
  ::explicit_bzero(key.data(), key.size());
  return line;
}

bool is_whole(std::string_view lines) {
  if (lines.empty() || lines.size() % kLineBytes != 0 ||
      lines.size() > TicketRing::kKeys * kLineBytes) {
    return false;
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const bool last = i % kLineBytes == kLineBytes - 1;
    if (last ? lines[i] != '\n' : kHexDigits.find(lines[i]) == kHexDigits.npos) return false;
  }
  return true;
}

}  // namespace

TicketRing::~TicketRing() { replace({}); }

bool TicketRing::is_own(const config::FileRef& file) { return file.source.starts_with(kSource); }

bool TicketRing::restore(const config::FileRef& file, std::string_view bytes) {
  if (!is_own(file) || !is_whole(bytes)) return false;
  const std::string_view text = std::string_view(file.source).substr(kSource.size());
  UnixSeconds made = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), made);
  if (error != std::errc{} || end != text.data() + text.size()) return false;
  made_ = made;
  replace(std::string(bytes));
  return true;
}

void TicketRing::rotate(UnixSeconds now) {
  // A clock that was set back would keep the ring for as long as it was wrong.
  const bool is_fresh = made_ <= now && now < due();
  if (!lines_.empty() && is_fresh) return;
  std::string lines = make_line();
  lines.append(lines_, 0, (kKeys - 1) * kLineBytes);
  replace(std::move(lines));
  made_ = now;
}

config::FileRef TicketRing::file() const {
  std::string path(kDirectory);
  path += config::content_hash({{"ticket.key", lines_}}).substr(0, 16);
  return {.path = path + "/ticket.key", .source = std::string(kSource) + std::to_string(made_)};
}

void TicketRing::replace(std::string lines) {
  ::explicit_bzero(lines_.data(), lines_.size());
  lines_ = std::move(lines);
}

}  // namespace handfast::reconcile
