#include "proxy/base/log.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace handfast {
namespace {

std::atomic<LogLevel> g_level{LogLevel::Info};

std::string_view name(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return "debug";
    case LogLevel::Info:
      return "info";
    case LogLevel::Warning:
      return "warning";
    case LogLevel::Error:
      return "error";
  }
  return "error";
}

// Length of the well-formed UTF-8 sequence at `text`, or 0. (RFC 3629 section 4.)
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return i < text.size() && at(i) >= low && at(i) <= high;
  };
  const unsigned lead = at(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const unsigned low = lead == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = lead == 0xed ? 0x9f : 0xbf;
    return tail(1, low, high) && tail(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const unsigned low = lead == 0xf0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xf4 ? 0x8f : 0xbf;
    return tail(1, low, high) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

constexpr std::uint64_t kOnes = 0x0101010101010101U;
constexpr std::uint64_t kHighs = 0x8080808080808080U;

// Eight bytes, the first one least significant.
std::uint64_t load_word(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

void store_word(char* to, std::uint64_t word) {
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  std::memcpy(to, &word, sizeof word);
}

// Fewer than eight, filled up with blanks.
std::uint64_t load_rest(const char* at, std::size_t size) {
  char bytes[8] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
  if (size >= 4) {
    std::memcpy(bytes, at, 4);
    std::memcpy(bytes + size - 4, at + size - 4, 4);
  } else {
    for (std::size_t i = 0; i < size; ++i) bytes[i] = at[i];
  }
  return load_word(bytes);
}

// The high bit of each byte that can't stand in a JSON string of printable ASCII; exact up to the
// first one, behind it perhaps too many: the classic zero-byte test.
std::uint64_t bytes_to_escape(std::uint64_t word) {
  const std::uint64_t below_blank = (word - kOnes * 0x20U) & ~word;
  const std::uint64_t quotes = word ^ (kOnes * '"');
  const std::uint64_t backslashes = word ^ (kOnes * '\\');
  const std::uint64_t is_quote = (quotes - kOnes) & ~quotes;
  const std::uint64_t is_backslash = (backslashes - kOnes) & ~backslashes;
  const std::uint64_t from_delete = (word + kOnes) | word;
  return (below_blank | is_quote | is_backslash | from_delete) & kHighs;
}

char* write(char* to, std::string_view text) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

// Writes what begins at `at` and can't go as it is, and moves `at` behind it.
char* write_one_escaped(char* to, const char*& at, const char* end) {
  static constexpr char kHex[] = "0123456789abcdef";
  const auto c = static_cast<unsigned char>(*at);
  if (c == '"' || c == '\\') {
    *to++ = '\\';
    *to++ = *at++;
    return to;
  }
  if (c < 0x20 || c == 0x7f) {
    ++at;
    to = write(to, "\\u00");
    *to++ = kHex[c >> 4];
    *to++ = kHex[c & 15];
    return to;
  }
  const std::string_view rest(at, static_cast<std::size_t>(end - at));
  const std::size_t length = utf8_length(rest);
  if (length == 0) {
    ++at;
    return write(to, "\\ufffd");
  }
  at += length;
  return write(to, rest.substr(0, length));
}

}  // namespace

void set_log_level(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }

char* write_json_escaped(char* to, std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    // Copied before it is known how much of it goes as it is.
    std::size_t left = static_cast<std::size_t>(end - at);
    std::uint64_t marked = 0;
    for (; left >= 8; left -= 8, at += 8, to += 8) {
      const std::uint64_t word = load_word(at);
      store_word(to, word);
      marked = bytes_to_escape(word);
      if (marked != 0) [[unlikely]]
        break;
    }
    if (marked == 0) {
      if (left == 0) return to;
      const std::uint64_t word = load_rest(at, left);
      store_word(to, word);
      marked = bytes_to_escape(word);
      if (marked == 0) [[likely]]
        return to + left;
    }
    const auto clean = static_cast<std::size_t>(std::countr_zero(marked)) / 8;
    at += clean;
    to = write_one_escaped(to + clean, at, end);
  }
}

void append_json_escaped(std::string& out, std::string_view text) {
  const std::size_t before = out.size();
  out.resize(before + json_escaped_room(text.size()));
  out.resize(static_cast<std::size_t>(write_json_escaped(out.data() + before, text) - out.data()));
}

void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (level < g_level.load(std::memory_order_relaxed)) return;

  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  std::array<char, 40> stamp{};
  const std::size_t length = ::strftime(stamp.data(), stamp.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::array<char, 8> millis{};
  std::snprintf(millis.data(), millis.size(), ".%03dZ", static_cast<int>(now.tv_nsec / 1'000'000));

  std::string line;
  line.reserve(256);
  line.append(R"({"time":")").append(stamp.data(), length).append(millis.data());
  line.append(R"(","level":")").append(name(level)).append(R"(","message":")");
  append_json_escaped(line, message);
  line.push_back('"');
  for (const auto& [key, value] : fields) {
    line.append(",\"");
    append_json_escaped(line, key);
    line.append("\":\"");
    append_json_escaped(line, value);
    line.push_back('"');
  }
  line.append("}\n");
  // A log that can't be written must not stop the process, so the result doesn't matter.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace handfast
