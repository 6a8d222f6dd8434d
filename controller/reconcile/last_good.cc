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
                                                   .form = translate::form_of(pair)});
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

void keep_whole(translate::LastGood& items, const IsOnDisk& is_on_disk) {
  std::erase_if(static_cast<std::map<translate::ItemKey, translate::GoodItem>&>(items),
                [&](const auto& item) { return !is_whole_on_disk(item.second, is_on_disk); });
}

void add_to(WantedItems& wanted, const translate::Change& change) {
  if (change.is_whole) wanted = {.is_whole = true, .items = {}, .front = {}};
  for (const auto& [key, item] : change.items) wanted.items.insert_or_assign(key, item);
  wanted.front = change.front;
}

std::set<translate::ItemKey> acknowledge(const WantedItems& wanted, translate::LastGood& last_good,
                                         const IsOnDisk& is_on_disk) {
  std::set<translate::ItemKey> others;
  if (wanted.is_whole) {
    for (auto item = last_good.begin(); item != last_good.end();) {
      if (wanted.items.contains(item->first)) {
        ++item;
        continue;
      }
      others.insert(item->first);
      item = last_good.erase(item);
    }
  }
  for (const auto& [key, item] : wanted.items) {
    const auto before = last_good.find(key);
    const bool was_there = before != last_good.end();
    if (item && is_whole_on_disk(*item, is_on_disk)) {
      if (was_there && before->second == *item) continue;
      last_good.insert_or_assign(key, *item);
    } else if (item && was_there && is_whole_on_disk(before->second, is_on_disk)) {
      continue;
    } else if (was_there) {
      last_good.erase(before);
    } else {
      continue;
    }
    others.insert(key);
  }
  last_good.front = wanted.front;
  return others;
}

}  // namespace handfast::reconcile
