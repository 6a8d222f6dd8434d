#pragma once
// Passphrases of a private key, in memory for as long as they are needed and wiped after.
//
// The text is nginx's proxy_ssl_password_file: one a line, tried in order.

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/result.h"

namespace handfast::pki {

class Passphrases {
 public:
  // None.
  Passphrases() = default;
  // '\r' before the end of a line and empty lines don't count. Passphrase if nothing is left, or
  // more than 64, each of which costs a try.
  static Result<Passphrases> parse(std::string_view text);

  Passphrases(Passphrases&& other) noexcept : lines_(std::move(other.lines_)) {}
  Passphrases& operator=(Passphrases&& other) noexcept {
    lines_.swap(other.lines_);
    return *this;
  }
  Passphrases(const Passphrases&) = delete;
  Passphrases& operator=(const Passphrases&) = delete;
  ~Passphrases();

  [[nodiscard]] std::span<const std::string> lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

}  // namespace handfast::pki
