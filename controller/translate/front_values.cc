#include "controller/translate/front_values.h"

#include <algorithm>

#include "controller/translate/cipher_names.h"
#include "controller/translate/findings.h"
#include "controller/translate/tls_values.h"

namespace handfast::translate {
namespace {

constexpr std::size_t kLongestList = 4096;

template <class Each>
void split(std::string_view text, char separator, Each each) {
  for (;;) {
    const std::size_t end = std::min(text.find(separator), text.size());
    each(text.substr(0, end));
    if (end == text.size()) return;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

Result<FrontCiphers> parse_front_ciphers(std::string_view value) {
  if (value.size() > kLongestList) {
    return fail(Reason::InvalidValue, quoted(value) + " is too long for a list of ciphers.");
  }
  FrontCiphers ciphers;
  split(value, ':', [&](std::string_view element) {
    if (element.empty()) return;
    if (element.starts_with("TLS_") || element.starts_with("DHE-")) {
      ciphers.without_effect.emplace_back(element);
      return;
    }
    if (!ciphers.list.empty()) ciphers.list += ':';
    ciphers.list += element;
  });
  if (const auto unknown = find_unknown_cipher(ciphers.list, CipherUse::Clients)) {
    return fail(Reason::InvalidValue,
                quoted(*unknown) + " is no cipher of TLS 1.2 that is offered.");
  }
  auto list = parse_ciphers(ciphers.list);
  if (!list) return fail(std::move(list.error()));
  return ciphers;
}

Result<std::string> parse_front_groups(std::string_view value) {
  if (value == "auto") return std::string();
  if (auto fault = find_group_fault(value)) return fail(Reason::InvalidValue, *std::move(fault));
  return std::string(value);
}

}  // namespace handfast::translate
