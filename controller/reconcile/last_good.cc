#include "controller/reconcile/last_good.h"

#include <optional>
#include <string_view>

namespace handfast::reconcile {
namespace {

using translate::ItemKey;
using translate::ItemKind;

// "Secret/shop/orders-tls"; nothing for what a person wrote there.
std::optional<ItemKey> try_key(std::string_view source, ItemKind item) {
  const std::size_t first = source.find('/');
  const std::size_t second = source.find('/', first == source.npos ? first : first + 1);
  if (second == source.npos || source.find('/', second + 1) != source.npos) return std::nullopt;
  ItemKey key{std::string(source.substr(0, first)),
              std::string(source.substr(first + 1, second - first - 1)),
              std::string(source.substr(second + 1)), item};
  if ((key.kind != "Secret" && key.kind != "ConfigMap") || key.ns.empty() || key.name.empty()) {
    return std::nullopt;
  }
  return key;
}

void remember(std::string_view path, std::string_view source, ItemKind item,
              translate::LastGood& items) {
  const std::size_t slash = path.rfind('/');
  const auto key = try_key(source, item);
  if (!key || slash == path.npos) return;
  items.insert_or_assign(*key, translate::GoodItem{std::string(path.substr(0, slash)), 0});
}

}  // namespace

void remember_items(const config::KeyPairRef& pair, translate::LastGood& items) {
  remember(pair.certificate, pair.source, ItemKind::KeyPair, items);
}

void remember_items(const config::Shard& shard, translate::LastGood& items) {
  if (const auto* host = std::get_if<config::VirtualHost>(&shard)) {
    if (host->certificate) remember_items(*host->certificate, items);
  } else if (const auto* tls = std::get_if<config::UpstreamTls>(&shard)) {
    if (tls->identity) remember_items(*tls->identity, items);
    for (const auto& file : tls->ca) remember(file.path, file.source, ItemKind::Ca, items);
    for (const auto& file : tls->crl) remember(file.path, file.source, ItemKind::Crl, items);
  }
}

translate::LastGood after_acknowledgement(translate::LastGood wanted,
                                          const translate::LastGood& before,
                                          const IsOnDisk& is_on_disk) {
  for (auto item = wanted.begin(); item != wanted.end();) {
    if (is_on_disk(item->second.directory)) {
      ++item;
      continue;
    }
    const auto old = before.find(item->first);
    if (old != before.end() && is_on_disk(old->second.directory)) {
      item->second = old->second;
      ++item;
    } else {
      item = wanted.erase(item);
    }
  }
  return wanted;
}

}  // namespace handfast::reconcile
