#include "proxy/http/grpc.h"

namespace handfast::http {

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
      return 16;  // UNAUTHENTICATED
    case 403:
      return 7;  // PERMISSION_DENIED
    case 404:
      return 12;  // UNIMPLEMENTED
    case 408:
      return 4;  // DEADLINE_EXCEEDED
    case 413:
    case 414:
    case 431:
      return 8;  // RESOURCE_EXHAUSTED
    default:
      return 14;  // UNAVAILABLE
  }
}

}  // namespace handfast::http
