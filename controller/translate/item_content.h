#pragma once
// The bytes of an item as the objects hold them now, before anybody judges them.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/material.h"
#include "controller/translate/material_cache.h"
#include "proxy/base/result.h"

namespace handfast::translate {

inline constexpr std::string_view kKeyFile = "tls.key";
inline constexpr std::string_view kPkcs12File = "tls.p12";
inline constexpr std::string_view kStapleFile = "tls.ocsp";

// Borrowed from the state, but for `joined`.
struct ItemContent {
  const objects::Meta* meta = nullptr;  // null: no such object
  // By the usual data key; what isn't there is absent.
  std::map<std::string_view, const objects::DataValue*> files;
  const objects::DataValue* passphrases = nullptr;
  const objects::DataValue* staple = nullptr;        // an OCSP response; of a pair
  std::shared_ptr<const objects::DataValue> joined;  // of several parts

  [[nodiscard]] bool is_pkcs12() const { return files.contains(kPkcs12File); }
};

[[nodiscard]] ItemContent read_content(const state::Reader& state, const ItemKey& key);

// Those that a pair names.
[[nodiscard]] const objects::DataValue* find_passphrases(const state::Reader& state,
                                                         const ItemKey& key);

// Where an OCSP response is published, apart from the pair: it changes more often.
[[nodiscard]] std::string staple_path(const ItemKey& key, const objects::DataValue& staple);

// The key of the object's data that an item, or the first half of it, stands in.
[[nodiscard]] std::string_view data_key_of(const ItemKey& key);

// What can be said without parsing: a value that isn't base64, half a pair.
[[nodiscard]] std::optional<Error> find_obvious_fault(const ItemKey& key,
                                                      const ItemContent& content);

// What pki says of it.
[[nodiscard]] MaterialCache::Facts parse_content(const ItemKey& key, const ItemContent& content,
                                                 std::int64_t now);

// The same for the same content, and for nothing else.
[[nodiscard]] std::string content_identity(const ItemContent& content);

// Its files as they are published, by name: of a pair in PEM one, chain before key. Copies.
[[nodiscard]] std::map<std::string, std::string> published_files(const ItemKey& key,
                                                                 const ItemContent& content);

// Where they are published: "tls/shop/orders-tls/0123456789abcdef".
[[nodiscard]] std::string content_directory(const ItemKey& key, const ItemContent& content);

// The file of the passphrases, in a directory of its own, by which the reference to them is found
// again. Precondition: there are some.
[[nodiscard]] std::string passphrase_path(const ItemKey& key, const ItemContent& content);

}  // namespace handfast::translate
