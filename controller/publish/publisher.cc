#include "controller/publish/publisher.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <variant>

#include "controller/publish/replacement.h"
#include "proxy/base/check.h"
#include "proxy/config/text.h"

namespace handfast::publish {
namespace {

// Each round replaces at least one shard by something else, an item, the whole, then a refusal.
constexpr int kMostRounds = 16;

constexpr std::chrono::seconds kTryAgain{30};

constexpr std::string_view kDefaultCertificate = "default_certificate";

// Why no proxy would read the shard.
std::optional<Error> find_fault(const PreparedShard& shard) {
  if (shard.text.size() > config::kMostShardBytes) {
    return Error{Reason::BadObject, "it is " + std::to_string(shard.text.size()) +
                                        " bytes long, and may have " +
                                        std::to_string(config::kMostShardBytes)};
  }
  auto read = config::parse_shard(shard.text);
  if (!read) return std::move(read.error());
  return std::nullopt;
}

}  // namespace

bool Publisher::has_files(const std::string& directory, const FileSet& files) const {
  if (writer_.has_directory(directory)) return true;
  const auto file = files.lower_bound(directory + "/");
  return file != files.end() && file->first.starts_with(directory + "/");
}

PreparedShard Publisher::choose(const config::Shard& shard, const FileSet& files,
                                std::vector<config::Rejection>& replaced) {
  PreparedShard chosen = prepare(shard);
  const std::string wanted = chosen.stored.hash;
  const auto found = replaced_.find(chosen.name);
  if (found != replaced_.end()) {
    const bool is_back = (found->second.is_lost && !lost_directory(chosen, files)) ||
                         found->second.again <= clock_.now();
    if (found->second.rejected == wanted && !is_back) {
      chosen = found->second.instead;
    } else {
      replaced_.erase(found);
    }
  }
  const auto replace = [&](config::Rejection rejection, const config::Shard& by, bool is_lost) {
    PreparedShard instead = prepare(by);
    replaced_.insert_or_assign(chosen.name, Replaced{wanted, instead, is_lost});
    replaced.push_back(std::move(rejection));
    return instead;
  };
  const bool is_wanted = chosen.stored.hash == wanted;
  if (const auto fault = is_wanted ? find_fault(chosen) : std::nullopt) {
    const config::Rejection rejection{chosen.name, "", "", fault->reason, fault->detail};
    return replace(rejection, closed(rejection), false);
  }
  const auto lost = lost_directory(chosen, files);
  if (!lost) return chosen;
  // What only waits must not stop what serves.
  if (const auto* tls = std::get_if<config::UpstreamTls>(&shard);
      tls != nullptr && tls->candidate) {
    config::UpstreamTls rest = *tls;
    rest.candidate.reset();
    return choose(rest, files, replaced);
  }
  // A last good item whose files are gone. It must not keep everybody else from being published.
  config::Rejection rejection{chosen.name, "", *lost, Reason::Io,
                              "the files of " + *lost + " are not there any more"};
  const config::Shard by = refused(shard, {rejection.reason, rejection.detail});
  return replace(std::move(rejection), by, is_wanted);
}

std::optional<std::string> Publisher::lost_directory(const PreparedShard& shard,
                                                     const FileSet& files) const {
  for (const std::string& directory : shard.stored.directories) {
    if (!has_files(directory, files)) return directory;
  }
  return std::nullopt;
}

Draft Publisher::make(const Content& content, std::vector<config::Rejection>& replaced) {
  std::vector<PreparedShard> shards;
  shards.reserve(content.shards.size());
  for (const config::Shard& shard : content.shards) {
    shards.push_back(choose(shard, content.files, replaced));
  }
  std::optional<config::KeyPairRef> certificate = content.default_certificate;
  const Manifest& good = writer_.manifest(last_good_);
  if (certificate && certificate == rejected_default_) {
    certificate = good.default_certificate;
    if (certificate == rejected_default_) certificate.reset();
  } else {
    rejected_default_.reset();
  }
  if (certificate && !has_files(directory_of(certificate->certificate), content.files)) {
    replaced.push_back({"", std::string(kDefaultCertificate), certificate->certificate, Reason::Io,
                        "the files of the default certificate are not there any more"});
    certificate.reset();
  }
  const Manifest& newest = writer_.manifest(writer_.newest());
  if (!content.is_change) return make_draft(std::move(shards), std::move(certificate), newest);
  Draft draft = change_shards(newest, std::move(shards), content.gone);
  draft.manifest.default_certificate = std::move(certificate);
  return draft;
}

// Of shards that are wanted no more.
void Publisher::forget_replaced(const Content& content) {
  if (replaced_.empty()) return;
  if (content.is_change) {
    for (const std::string& name : content.gone) replaced_.erase(name);
    return;
  }
  std::set<std::string> wanted;
  for (const config::Shard& shard : content.shards) wanted.insert(config::shard_name(shard));
  std::erase_if(replaced_, [&wanted](const auto& each) { return !wanted.contains(each.first); });
}

bool Publisher::needs_whole() const {
  return !is_written_ || writer_.is_damaged(writer_.manifest(writer_.newest())) ||
         due() <= clock_.now();
}

Monotonic Publisher::due() const {
  Monotonic first = Monotonic::max();
  for (const auto& [name, replaced] : replaced_) first = std::min(first, replaced.again);
  return first;
}

Outcome Publisher::publish(const Content& content) {
  check(!content.is_change || is_written_, "a change of what isn't there");
  Outcome outcome = write_and_load(content);
  is_written_ = outcome.kind != Outcome::Kind::Failed;
  return outcome;
}

Outcome Publisher::write_and_load(const Content& content) {
  Outcome outcome;
  forget_replaced(content);
  const Draft draft = make(content, outcome.replaced);
  if (writer_.newest() == 0 || !is_same(draft.manifest, writer_.manifest(writer_.newest())) ||
      writer_.is_damaged(draft.manifest)) {
    const auto written = writer_.write(draft, content.files, clock_.unix_now());
    if (!written) {
      outcome.kind = Outcome::Kind::Failed;
      outcome.error = written.error();
      return outcome;
    }
  } else if (acknowledged_ == writer_.newest() && make_current(acknowledged_)) {
    outcome.generation = acknowledged_;
    return outcome;
  }
  load(outcome);
  return outcome;
}

Outcome Publisher::poll() {
  Outcome outcome;
  if (writer_.newest() != 0) load(outcome);
  if (outcome.kind == Outcome::Kind::Failed) is_written_ = false;
  return outcome;
}

void Publisher::load(Outcome& outcome) {
  using Kind = ProxyControl::LoadResult::Kind;
  for (int round = 0; round < kMostRounds; ++round) {
    const std::uint64_t newest = writer_.newest();
    outcome.generation = newest;
    const ProxyControl::LoadResult result = proxy_.load(newest);
    if (result.kind == Kind::Answered && result.answer.rejected.empty() &&
        result.answer.generation == newest) {
      acknowledge(outcome);
      return;
    }
    outcome.kind = Outcome::Kind::Pending;
    if (result.kind == Kind::Absent) {
      const bool may_switch = died_over_ != newest || writer_.current() == 0;
      if (!may_switch) return;
      if (Status switched = make_current(newest); !switched) outcome.error = switched.error();
      return;
    }
    if (result.kind == Kind::Failed) {
      died_over_ = newest;
      outcome.error = result.error;
      return;
    }
    if (result.answer.rejected.empty()) {
      outcome.error = {Reason::BadResponse,
                       "the proxy serves generation " + std::to_string(result.answer.generation) +
                           " and says nothing against " + std::to_string(newest)};
      return;
    }
    if (Status whole = verify_files(result.answer.rejected); !whole) {
      outcome.kind = Outcome::Kind::Failed;
      outcome.error = whole.error();
      return;
    }
    if (!replace(result.answer.rejected, outcome)) return;
  }
  outcome.kind = Outcome::Kind::Failed;
  outcome.error = {Reason::Internal, "the proxy rejects whatever stands in for its rejections"};
}

Status Publisher::verify_files(const std::vector<config::Rejection>& rejected) {
  Status all;
  for (const config::Rejection& rejection : rejected) {
    const std::string directory = directory_of(rejection.file);
    if (!writer_.has_directory(directory)) continue;
    if (Status whole = writer_.verify(directory); !whole) all = whole;
  }
  return all;
}

void Publisher::acknowledge(Outcome& outcome) {
  const std::uint64_t newest = writer_.newest();
  died_over_ = 0;
  outcome.kind = acknowledged_ == newest ? Outcome::Kind::Unchanged : Outcome::Kind::Acknowledged;
  acknowledged_ = newest;
  last_good_ = newest;
  if (Status switched = make_current(newest); !switched) {
    outcome.kind = Outcome::Kind::Failed;
    outcome.error = switched.error();
  }
}

Status Publisher::make_current(std::uint64_t generation) {
  if (Status switched = writer_.make_current(generation); !switched) return switched;
  // What the proxy serves, and what may stand in for a rejection, must stay.
  writer_.collect({last_good_, acknowledged_});
  return {};
}

std::optional<PreparedShard> Publisher::replacement(const config::Rejection& rejection) const {
  const Manifest& wanted = writer_.manifest(writer_.newest());
  const StoredShard* newest = wanted.find(rejection.shard);
  if (newest == nullptr) return std::nullopt;
  const auto shut = [&]() -> std::optional<PreparedShard> {
    PreparedShard instead = prepare(closed(rejection));
    if (instead.stored.hash == newest->hash) return std::nullopt;
    return instead;
  };
  const auto shard = writer_.read_shard(wanted, rejection.shard);
  if (!shard) return shut();

  std::optional<config::Shard> last_good;
  const Manifest& good = writer_.manifest(last_good_);
  if (good.find(rejection.shard) != nullptr) {
    if (auto read = writer_.read_shard(good, rejection.shard)) last_good = std::move(*read);
  }
  PreparedShard instead = prepare(replacement_for(*shard, last_good, rejection));
  if (instead.stored.hash == newest->hash) return shut();
  // Back to what was rejected before: only the refusal is left.
  const auto before = replaced_.find(rejection.shard);
  if (before != replaced_.end() && before->second.rejected == instead.stored.hash) {
    instead = prepare(refused(*shard, {rejection.reason, rejection.detail}));
    if (instead.stored.hash == newest->hash) return shut();
  }
  return instead;
}

bool Publisher::replace(const std::vector<config::Rejection>& rejected, Outcome& outcome) {
  const Manifest& newest = writer_.manifest(writer_.newest());
  std::vector<PreparedShard> instead;
  bool replaces_default = false;
  for (const config::Rejection& rejection : rejected) {
    if (rejection.shard.empty() && rejection.field.starts_with(kDefaultCertificate)) {
      if (!newest.default_certificate || replaces_default) continue;
      replaces_default = true;
      outcome.replaced.push_back(rejection);
    } else if (auto replaced = replacement(rejection)) {
      // The wanted form is the one that was rejected first, not what stood in for it.
      auto& entry = replaced_[rejection.shard];
      if (entry.rejected.empty()) entry.rejected = newest.find(rejection.shard)->hash;
      entry.instead = *replaced;
      entry.is_lost = false;
      entry.again = rejection.reason == Reason::Io ? clock_.now() + kTryAgain : Monotonic::max();
      instead.push_back(std::move(*replaced));
      outcome.replaced.push_back(rejection);
    } else {
      outcome.kind = Outcome::Kind::Failed;
      outcome.error = {rejection.reason,
                       "the proxy rejects generation " + std::to_string(writer_.newest()) + ": " +
                           rejection.shard + " " + rejection.field + ": " + rejection.detail};
    }
  }
  if (instead.empty() && !replaces_default) return false;

  Draft draft = change_shards(newest, std::move(instead), {});
  if (replaces_default) {
    const auto& good = writer_.manifest(last_good_).default_certificate;
    rejected_default_ = newest.default_certificate;
    draft.manifest.default_certificate = good == newest.default_certificate ? std::nullopt : good;
  }
  // Every file is on disk already: of the newest generation or of the last good one.
  const auto written = writer_.write(draft, {}, clock_.unix_now());
  if (!written) {
    outcome.kind = Outcome::Kind::Failed;
    outcome.error = written.error();
    return false;
  }
  return true;
}

}  // namespace handfast::publish
