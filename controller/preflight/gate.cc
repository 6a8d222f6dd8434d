#include "controller/preflight/gate.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <variant>
#include <vector>

#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/services.h"
#include "proxy/base/log.h"

namespace handfast::preflight {
namespace {

constexpr UnixSeconds kHour = 3600;
constexpr std::string_view kPrefix = "tls/";
constexpr std::string_view kOurs = "@utls/";

// A port's name has a letter.
objects::PortRef parse_port(std::string_view text) {
  objects::PortRef port;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port.number);
  if (error == std::errc{} && end == text.data() + text.size()) return port;
  return {.number = 0, .name = std::string{text}};
}

bool is_same_subject(const config::UpstreamTls& a, const config::UpstreamTls& b) {
  return a.identity == b.identity && a.ca == b.ca && a.system_ca == b.system_ca;
}

config::Http2 offer_of(const objects::UpstreamTlsPolicy* policy) {
  if (policy == nullptr || !policy->protocol.alpn_given) return config::Http2::Offer;
  if (!policy->protocol.http2) return config::Http2::Off;
  return policy->protocol.http1 ? config::Http2::Offer : config::Http2::Require;
}

std::string_view word_of(const Novelty& novelty) {
  if (!novelty.trust) return "certificate";
  return novelty.identity ? "certificate and CA" : "CA";
}

// "shop/orders@utls/api:443"
std::optional<Gate::Place> find_place(std::string_view name) {
  const std::size_t slash = name.find('/');
  const std::size_t ours = name.find(kOurs);
  const std::size_t colon = name.rfind(':');
  if (slash == name.npos || ours == name.npos || ours < slash || colon < ours) return std::nullopt;
  const std::string_view target = name.substr(ours + kOurs.size());
  return Gate::Place{.ns = std::string{name.substr(0, slash)},
                     .policy = std::string{name.substr(slash + 1, ours - slash - 1)},
                     .backend = {.service = std::string{target.substr(0, target.rfind(':'))},
                                 .port = parse_port(name.substr(colon + 1))}};
}

}  // namespace

void Gate::pass(translate::Change& change) {
  if (parts_.asker == nullptr) return;
  if (change.is_whole) {
    for (auto pending = pending_.begin(); pending != pending_.end();) {
      const bool is_there = change.shards.contains(std::string{kPrefix} + pending->first);
      pending = is_there ? std::next(pending) : forget(pending);
    }
  }
  for (auto& [name, shard] : change.shards) {
    if (!name.starts_with(kPrefix) || name.find(kOurs) == name.npos) continue;
    const std::string policy = name.substr(kPrefix.size());
    auto* wanted = shard ? std::get_if<config::UpstreamTls>(&*shard) : nullptr;
    // What was promoted and isn't out yet is what was wanted before.
    const bool is_promoted = promoted_.contains(policy) && wanted != nullptr &&
                             is_same_subject(promoted_.at(policy), *wanted);
    promoted_.erase(policy);
    if (is_promoted) continue;
    if (wanted == nullptr || wanted->refused) {
      if (const auto pending = pending_.find(policy); pending != pending_.end()) forget(pending);
      continue;
    }
    admit(*wanted, change.files);
  }
  for (auto& [policy, shard] : std::exchange(promoted_, {})) {
    change.shards.insert_or_assign(std::string{kPrefix} + policy, config::Shard{std::move(shard)});
  }
  look_at_services(change);
}

// Keeps back what has to wait.
void Gate::admit(config::UpstreamTls& shard, const translate::FileSet& files) {
  const auto place = find_place(shard.name);
  const auto* policy =
      place ? parts_.state.find_upstream_tls_policy(place->ns, place->policy) : nullptr;
  auto pending = pending_.find(shard.name);
  const auto mode = policy == nullptr ? objects::Preflight::Off : policy->rotation.preflight;
  const bool is_enforced = mode == objects::Preflight::Enforce;
  if (pending != pending_.end() && mode != objects::Preflight::Off &&
      pending->second.is_enforced == is_enforced &&
      is_same_subject(pending->second.wanted, shard)) {
    pending->second.wanted = shard;
    hold(pending->second, shard);
    return;
  }
  if (pending != pending_.end()) forget(pending);
  if (mode == objects::Preflight::Off) return;

  const publish::Manifest& newest = parts_.writer.manifest(parts_.writer.newest());
  const std::string stored_name = std::string{kPrefix} + shard.name;
  const publish::StoredShard* stored = newest.find(stored_name);
  // Nothing served yet, or nothing but rules is other.
  if (stored == nullptr || stored->directories == publish::tls_directories(shard)) return;
  auto served = parts_.writer.read_shard(newest, stored_name);
  auto* old = served ? std::get_if<config::UpstreamTls>(&*served) : nullptr;
  if (old == nullptr || old->refused) return;
  const UnixSeconds now = parts_.clock.unix_now();
  const Novelty novelty = find_novelty(
      *old, shard, now, [this, &files](const std::string& path) -> Result<std::string> {
        const auto fresh = files.find(path);
        return fresh != files.end() ? fresh->second : parts_.writer.read_item_file(path);
      });
  if (!novelty.any()) return;
  Pending fresh{.place = *place,
                .wanted = shard,
                .served = std::move(*old),
                .novelty = novelty,
                .is_enforced = is_enforced,
                .number = 0,
                .ask_at = parts_.clock.now(),
                .pause = kFirstPause,
                .asked = 0,
                .since = now,
                .told = std::nullopt};
  hold(fresh, shard);
  pending_.insert_or_assign(shard.name, std::move(fresh));
}

void Gate::hold(const Pending& pending, config::UpstreamTls& shard) const {
  if (!pending.keeps_any()) return;
  config::Candidate candidate;
  if (pending.keeps_identity()) {
    candidate.identity = std::exchange(shard.identity, pending.served.identity);
  }
  if (pending.keeps_trust()) {
    candidate.ca = std::exchange(shard.ca, pending.served.ca);
    candidate.system_ca = std::exchange(shard.system_ca, pending.served.system_ca);
  }
  shard.candidate = std::move(candidate);
}

// Where endpoints are others, it may go otherwise.
void Gate::look_at_services(const translate::Change& change) {
  if (pending_.empty()) return;
  for (auto& [name, pending] : pending_) {
    const std::string service =
        "service/" + translate::cluster_name(pending.place.ns, pending.place.backend);
    if (!change.shards.contains(service) || pending.asked == 0) continue;
    pending.pause = kFirstPause;
    pending.ask_at = std::min(pending.ask_at, parts_.clock.now() + std::chrono::seconds(1));
  }
}

std::optional<Monotonic> Gate::due() const {
  std::optional<Monotonic> earliest;
  const auto add = [&earliest](Monotonic at) { earliest = std::min(earliest.value_or(at), at); };
  for (const auto& [name, pending] : pending_) {
    if (pending.number == 0) add(pending.ask_at);
    if (pending.keeps_identity()) {
      // The end may lie further off than a clock can count.
      const UnixSeconds left = pending.novelty.identity_ends - parts_.clock.unix_now() + 1;
      add(parts_.clock.now() + std::chrono::seconds(std::clamp<UnixSeconds>(left, 0, kHour)));
    }
  }
  return earliest;
}

void Gate::ask() {
  const Monotonic now = parts_.clock.now();
  for (auto pending = pending_.begin(); pending != pending_.end();) {
    const auto next = std::next(pending);
    Pending& one = pending->second;
    if (one.keeps_identity() && parts_.clock.unix_now() > one.novelty.identity_ends) {
      promote(pending, "the old certificate has expired: the new one takes its place", "");
    } else if (one.number == 0 && now >= one.ask_at) {
      ask(pending->first, one);
      // Nobody is there to be asked.
      if (one.number == 0) settle(pending, {});
    }
    pending = next;
  }
}

void Gate::ask(const std::string& name, Pending& pending) {
  const config::Service service = endpoints_of(pending);
  config::PreflightRequest request{.tls = pending.wanted,
                                   .http2 = offer_of(parts_.state.find_upstream_tls_policy(
                                       pending.place.ns, pending.place.policy)),
                                   .external_name = service.external_name,
                                   .endpoints = {}};
  for (const config::Endpoint& endpoint : service.endpoints) {
    if (endpoint.ready) request.endpoints.push_back(endpoint);
  }
  const std::size_t count = request.endpoints.size();
  if (count == 0) return;
  // Others each time.
  std::ranges::rotate(request.endpoints,
                      request.endpoints.begin() +
                          static_cast<std::ptrdiff_t>(pending.asked * kMostEndpoints % count));
  request.endpoints.resize(std::min(count, kMostEndpoints));
  pending.number = ++last_number_;
  ++pending.asked;
  parts_.asker->ask({.policy = name,
                     .number = pending.number,
                     .is_awaited = pending.keeps_any(),
                     .request = std::move(request)});
}

config::Service Gate::endpoints_of(const Pending& pending) const {
  state::NoBook book;
  translate::Report told_by_translation;
  return translate::make_service(state::Reader{parts_.state, book}, pending.place.ns,
                                 pending.place.backend, told_by_translation);
}

void Gate::take(Reply reply) {
  const auto pending = pending_.find(reply.policy);
  // About what isn't wanted any more.
  if (pending == pending_.end() || pending->second.number != reply.number) return;
  pending->second.number = 0;
  if (reply.answer) {
    settle(pending, judge(*reply.answer, pending->second.novelty.trust));
  } else {
    settle(pending, {.verdict = Verdict::Unreached,
                     .address = "",
                     .reason = reply.answer.error().reason,
                     .detail = reply.answer.error().detail});
  }
}

void Gate::settle(All::iterator pending, const Judgement& judgement) {
  Pending& one = pending->second;
  news_.verdicts.push_back(judgement.verdict);
  switch (judgement.verdict) {
    case Verdict::Passed:
      promote(pending,
              judgement.is_confirmed ? "a preflight passed"
                                     : "a preflight passed, not confirmed: the Service's TLS has "
                                       "said nothing about our certificate in time",
              judgement.address);
      return;
    case Verdict::Nobody:
      promote(pending, "there was no endpoint to ask in a preflight", "");
      return;
    case Verdict::Refused:
    case Verdict::Unreached:
      break;
  }
  tell(one, judgement);
  one.ask_at = parts_.clock.now() + one.pause;
  one.pause = std::min(2 * one.pause, kMostPause);
}

void Gate::promote(All::iterator pending, std::string_view why, const std::string& detail) {
  Pending& one = pending->second;
  log(LogLevel::Info, why,
      {{"policy", one.place.ns + '/' + one.place.policy},
       {"service", translate::cluster_name(one.place.ns, one.place.backend)},
       {"new", word_of(one.novelty)},
       {"promoted", one.keeps_any() ? "now" : "before"},
       {"endpoint", detail}});
  if (one.keeps_any()) promoted_.insert_or_assign(pending->first, std::move(one.wanted));
  forget(pending);
}

void Gate::tell(Pending& pending, const Judgement& judgement) {
  const auto* policy =
      parts_.state.find_upstream_tls_policy(pending.place.ns, pending.place.policy);
  if (policy == nullptr) return;
  // What serves already is no worse off for a proxy that isn't there.
  const bool is_unasked = judgement.verdict == Verdict::Unreached && judgement.address.empty();
  if (is_unasked && !pending.keeps_any()) return;
  const std::string service = translate::cluster_name(pending.place.ns, pending.place.backend);
  const bool is_refused = judgement.verdict == Verdict::Refused;
  std::string message = "Preflight: ";
  message += judgement.address.empty()
                 ? std::string(is_refused ? "it can't be presented" : "the proxy can't be asked")
                 : service + " at " + judgement.address +
                       (is_refused ? " doesn't take it" : " can't be reached");
  message.append(" (").append(to_string(judgement.reason));
  if (!judgement.detail.empty()) {
    message.append(": ").append(translate::clip(judgement.detail, translate::kMaxDetailBytes));
  }
  message += pending.keeps_any() ? "); the last good one serves since " : "); it serves since ";
  message.append(translate::utc_time(pending.since)).append(".");
  translate::Report report;
  const translate::Condition condition = pending.keeps_any()
                                             ? translate::Condition{"Programmed", "LastKnownGood"}
                                             : translate::Condition{"Verified", "HandshakeFailing"};
  const bool is_about_trust = pending.novelty.trust && !pending.novelty.identity;
  translate::ObjectReport{report, "UpstreamTLSPolicy", policy->meta}.as(condition).warn(
      judgement.reason,
      is_about_trust ? "spec.validation.caCertificateRefs" : "spec.clientCertificateRef",
      std::move(message),
      is_about_trust ? "Correct the CA, or the Service."
                     : "Correct the Secret, or let the Service accept it.");
  if (pending.told == report.front()) return;
  withdraw(pending);
  pending.told = report.front();
  news_.added.push_back(report.front());
}

void Gate::withdraw(Pending& pending) {
  if (!pending.told) return;
  // What was told since the last call was never out.
  const auto fresh = std::ranges::find(news_.added, *pending.told);
  if (fresh != news_.added.end()) {
    news_.added.erase(fresh);
  } else {
    news_.over.push_back(*std::move(pending.told));
  }
  pending.told.reset();
}

Gate::All::iterator Gate::forget(All::iterator pending) {
  withdraw(pending->second);
  return pending_.erase(pending);
}

std::size_t Gate::held_count() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      pending_, [](const auto& pending) { return pending.second.keeps_any(); }));
}

Gate::News Gate::take_news() { return std::exchange(news_, {}); }

}  // namespace handfast::preflight
