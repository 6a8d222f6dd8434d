#pragma once
// Material that stands in for what an object refers to, while the object is judged: a Secret that
// comes later, or that admission must not see, is taken for one that is there and good. What is
// left is what is wrong with the object itself.
//
// Made once, in memory; nothing is ever served with it. Threading: immutable.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "proxy/base/result.h"

namespace handfast::admission {

class StandIns {
 public:
  [[nodiscard]] static Result<StandIns> make();

  // Secrets with every key that is usual, ConfigMaps without any.
  [[nodiscard]] std::vector<objects::Object> for_ingress(
      const std::set<objects::ObjectKey>& references) const;
  // What the policy names, under the keys that it names.
  [[nodiscard]] std::vector<objects::Object> for_policy(
      const objects::UpstreamTlsPolicy& policy) const;

 private:
  std::string certificate_, key_, crl_;  // PEM
};

}  // namespace handfast::admission
