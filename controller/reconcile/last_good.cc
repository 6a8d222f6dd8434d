#include "controller/reconcile/last_good.h"

#include <string>
#include <utility>
#include <variant>

namespace handfast::reconcile {
namespace {

using translate::ItemKind;

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string{} : path.substr(0, slash);
}

void remember(const config::FileRef& file, ItemKind item, translate::LastGood& items) {
  const auto key = translate::find_key(file, item);
  std::string directory = directory_of(file.path);
  if (!key || directory.empty()) return;
  items.insert_or_assign(*key, translate::GoodItem{.directory = std::move(directory)});
}

bool is_whole_on_disk(const translate::GoodItem& item, const IsOnDisk& is_on_disk) {
  return is_on_disk(item.directory) &&
         (item.passphrases.empty() || is_on_disk(directory_of(item.passphrases)));
}

}  // namespace

void remember_items(const config::KeyPairRef& pair, translate::LastGood& items) {
  const auto key = translate::find_key(pair);
  std::string directory = directory_of(pair.certificate);
  if (!key || directory.empty()) return;
  items.insert_or_assign(*key, translate::GoodItem{.directory = std::move(directory),
                                                   .passphrases = pair.passphrases,
                                                   .is_pkcs12 = pair.certificate == pair.key});
}

void remember_items(const config::Shard& shard, translate::LastGood& items) {
  if (const auto* host = std::get_if<config::VirtualHost>(&shard)) {
    if (host->certificate) remember_items(*host->certificate, items);
    for (const auto& pair : host->more_certificates) remember_items(pair, items);
    if (!host->client) return;
    for (const auto& file : host->client->ca) remember(file, ItemKind::Ca, items);
    for (const auto& file : host->client->crl) {
      remember(file, ItemKind::Crl, items);
    }
  } else if (const auto* tcp = std::get_if<config::TcpPort>(&shard)) {
    if (tcp->certificate) remember_items(*tcp->certificate, items);
  } else if (const auto* front = std::get_if<config::Front>(&shard)) {
    items.front = *front;
    for (const auto& file : front->ticket_keys) {
      remember(file, ItemKind::TicketKeys, items);
    }
  } else if (const auto* tls = std::get_if<config::UpstreamTls>(&shard)) {
    if (tls->identity) remember_items(*tls->identity, items);
    for (const auto& file : tls->ca) remember(file, ItemKind::Ca, items);
    for (const auto& file : tls->crl) remember(file, ItemKind::Crl, items);
  }
}

translate::LastGood after_acknowledgement(translate::LastGood wanted,
                                          const translate::LastGood& before,
                                          const IsOnDisk& is_on_disk) {
  for (auto item = wanted.begin(); item != wanted.end();) {
    if (is_whole_on_disk(item->second, is_on_disk)) {
      ++item;
      continue;
    }
    const auto old = before.find(item->first);
    if (old != before.end() && is_whole_on_disk(old->second, is_on_disk)) {
      item->second = old->second;
      ++item;
    } else {
      item = wanted.erase(item);
    }
  }
  return wanted;
}

}  // namespace handfast::reconcile
