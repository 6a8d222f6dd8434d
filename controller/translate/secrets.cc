#include "controller/translate/secrets.h"

#include <optional>
#include <utility>

namespace handfast::translate {
namespace {

using Facts = MaterialCache::Facts;

constexpr std::int64_t kTenDays = 10LL * 24 * 60 * 60;

std::string field_of(std::string_view data_key) { return "data[" + std::string{data_key} + ']'; }

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

// Errors begin with the file that they speak of, "tls.key: …": that tells the field.
Place place_of(const ItemKey& key, const Error& error) {
  for (const std::string_view file : {file_name(key.item), kKeyFile, kPkcs12File}) {
    const std::string prefix = std::string{file} + ": ";
    if (!error.detail.starts_with(prefix)) continue;
    const std::string_view data_key = file == file_name(key.item) ? data_key_of(key) : file;
    return {field_of(data_key),
            clip(std::string_view{error.detail}.substr(prefix.size()), kMaxDetailBytes)};
  }
  return {field_of(data_key_of(key)), clip(error.detail, kMaxDetailBytes)};
}

}  // namespace

Materials::Materials(const state::Reader& state, const LastGood& last_good, std::int64_t now,
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

bool Materials::exists(const ItemKey& key) const {
  return read_content(state_, key).meta != nullptr;
}

bool Materials::has_content(const ItemKey& key) const {
  return !read_content(state_, key).files.empty();
}

bool Materials::has_passphrases(const ItemKey& key) const {
  return find_passphrases(state_, key) != nullptr;
}

bool Materials::was_there(const ItemKey& key) const { return last_good_.contains(key); }

config::KeyPairRef Materials::use_pair(const ItemKey& key, Side side) {
  const Item& item = use(key);
  if (item.facts != nullptr) tell_pair_dates(key, *item.facts, side);
  const std::string certificate = item.is_pkcs12 ? "/tls.p12" : "/tls.crt";
  return {.certificate = item.directory + certificate,
          .key = item.directory + (item.is_pkcs12 ? certificate : "/tls.key"),
          .source = source_text(key),
          .passphrases = item.passphrases};
}

config::FileRef Materials::use_file(const ItemKey& key) {
  return {.path = use(key).directory + '/' + std::string{file_name(key.item)},
          .source = source_text(key)};
}

const Item& Materials::use(const ItemKey& key) {
  const Item& item = find(key);
  const auto [entry, added] = items_.try_emplace(key, GoodItem{.directory = item.directory,
                                                               .bad_since = item.bad_since,
                                                               .passphrases = item.passphrases,
                                                               .is_pkcs12 = item.is_pkcs12});
  if (!added || item.state != Item::State::Good) return item;
  const ItemContent content = read_content(state_, key);
  for (const auto& [file, value] : content.files) {
    files_[item.directory + '/' + std::string{file}] = value->bytes;
  }
  if (!item.passphrases.empty()) files_[item.passphrases] = content.passphrases->bytes;
  return item;
}

const MaterialCache::Facts& Materials::facts_of(const ItemKey& key, const ItemContent& content) {
  return cache_.get(content_identity(content), now_,
                    [&] { return parse_content(key, content, now_); });
}

bool Materials::is_good(const ItemKey& key) {
  const auto [known, is_new] = good_.try_emplace(key, false);
  if (is_new) {
    const ItemContent content = read_content(state_, key);
    known->second = !content.files.empty() && !find_obvious_fault(key, content) &&
                    !facts_of(key, content).error;
  }
  return known->second;
}

const ItemKey* Materials::find_joined(const ItemKey& key) const {
  for (auto at = last_good_.lower_bound(key); at != last_good_.end(); ++at) {
    ItemKey first = at->first;
    first.parts.clear();
    if (first != key) break;
    if (!at->first.parts.empty()) return &at->first;
  }
  return nullptr;
}

Item Materials::judge(const ItemKey& key) {
  const ItemContent content = read_content(state_, key);
  if (content.files.empty()) return {};
  if (auto fault = find_obvious_fault(key, content)) {
    return keep_last_good(key, content, {}, *std::move(fault));
  }

  const Facts& facts = facts_of(key, content);
  Item item;
  item.directory = content_directory(key, content);
  for (const auto& [file, value] : content.files) item.bytes += value->bytes.size();
  item.is_pkcs12 = content.is_pkcs12();
  if (content.passphrases != nullptr) item.passphrases = passphrase_path(key, content);
  if (facts.error) return keep_last_good(key, content, item, *facts.error);

  if (key.item != ItemKind::KeyPair) tell_trust_doubts(key, content, facts);
  item.state = Item::State::Good;
  item.facts = &facts;
  return item;
}

Item Materials::keep_last_good(const ItemKey& key, const ItemContent& content, const Item& bad,
                               Error error) {
  ObjectReport report{report_, key.kind, *content.meta};
  auto [field, message] = place_of(key, error);
  const auto last = last_good_.find(key);
  // Content that was good once and is bad now, by its own expiry, is nothing to go on with.
  const bool was_good = last != last_good_.end() && last->second.directory == bad.directory &&
                        last->second.passphrases == bad.passphrases;
  if (last == last_good_.end() || was_good) {
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
  item.passphrases = last->second.passphrases;
  item.is_pkcs12 = last->second.is_pkcs12;
  item.bad_since = since;
  return item;
}

void Materials::tell_pair_dates(const ItemKey& key, const Facts& facts, Side side) {
  if (!dates_told_.emplace(key, side).second) return;
  ObjectReport report{report_, key.kind, *read_content(state_, key).meta};
  const std::string field = field_of(data_key_of(key));
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

void Materials::tell_trust_doubts(const ItemKey& key, const ItemContent& content,
                                  const Facts& facts) {
  ObjectReport report{report_, key.kind, *content.meta};
  const std::string field = field_of(data_key_of(key));
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
