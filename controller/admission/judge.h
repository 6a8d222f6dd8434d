#pragma once
// Whether an Ingress or an UpstreamTLSPolicy may be stored: its own faults refuse it, with the
// sentence that `handfast lint` gives; whatever else stands in its way is a warning.
//
// The object is translated, alone with the few objects that it is judged by, as it will be after it
// was stored. What it refers to is taken for there and good (stand_ins.h), so a Secret that comes
// later can't refuse it. An error that is gone without the policies of others is theirs and warns;
// an error that is gone with a ReferenceGrant warns too.
//
// Pure: no file, no network, no program. Threading: any thread; the index is asked under its lock.

#include <set>
#include <string>
#include <unordered_set>

#include "controller/admission/index.h"
#include "controller/admission/stand_ins.h"
#include "controller/objects/objects.h"
#include "controller/state/cluster_state.h"
#include "controller/translate/options.h"
#include "controller/translate/report.h"
#include "controller/translate/translate.h"
#include "proxy/base/clock.h"

namespace handfast::admission {

struct Verdict {
  translate::Report refusals;  // none: it may be stored
  translate::Report warnings;
};

class Judge final {
 public:
  // Borrows the index.
  Judge(const translate::Options& options, const Index& index, StandIns stand_ins);

  // `before`: what the object was, if it is changed; claims that it had then only warn.
  [[nodiscard]] Verdict judge(const objects::Ingress& ingress, const objects::Ingress* before,
                              UnixSeconds now) const;
  [[nodiscard]] Verdict judge(const objects::UpstreamTlsPolicy& policy, UnixSeconds now) const;

  [[nodiscard]] bool is_ours(const objects::Ingress& ingress) const {
    return index_.is_ours(ingress);
  }

 private:
  struct Case;
  using Said = std::unordered_set<std::string>;  // fields and sentences

  void judge_claims(const objects::Ingress& ingress, const objects::Ingress* before,
                    Verdict& verdict) const;
  [[nodiscard]] Verdict judge_alone(const Case& one) const;
  [[nodiscard]] translate::Output translate_one(const state::ClusterState& state,
                                                const Case& one) const;
  void tell_missing(const Case& one, const translate::Output& bare, Verdict& verdict,
                    Said& said) const;
  [[nodiscard]] bool assume(const Case& one, const std::set<objects::ObjectKey>& references,
                            state::ClusterState& state) const;
  void spare(const Case& one, state::ClusterState& state, Verdict& verdict) const;

  const translate::Options options_;
  const Index& index_;
  const StandIns stand_ins_;
};

}  // namespace handfast::admission
