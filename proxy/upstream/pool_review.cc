// Connections that are open while policies change: who may still be believed, and who is judged
// anew.

#include <algorithm>
#include <utility>

#include "proxy/upstream/pool.h"

namespace handfast::upstream {
namespace {

bool same_identity(const pki::Identity* a, const pki::Identity* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->info().sha256 == b->info().sha256;
}

// Whether a policy that is refused for this has lost what its backends were believed by. What is
// wrong with our own pair says nothing against them.
bool takes_trust_away(Reason reason) {
  switch (reason) {
    case Reason::CaMissing:
    case Reason::BadCa:
    case Reason::CrlMissing:
    case Reason::BadCrl:
    case Reason::NotPermitted:
    case Reason::BelowMinimum:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Pool::on_snapshot(const route::Snapshot& snapshot,
                       const std::unordered_set<std::string>& policies) {
  if (policies.empty()) return;
  // Attempts under way: their users look at the policy again before they use what comes of it.
  for (const auto& dial : dials_) {
    const auto& made_under = dial->target_.policy;
    if (made_under == nullptr || !policies.contains(made_under->name)) continue;
    const auto policy = snapshot.find_policy(made_under->name);
    if (policy == nullptr || policy->refused || policy->key != made_under->key ||
        policy->epoch != made_under->epoch) {
      dial->made_.superseded = true;
    }
  }
  std::vector<Connection*> closing;
  Review review;
  for (const auto& [id, connection] : by_id_) {
    const std::string& name = connection->facts_.policy->name;
    if (!policies.contains(name) && !connection->superseded_) continue;
    const auto policy = snapshot.find_policy(name);
    const bool gone = policy == nullptr || policy->refused.has_value();
    const bool same_rules = !gone && policy->key == connection->facts_.policy->key;
    if (!same_rules && !connection->in_use()) {
      closing.push_back(connection);
      continue;
    }
    if (!same_rules) connection->superseded_ = true;
    if (!gone && policy->drain &&
        !same_identity(policy->identity.get(), connection->facts_.policy->identity.get())) {
      // A further change doesn't begin the time anew.
      const Monotonic end = loop_.now() + *policy->drain;
      connection->drain_at_ = std::min(connection->drain_at_.value_or(end), end);
    }
    if (connection->superseded_) {
      review_users(*connection, policy, snapshot, review);
    } else {
      hold_to(*connection, policy, review);
    }
  }
  for (Connection* connection : closing) {
    hooks_.on_closed_by_change("identity");
    close(*connection);
  }
  for (auto& [id, error] : review.refused) {
    const auto found = by_id_.find(id);  // what one user does may end others
    if (found == by_id_.end()) continue;
    hooks_.on_closed_by_change("trust");
    found->second->fail(std::move(error));
  }
  if (!review.judging.empty()) hooks_.judge(std::move(review.judging));
}

// Whoever uses it goes by rules of his own, which were the same once: another Ingress', or those
// that have another name now. `named`: what goes by the name of those that it was made under, or
// null.
void Pool::review_users(Connection& connection, const PolicyPtr& named,
                        const route::Snapshot& snapshot, Review& review) {
  auto policies = connection.policies_today(snapshot);
  if (policies.empty() && named != nullptr) policies.push_back(named);
  for (PolicyPtr& policy : policies) {
    if (!policy->refused) {
      std::string question = policy->key + policy->epoch;
      if (question == connection.asked_) continue;
      connection.asked_ = std::move(question);
    }
    hold_to(connection, std::move(policy), review);
  }
}

void Pool::hold_to(Connection& connection, PolicyPtr policy, Review& review) {
  if (policy->refused) {
    if (takes_trust_away(policy->refused->reason)) {
      review.refused.emplace_back(connection.id_, *policy->refused);
    }
    return;
  }
  if (policy->require_certificate_request && !connection.facts_.tls.certificate_requested) {
    review.refused.emplace_back(
        connection.id_, Error{Reason::ClientCertificateNotRequested,
                              "the backend didn't ask for our certificate, which it must now"});
    return;
  }
  const bool same_rules = policy->key == connection.facts_.policy->key;
  if (same_rules && policy->epoch == connection.epoch_) return;
  X509* leaf = SSL_get1_peer_certificate(connection.ssl());
  if (leaf == nullptr) return;
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(connection.ssl());
  review.judging.push_back(
      {connection.id_, pki::X509Ptr(leaf),
       pki::X509StackPtr(chain == nullptr ? sk_X509_new_null() : X509_chain_up_ref(chain)),
       connection.tls_->stapled(), std::move(policy)});
}

void Pool::on_judged(std::uint64_t id, const PolicyPtr& policy, const pki::Verdict& verdict) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  Connection& connection = *found->second;
  if (verdict.ok()) {
    connection.epoch_ = policy->epoch;
    connection.distrusted_.reset();
    connection.valid_until_ = verdict.valid_until;
    connection.would_refuse_ = verdict.would_refuse;
    if (policy->key == connection.facts_.policy->key) {
      // Else a connection of days would keep the CRLs of the day that it was made.
      connection.facts_.policy = policy;
      connection.tls_->move_to(policy, verdict);
    }
    return;
  }
  if (policy->trust_drain && connection.in_use()) {
    connection.superseded_ = true;  // takes no new request
    Monotonic end = loop_.now() + *policy->trust_drain;
    if (connection.distrusted_) end = std::min(end, connection.distrusted_->end);
    connection.distrusted_ = Connection::Distrust{{verdict.reason, verdict.detail}, end};
    return;
  }
  hooks_.on_closed_by_change("trust");
  connection.fail({verdict.reason, verdict.detail});
}

}  // namespace handfast::upstream
