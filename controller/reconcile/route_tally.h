#pragma once
// How many routes are refused, by reason, and how many go to a Service that isn't verified, by
// Ingress: kept up from change to change.
//
// A change of a host costs its routes. What becomes of policies and Services counts only where one
// begins or ceases to be refused or unverified, which is rare: all routes are counted again then.
//
// Threading: one thread's.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "controller/metrics/metrics.h"
#include "controller/translate/translator.h"
#include "proxy/base/reason.h"
#include "proxy/config/model.h"

namespace handfast::reconcile {

class RouteTally {
 public:
  void update(const translate::Change& change);

  [[nodiscard]] std::map<std::string, std::size_t> refused() const;
  [[nodiscard]] const std::map<metrics::Metrics::IngressName, std::size_t>& insecure() const {
    return insecure_;
  }

 private:
  struct Route {
    std::string ingress_namespace, ingress, service, policy;
    std::optional<Reason> refused;  // by itself
  };
  // Of a policy or a Service that is refused, or isn't verified.
  struct Doubt {
    std::optional<Reason> refused;
    friend bool operator==(const Doubt&, const Doubt&) = default;
  };
  using Doubts = std::unordered_map<std::string, Doubt>;

  void count(const std::vector<Route>& routes, bool add);
  void count(const Route& route, bool add);
  bool note(Doubts& doubts, const std::string& name, std::optional<Doubt> doubt);
  bool take(const std::string& name, const std::optional<config::Shard>& shard);

  std::unordered_map<std::string, std::vector<Route>> hosts_;  // by shard name
  Doubts policies_;
  Doubts services_;
  std::map<Reason, std::size_t> refused_;
  std::map<metrics::Metrics::IngressName, std::size_t> insecure_;
};

}  // namespace handfast::reconcile
