// Secret and ConfigMap, and base64.

#include <array>
#include <cstdint>
#include <utility>

#include "controller/objects/decode.h"
#include "controller/objects/decode_kinds.h"
#include "controller/objects/names.h"

namespace handfast::objects {
namespace {

constexpr std::uint8_t kNoDigit = 0xff;

constexpr std::array<std::uint8_t, 256> kDigits = [] {
  std::array<std::uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t n = 0; n < kAlphabet.size(); ++n) {
    digits[static_cast<unsigned char>(kAlphabet[n])] = static_cast<std::uint8_t>(n);
  }
  return digits;
}();

// One value of data, stringData or binaryData. What can't be decoded hurts that key alone: it is
// kept as bad, so that it doesn't pass for a key that was taken out.
DataValue read_value(const Value& value, bool is_base64) {
  if (value.is_null()) return {};
  // Not why_not_text()'s sentence: it shows the value, which may be a passphrase.
  if (why_not_text(value)) return {{}, "is not a string: quote it"};
  if (!is_base64) return {value.scalar, {}};
  auto bytes = decode_base64(value.scalar);
  if (!bytes) return {{}, std::move(bytes.error().detail)};
  return {std::move(*bytes), {}};
}

void read_data(const Place& place, bool is_base64, DataMap& data, Fields& fields) {
  if (!fields.is_map(place)) return;
  for (const auto& [name, value] : place.value()->map) {
    if (!is_data_key(name)) {
      fields.refuse(place.member(name), "must be letters, digits, '-', '_' and '.', at most 253");
      return;
    }
    data.insert_or_assign(name, read_value(value, is_base64));
  }
}

}  // namespace

Result<std::string> decode_base64(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  int digits = 0;   // of the group of four at hand
  int padding = 0;  // '=' seen
  for (std::size_t n = 0; n < text.size(); ++n) {
    const char c = text[n];
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    const std::uint8_t digit = kDigits[static_cast<unsigned char>(c)];
    if (digit == kNoDigit || padding > 0) {
      return fail(Reason::BadObject, "is not base64 at byte " + std::to_string(n));
    }
    bits = bits << 6 | digit;
    if (++digits < 4) continue;
    out += static_cast<char>(bits >> 16 & 0xff);
    out += static_cast<char>(bits >> 8 & 0xff);
    out += static_cast<char>(bits & 0xff);
    digits = 0;
  }
  const bool is_whole = digits == 0 ? padding == 0 : digits > 1 && digits + padding == 4;
  if (!is_whole) return fail(Reason::BadObject, "is not whole base64: it ends too early");
  if (digits > 1) out += static_cast<char>(bits >> (digits == 2 ? 4 : 10) & 0xff);
  if (digits == 3) out += static_cast<char>(bits >> 2 & 0xff);
  return out;
}

Object decode_secret(const Place& root, Meta meta, Fields& fields) {
  Secret secret;
  secret.meta = std::move(meta);
  fields.only_written(
      root, {"apiVersion", "kind", "metadata", "type", "data", "stringData", "immutable"});
  secret.type = fields.text(root.member("type"));
  if (secret.type.empty()) secret.type = "Opaque";
  const Place data = root.member("data");
  read_data(data, /*is_base64=*/true, secret.data, fields);
  const Place string_data = root.member("stringData");
  read_data(string_data, /*is_base64=*/false, secret.data, fields);
  return secret;
}

Object decode_config_map(const Place& root, Meta meta, Fields& fields) {
  ConfigMap map;
  map.meta = std::move(meta);
  fields.only_written(root, {"apiVersion", "kind", "metadata", "data", "binaryData", "immutable"});
  const Place data = root.member("data");
  read_data(data, /*is_base64=*/false, map.data, fields);
  DataMap binary;
  const Place binary_data = root.member("binaryData");
  read_data(binary_data, /*is_base64=*/true, binary, fields);
  for (auto& [name, value] : binary) {
    if (!map.data.try_emplace(name, std::move(value)).second) {
      fields.refuse(binary_data.member(name), "is in data too");
    }
  }
  return map;
}

}  // namespace handfast::objects
