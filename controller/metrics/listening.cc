#include "controller/metrics/listening.h"

#define _TURN_OFF_PLATFORM_STRING
#include <pplx/threadpool.h>

#include <charconv>
#include <cstddef>
#include <exception>
#include <system_error>

namespace handfast::metrics {
namespace {

// A scrape a few times a minute needs no more; the library's default is 40.
constexpr std::size_t kThreads = 2;

}  // namespace

std::optional<std::string> try_listen_uri(std::string_view scheme, const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  const std::string host = colon == 0 ? "0.0.0.0" : address.substr(0, colon);
  unsigned port = 0;
  const char* end = address.data() + address.size();
  const auto [stop, error] = std::from_chars(address.data() + colon + 1, end, port);
  if (error != std::errc{} || stop != end || port == 0 || port > 65535) return std::nullopt;
  const bool bracketed = host.front() == '[' && host.back() == ']';
  const bool plain = host.find_first_of(":/@?#[] ") == std::string::npos;
  if (!bracketed && !plain) return std::nullopt;
  return std::string(scheme) + "://" + host + ":" + std::to_string(port);
}

bool start_server_threads() {
  static const bool is_ours = [] {
    try {
      crossplat::threadpool::initialize_with_threads(kThreads);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }();
  return is_ours;
}

}  // namespace handfast::metrics
