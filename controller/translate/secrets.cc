#include "controller/translate/secrets.h"

#include <utility>

#include "proxy/pki/identity.h"
#include "proxy/pki/trust.h"

namespace handfast::translate {
namespace {

constexpr std::int64_t kTenDays = 10LL * 24 * 60 * 60;

using Facts = MaterialCache::Facts;

std::string_view first_key(ItemKind item) {
  switch (item) {
    case ItemKind::KeyPair:
      return "tls.crt";
    case ItemKind::Ca:
      return "ca.crt";
    case ItemKind::Crl:
      return "ca.crl";
  }
  return "";
}

Reason bad_reason(ItemKind item) {
  switch (item) {
    case ItemKind::KeyPair:
      return Reason::BadCertificate;
    case ItemKind::Ca:
      return Reason::BadCa;
    case ItemKind::Crl:
      return Reason::BadCrl;
  }
  return Reason::Internal;
}

const objects::DataValue* find_value(const objects::DataMap& data, std::string_view key) {
  const auto found = data.find(key);
  return found == data.end() ? nullptr : &found->second;
}

Facts parse_pair(std::string_view certificate, std::string_view key) {
  Facts facts;
  const auto identity = pki::Identity::load(certificate, key);
  if (!identity) {
    facts.error = identity.error();
    return facts;
  }
  const pki::CertificateInfo& info = (*identity)->info();
  facts.sans = info.sans;
  facts.not_before = info.not_before;
  facts.not_after = info.not_after;
  return facts;
}

Facts parse_ca(std::string_view pem, std::int64_t now) {
  Facts facts;
  const auto bundle = pki::CaBundle::load(pem, now);
  if (!bundle) {
    facts.error = bundle.error();
    return facts;
  }
  facts.not_after = (*bundle)->earliest_not_after();
  facts.warnings = (*bundle)->warnings();
  return facts;
}

Facts parse_crl(std::string_view bytes) {
  Facts facts;
  const auto crls = pki::CrlSet::load(bytes);
  if (!crls) {
    facts.error = crls.error();
    return facts;
  }
  facts.not_after = (*crls)->earliest_next_update();
  return facts;
}

// What can be said without parsing: a value that isn't base64, half a pair.
std::optional<Error> obvious_fault(ItemKind item, const objects::DataValue* first,
                                   const objects::DataValue* second) {
  const std::string name{first_key(item)};
  if (first == nullptr)
    return Error{Reason::KeyMismatch, "tls.crt: is missing, and tls.key is there"};
  if (!first->problem.empty()) return Error{bad_reason(item), name + ": " + first->problem};
  if (item != ItemKind::KeyPair) return std::nullopt;
  if (second == nullptr)
    return Error{Reason::KeyMismatch, "tls.key: is missing, and tls.crt is there"};
  if (!second->problem.empty()) return Error{Reason::BadKey, "tls.key: " + second->problem};
  return std::nullopt;
}

std::string field_of(ItemKind item) { return "data[" + std::string{first_key(item)} + ']'; }

std::string source_of(const ItemKey& key) { return key.kind + '/' + key.ns + '/' + key.name; }

Item bad_item(Error error) {
  Item item;
  item.state = Item::State::Bad;
  item.error = std::move(error);
  return item;
}

struct Place {
  std::string field;
  std::string message;
};

// Errors begin with the key that they speak of, "tls.key: …": that is the field.
Place place_of(ItemKind item, const Error& error) {
  for (const std::string_view key : {first_key(item), std::string_view{"tls.key"}}) {
    const std::string prefix = std::string{key} + ": ";
    if (error.detail.starts_with(prefix)) {
      return {"data[" + std::string{key} + ']',
              clip(std::string_view{error.detail}.substr(prefix.size()), kMaxDetailBytes)};
    }
  }
  return {field_of(item), clip(error.detail, kMaxDetailBytes)};
}

}  // namespace

Materials::Materials(const state::ClusterState& state, const LastGood& last_good, std::int64_t now,
                     MaterialCache& cache, FileSet& files, LastGood& items, Report& report)
    : state_(state),
      last_good_(last_good),
      now_(now),
      cache_(cache),
      files_(files),
      items_(items),
      report_(report) {}

const Item& Materials::find(const ItemKey& key) {
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  return known_.emplace(key, judge(key)).first->second;
}

bool Materials::exists(const ItemKey& key) const { return content_of(key).meta != nullptr; }

bool Materials::was_there(const ItemKey& key) const { return last_good_.contains(key); }

config::KeyPairRef Materials::use_pair(const ItemKey& key, Side side) {
  const Item& item = use(key);
  if (item.facts != nullptr) tell_pair_dates(key, *item.facts, side);
  return {.certificate = item.directory + "/tls.crt",
          .key = item.directory + "/tls.key",
          .source = source_of(key)};
}

config::FileRef Materials::use_file(const ItemKey& key) {
  return {.path = use(key).directory + '/' + std::string{first_key(key.item)},
          .source = source_of(key)};
}

const Item& Materials::use(const ItemKey& key) {
  const Item& item = find(key);
  const auto [entry, added] =
      items_.try_emplace(key, GoodItem{.directory = item.directory, .bad_since = item.bad_since});
  if (!added || item.state != Item::State::Good) return item;
  const Content content = content_of(key);
  files_[item.directory + '/' + std::string{first_key(key.item)}] = content.first->bytes;
  if (content.second != nullptr) files_[item.directory + "/tls.key"] = content.second->bytes;
  return item;
}

Materials::Content Materials::content_of(const ItemKey& key) const {
  const objects::DataMap* data = nullptr;
  Content content;
  if (key.kind == "Secret") {
    if (const auto* secret = state_.find_secret(key.ns, key.name)) {
      content.meta = &secret->meta;
      data = &secret->data;
    }
  } else if (const auto* config_map = state_.find_config_map(key.ns, key.name)) {
    content.meta = &config_map->meta;
    data = &config_map->data;
  }
  if (data == nullptr) return content;
  content.first = find_value(*data, first_key(key.item));
  if (key.item == ItemKind::KeyPair) content.second = find_value(*data, "tls.key");
  return content;
}

Item Materials::judge(const ItemKey& key) {
  const Content content = content_of(key);
  if (content.first == nullptr && content.second == nullptr) return {};
  if (auto fault = obvious_fault(key.item, content.first, content.second)) {
    return keep_last_good(key, content, {}, *std::move(fault));
  }

  const std::string_view first = content.first->bytes;
  const std::string_view second = content.second ? std::string_view{content.second->bytes} : "";
  std::map<std::string_view, std::string_view> files{{first_key(key.item), first}};
  if (content.second != nullptr) files.emplace("tls.key", second);
  // Not of the bytes alone: they may be good as one kind of item and bad as another.
  const std::string hash = config::content_hash(files);
  const Facts& facts = cache_.get(hash, now_, [&] {
    switch (key.item) {
      case ItemKind::KeyPair:
        return parse_pair(first, second);
      case ItemKind::Ca:
        return parse_ca(first, now_);
      case ItemKind::Crl:
        return parse_crl(first);
    }
    return Facts{};
  });
  const std::string directory = "tls/" + key.ns + '/' + key.name + '/' + hash.substr(0, 16);
  if (facts.error) return keep_last_good(key, content, directory, *facts.error);

  if (key.item != ItemKind::KeyPair) tell_trust_doubts(key, content, facts);
  return {.state = Item::State::Good,
          .directory = directory,
          .bad_since = 0,
          .error = {},
          .facts = &facts};
}

Item Materials::keep_last_good(const ItemKey& key, const Content& content,
                               const std::string& directory, Error error) {
  ObjectReport report{report_, key.kind, *content.meta};
  auto [field, message] = place_of(key.item, error);
  const auto last = last_good_.find(key);
  // Content that was good once and is bad now, by its own expiry, is nothing to go on with.
  if (last == last_good_.end() || last->second.directory == directory) {
    report.add(Severity::Error, error.reason, std::move(field), message + '.',
               "Correct the value; nothing was good before it.");
    return bad_item(std::move(error));
  }
  const std::int64_t since = last->second.bad_since == 0 ? now_ : last->second.bad_since;
  report.warn(error.reason, std::move(field),
              message + "; the last good one serves since " + utc_time(since) + '.',
              "Correct the value.");
  Item item = bad_item(std::move(error));
  item.state = Item::State::Kept;
  item.directory = last->second.directory;
  item.bad_since = since;
  return item;
}

void Materials::tell_pair_dates(const ItemKey& key, const Facts& facts, Side side) {
  if (!dates_told_.emplace(key, side).second) return;
  ObjectReport report{report_, key.kind, *content_of(key).meta};
  const std::string field = field_of(key.item);
  const bool front = side == Side::Front;
  const Reason expired = front ? Reason::FrontCertificate : Reason::ClientCertificateExpired;
  if (facts.not_before > now_) {
    report.warn(front ? Reason::FrontCertificate : Reason::ClientCertificateNotYetValid, field,
                "The certificate is valid from " + utc_time(facts.not_before) + " on.",
                "Wait until then, or correct the clock.");
  }
  if (facts.not_after < now_) {
    report.warn(expired, field, "The certificate expired " + utc_time(facts.not_after) + '.',
                "Renew the certificate.");
  } else if (facts.not_after < now_ + kTenDays) {
    report.info(expired, field, "The certificate expires " + utc_time(facts.not_after) + '.',
                "Renew the certificate.");
  }
}

void Materials::tell_trust_doubts(const ItemKey& key, const Content& content, const Facts& facts) {
  ObjectReport report{report_, key.kind, *content.meta};
  const std::string field = field_of(key.item);
  for (const std::string& warning : facts.warnings) {
    report.warn(Reason::BadCa, field, clip(warning, kMaxDetailBytes) + "; it isn't trusted.",
                "Take it out.");
  }
  if (key.item == ItemKind::Crl && facts.not_after != 0 && facts.not_after < now_) {
    report.warn(Reason::CrlExpired, field,
                "The list's nextUpdate was " + utc_time(facts.not_after) + '.',
                "Publish a newer list.");
  }
}

}  // namespace handfast::translate
