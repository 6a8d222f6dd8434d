#pragma once
// Which findings are about the objects that serve a route: its Ingress, its Service, and the owner
// and the sources of its TLS policy.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "controller/translate/report.h"
#include "proxy/base/reason.h"
#include "proxy/config/model.h"

namespace handfast {

// Findings by their object, "Ingress/shop/orders". Borrowed.
using FindingIndex = std::map<std::string, std::vector<const translate::Finding*>>;
[[nodiscard]] FindingIndex index_findings(const translate::Report& report);

// The way to the server that a route asks, as if it were a route. Precondition: it asks one.
[[nodiscard]] config::Route auth_hop(const config::Route& route);

class Concerns {
 public:
  // `policy` may be null.
  Concerns(const config::Route& route, const config::UpstreamTls* policy);

  [[nodiscard]] bool include(const translate::Finding& finding) const;

  // What the first error with that word says to do, "Ingress shop/orders: <field>: <remedy>"; empty
  // if there is none.
  [[nodiscard]] std::string change(const FindingIndex& findings, Reason reason) const;

 private:
  std::set<std::string> objects_;  // "Ingress/shop/orders"
};

}  // namespace handfast
