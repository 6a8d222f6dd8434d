#include "proxy/http/http_date.h"

#include <array>
#include <cstring>
#include <ctime>

namespace handfast::http {
namespace {

// Two digits at `out`.
void put2(char* out, int value) {
  out[0] = static_cast<char>('0' + value / 10 % 10);
  out[1] = static_cast<char>('0' + value % 10);
}

}  // namespace

void format_http_date(std::int64_t unix_seconds, char* out) {
  // Not strftime: it obeys the locale.
  constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const std::time_t seconds = static_cast<std::time_t>(unix_seconds);
  std::tm time{};
  gmtime_r(&seconds, &time);
  std::memcpy(out, "Sun, 00 Jan 0000 00:00:00 GMT", kHttpDateBytes);
  kDays.copy(out, 3, 3 * static_cast<std::size_t>(time.tm_wday));
  put2(out + 5, time.tm_mday);
  kMonths.copy(out + 8, 3, 3 * static_cast<std::size_t>(time.tm_mon));
  const int year = time.tm_year + 1900;
  put2(out + 12, year / 100);
  put2(out + 14, year % 100);
  put2(out + 17, time.tm_hour);
  put2(out + 20, time.tm_min);
  put2(out + 23, time.tm_sec);
}

std::string_view http_date_now() {
  struct Cache {
    std::time_t second = -1;
    std::array<char, kHttpDateBytes> text{};
  };
  thread_local Cache cache;
  const std::time_t now = std::time(nullptr);
  if (now != cache.second) {
    format_http_date(now, cache.text.data());
    cache.second = now;
  }
  return {cache.text.data(), cache.text.size()};
}

}  // namespace handfast::http
