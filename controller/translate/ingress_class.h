#pragma once
// Which Ingresses are ours, as ingress-nginx decides: spec.ingressClassName, else the old
// annotation kubernetes.io/ingress.class, else a default IngressClass or
// --watch-ingress-without-class.

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/options.h"

namespace handfast::translate {

class ClassFilter {
 public:
  // Borrows both.
  ClassFilter(const state::Reader& state, const Options& options)
      : state_(state), options_(options) {}

  // One that isn't ours is told as Info and yields nothing.
  [[nodiscard]] bool is_ours(const objects::Ingress& ingress, ObjectReport& report) const;

 private:
  [[nodiscard]] bool names_our_class(const objects::Ingress& ingress, ObjectReport& report) const;
  [[nodiscard]] bool is_default_ours() const;

  const state::Reader& state_;
  const Options& options_;
};

}  // namespace handfast::translate
