#pragma once
// A message head as views into the bytes it was read from. Nothing is copied; a head is good as
// long as the buffer that it was parsed from stays where it is.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace handfast::http {

// Header names that the proxy itself reads or writes, recognised once while parsing.
enum class HeaderId : std::uint8_t {
  Other,
  Connection,
  ContentLength,
  Date,
  Expect,
  Host,
  KeepAlive,
  ProxyAuthenticate,
  ProxyAuthorization,
  ProxyConnection,
  Server,
  Te,
  Trailer,
  TransferEncoding,
  Upgrade,
  UserAgent,
  Referer,
  // Headers that we assert: stripped from clients in every spelling (header_id.h). Includes
  // X-Forwarded-*, Forwarded, X-Real-IP, X-Scheme, X-Request-ID, X-Original-*, ssl-client-*,
  // X-SSL-*, X-Client-Cert*, X-Forwarded-Client-Cert, Proxy; and aliases of the framing and
  // hop-by-hop names above (Content_Length).
  Protected,
};

struct Header {
  std::string_view name;
  std::string_view value;  // without leading and trailing blanks
  HeaderId id = HeaderId::Other;
};

inline constexpr std::size_t kMaxHeaders = 100;  // more: 431

class HeaderList {
 public:
  HeaderList() = default;
  // Copies what is used.
  HeaderList(const HeaderList& other) : size_(other.size_) {
    std::copy_n(other.items_.begin(), size_, items_.begin());
  }
  HeaderList& operator=(const HeaderList& other) {
    size_ = other.size_;
    std::copy_n(other.items_.begin(), size_, items_.begin());
    return *this;
  }

  // False when full.
  bool add(Header header) {
    if (size_ == kMaxHeaders) return false;
    items_[size_++] = header;
    return true;
  }
  void clear() { size_ = 0; }
  [[nodiscard]] std::span<const Header> items() const { return {items_.data(), size_}; }
  // The first with this id, or null.
  [[nodiscard]] const Header* find(HeaderId id) const {
    for (const Header& header : items()) {
      if (header.id == id) return &header;
    }
    return nullptr;
  }

 private:
  std::array<Header, kMaxHeaders> items_;
  std::size_t size_ = 0;
};

enum class Framing : std::uint8_t { None, Length, Chunked, UntilClose };

struct RequestHead {
  std::string_view method;
  std::string_view target;     // origin form as it is forwarded: path and query, or "*"
  std::string_view path;       // of target, without the query; not normalised
  std::string_view query;      // without '?'; empty if none
  std::string_view authority;  // Host (or absolute-form authority, which must equal it): a name
                               // without a port has no ':' either
  std::string_view host;       // authority without port; IPv6 with its brackets
  int major_version = 1;       // 1, or 2 with minor_version 0
  int minor_version = 1;       // HTTP/1.<minor>
  bool keep_alive = true;      // what the client wants (RFC 9112 9.3)
  bool expect_continue = false;
  bool takes_trailers = false;  // TE: trailers (RFC 9110 10.1.4)
  // The protocol that the client asks to change to (RFC 9110 7.8), "websocket"; empty: none.
  std::string_view upgrade;
  Framing framing = Framing::None;
  std::uint64_t content_length = 0;  // with Framing::Length
  HeaderList headers;

  // The client knows neither chunks nor 1xx, and ends connections.
  [[nodiscard]] bool is_http_1_0() const { return major_version == 1 && minor_version == 0; }
};

struct ResponseHead {
  int status = 0;
  std::string_view reason;  // may be empty
  int minor_version = 1;
  bool keep_alive = true;  // whether the backend's connection can be used again
  Framing framing = Framing::None;
  std::uint64_t content_length = 0;
  HeaderList headers;
};

}  // namespace handfast::http
