#include "proxy/tls/client_hello.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace handfast::tls {
namespace {

constexpr std::size_t kRecordHeader = 5;
constexpr std::size_t kMessageHeader = 4;
constexpr std::size_t kMaxRecord = 16 * 1024;
constexpr unsigned char kHandshakeRecord = 22;
constexpr unsigned char kClientHelloMessage = 1;
constexpr std::size_t kServerNameExtension = 0;
constexpr std::size_t kMaxHostName = 253;

// Takes numbers and vectors from the front; once something is missing, all that follows is too.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  std::size_t number(std::size_t size) {
    std::size_t value = 0;
    for (const char c : take(size)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  std::string_view take(std::size_t size) {
    if (size > bytes_.size()) {
      good_ = false;
      bytes_ = {};
      return {};
    }
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  // A vector whose length stands before it, in `size` bytes.
  std::string_view vector(std::size_t size) { return take(number(size)); }
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool good_ = true;
};

// A message of its header's length; more may follow it.
bool is_whole(std::string_view message) {
  if (message.size() < kMessageHeader) return false;
  return message.size() - kMessageHeader >= Reader(message.substr(1, 3)).number(3);
}

// The contents of the records up to the end of the first message, as far as they are there. What
// follows it is nobody's business here. Nothing: it isn't TLS.
std::optional<std::string> join_records(std::string_view bytes) {
  std::string message;
  while (!bytes.empty() && !is_whole(message)) {
    // Other protocols are told apart by their first bytes, whether more come or not.
    if (static_cast<unsigned char>(bytes[0]) != kHandshakeRecord) return std::nullopt;
    if (bytes.size() > 1 && bytes[1] != 3) return std::nullopt;
    if (bytes.size() < kRecordHeader) break;
    const std::size_t length = Reader(bytes.substr(3, 2)).number(2);
    if (length == 0 || length > kMaxRecord) return std::nullopt;
    message.append(bytes.substr(kRecordHeader, length));
    bytes.remove_prefix(std::min(bytes.size(), kRecordHeader + length));
  }
  return message;
}

// Nothing: it can't be read.
std::optional<std::string> read_server_name(std::string_view extension) {
  Reader outer(extension);
  Reader list(outer.vector(2));
  const bool is_host_name = list.number(1) == 0;
  const std::string_view name = list.vector(2);
  const bool good = outer.good() && outer.empty() && list.good() && list.empty() && is_host_name;
  if (!good || name.empty() || name.size() > kMaxHostName) return std::nullopt;
  std::string lower(name);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

ClientHello read_message(std::string_view body) {
  Reader reader(body);
  reader.take(2 + 32);  // version, random
  reader.vector(1);     // session id
  reader.vector(2);     // cipher suites
  reader.vector(1);     // compression methods
  ClientHello hello{ClientHello::State::Complete, {}};
  if (reader.good() && reader.empty()) return hello;  // no extensions
  Reader extensions(reader.vector(2));
  if (!reader.good() || !reader.empty()) return {ClientHello::State::Other, {}};
  bool seen = false;
  while (extensions.good() && !extensions.empty()) {
    const std::size_t type = extensions.number(2);
    const std::string_view data = extensions.vector(2);
    if (!extensions.good() || type != kServerNameExtension) continue;
    auto name = read_server_name(data);
    // Two names would be two hosts (RFC 8446 section 4.2).
    if (!name || seen) return {ClientHello::State::Other, {}};
    seen = true;
    hello.server_name = std::move(*name);
  }
  return extensions.good() ? hello : ClientHello{ClientHello::State::Other, {}};
}

}  // namespace

ClientHello read_client_hello(std::string_view bytes) {
  const ClientHello other{ClientHello::State::Other, {}};
  const auto message = join_records(bytes.substr(0, kMaxClientHello));
  if (!message) return other;
  if (!message->empty() && static_cast<unsigned char>(message->front()) != kClientHelloMessage) {
    return other;
  }
  Reader reader(*message);
  reader.take(1);
  const std::size_t length = message->size() < kMessageHeader ? 0 : reader.number(3);
  if (length > kMaxClientHello) return other;
  if (is_whole(*message)) return read_message(reader.take(length));
  return bytes.size() >= kMaxClientHello ? other : ClientHello{ClientHello::State::Incomplete, {}};
}

}  // namespace handfast::tls
