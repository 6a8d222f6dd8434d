#include "controller/translate/secrets.h"

#include <optional>
#include <utility>

#include "controller/translate/item_findings.h"
#include "proxy/pki/identity.h"
#include "proxy/pki/ocsp.h"

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

GoodItem as_good(const Item& item) {
  return {.directory = item.directory,
          .bad_since = item.bad_since,
          .passphrases = item.passphrases,
          .form = item.form};
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

objects::ObjectKey last_good_topic(const ItemKey& key) {
  // Whoever asks whether a CRL was there doesn't rest on the pair of the same Secret: the first
  // generation that is acknowledged would have all Ingresses looked at again.
  return {"last good " + key.kind + ' ' + std::string{file_name(key.item)}, key.ns, key.name};
}

objects::ObjectKey last_good_front_topic() { return {"last good front", {}, {}}; }

void Materials::mark_everything() {
  for (auto& [key, unit] : items_) tracer_.mark(unit);
}

void Materials::refresh() {
  for (Unit* each : tracer_.take_dirty(UnitKind::Item)) {
    auto& unit = static_cast<ItemUnit&>(*each);
    if (unit.is_dirty && unit.used[ItemUnit::Found] != 0) refresh(unit);
    unit.is_dirty = false;
  }
}

ItemUnit& Materials::unit_of(const ItemKey& key) {
  const auto [found, added] = items_.try_emplace(key);
  ItemUnit& unit = found->second;
  if (added) {
    unit.key = &found->first;
    unit.is_dirty = true;
  }
  if (unit.is_dirty) refresh(unit);
  return unit;
}

void Materials::refresh(ItemUnit& unit) {
  Tracer::Scope scope{tracer_, unit};
  // What was known of the same content is known still.
  const auto before = unit.item.facts;
  if (std::exchange(unit.is_given, false)) unit.given = as_good(unit.item);
  unit.item = judge(*unit.key, scope.findings());
  unit.upstream_doubts.clear();
  unit.front_doubts.clear();
  if (unit.key->item != ItemKind::KeyPair || unit.item.facts == nullptr) return;
  unit.upstream_doubts = tell_pair_doubts(*unit.key, *unit.item.facts, Side::Upstream);
  unit.front_doubts = tell_pair_doubts(*unit.key, *unit.item.facts, Side::Front);
}

const Item& Materials::find(const ItemKey& key) {
  // What isn't there is no item: who asked rests on the object. Most Secrets have no CRL.
  static const Item kAbsent;
  if (!items_.contains(key) && !has_content(key)) return kAbsent;
  ItemUnit& unit = unit_of(key);
  tracer_.on_relied(unit.trace);
  tracer_.on_used(unit, ItemUnit::Found);
  return unit.item;
}

bool Materials::exists(const ItemKey& key) const {
  return read_content(state_, key).meta != nullptr;
}

bool Materials::has_content(const ItemKey& key) const {
  return !read_content(state_, key).files.empty();
}

bool Materials::holds_pkcs12(const ItemKey& key) const {
  ItemKey sealed = key;
  // Whose, and whether there are any, makes no difference.
  sealed.passphrases = key.ns + '/' + key.name + "/passphrase";
  return read_content(state_, sealed).is_pkcs12();
}

bool Materials::has_passphrases(const ItemKey& key) const {
  return find_passphrases(state_, key) != nullptr;
}

bool Materials::was_there(const ItemKey& key) const {
  tracer_.on_asked(last_good_topic(key));
  return last_good_.contains(key);
}

config::KeyPairRef Materials::use_pair(const ItemKey& key, Side side) {
  const Item& item = find(key);
  ItemUnit& unit = items_.at(key);
  tracer_.on_used(unit, ItemUnit::Published);
  tracer_.on_used(unit, side == Side::Front ? ItemUnit::Front : ItemUnit::Upstream);
  config::KeyPairRef pair = pair_ref(key, as_good(item));
  if (side == Side::Front) pair.ocsp = item.staple;
  return pair;
}

config::FileRef Materials::use_file(const ItemKey& key) {
  const Item& item = find(key);
  tracer_.on_used(items_.at(key), ItemUnit::Published);
  return {.path = item.directory + '/' + std::string{file_name(key.item)},
          .source = source_text(key)};
}

std::optional<GoodItem> Materials::good_item(const ItemUnit& unit) {
  if (unit.used[ItemUnit::Published] == 0 || !unit.item.usable()) return std::nullopt;
  return as_good(unit.item);
}

Report Materials::findings(const ItemUnit& unit) {
  Report all;
  if (unit.used[ItemUnit::Found] == 0) return all;
  const auto add = [&all](const Report& more) { all.insert(all.end(), more.begin(), more.end()); };
  if (unit.trace.findings) add(*unit.trace.findings);
  if (unit.used[ItemUnit::Upstream] != 0) add(unit.upstream_doubts);
  if (unit.used[ItemUnit::Front] != 0) add(unit.front_doubts);
  return all;
}

void Materials::add_files(const ItemUnit& unit, const state::ClusterState& state,
                          FileSet& files) const {
  state::NoBook book;
  const Item& item = unit.item;
  if (item.state != Item::State::Good) return;
  const ItemContent content = read_content(state::Reader{state, book}, *unit.key);
  for (auto& [file, bytes] : published_files(*unit.key, content)) {
    files[item.directory + '/' + file] = std::move(bytes);
  }
  if (!item.passphrases.empty()) files[item.passphrases] = content.passphrases->bytes;
  if (!item.staple.empty()) files[item.staple] = content.staple->bytes;
}

std::shared_ptr<const Facts> Materials::facts_of(const ItemKey& key, const ItemContent& content) {
  const std::int64_t now = tracer_.now();
  auto facts =
      cache_.get(content_identity(content), now, [&] { return parse_content(key, content, now); });
  tracer_.on_held(facts->parsed_at, facts->good_until);
  return facts;
}

bool Materials::is_good(const ItemKey& key) {
  const ItemContent content = read_content(state_, key);
  if (content.files.empty() || find_obvious_fault(key, content)) return false;
  auto facts = facts_of(key, content);
  const bool good = !facts->error;
  tracer_.keep(std::move(facts));
  return good;
}

const ItemKey* Materials::find_joined(const ItemKey& key) const {
  tracer_.on_asked(last_good_topic(key));
  for (auto at = last_good_.lower_bound(key); at != last_good_.end(); ++at) {
    ItemKey first = at->first;
    first.parts.clear();
    if (first != key) break;
    if (!at->first.parts.empty()) return &at->first;
  }
  return nullptr;
}

Item Materials::judge(const ItemKey& key, Report& findings) {
  const ItemContent content = read_content(state_, key);
  if (content.files.empty()) return {};
  if (auto fault = find_obvious_fault(key, content)) {
    return keep_last_good(key, content, {}, *std::move(fault), findings);
  }

  auto facts = facts_of(key, content);
  Item item;
  item.directory = content_directory(key, content);
  for (const auto& [file, value] : content.files) item.bytes += value->bytes.size();
  if (content.is_pkcs12()) item.form = PairForm::Pkcs12;
  if (content.passphrases != nullptr) item.passphrases = passphrase_path(key, content);
  if (facts->error) {
    Item kept = keep_last_good(key, content, item, *facts->error, findings);
    tracer_.keep(std::move(facts));
    return kept;
  }

  if (key.item != ItemKind::KeyPair) tell_trust_doubts(key, content, *facts, findings);
  if (content.staple != nullptr) item.staple = judge_staple(key, content, findings);
  item.state = Item::State::Good;
  item.facts = std::move(facts);
  return item;
}

Item Materials::keep_last_good(const ItemKey& key, const ItemContent& content, const Item& bad,
                               Error error, Report& findings) {
  ObjectReport report{findings, key.kind, *content.meta};
  auto [field, message] = place_of(key, error);
  tracer_.on_asked(last_good_topic(key));
  const auto last = last_good_.find(key);
  // Content that was good once and is bad now, by its own expiry, is nothing to go on with. A pair
  // isn't judged by its dates; one cut at another place is the same file, and bad.
  const bool was_good = key.item != ItemKind::KeyPair && last != last_good_.end() &&
                        last->second.directory == bad.directory;
  if (last == last_good_.end() || was_good) {
    report.add(Severity::Error, error.reason, std::move(field), message + '.',
               "Correct the value; nothing was good before it.");
    return bad_item(std::move(error));
  }
  const std::int64_t since =
      last->second.bad_since == 0 ? tracer_.now_exactly() : last->second.bad_since;
  report.warn(error.reason, std::move(field),
              message + "; the last good one serves since " + utc_time(since) + '.',
              "Correct the value.");
  Item item = bad_item(std::move(error));
  item.state = Item::State::Kept;
  item.directory = last->second.directory;
  item.passphrases = last->second.passphrases;
  item.form = last->second.form;
  item.bad_since = since;
  return item;
}

// One that vouches for nothing, now or by its time, is left out.
std::string Materials::judge_staple(const ItemKey& key, const ItemContent& content,
                                    Report& findings) {
  const auto leave_out = [&](const std::string& why) {
    ObjectReport{findings, key.kind, *content.meta}.warn(
        Reason::Ocsp, field_of(objects::kStapleKey),
        clip(why, kMaxDetailBytes) + "; clients get none.", "Put a new one there, or none.");
    return std::string{};
  };
  if (!content.staple->problem.empty()) return leave_out(content.staple->problem);
  const auto pem = content.files.find("tls.crt");
  if (pem == content.files.end()) return {};
  const auto chain = pki::load_chain(pem->second->bytes);
  if (!chain) return leave_out("the chain can't be read by itself: " + chain.error().detail);
  const std::string& response = content.staple->bytes;
  const auto verdict = pki::judge_own_ocsp(
      {reinterpret_cast<const unsigned char*>(response.data()), response.size()}, *chain->leaf,
      chain->intermediates.get(), tracer_.now());
  if (verdict.reason != Reason::Ok) return leave_out(verdict.detail);
  if (tracer_.has_come(verdict.valid_until + 1)) return leave_out("it is out of date");
  return staple_path(key, *content.staple);
}

Report Materials::tell_pair_doubts(const ItemKey& key, const Facts& facts, Side side) {
  Report findings;
  ObjectReport report{findings, key.kind, *read_content(state_, key).meta};
  const std::string field = field_of(data_key_of(key));
  const bool front = side == Side::Front;
  const Reason expired = front ? Reason::FrontCertificate : Reason::ClientCertificateExpired;
  if (!tracer_.has_come(facts.not_before)) {
    report.warn(front ? Reason::FrontCertificate : Reason::ClientCertificateNotYetValid, field,
                "The certificate is valid from " + utc_time(facts.not_before) + " on.",
                "Wait until then, or correct the clock.");
  }
  if (tracer_.has_come(facts.not_after + 1)) {
    report.warn(expired, field, "The certificate expired " + utc_time(facts.not_after) + '.',
                "Renew the certificate.");
  } else if (tracer_.has_come(facts.not_after - kTenDays + 1)) {
    report.info(expired, field, "The certificate expires " + utc_time(facts.not_after) + '.',
                "Renew the certificate.");
  }
  if (!front && !facts.for_clients) {
    report.warn(Reason::WrongPurpose, field, std::string{kNotForClients},
                std::string{kIssueForClients});
  }
  return findings;
}

void Materials::tell_trust_doubts(const ItemKey& key, const ItemContent& content,
                                  const Facts& facts, Report& findings) {
  ObjectReport report{findings, key.kind, *content.meta};
  const std::string field = field_of(data_key_of(key));
  for (const std::string& warning : facts.warnings) {
    report.warn(Reason::BadCa, field, clip(warning, kMaxDetailBytes) + "; it isn't trusted.",
                "Take it out.");
  }
  for (const std::string& early : facts.early) {
    report.warn(Reason::NotYetValid, field,
                clip(early, kMaxDetailBytes) + "; till then it isn't trusted.",
                "Wait until then, or correct the clock.");
  }
  if (key.item != ItemKind::Crl || facts.not_after == 0) return;
  if (tracer_.has_come(facts.not_after + 1)) {
    report.warn(Reason::CrlExpired, field,
                "The list's nextUpdate was " + utc_time(facts.not_after) + '.',
                "Publish a newer list.");
  } else if (tracer_.has_come(facts.due_at)) {
    report.info(Reason::CrlExpired, field,
                "Less than a quarter of a list's time is left; the first nextUpdate is " +
                    utc_time(facts.not_after) + '.',
                "Publish a newer list.");
  }
}

}  // namespace handfast::translate
