#include "proxy/pki/passphrases.h"

#include <string.h>

#include <algorithm>

namespace handfast::pki {
namespace {

constexpr std::size_t kMaxPassphrases = 64;

}  // namespace

Result<Passphrases> Passphrases::parse(std::string_view text) {
  Passphrases passphrases;
  // No line moves when another is added: a copy left behind would not be wiped.
  passphrases.lines_.reserve(static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) passphrases.lines_.emplace_back(line);
  }
  const std::size_t count = passphrases.lines_.size();
  if (count == 0) return fail(Reason::Passphrase, "holds no passphrase");
  if (count > kMaxPassphrases) {
    return fail(Reason::Passphrase, "holds more than 64 passphrases: keep those in use");
  }
  return passphrases;
}

Passphrases::~Passphrases() {
  for (std::string& line : lines_) ::explicit_bzero(line.data(), line.size());
}

}  // namespace handfast::pki
