#include "proxy/http/forwarding.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "proxy/http/chars.h"
#include "proxy/http/fields.h"
#include "proxy/http/http_date.h"

namespace handfast::http {
namespace {

// Appends to a string; what a head needs dozens of times without a call for each.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) { grow(0); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Inlined, so that a literal is a few stores.
  [[gnu::always_inline]] void put(std::string_view text) {
    if (static_cast<std::size_t>(end_ - at_) < text.size()) [[unlikely]]
      grow(text.size());
    // An empty one may be null, which memcpy must not be given.
    if (!text.empty()) std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  [[gnu::always_inline]] void field(std::string_view name, std::string_view value) {
    put(name);
    put(": ");
    put(value);
    put("\r\n");
  }
  // Last.
  void finish() { out_.resize(static_cast<std::size_t>(at_ - out_.data())); }

 private:
  // More than most heads have.
  static constexpr std::size_t kStep = 1024;

  void grow(std::size_t least) {
    const std::size_t used =
        at_ == nullptr ? out_.size() : static_cast<std::size_t>(at_ - out_.data());
    out_.resize(used + least + kStep);
    at_ = out_.data() + used;
    end_ = out_.data() + out_.size();
  }

  std::string& out_;
  char* at_ = nullptr;
  char* end_ = nullptr;
};

// Appends fields line by line, but copies lines that follow one another in the sender's bytes just
// as they would be written here, which most do, in one piece.
class FieldWriter {
 public:
  explicit FieldWriter(Writer& out) : out_(out) {}

  void add(const Header& field) {
    const char* const name_end = field.name.data() + field.name.size();
    const char* const value_end = field.value.data() + field.value.size();
    if (name_end + 2 != field.value.data() || name_end[0] != ':' || name_end[1] != ' ') {
      flush();
      out_.field(field.name, field.value);
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
    out_.put({begin_, end_});
    out_.put("\r\n");
    begin_ = nullptr;
  }

 private:
  Writer& out_;
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

// Appends to a text that has room, so that views of it stay good.
std::string_view store(std::string& storage, std::string_view text) {
  const std::size_t at = storage.size();
  storage.append(text);
  return std::string_view(storage).substr(at);
}
constexpr std::size_t kStored = 64;  // two numbers, or a number and a date

void write_content_length(Writer& out, std::uint64_t length) {
  out.field("Content-Length", Digits(length).view());
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

// Whether the sender's field goes on, by the context too.
bool goes_on(const Header& header, const RequestHead& head, const PassingFields& fields,
             const ForwardContext& context) {
  return passes_to_backend(header, head, fields) &&
         (context.withheld.empty() || !is_withheld(header.name, context.withheld));
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

// Of a response; `replaced`: another is written instead of the backend's own.
bool passes_to_client(const Header& header, const PassingFields& fields, bool replaced) {
  return passes_to_client(header, fields) &&
         !(replaced && equal_ignore_case(header.name, kStrictTransport));
}

void write_upgrade(Writer& out, std::string_view protocol) {
  out.field("Connection", "upgrade");
  out.field("Upgrade", protocol);
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
  for (const Header& field : context.added) visit(field.name, field.value);
  const ClientCertificateFields& client = context.client_certificate;
  if (client.verify.empty()) return;
  visit("ssl-client-verify", client.verify);
  visit_if_any("ssl-client-subject-dn", client.subject);
  visit_if_any("ssl-client-issuer-dn", client.issuer);
  visit_if_any("ssl-client-cert", client.certificate);
  visit_if_any("X-Forwarded-Client-Cert", client.forwarded);
}

void write_response_framing(Writer& out, const ResponseHead& head, bool chunked) {
  if (head.status < 200 || head.status == 204) return;  // RFC 9112 6.1, 6.2
  if (chunked) {
    out.put("Transfer-Encoding: chunked\r\n");
  } else if (head.framing == Framing::Length) {
    write_content_length(out, head.content_length);
  } else if (head.framing == Framing::None) {
    // HEAD and 304: what the body would have had.
    const Header* const length = head.headers.find(HeaderId::ContentLength);
    if (length != nullptr) out.field(length->name, length->value);
  }
}

}  // namespace

bool takes_fields_out(const HeaderList& headers) {
  const PassingFields fields(headers);
  return std::ranges::any_of(headers.items(), [&fields](const Header& header) {
    const bool of_one_hop = header.id == HeaderId::Upgrade || header.id == HeaderId::Te;
    return !of_one_hop && fields.nominated(header.name);
  });
}

bool is_withheld(std::string_view name, std::span<const std::string> withheld) {
  const auto same = [](char a, char b) { return to_folded(a) == to_folded(b); };
  return std::ranges::any_of(
      withheld, [&](const std::string& one) { return std::ranges::equal(name, one, same); });
}

void append_request_head(std::string& text, const RequestHead& head,
                         const ForwardContext& context) {
  Writer out(text);
  out.put(head.method);
  out.put(" ");
  out.put(head.target);
  out.put(" HTTP/1.1\r\n");
  out.field("Host", head.authority);
  const PassingFields fields(head.headers);
  FieldWriter writer(out);
  for (const Header& header : head.headers.items()) {
    if (goes_on(header, head, fields, context)) writer.add(header);
  }
  writer.flush();
  for_each_asserted(
      head, context, Digits(context.public_port).view(),
      [&out](std::string_view name, std::string_view value) { out.field(name, value); });
  if (head.framing == Framing::Length) {
    write_content_length(out, head.content_length);
  } else if (head.framing == Framing::Chunked) {
    out.put("Transfer-Encoding: chunked\r\n");
  }
  if (!head.upgrade.empty()) write_upgrade(out, head.upgrade);
  out.put("\r\n");
  out.finish();
}

void forward_request_fields(std::vector<Header>& out, std::string& storage, const RequestHead& head,
                            const ForwardContext& context) {
  storage.clear();
  storage.reserve(kStored);
  const PassingFields fields(head.headers);
  for (const Header& header : head.headers.items()) {
    if (goes_on(header, head, fields, context)) out.push_back(header);
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

void append_response_head(std::string& text, const ResponseHead& head, ResponseFraming framing) {
  Writer out(text);
  out.put("HTTP/1.1 ");
  out.put(Digits(static_cast<unsigned>(head.status)).view());
  out.put(" ");
  out.put(head.reason);
  out.put("\r\n");
  const PassingFields fields(head.headers);
  FieldWriter writer(out);
  bool dated = head.status < 200;
  const bool strict = !framing.strict_transport.empty();
  for (const Header& header : head.headers.items()) {
    if (!passes_to_client(header, fields, strict)) continue;
    writer.add(header);
    dated = dated || header.id == HeaderId::Date;
  }
  writer.flush();
  if (strict) out.field(kStrictTransport, framing.strict_transport);
  if (!dated) out.field("Date", http_date_now());  // RFC 9110 6.6.1
  write_response_framing(out, head, framing.chunked);
  if (head.status == 101) {
    const Header* const upgrade = head.headers.find(HeaderId::Upgrade);
    write_upgrade(out, upgrade == nullptr ? std::string_view() : upgrade->value);
  } else if (framing.close) {
    out.put("Connection: close\r\n");
  } else if (framing.client_is_1_0) {
    out.put("Connection: keep-alive\r\n");
  }
  out.put("\r\n");
  out.finish();
}

void forward_response_fields(std::vector<Header>& out, std::string& storage,
                             const ResponseHead& head, std::string_view strict_transport) {
  storage.clear();
  storage.reserve(kStored);
  const PassingFields fields(head.headers);
  bool dated = head.status < 200;
  const bool strict = !strict_transport.empty();
  for (const Header& header : head.headers.items()) {
    if (!passes_to_client(header, fields, strict)) continue;
    out.push_back(header);
    dated = dated || header.id == HeaderId::Date;
  }
  if (strict) out.push_back({kStrictTransport, strict_transport, HeaderId::Other});
  if (!dated) out.push_back({"date", store(storage, http_date_now()), HeaderId::Date});
  if (head.status < 200 || head.status == 204 || head.framing == Framing::Chunked) return;
  const Header* const length = head.headers.find(HeaderId::ContentLength);
  if (length != nullptr) out.push_back(*length);
}

}  // namespace handfast::http
