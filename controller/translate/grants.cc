#include "controller/translate/grants.h"

#include <algorithm>

namespace handfast::translate {

bool is_granted(const state::Reader& state, const GrantFrom& from, const GrantTo& to) {
  const auto grants = state.reference_grants(to.ns);
  return std::ranges::any_of(grants, [&](const objects::ReferenceGrant* grant) {
    const bool matches = std::ranges::any_of(grant->from, [&](const auto& one) {
      return one.group == from.group && one.kind == from.kind && one.ns == from.ns;
    });
    return matches && std::ranges::any_of(grant->to, [&](const auto& one) {
             return one.group.empty() && one.kind == to.kind &&
                    (one.name.empty() || one.name == to.name);
           });
  });
}

}  // namespace handfast::translate
