#pragma once
// The auth server that the ConfigMap names for all who name none (global-auth-*): planned once,
// whoever asks it, by the code that plans that of one Ingress.
//
// A namespace for which the operator's minimum is higher has an answer of its own. Those who ask
// rest on the answers alone: a CA that changes is one TLS policy, however many Ingresses there are.
// What is wrong with a key stands in the way of all who would ask.
//
// Threading: one thread's. Ownership: borrows its parts.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/auth_server.h"
#include "controller/translate/clusters.h"
#include "controller/translate/findings.h"
#include "controller/translate/operator_crls.h"
#include "controller/translate/operator_rules.h"
#include "controller/translate/options.h"
#include "controller/translate/trace.h"
#include "proxy/base/sorted_set.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct GlobalAuthUnit : Unit {
  GlobalAuthUnit() : Unit(UnitKind::Single) {}
  std::vector<config::UpstreamTls> fresh;  // until the change is collected
  SortedSet<std::string> shards;           // their names
  SortedSet<std::string> out;              // those that the last change knew of
};

class GlobalAuth {
 public:
  struct Parts {
    const state::Reader& state;
    const Options& options;
    Clusters& clusters;
    AuthServers& auth_servers;
    OperatorCrls& operator_crls;
    Tracer& tracer;
  };
  explicit GlobalAuth(const Parts& parts) : parts_(parts) {}

  // Neither: nobody is to be asked.
  struct Answer {
    std::optional<config::ExternalAuth> auth;
    std::optional<config::Refusal> refused;
    // It lies below the minimum of a namespace, which those are told whom it concerns.
    std::string below;
    std::string remedy;
    friend bool operator==(const Answer&, const Answer&) = default;
  };

  // Works on the unit if it is marked. Before those who ask.
  void refresh();
  // For the unit that is worked on, of that namespace.
  [[nodiscard]] const Answer& ask(std::string_view ns);
  // Makes a route ask, or not be served.
  void apply(std::string_view ns, ObjectReport& report, bool& told, config::Route& route);

  [[nodiscard]] GlobalAuthUnit& unit() { return unit_; }

 private:
  [[nodiscard]] std::vector<Answer> plan(Report& findings);
  [[nodiscard]] Answer hold_to(const Floor& floor, const AuthPlan& plan, const FloorWords& words);
  void add_policy(config::UpstreamTls rules);

  const Parts parts_;
  GlobalAuthUnit unit_;
  std::vector<Answer> answers_;  // where no floor holds, then of each floor; empty: nobody is asked
};

}  // namespace handfast::translate
