#include "controller/translate/ingress_class.h"

#include <algorithm>

namespace handfast::translate {
namespace {

constexpr std::string_view kClassAnnotation = "kubernetes.io/ingress.class";

}  // namespace

bool ClassFilter::is_default_ours() const {
  return std::ranges::any_of(state_.ingress_classes(), [&](const auto* each) {
    return each->is_default && each->controller == options_.controller_name;
  });
}

bool ClassFilter::is_ours(const objects::Ingress& ingress, ObjectReport& report) const {
  if (ingress.class_name) return names_our_class(ingress, report);

  const auto annotation = ingress.meta.annotations.find(kClassAnnotation);
  if (annotation != ingress.meta.annotations.end() && !annotation->second.empty()) {
    if (annotation->second == options_.ingress_class) return true;
    report.info(Reason::Unsupported, "metadata.annotations[" + std::string{kClassAnnotation} + ']',
                "It is of class " + quoted(annotation->second) + ", not of " +
                    quoted(options_.ingress_class) + ", and isn't served here.",
                "Nothing, if another controller serves it.");
    return false;
  }
  if (options_.watch_ingress_without_class || is_default_ours()) return true;
  report.info(Reason::Unsupported, "spec.ingressClassName",
              "It names no class and isn't served here.",
              "Set spec.ingressClassName: " + options_.ingress_class + ".");
  return false;
}

bool ClassFilter::names_our_class(const objects::Ingress& ingress, ObjectReport& report) const {
  const std::string& name = *ingress.class_name;
  if (const auto* found = state_.find_ingress_class(name)) {
    if (found->controller == options_.controller_name) return true;
    report.info(Reason::Unsupported, "spec.ingressClassName",
                "IngressClass " + clip(name) + " is of the controller " +
                    quoted(found->controller) + "; the Ingress isn't served here.",
                "Nothing, if another controller serves it.");
    return false;
  }
  if (name == options_.ingress_class) {
    // A manifests directory has no cluster that holds the class.
    report.info(Reason::Unsupported, "spec.ingressClassName",
                "There is no IngressClass " + clip(name) +
                    "; the Ingress is served because this controller's class has that name.",
                "Add the IngressClass, if this is meant for a cluster.");
    return true;
  }
  report.info(Reason::Unsupported, "spec.ingressClassName",
              "There is no IngressClass " + quoted(name) + "; the Ingress isn't served here.",
              "Nothing, if another controller serves it; else set spec.ingressClassName: " +
                  options_.ingress_class + ".");
  return false;
}

}  // namespace handfast::translate
