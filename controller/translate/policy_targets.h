#pragma once
// Which policy decides on a port of a Service: an UpstreamTLSPolicy on the port, one on the
// Service, a BackendTLSPolicy on the port, one on the Service, in this order; of several the
// oldest, then the first by name. Nothing of a loser is merged in.
//
// A policy that names a port which the Service doesn't have stands in the way of all of its ports
// but those with an UpstreamTLSPolicy of their own: a name with a typing mistake must not leave a
// port unprotected.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/findings.h"

namespace handfast::translate {

// One policy of either kind. Borrowed from the state.
struct PolicyRef {
  const objects::UpstreamTlsPolicy* upstream = nullptr;
  const objects::BackendTlsPolicy* backend = nullptr;  // iff not upstream

  [[nodiscard]] const objects::Meta& meta() const;
  [[nodiscard]] std::string_view kind() const;
  [[nodiscard]] std::string text() const;  // "UpstreamTLSPolicy shop/orders"
  friend bool operator==(const PolicyRef&, const PolicyRef&) = default;
};

class PolicyTargets {
 public:
  // Borrows it.
  explicit PolicyTargets(const state::Reader& state);

  struct Choice {
    PolicyRef policy;
    std::string missing_section;  // not empty: it names this port, which isn't there
  };
  // None: annotations decide. `service` is null if there is no such Service.
  [[nodiscard]] std::optional<Choice> find(std::string_view ns, const std::string& name,
                                           std::string_view port_name,
                                           const objects::Service* service) const;

  // All that there are, those of each kind in the order in which they count.
  [[nodiscard]] const std::vector<PolicyRef>& policies() const { return policies_; }

  // Targets that aren't there, and policies that lost.
  void tell(Report& report) const;

 private:
  struct Claim {
    PolicyRef policy;
    std::size_t index = 0;  // in targetRefs
    std::string section;
  };
  using Claims = std::vector<Claim>;

  void add(const PolicyRef& policy, const std::vector<objects::PolicyTarget>& targets);
  void tell_service(const objects::Service* service, const Claims& claims, Report& report) const;

  const state::Reader& state_;
  std::vector<PolicyRef> policies_;
  std::map<std::pair<std::string, std::string>, Claims> claims_;  // by namespace and Service
};

}  // namespace handfast::translate
