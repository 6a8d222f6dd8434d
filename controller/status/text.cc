#include "controller/status/text.h"

#include <cctype>

#include "controller/translate/findings.h"

namespace handfast::status {

std::string camel_case(std::string_view word) {
  std::string text;
  bool up = true;
  for (const char c : word) {
    if (c == '_') {
      up = true;
      continue;
    }
    text += up ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    up = false;
  }
  return text;
}

std::string micro_time(UnixSeconds time) {
  std::string text = translate::utc_time(time);
  text.insert(text.size() - 1, ".000000");
  return text;
}

}  // namespace handfast::status
