#pragma once
// The proxy-ssl-* annotations of one Ingress: design section 5, "Upstream TLS".
//
// What they say is read once per Ingress (UpstreamPlan: identity, trust, rules) and then finished
// for each Service port that the Ingress sends requests to (expected names, SNI). Every doubt
// refuses: nothing here falls back to a default that is weaker than what was asked for.

#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/objects.h"
#include "controller/translate/annotations.h"
#include "controller/translate/auth_settings.h"
#include "controller/translate/findings.h"
#include "controller/translate/options.h"
#include "controller/translate/secrets.h"
#include "controller/translate/services.h"
#include "controller/translate/trace.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// What the annotations of one Ingress say about TLS to its Services.
struct UpstreamPlan {
  // All but `name`, `names` and `sni`. `refused` is set if the annotations can't be satisfied.
  config::UpstreamTls rules;
  std::string expected_name;  // proxy-ssl-name; may hold $service_name, $namespace, $service_port
  std::string expected_name_field;
  bool send_sni = true;
};

// Do the annotations say anything about TLS to the Service?
[[nodiscard]] const Annotation* find_tls_annotation(const Annotations& annotations);

class BackendTls {
 public:
  // What to tell if there is no CA at all.
  struct NoCaWords {
    std::string_view message;
    std::string_view remedy;
  };

  // Borrows all.
  BackendTls(const Options& options, Materials& materials, Tracer& tracer)
      : options_(options), materials_(materials), tracer_(tracer) {}

  // For an Ingress that speaks TLS to its Services.
  [[nodiscard]] UpstreamPlan plan(const objects::Ingress& ingress, const Annotations& annotations,
                                  ObjectReport& report);

  // For an auth server: all but `name`, `names` and `sni`. `ns` is that of the Ingress or the
  // ConfigMap that asks, `field` that of auth-url.
  [[nodiscard]] config::UpstreamTls plan_auth(const std::string& ns, const AuthSettings& settings,
                                              const std::string& field, ObjectReport& report);

  // For one that doesn't: the annotations have no effect, which is told, but a value that is
  // no value is refused all the same.
  [[nodiscard]] std::optional<config::Refusal> check_unused(const objects::Ingress& ingress,
                                                            const Annotations& annotations,
                                                            ObjectReport& report) const;

  // The policy for one Service port. `service` is null if there is no such Service.
  [[nodiscard]] config::UpstreamTls finish(const UpstreamPlan& plan,
                                           const objects::Ingress& ingress,
                                           const objects::ServiceBackend& backend,
                                           const objects::Service* service,
                                           ObjectReport& report) const;

 private:
  // `ns`: of who names it.
  void apply_secret(const NamespacedName& ref, const std::string& ns, const std::string& field,
                    UpstreamPlan& plan, ObjectReport& report);
  void apply_secret_trust(const ItemKey& ca_key, const ItemKey& crl_key, const std::string& field,
                          UpstreamPlan& plan, ObjectReport& report);
  void apply_other_trust(bool system_roots, const std::string& field, const NoCaWords& words,
                         UpstreamPlan& plan, ObjectReport& report);
  void apply_default_ca(const DefaultCa& ca, const std::string& field, UpstreamPlan& plan,
                        ObjectReport& report);

  const Options& options_;
  Materials& materials_;
  Tracer& tracer_;
};

}  // namespace handfast::translate
