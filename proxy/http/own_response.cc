// The answers that the proxy gives itself: status, a page that names it, nothing about the inside.

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/http/forwarding.h"
#include "proxy/http/http_date.h"
#include "proxy/http/phrases.h"

namespace handfast::http {
namespace {

constexpr std::string_view kPageBegin = "<html>\r\n<head><title>";
constexpr std::string_view kPageMiddle = "</title></head>\r\n<body>\r\n<center><h1>";
constexpr std::string_view kPageEnd = "</h1></center>\r\n</body>\r\n</html>\r\n";

void append_number(std::string& out, std::size_t number) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  out.append(digits.data(), end.ptr);
}

// "404 Not Found"; the code alone where there is no phrase.
void append_title(std::string& out, int status) {
  append_number(out, static_cast<std::size_t>(status));
  if (!reason_phrase(status).empty()) out.append(" ").append(reason_phrase(status));
}

bool has_page(int status) { return status >= 200 && status != 204 && status != 304; }

std::size_t page_bytes(int status) {
  const std::size_t phrase = reason_phrase(status).size();
  const std::size_t title = phrase == 0 ? 3 : 4 + phrase;
  return kPageBegin.size() + kPageMiddle.size() + kPageEnd.size() + 2 * title;
}

// `lines`: complete "Name: value" lines of ours.
void append_lines_as_fields(std::vector<Header>& out, std::string_view lines) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    const std::size_t colon = line.find(": ");
    check(colon != std::string_view::npos, "not a header line");
    out.push_back({line.substr(0, colon), line.substr(colon + 2), HeaderId::Other});
    lines.remove_prefix(std::min(lines.size(), line.size() + 2));
  }
}

}  // namespace

void append_own_response(std::string& out, int status, std::string_view request_method, bool close,
                         bool client_is_1_0, std::string_view extra,
                         std::string_view strict_transport) {
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<std::size_t>(status));
  out.append(" ").append(reason_phrase(status)).append("\r\n");
  if (status >= 200) out.append("Date: ").append(http_date_now()).append("\r\n");
  if (has_page(status)) {
    out.append("Content-Type: text/html\r\nContent-Length: ");
    append_number(out, page_bytes(status));
    out.append("\r\n");
  }
  if (close) {
    out.append("Connection: close\r\n");
  } else if (client_is_1_0) {
    out.append("Connection: keep-alive\r\n");
  }
  if (!strict_transport.empty()) {
    out.append(kStrictTransport).append(": ").append(strict_transport).append("\r\n");
  }
  out.append(extra).append("\r\n");
  if (request_method != "HEAD") append_own_page(out, status);
}

void own_response_fields(std::vector<Header>& out, std::string& storage, int status,
                         std::string_view extra, std::string_view strict_transport) {
  storage.clear();
  storage.reserve(64);  // a date and a length: views of it stay good
  if (status >= 200) {
    storage.append(http_date_now());
    out.push_back({"date", storage, HeaderId::Date});
  }
  if (has_page(status)) {
    const std::size_t at = storage.size();
    append_number(storage, page_bytes(status));
    out.push_back({"content-type", "text/html", HeaderId::Other});
    out.push_back(
        {"content-length", std::string_view(storage).substr(at), HeaderId::ContentLength});
  }
  if (!strict_transport.empty()) {
    out.push_back({kStrictTransport, strict_transport, HeaderId::Other});
  }
  append_lines_as_fields(out, extra);
}

void append_own_page(std::string& out, int status) {
  if (!has_page(status)) return;
  out.append(kPageBegin);
  append_title(out, status);
  out.append(kPageMiddle);
  append_title(out, status);
  out.append(kPageEnd);
}

}  // namespace handfast::http
