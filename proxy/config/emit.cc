#include "proxy/config/emit.h"

#include "proxy/base/log.h"

namespace handfast::config {

void append_quoted(std::string& out, std::string_view text) {
  out.push_back('"');
  const std::size_t begin = out.size();
  append_json_escaped(out, text);
  // append_json_escaped() writes `\ufffd`; a backslash of the text itself is written as two, so an
  // escape is one that an even number of backslashes precedes.
  static constexpr std::string_view kEscape = "\\ufffd";
  static constexpr std::string_view kCharacter = "\xef\xbf\xbd";
  for (std::size_t at = out.find(kEscape, begin); at != std::string::npos;) {
    std::size_t first = at;
    while (first > begin && out[first - 1] == '\\') --first;
    const bool is_escape = (at - first) % 2 == 0;
    if (is_escape) out.replace(at, kEscape.size(), kCharacter);
    at = out.find(kEscape, at + (is_escape ? kCharacter.size() : kEscape.size()));
  }
  out.push_back('"');
}

void Lines::start(std::string_view key) {
  if (element_) {
    out_.append(indent_ - 2, ' ').append("- ");
    element_ = false;
  } else {
    out_.append(indent_, ' ');
  }
  out_.append(key).push_back(':');
}

void Lines::text(std::string_view key, std::string_view value) {
  start(key);
  out_.push_back(' ');
  append_quoted(out_, value);
  out_.push_back('\n');
}

void Lines::flag(std::string_view key, bool value) {
  start(key);
  out_.append(value ? " true\n" : " false\n");
}

void Lines::number(std::string_view key, std::int64_t value) {
  start(key);
  out_.append(" ").append(std::to_string(value)).push_back('\n');
}

void Lines::number(std::string_view key, std::uint64_t value) {
  start(key);
  out_.append(" ").append(std::to_string(value)).push_back('\n');
}

void Lines::texts(std::string_view key, const std::vector<std::string>& values) {
  start(key);
  out_.append(" [");
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out_.append(", ");
    append_quoted(out_, values[i]);
  }
  out_.append("]\n");
}

void Lines::open(std::string_view key) {
  start(key);
  out_.push_back('\n');
}

void Lines::empty_list(std::string_view key) {
  start(key);
  out_.append(" []\n");
}

void Lines::empty_map(std::string_view key) {
  start(key);
  out_.append(" {}\n");
}

void Lines::quoted_key(std::string_view key, std::string_view value) {
  out_.append(indent_, ' ');
  append_quoted(out_, key);
  out_.append(": ");
  append_quoted(out_, value);
  out_.push_back('\n');
}

}  // namespace handfast::config
