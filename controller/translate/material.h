#pragma once
// TLS material on its way from objects to files, and the memory of what was last good.
//
// An item is one thing that is good or bad by itself: a pair (tls.crt and tls.key, or PKCS#12), a
// CA, a CRL or the session ticket keys of one object. A good item becomes a file below
// tls/<namespace>/<name>/<16 hex digits of its content's hash>/. A bad one keeps the last good one
// of that item alone.
//
// What the proxy is told of an item's source says which item it is, so that the last good ones can
// be found again in the shards of a generation: "Secret/shop/orders-tls", with a data key that
// isn't the usual one "ConfigMap/shop/roots/bundle.pem", "ClusterTrustBundle/roots", and of several
// parts "Secret/shop/crl-1+Secret/shop/crl-2".

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/rare.h"
#include "proxy/config/model.h"

namespace handfast::translate {

enum class ItemKind : std::uint8_t { KeyPair, Ca, Crl, TicketKeys };

// Not of Kubernetes: the files of --crl-dir, one data key each.
inline constexpr std::string_view kCrlDirectory = "CrlDirectory";

struct ItemKey {
  std::string kind;  // "Secret", "ConfigMap", "ClusterTrustBundle" or kCrlDirectory
  std::string ns;    // empty for the last two
  std::string name;
  ItemKind item = ItemKind::KeyPair;
  RareText data_key = {};  // of a CA or a CRL that isn't in ca.crt or ca.crl
  // Of a pair: "<namespace>/<Secret>/<key>" with the passphrases of its key.
  RareText passphrases = {};
  // Of a CRL that is larger than an object may be: the sources of what follows, in order.
  std::vector<std::string> parts = {};
  friend auto operator<=>(const ItemKey&, const ItemKey&) = default;
};

// The files of a pair: chain and key in one, as PEM (tls.pem) or PKCS#12 (tls.p12), or, by a
// version before, tls.crt and tls.key. On a tmpfs each file is a page of the pod's memory at least.
enum class PairForm : std::uint8_t { Pem, Pkcs12, TwoFiles };

// Directory (relative to the state directory) of an item's files: what lies there is immutable.
struct GoodItem {
  std::string directory;
  // Unix seconds since when the object's content has been bad; 0: the object's content is this
  // item.
  std::int64_t bad_since = 0;
  // Of a pair: the file of its passphrases (relative too), and its form.
  RareText passphrases = {};
  PairForm form = PairForm::Pem;
  friend bool operator==(const GoodItem&, const GoodItem&) = default;
};

// The file that an item, or the first half of it, is published as; also the usual data key.
[[nodiscard]] std::string_view file_name(ItemKind item);

// "tls/<namespace>/<name>": below it lies one directory for each content.
[[nodiscard]] std::string object_directory(const ItemKey& key);

[[nodiscard]] std::string source_text(const ItemKey& key);

[[nodiscard]] config::KeyPairRef pair_ref(const ItemKey& key, const GoodItem& item);
[[nodiscard]] PairForm form_of(const config::KeyPairRef& pair);

// The object and the key that ItemKey::passphrases names; nothing if it names none.
struct PassphraseKey {
  std::string_view ns;
  std::string_view secret;
  std::string_view data_key;
};
[[nodiscard]] std::optional<PassphraseKey> split_passphrases(const ItemKey& key);

// From a generation back to its items; nothing for what a person wrote there.
[[nodiscard]] std::optional<ItemKey> find_key(const config::KeyPairRef& pair);
[[nodiscard]] std::optional<ItemKey> find_key(const config::FileRef& file, ItemKind item);

// What the last acknowledged generation used. Rebuilt from its shards at start.
struct LastGood : std::map<ItemKey, GoodItem> {
  using map::map;
  config::Front front;  // what it offers to all clients; its ticket keys are an item
};

// Files of the new generation by path; bytes for those that are new, absent bytes are never needed:
// a path that is already on disk need not be written again, but the content is here all the same
// unless it is a last good item.
using FileSet = std::map<std::string, std::string>;

}  // namespace handfast::translate
