#include "controller/translate/item_content.h"

#include <string.h>

#include <utility>

#include "controller/translate/material_facts.h"
#include "proxy/base/hex.h"
#include "proxy/pki/identity.h"

namespace handfast::translate {
namespace {

const objects::DataValue* find_value(const objects::DataMap& data, std::string_view key) {
  const auto found = data.find(key);
  return found == data.end() ? nullptr : &found->second;
}

Reason bad_reason(ItemKind item) {
  switch (item) {
    case ItemKind::KeyPair:
      return Reason::BadCertificate;
    case ItemKind::Ca:
      return Reason::BadCa;
    case ItemKind::Crl:
      return Reason::BadCrl;
    case ItemKind::TicketKeys:
      return Reason::BadKey;
  }
  return Reason::Internal;
}

const objects::DataMap* find_data(const state::Reader& state, const ItemKey& key,
                                  const objects::Meta*& meta) {
  if (key.kind == "Secret") {
    const auto* secret = state.find_secret(key.ns, key.name);
    if (secret == nullptr) return nullptr;
    meta = &secret->meta;
    return &secret->data;
  }
  const auto* config_map = key.kind == kCrlDirectory ? state.find_operator_crls(key.name)
                                                     : state.find_config_map(key.ns, key.name);
  if (config_map == nullptr) return nullptr;
  meta = &config_map->meta;
  return &config_map->data;
}

// The bytes of all parts one after the other; absent if one is.
void join_parts(const state::Reader& state, const ItemKey& key, ItemContent& content) {
  const auto first = content.files.find(file_name(key.item));
  if (first == content.files.end()) return;
  auto joined = std::make_shared<objects::DataValue>(*first->second);
  for (const std::string& source : key.parts) {
    const auto part = find_key(config::FileRef{{}, source}, key.item);
    const ItemContent more = part ? read_content(state, *part) : ItemContent{};
    const auto file = more.files.find(file_name(key.item));
    if (file == more.files.end()) {
      content.files.clear();
      return;
    }
    joined->bytes += file->second->bytes;
    if (joined->problem.empty()) joined->problem = file->second->problem;
  }
  first->second = joined.get();
  content.joined = std::move(joined);
}

// ticket.key, ticket.key.1, … in the order of their names: one file, a line of hex digits each.
void join_ticket_keys(const objects::DataMap& data, ItemContent& content) {
  auto joined = std::make_shared<objects::DataValue>();
  for (const auto& [name, value] : data) {
    if (!name.starts_with(file_name(ItemKind::TicketKeys))) continue;
    for (const char c : value.bytes) append_hex(joined->bytes, static_cast<unsigned char>(c));
    joined->bytes += '\n';
    if (joined->problem.empty()) joined->problem = value.problem;
  }
  if (joined->bytes.empty()) return;
  content.files.emplace(file_name(ItemKind::TicketKeys), joined.get());
  content.joined = std::move(joined);
}

// A pair in two values, which is published as one file.
bool is_pem_pair(const ItemKey& key, const ItemContent& content) {
  return key.item == ItemKind::KeyPair && !content.is_pkcs12();
}

std::string hash_of(const ItemContent& content) {
  std::map<std::string_view, std::string_view> files;
  for (const auto& [file, value] : content.files) files.emplace(file, value->bytes);
  // Not of the bytes alone: they may be good as one kind of item and bad as another.
  return config::content_hash(files);
}

}  // namespace

std::string_view data_key_of(const ItemKey& key) {
  return key.data_key.empty() ? file_name(key.item) : std::string_view{key.data_key};
}

ItemContent read_content(const state::Reader& state, const ItemKey& key) {
  ItemContent content;
  if (key.kind == "ClusterTrustBundle") {
    if (const auto* bundle = state.find_trust_bundle(key.name)) {
      content.meta = &bundle->meta;
      content.files.emplace(file_name(key.item), &bundle->trust_bundle);
    }
    return content;
  }
  const objects::DataMap* data = find_data(state, key, content.meta);
  if (data == nullptr) return content;
  const auto put = [&](std::string_view file, std::string_view data_key) {
    if (const auto* value = find_value(*data, data_key)) content.files.emplace(file, value);
  };
  if (key.item == ItemKind::TicketKeys) {
    join_ticket_keys(*data, content);
    return content;
  }
  put(file_name(key.item), data_key_of(key));
  if (key.item != ItemKind::KeyPair) {
    if (!key.parts.empty()) join_parts(state, key, content);
    return content;
  }
  put(kKeyFile, kKeyFile);
  content.staple = find_value(*data, objects::kStapleKey);
  content.passphrases = find_passphrases(state, key);
  // Without passphrases PKCS#12 is nothing: its keys are always encrypted.
  if (content.files.empty() && !key.passphrases.empty()) {
    put(kPkcs12File, kPkcs12File);
    if (content.files.empty()) put(kPkcs12File, "keystore.p12");
  }
  return content;
}

const objects::DataValue* find_passphrases(const state::Reader& state, const ItemKey& key) {
  const auto place = split_passphrases(key);
  if (!place) return nullptr;
  const auto* secret = state.find_secret(place->ns, place->secret);
  return secret == nullptr ? nullptr : find_value(secret->data, place->data_key);
}

std::optional<Error> find_obvious_fault(const ItemKey& key, const ItemContent& content) {
  if (content.passphrases != nullptr && !content.passphrases->problem.empty()) {
    return Error{Reason::Passphrase, "passphrases: " + content.passphrases->problem.text()};
  }
  if (is_pem_pair(key, content)) {
    if (!content.files.contains("tls.crt")) {
      return Error{Reason::KeyMismatch, "tls.crt: is missing, and tls.key is there"};
    }
    if (!content.files.contains(kKeyFile)) {
      return Error{Reason::KeyMismatch, "tls.key: is missing, and tls.crt is there"};
    }
  }
  for (const auto& [file, value] : content.files) {
    if (value->problem.empty()) continue;
    return Error{file == kKeyFile ? Reason::BadKey : bad_reason(key.item),
                 std::string{file} + ": " + value->problem.text()};
  }
  return std::nullopt;
}

MaterialCache::Facts parse_content(const ItemKey& key, const ItemContent& content,
                                   std::int64_t now) {
  const auto bytes = [&content](std::string_view file) {
    const auto found = content.files.find(file);
    return found == content.files.end() ? std::string_view{} : found->second->bytes;
  };
  const std::string_view first = bytes(file_name(key.item));
  switch (key.item) {
    case ItemKind::KeyPair: {
      const std::string_view passphrases =
          content.passphrases == nullptr ? std::string_view{} : content.passphrases->bytes;
      return content.is_pkcs12() ? parse_pkcs12(bytes(kPkcs12File), passphrases)
                                 : parse_pair(first, bytes(kKeyFile), passphrases);
    }
    case ItemKind::Ca:
      return parse_ca(first, now);
    case ItemKind::Crl:
      return parse_crl(first);
    case ItemKind::TicketKeys:
      return parse_ticket_keys(first);
  }
  return {};
}

std::string content_identity(const ItemContent& content) {
  std::string identity = hash_of(content);
  // Whether a key opens depends on its passphrases too, though they are no part of its directory.
  if (content.passphrases != nullptr) identity += config::sha256_hex(content.passphrases->bytes);
  return identity;
}

std::map<std::string, std::string> published_files(const ItemKey& key, const ItemContent& content) {
  std::map<std::string, std::string> files;
  if (is_pem_pair(key, content)) {
    files.emplace("tls.pem", pki::join_pem(content.files.at(file_name(key.item))->bytes,
                                           content.files.at(kKeyFile)->bytes));
    return files;
  }
  for (const auto& [file, value] : content.files) files.emplace(file, value->bytes);
  return files;
}

std::string content_directory(const ItemKey& key, const ItemContent& content) {
  if (!is_pem_pair(key, content)) {
    return object_directory(key) + '/' + hash_of(content).substr(0, 16);
  }
  auto files = published_files(key, content);
  std::string& pair = files.begin()->second;
  const std::string hash = config::content_hash({{files.begin()->first, pair}});
  ::explicit_bzero(pair.data(), pair.size());
  return object_directory(key) + '/' + hash.substr(0, 16);
}

std::string staple_path(const ItemKey& key, const objects::DataValue& staple) {
  return object_directory(key)
      .append("/")
      .append(config::content_hash({{kStapleFile, staple.bytes}}).substr(0, 16))
      .append("/")
      .append(kStapleFile);
}

std::string passphrase_path(const ItemKey& key, const ItemContent& content) {
  const auto place = split_passphrases(key);
  std::string path = "tls/";
  path.append(place->ns).append("/").append(place->secret).append("/");
  path += config::content_hash({{place->data_key, content.passphrases->bytes}}).substr(0, 16);
  return path.append("/").append(place->data_key);
}

}  // namespace handfast::translate
