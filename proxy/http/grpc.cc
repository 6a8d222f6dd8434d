#include "proxy/http/grpc.h"

#include <cstddef>
#include <cstdint>
#include <limits>

namespace handfast::http {
namespace {

constexpr std::size_t kMaxTimeoutDigits = 8;

// 0: no unit.
std::int64_t nanoseconds_of_unit(char unit) {
  switch (unit) {
    case 'H':
      return 3'600'000'000'000;
    case 'M':
      return 60'000'000'000;
    case 'S':
      return 1'000'000'000;
    case 'm':
      return 1'000'000;
    case 'u':
      return 1'000;
    case 'n':
      return 1;
    default:
      return 0;
  }
}

std::optional<std::chrono::nanoseconds> parse_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > kMaxTimeoutDigits + 1) return std::nullopt;
  const std::int64_t unit = nanoseconds_of_unit(text.back());
  if (unit == 0) return std::nullopt;
  text.remove_suffix(1);
  std::int64_t count = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    count = count * 10 + (c - '0');
  }
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  return std::chrono::nanoseconds(count > kMost / unit ? kMost : count * unit);
}

}  // namespace

bool is_grpc_type(std::string_view content_type) {
  constexpr std::string_view kGrpc = "application/grpc";
  if (!content_type.starts_with(kGrpc)) return false;
  content_type.remove_prefix(kGrpc.size());
  return content_type.empty() || content_type.front() == '+' || content_type.front() == ';';
}

bool is_grpc(const RequestHead& head) {
  if (head.major_version != 2) return false;
  std::string_view type;
  for (const Header& header : head.headers.items()) {
    if (header.name == "content-type") type = header.value;
  }
  return is_grpc_type(type);
}

std::optional<std::chrono::nanoseconds> grpc_timeout(const RequestHead& head) {
  for (const Header& header : head.headers.items()) {
    if (header.name == "grpc-timeout") return parse_timeout(header.value);
  }
  return std::nullopt;
}

// design: 12 where nothing is routed, 16 and 7 for client certificates, 14 for what may be well
// again; the rest as nginx's own table of gRPC errors has it.
int grpc_status_of(int status) {
  switch (status) {
    case 400:
    case 405:
    case 417:
    case 500:
    case 501:
      return 13;  // INTERNAL
    case 401:
      return kGrpcUnauthenticated;
    case 403:
      return 7;  // PERMISSION_DENIED
    case 404:
      return 12;  // UNIMPLEMENTED
    case 408:
      return kGrpcDeadlineExceeded;
    case 413:
    case 414:
    case 431:
      return 8;  // RESOURCE_EXHAUSTED
    default:
      return 14;  // UNAVAILABLE
  }
}

}  // namespace handfast::http
