#include "proxy/http/forwarding.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

#include "proxy/http/chars.h"
#include "proxy/http/fields.h"
#include "proxy/http/http_date.h"

namespace handfast::http {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

// Appends fields line by line, but copies lines that follow one another in the sender's bytes just
// as they would be written here, which most do, in one piece.
class FieldWriter {
 public:
  explicit FieldWriter(std::string& out) : out_(out) {}

  void add(const Header& field) {
    const char* const name_end = field.name.data() + field.name.size();
    const char* const value_end = field.value.data() + field.value.size();
    if (name_end + 2 != field.value.data() || name_end[0] != ':' || name_end[1] != ' ') {
      flush();
      append_field(out_, field.name, field.value);
      return;
    }
    if (begin_ == nullptr || end_ + 2 != field.name.data() || end_[0] != '\r' || end_[1] != '\n') {
      flush();
      begin_ = field.name.data();
    }
    end_ = value_end;
  }

  // After the last field.
  void flush() {
    if (begin_ == nullptr) return;
    out_.append(begin_, end_).append("\r\n");
    begin_ = nullptr;
  }

 private:
  std::string& out_;
  const char* begin_ = nullptr;  // lines not yet written; the last without its CRLF
  const char* end_ = nullptr;
};

// A number as text, on the stack.
class Digits {
 public:
  explicit Digits(std::uint64_t number)
      : end_(std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr) {}
  [[nodiscard]] std::string_view view() const {
    return {digits_.data(), static_cast<std::size_t>(end_ - digits_.data())};
  }

 private:
  std::array<char, std::numeric_limits<std::uint64_t>::digits10 + 1> digits_;
  const char* end_;
};

void append_number(std::string& out, std::uint64_t number) { out.append(Digits(number).view()); }

// Appends to a text that has room, so that views of it stay good.
std::string_view store(std::string& storage, std::string_view text) {
  const std::size_t at = storage.size();
  storage.append(text);
  return std::string_view(storage).substr(at);
}
constexpr std::size_t kStored = 64;  // two numbers, or a number and a date

void append_content_length(std::string& out, std::uint64_t length) {
  out.append("Content-Length: ");
  append_number(out, length);
  out.append("\r\n");
}

// Calls visit(name) for each field that the sender's Connection fields nominate.
template <class Visit>
void for_each_nomination(const HeaderList& headers, Visit visit) {
  for (const Header& header : headers.items()) {
    if (header.id != HeaderId::Connection) continue;
    std::string_view options = header.value;
    while (const auto option = take_list_element(options)) {
      if (equal_ignore_case(*option, "close") || equal_ignore_case(*option, "keep-alive")) continue;
      visit(*option);
    }
  }
}

// What of the sender's fields goes on. Most messages nominate nothing, which is asked once.
class PassingFields {
 public:
  explicit PassingFields(const HeaderList& headers) : headers_(headers) {
    for_each_nomination(headers, [this](std::string_view) { has_nominations_ = true; });
  }

  [[nodiscard]] bool nominated(std::string_view name) const {
    if (!has_nominations_) return false;
    bool found = false;
    for_each_nomination(headers_, [&found, name](std::string_view nomination) {
      found = found || equal_ignore_case(nomination, name);
    });
    return found;
  }

 private:
  const HeaderList& headers_;
  bool has_nominations_ = false;
};

bool passes_to_backend(const Header& header, const RequestHead& head, const PassingFields& fields) {
  switch (header.id) {
    case HeaderId::Connection:
    case HeaderId::KeepAlive:
    case HeaderId::ProxyAuthenticate:
    case HeaderId::ProxyAuthorization:
    case HeaderId::ProxyConnection:
    case HeaderId::Te:
    case HeaderId::Trailer:
    case HeaderId::Upgrade:
    case HeaderId::Protected:
    case HeaderId::Host:
    case HeaderId::ContentLength:
    case HeaderId::TransferEncoding:
      return false;
    case HeaderId::Expect:
      return head.expect_continue;  // not of HTTP/1.0, nor what we have answered
    case HeaderId::Other:
    case HeaderId::Date:
    case HeaderId::Server:
    case HeaderId::UserAgent:
    case HeaderId::Referer:
      return !fields.nominated(header.name);
  }
  return false;
}

bool passes_to_client(const Header& header, const PassingFields& fields) {
  switch (header.id) {
    case HeaderId::Connection:
    case HeaderId::KeepAlive:
    case HeaderId::ProxyAuthenticate:
    case HeaderId::ProxyAuthorization:
    case HeaderId::ProxyConnection:
    case HeaderId::Te:
    case HeaderId::Trailer:
    case HeaderId::Upgrade:
    case HeaderId::ContentLength:
    case HeaderId::TransferEncoding:
      return false;
    case HeaderId::Date:
      return true;
    case HeaderId::Other:
    case HeaderId::Protected:
    case HeaderId::Expect:
    case HeaderId::Host:
    case HeaderId::Server:
    case HeaderId::UserAgent:
    case HeaderId::Referer:
      return !fields.nominated(header.name);
  }
  return false;
}

void append_upgrade(std::string& out, std::string_view protocol) {
  append_field(out, "Connection", "upgrade");
  append_field(out, "Upgrade", protocol);
}

// Calls visit(name, value) for each field that we assert.
template <class Visit>
void for_each_asserted(const RequestHead& head, const ForwardContext& context,
                       std::string_view public_port, Visit visit) {
  const auto either = [](std::string_view first, std::string_view second) {
    return first.empty() ? second : first;
  };
  const auto visit_if_any = [&visit](std::string_view name, std::string_view value) {
    if (!value.empty()) visit(name, value);
  };
  visit("X-Request-ID", context.request_id);
  visit("X-Real-IP", context.client_address);
  visit("X-Forwarded-For", either(context.forwarded_for, context.client_address));
  visit_if_any("X-Forwarded-Host", either(context.forwarded_host, head.authority));
  visit("X-Forwarded-Port", public_port);
  visit("X-Forwarded-Proto", context.scheme);
  visit("X-Forwarded-Scheme", context.scheme);
  visit("X-Scheme", context.scheme);
  visit_if_any("X-Original-Forwarded-For", context.original_forwarded_for);
  visit_if_any("X-Original-Forwarded-Host", context.original_forwarded_host);
}

void append_response_framing(std::string& out, const ResponseHead& head, bool chunked) {
  if (head.status < 200 || head.status == 204) return;  // RFC 9112 6.1, 6.2
  if (chunked) {
    out.append("Transfer-Encoding: chunked\r\n");
  } else if (head.framing == Framing::Length) {
    append_content_length(out, head.content_length);
  } else if (head.framing == Framing::None) {
    // HEAD and 304: what the body would have had.
    const Header* const length = head.headers.find(HeaderId::ContentLength);
    if (length != nullptr) append_field(out, length->name, length->value);
  }
}

}  // namespace

void append_request_head(std::string& out, const RequestHead& head, const ForwardContext& context) {
  out.append(head.method).append(" ").append(head.target).append(" HTTP/1.1\r\n");
  append_field(out, "Host", head.authority);
  const PassingFields fields(head.headers);
  FieldWriter writer(out);
  for (const Header& header : head.headers.items()) {
    if (passes_to_backend(header, head, fields)) writer.add(header);
  }
  writer.flush();
  for_each_asserted(
      head, context, Digits(context.public_port).view(),
      [&out](std::string_view name, std::string_view value) { append_field(out, name, value); });
  if (head.framing == Framing::Length) {
    append_content_length(out, head.content_length);
  } else if (head.framing == Framing::Chunked) {
    out.append("Transfer-Encoding: chunked\r\n");
  }
  if (!head.upgrade.empty()) append_upgrade(out, head.upgrade);
  out.append("\r\n");
}

void forward_request_fields(std::vector<Header>& out, std::string& storage, const RequestHead& head,
                            const ForwardContext& context) {
  storage.clear();
  storage.reserve(kStored);
  const PassingFields fields(head.headers);
  for (const Header& header : head.headers.items()) {
    if (passes_to_backend(header, head, fields)) out.push_back(header);
  }
  for_each_asserted(head, context, store(storage, Digits(context.public_port).view()),
                    [&out](std::string_view name, std::string_view value) {
                      out.push_back({name, value, HeaderId::Protected});
                    });
  if (head.framing == Framing::Length) {
    out.push_back({"content-length", store(storage, Digits(head.content_length).view()),
                   HeaderId::ContentLength});
  }
  if (head.takes_trailers) out.push_back({"te", "trailers", HeaderId::Te});
}

void append_response_head(std::string& out, const ResponseHead& head, ResponseFraming framing) {
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<unsigned>(head.status));
  out.append(" ").append(head.reason).append("\r\n");
  const PassingFields fields(head.headers);
  FieldWriter writer(out);
  bool dated = head.status < 200;
  for (const Header& header : head.headers.items()) {
    if (!passes_to_client(header, fields)) continue;
    writer.add(header);
    dated = dated || header.id == HeaderId::Date;
  }
  writer.flush();
  if (!dated) append_field(out, "Date", http_date_now());  // RFC 9110 6.6.1
  append_response_framing(out, head, framing.chunked);
  if (head.status == 101) {
    const Header* const upgrade = head.headers.find(HeaderId::Upgrade);
    append_upgrade(out, upgrade == nullptr ? std::string_view() : upgrade->value);
  } else if (framing.close) {
    out.append("Connection: close\r\n");
  } else if (framing.client_is_1_0) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
}

void forward_response_fields(std::vector<Header>& out, std::string& storage,
                             const ResponseHead& head) {
  storage.clear();
  storage.reserve(kStored);
  const PassingFields fields(head.headers);
  bool dated = head.status < 200;
  for (const Header& header : head.headers.items()) {
    if (!passes_to_client(header, fields)) continue;
    out.push_back(header);
    dated = dated || header.id == HeaderId::Date;
  }
  if (!dated) out.push_back({"date", store(storage, http_date_now()), HeaderId::Date});
  if (head.status < 200 || head.status == 204 || head.framing == Framing::Chunked) return;
  const Header* const length = head.headers.find(HeaderId::ContentLength);
  if (length != nullptr) out.push_back(*length);
}

}  // namespace handfast::http
