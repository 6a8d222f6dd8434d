#include "controller/translate/material.h"

#include <algorithm>
#include <vector>

namespace handfast::translate {
namespace {

constexpr std::string_view kBundle = "ClusterTrustBundle";
// No namespace is called so: an underscore is none of their letters.
constexpr std::string_view kNoNamespace = "_cluster";

std::vector<std::string_view> split(std::string_view text, char separator = '/') {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<ItemKey> parse_source(std::string_view source, ItemKind item) {
  const auto parts = split(source);
  if (std::ranges::any_of(parts, &std::string_view::empty)) return std::nullopt;
  if (parts[0] == kBundle && parts.size() == 2) {
    return ItemKey{std::string(kBundle), {}, std::string(parts[1]), item};
  }
  if (parts[0] == kCrlDirectory && parts.size() == 3 && item == ItemKind::Crl) {
    return ItemKey{
        std::string(kCrlDirectory), {}, std::string(parts[1]), item, std::string(parts[2])};
  }
  if (parts[0] != "Secret" && parts[0] != "ConfigMap") return std::nullopt;
  const bool has_data_key = parts.size() == 4 && item != ItemKind::KeyPair;
  if (parts.size() != 3 && !has_data_key) return std::nullopt;
  ItemKey key{std::string(parts[0]), std::string(parts[1]), std::string(parts[2]), item};
  if (has_data_key) key.data_key = parts[3];
  return key;
}

}  // namespace

std::string_view file_name(ItemKind item) {
  switch (item) {
    case ItemKind::KeyPair:
      return "tls.crt";
    case ItemKind::Ca:
      return "ca.crt";
    case ItemKind::Crl:
      return "ca.crl";
    case ItemKind::TicketKeys:
      return "ticket.key";
  }
  return "";
}

std::string object_directory(const ItemKey& key) {
  std::string path = "tls/";
  path.append(key.ns.empty() ? kNoNamespace : std::string_view(key.ns));
  return path.append("/").append(key.name);
}

std::string source_text(const ItemKey& key) {
  std::string text = key.kind + '/';
  if (!key.ns.empty()) text.append(key.ns).append("/");
  text += key.name;
  if (!key.data_key.empty()) text.append("/").append(key.data_key);
  for (const std::string& part : key.parts) text.append("+").append(part);
  return text;
}

config::KeyPairRef pair_ref(const ItemKey& key, const GoodItem& item) {
  config::KeyPairRef pair{.certificate = item.directory,
                          .key = item.directory,
                          .source = source_text(key),
                          .passphrases = item.passphrases};
  const bool is_one = item.form != PairForm::TwoFiles;
  const std::string_view one = item.form == PairForm::Pem ? "/tls.pem" : "/tls.p12";
  pair.certificate += is_one ? one : "/tls.crt";
  pair.key += is_one ? one : "/tls.key";
  return pair;
}

PairForm form_of(const config::KeyPairRef& pair) {
  if (pair.certificate != pair.key) return PairForm::TwoFiles;
  return pair.key.ends_with(".p12") ? PairForm::Pkcs12 : PairForm::Pem;
}

std::optional<PassphraseKey> split_passphrases(const ItemKey& key) {
  const auto parts = split(key.passphrases);
  if (parts.size() != 3) return std::nullopt;
  return PassphraseKey{parts[0], parts[1], parts[2]};
}

std::optional<ItemKey> find_key(const config::KeyPairRef& pair) {
  auto key = parse_source(pair.source, ItemKind::KeyPair);
  if (!key || pair.passphrases.empty()) return key;
  // tls/<namespace>/<name>/<hash>/<key>
  const auto parts = split(pair.passphrases);
  if (parts.size() != 5) return std::nullopt;
  std::string passphrases(parts[1]);
  key->passphrases = passphrases.append("/").append(parts[2]).append("/").append(parts[4]);
  return key;
}

std::optional<ItemKey> find_key(const config::FileRef& file, ItemKind item) {
  // Its files have any names, and it has no parts.
  if (file.source.starts_with(kCrlDirectory)) return parse_source(file.source, item);
  const auto sources = split(file.source, '+');
  auto key = parse_source(sources[0], item);
  if (!key || sources.size() == 1) return key;
  for (std::size_t n = 1; n < sources.size(); ++n) {
    if (!parse_source(sources[n], item)) return std::nullopt;
    key->parts.emplace_back(sources[n]);
  }
  return key;
}

}  // namespace handfast::translate
