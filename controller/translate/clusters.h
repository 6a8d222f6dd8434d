#pragma once
// Service ports that somebody leads to, each a unit of work that all who do share: an endpoint that
// comes or goes is one unit, whatever leads there.
//
// Threading: one thread's. Ownership: borrows state and tracer.

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/trace.h"
#include "proxy/base/rare.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct ClusterUnit : Unit {
  enum How : std::uint8_t { Backend, Outside };

  ClusterUnit() : Unit(UnitKind::Cluster) {}
  const std::string* name = nullptr;  // the shard's, by which it is kept
  std::string ns;
  objects::ServiceBackend backend;  // if used as one
  Rare<config::Service> outside;    // if used as that alone
  bool is_backend = false;          // as it was worked on
  // What came of the work, until the change is collected.
  Rare<config::Service> fresh;
};

class Clusters {
 public:
  Clusters(const state::Reader& state, Tracer& tracer) : state_(state), tracer_(tracer) {}

  struct Lead {
    std::string name;                        // of the shard
    std::optional<config::Refusal> refused;  // the Service, or its port, is missing or wrong
  };
  // The unit that is worked on leads there. It rests on the Service, not on its endpoints.
  [[nodiscard]] Lead lead(std::string_view ns, const objects::ServiceBackend& backend);
  // To a name outside of the cluster. A Service of that name stands before it.
  void lead_outside(const config::Service& outside);

  // Does what is marked, and what is used otherwise than it was.
  void refresh();
  void mark_everything();
  [[nodiscard]] static bool is_used(const ClusterUnit& unit);
  void drop(const ClusterUnit& unit) { clusters_.erase(clusters_.find(*unit.name)); }

 private:
  ClusterUnit& unit_of(const std::string& name);

  const state::Reader& state_;
  Tracer& tracer_;
  std::map<std::string, ClusterUnit, std::less<>> clusters_;
};

}  // namespace handfast::translate
