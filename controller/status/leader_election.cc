#include "controller/status/leader_election.h"

#include <charconv>
#include <string_view>
#include <utility>

#include "controller/status/text.h"
#include "proxy/config/emit.h"

namespace handfast::status {
namespace {

using config::JsonObject;
using Verb = LeaderElection::Request::Verb;

std::string text_of(const objects::Value& map, std::string_view key) {
  const objects::Value* value = map.find(key);
  return value == nullptr ? std::string{} : value->scalar;
}

std::int64_t number_of(const objects::Value& map, std::string_view key) {
  const std::string text = text_of(map, key);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() ? number : 0;
}

bool same_spec(const Lease& left, const Lease& right) {
  return left.holder == right.holder && left.renewed == right.renewed &&
         left.acquired == right.acquired && left.transitions == right.transitions &&
         left.duration == right.duration;
}

// Refused as a conflict if the lease isn't what we saw.
template <class FillSpec>
LeaderElection::Request make_patch(const Lease& seen, FillSpec fill) {
  LeaderElection::Request request{Verb::Patch, {}};
  {
    JsonObject patch{request.body};
    JsonObject{patch.key("metadata")}.text("resourceVersion", seen.resource_version);
    JsonObject spec{patch.key("spec")};
    fill(spec);
  }
  return request;
}

}  // namespace

Result<Lease> parse_lease(const objects::Value& object) {
  const objects::Value* meta = object.find("metadata");
  if (meta == nullptr || text_of(object, "kind") != "Lease" ||
      text_of(*meta, "resourceVersion").empty()) {
    return fail(Reason::BadResponse, "the answer is not a Lease");
  }
  Lease lease;
  lease.resource_version = text_of(*meta, "resourceVersion");
  if (const objects::Value* spec = object.find("spec"); spec != nullptr) {
    lease.holder = text_of(*spec, "holderIdentity");
    lease.duration = std::chrono::seconds{number_of(*spec, "leaseDurationSeconds")};
    lease.acquired = text_of(*spec, "acquireTime");
    lease.renewed = text_of(*spec, "renewTime");
    lease.transitions = number_of(*spec, "leaseTransitions");
  }
  return lease;
}

LeaderElection::LeaderElection(Settings settings) : settings_(std::move(settings)) {}

std::optional<LeaderElection::Request> LeaderElection::next(Monotonic now, UnixSeconds wall) {
  if (waiting_ || now < due_) return std::nullopt;
  waiting_ = true;
  sent_at_ = now;
  if (next_ == Verb::Get) return Request{};
  if (next_ == Verb::Patch) return make_update(wall);
  std::string body;
  {
    JsonObject lease{body};
    lease.text("apiVersion", "coordination.k8s.io/v1");
    lease.text("kind", "Lease");
    {
      JsonObject meta{lease.key("metadata")};
      meta.text("namespace", settings_.ns);
      meta.text("name", settings_.name);
    }
    JsonObject spec{lease.key("spec")};
    spec.text("holderIdentity", settings_.identity);
    spec.number("leaseDurationSeconds", std::int64_t{settings_.ttl.count()});
    spec.text("acquireTime", micro_time(wall));
    spec.text("renewTime", micro_time(wall));
    spec.number("leaseTransitions", std::int64_t{0});
  }
  return Request{Verb::Create, std::move(body)};
}

LeaderElection::Request LeaderElection::make_update(UnixSeconds wall) const {
  const bool ours = seen_->holder == settings_.identity;
  return make_patch(*seen_, [&](JsonObject& spec) {
    spec.text("holderIdentity", settings_.identity);
    spec.number("leaseDurationSeconds", std::int64_t{settings_.ttl.count()});
    if (!ours) spec.text("acquireTime", micro_time(wall));
    spec.text("renewTime", micro_time(wall));
    spec.number("leaseTransitions", seen_->transitions + (ours ? 0 : 1));
  });
}

void LeaderElection::ask_next(Request::Verb verb, Monotonic at) {
  next_ = verb;
  due_ = at;
}

void LeaderElection::observe(const Lease& lease, Monotonic now) {
  if (!seen_ || !same_spec(*seen_, lease)) seen_at_ = now;
  seen_ = lease;
}

bool LeaderElection::is_free(Monotonic now) const {
  return seen_->holder.empty() || seen_->holder == settings_.identity ||
         now >= seen_at_ + seen_->duration;
}

void LeaderElection::on_answer(const Answer& answer, Monotonic now) {
  using Kind = Answer::Kind;
  const auto retry = std::chrono::duration_cast<Monotonic::duration>(settings_.ttl) / 4;
  const bool asked = next_ == Verb::Get;
  waiting_ = false;
  if (answer.kind == Kind::Ok && answer.lease && !asked) {
    observe(*answer.lease, now);
    leads_until_ = sent_at_ + 2 * retry;
    ask_next(Verb::Patch, sent_at_ + retry);
  } else if (answer.kind == Kind::Ok && answer.lease) {
    observe(*answer.lease, now);
    if (seen_->holder != settings_.identity) leads_until_ = {};
    const bool may_take = is_free(now);
    ask_next(may_take ? Verb::Patch : Verb::Get, may_take ? now : now + retry);
  } else if (answer.kind == Kind::NotFound) {
    leads_until_ = {};
    ask_next(asked ? Verb::Create : Verb::Get, asked ? now : now + retry);
  } else {
    // After a conflict look at once, but never in a tight circle.
    const bool again = answer.kind == Kind::Conflict && !asked;
    ask_next(Verb::Get, again ? now : now + retry);
  }
}

std::optional<LeaderElection::Request> LeaderElection::release(UnixSeconds wall) {
  if (!seen_ || seen_->holder != settings_.identity || leads_until_ == Monotonic{}) {
    return std::nullopt;
  }
  leads_until_ = {};
  return make_patch(*seen_, [wall](JsonObject& spec) {
    spec.text("holderIdentity", "");
    spec.number("leaseDurationSeconds", std::int64_t{1});
    spec.text("renewTime", micro_time(wall));
  });
}

}  // namespace handfast::status
