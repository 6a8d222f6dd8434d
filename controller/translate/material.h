#pragma once
// TLS material on its way from Secrets and ConfigMaps to files, and the memory of what was last
// good.
//
// An item is one thing that is good or bad by itself: the pair (tls.crt, tls.key), the CA (ca.crt)
// or the CRL (ca.crl) of one object. A good item becomes files below tls/<namespace>/<name>/<16 hex
// digits of its content's hash>/. A bad one keeps the last good one of that item alone.

#include <compare>
#include <cstdint>
#include <map>
#include <string>

namespace handfast::translate {

enum class ItemKind : std::uint8_t { KeyPair, Ca, Crl };

struct ItemKey {
  std::string kind;  // "Secret" or "ConfigMap"
  std::string ns;
  std::string name;
  ItemKind item = ItemKind::KeyPair;
  friend auto operator<=>(const ItemKey&, const ItemKey&) = default;
};

// Directory (relative to the state directory) of an item's files: what lies there is immutable.
struct GoodItem {
  std::string directory;
  // Unix seconds since when the object's content has been bad; 0: the object's content is this
  // item.
  std::int64_t bad_since = 0;
  friend bool operator==(const GoodItem&, const GoodItem&) = default;
};

// What the last acknowledged generation used. Rebuilt from its shards at start.
using LastGood = std::map<ItemKey, GoodItem>;

// Files of the new generation by path; bytes for those that are new, absent bytes are never needed:
// a path that is already on disk need not be written again, but the content is here all the same
// unless it is a last good item.
using FileSet = std::map<std::string, std::string>;

}  // namespace handfast::translate
