#include "controller/translate/clusters.h"

#include "controller/translate/services.h"

namespace handfast::translate {

ClusterUnit& Clusters::unit_of(const std::string& name) {
  const auto [found, added] = clusters_.try_emplace(name);
  if (added) found->second.name = &found->first;
  return found->second;
}

Clusters::Lead Clusters::lead(std::string_view ns, const objects::ServiceBackend& backend) {
  Lead lead{cluster_name(ns, backend), find_refusal(state_, ns, backend)};
  ClusterUnit& unit = unit_of(lead.name);
  unit.ns = ns;
  unit.backend = backend;
  if (!unit.is_backend) tracer_.mark(unit);
  tracer_.on_used(unit, ClusterUnit::Backend);
  return lead;
}

void Clusters::lead_outside(const config::Service& outside) {
  ClusterUnit& unit = unit_of(outside.name);
  if (!unit.outside && !unit.is_backend) tracer_.mark(unit);
  unit.outside = outside;
  tracer_.on_used(unit, ClusterUnit::Outside);
}

bool Clusters::is_used(const ClusterUnit& unit) {
  return unit.used[ClusterUnit::Backend] != 0 || unit.used[ClusterUnit::Outside] != 0;
}

void Clusters::mark_everything() {
  for (auto& [name, unit] : clusters_) tracer_.mark(unit);
}

void Clusters::refresh() {
  for (Unit* each : tracer_.take_dirty(UnitKind::Cluster)) {
    auto& unit = static_cast<ClusterUnit&>(*each);
    Tracer::Scope scope{tracer_, unit};
    unit.is_backend = unit.used[ClusterUnit::Backend] != 0;
    unit.fresh.reset();
    if (unit.is_backend) {
      unit.fresh = make_service(state_, unit.ns, unit.backend, scope.findings());
    } else if (unit.used[ClusterUnit::Outside] != 0) {
      unit.fresh = unit.outside;
    }
  }
}

}  // namespace handfast::translate
