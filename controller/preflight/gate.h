#pragma once
// What stands between translation and publishing: rotation.preflight of UpstreamTLSPolicies.
//
// A policy's shard that brings a new identity or more trust than the one that serves is asked about
// (the proxy shakes hands with up to three endpoints by it):
//
//   Warn     the shard goes through at once, and what comes of the question is told
//   Enforce  the shard goes through at once with the old identity and the old trust in it, and the
//            new ones as its candidate; they take their place when an endpoint took them
//
//   new --> asked --> passed, or nobody to ask --> promoted
//             ^  |
//             |  +--> refused, unreached: told; asked again after 5 s, doubling to 5 min, and when
//             +------ the Service's endpoints are others
//
// Nothing else waits: what shrinks (a CA that is gone, a CRL, names, pins) is in the shard that
// goes through, and old content is kept only as novelty.h allows; when the old certificate expires
// the new one takes its place whatever anybody said. A shard that serves nothing yet has nothing to
// keep: it goes through without a question.
//
// It remembers only what a question is out about. What serves is read from the newest generation,
// so that a controller that starts anew goes on where the one before was.
//
//   pass(change) -> publish -> ask() -> … take(reply) -> is_dirty()? publish again
//
// Threading: one thread's. Ownership: borrows its parts.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/preflight/asker.h"
#include "controller/preflight/novelty.h"
#include "controller/preflight/votes.h"
#include "controller/publish/generation_writer.h"
#include "controller/state/cluster_state.h"
#include "controller/translate/report.h"
#include "controller/translate/translator.h"
#include "proxy/base/clock.h"

namespace handfast::preflight {

class Gate {
 public:
  static constexpr std::size_t kMostEndpoints = 3;
  static constexpr std::chrono::seconds kFirstPause{5};
  static constexpr std::chrono::seconds kMostPause{300};

  struct Parts {
    const state::ClusterState& state;
    const publish::GenerationWriter& writer;
    const Clock& clock;
    Asker* asker = nullptr;  // null: nobody is asked, and everything goes through
  };
  explicit Gate(Parts parts) : parts_(parts) {}

  // Puts what was promoted into the change, and takes out of it what has to wait.
  void pass(translate::Change& change);
  // Asks what is due. After the change was written: its files are read for the answer.
  void ask();
  void take(Reply reply);

  // Whether something was decided that has to be published.
  [[nodiscard]] bool is_dirty() const { return !promoted_.empty(); }
  // Policies' ports whose new content waits for an answer while the last good one serves.
  [[nodiscard]] std::size_t held_count() const;
  // When ask() has something to do.
  [[nodiscard]] std::optional<Monotonic> due() const;

  // Since the call before.
  struct News {
    translate::Report over, added;
    std::vector<Verdict> verdicts;  // of the questions that were answered
  };
  [[nodiscard]] News take_news();

  // Whose shard it is, and for which port.
  struct Place {
    std::string ns, policy;
    objects::ServiceBackend backend;
  };

 private:
  struct Pending {
    Place place;
    config::UpstreamTls wanted;
    config::UpstreamTls served;  // of which identity and trust may be kept
    Novelty novelty;
    bool is_enforced = false;
    std::uint64_t number = 0;  // of the question that is out; 0: none
    Monotonic ask_at{};
    std::chrono::seconds pause = kFirstPause;
    std::size_t asked = 0;
    UnixSeconds since = 0;
    std::optional<translate::Finding> told;

    [[nodiscard]] bool keeps_identity() const {
      return is_enforced && novelty.identity && novelty.may_keep_identity;
    }
    [[nodiscard]] bool keeps_trust() const {
      return is_enforced && novelty.trust && novelty.may_keep_trust;
    }
    [[nodiscard]] bool keeps_any() const { return keeps_identity() || keeps_trust(); }
  };
  using All = std::map<std::string, Pending, std::less<>>;  // by UpstreamTls::name

  void admit(config::UpstreamTls& shard, const translate::FileSet& files);
  void hold(const Pending& pending, config::UpstreamTls& shard) const;
  void look_at_services(const translate::Change& change);
  void ask(const std::string& name, Pending& pending);
  [[nodiscard]] config::Service endpoints_of(const Pending& pending) const;
  void settle(All::iterator pending, const Judgement& judgement);
  void promote(All::iterator pending, std::string_view why, const std::string& detail);
  void tell(Pending& pending, const Judgement& judgement);
  void withdraw(Pending& pending);
  All::iterator forget(All::iterator pending);

  const Parts parts_;
  All pending_;
  std::map<std::string, config::UpstreamTls> promoted_;  // until they are published
  std::uint64_t last_number_ = 0;
  News news_;
};

}  // namespace handfast::preflight
