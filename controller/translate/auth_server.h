#pragma once
// auth-*: the server that the routes of an Ingress ask about each request, and how it is reached;
// and the global-auth-* keys of the ConfigMap, which say the same for all who name none.
//
// Over HTTPS it is verified, always: by the policy of its Service, else by
// handfast.dev/auth-proxy-ssl-secret, auth-upstream-ca or the operator's default CA, with the URL's
// host as its name. proxy-ssl-* are about the Ingress' own Services: an auth server is somebody
// else, whom neither that identity nor that trust is for. An audit doesn't reach here, nor does a
// permission to go without verification. A policy that presents a certificate does so for an
// Ingress, or a ConfigMap, of another namespace only with a ReferenceGrant.

#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/auth_settings.h"
#include "controller/translate/auth_values.h"
#include "controller/translate/backend_tls.h"
#include "controller/translate/clusters.h"
#include "controller/translate/findings.h"
#include "controller/translate/options.h"
#include "controller/translate/policy_targets.h"
#include "controller/translate/upstream_policy.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct AuthPlan {
  config::ExternalAuth auth;
  std::string field;  // of auth-url
  // Where it is: a port of a Service, or a name outside.
  std::string ns;
  std::optional<objects::ServiceBackend> backend;
  std::optional<config::Service> outside;
  std::optional<config::UpstreamTls> tls;
};

// The unit that is worked on leads to it. `report`: of who asks.
void lead_to(const AuthPlan& plan, Clusters& clusters, ObjectReport& report);

class AuthServers {
 public:
  // Borrows all.
  AuthServers(const state::Reader& state, const Options& options, BackendTls& backend_tls,
              const PolicyTargets& targets, UpstreamPolicies& policies)
      : state_(state),
        options_(options),
        backend_tls_(backend_tls),
        targets_(targets),
        policies_(policies) {}

  // `asks`: of the Ingress or the ConfigMap that says it. Nothing: it asks nobody, or is refused.
  [[nodiscard]] std::optional<AuthPlan> plan(const objects::Meta& asks,
                                             const AuthSettings& settings, ObjectReport& report,
                                             std::optional<config::Refusal>& refused);

 private:
  struct Reading;
  static void read_answers(Reading& reading, config::ExternalAuth& auth);
  void read_set_headers(Reading& reading, config::ExternalAuth& auth) const;
  void locate(Reading& reading, const AuthUrl& url, AuthPlan& plan) const;
  void secure(Reading& reading, const AuthUrl& url, AuthPlan& plan);
  void secure_by_policy(Reading& reading, const PolicyTargets::Choice& choice, const AuthUrl& url,
                        AuthPlan& plan);
  // What was decided by the rules of the other namespace, or of this one as well.
  void hold_to_floor(Reading& reading, std::string_view ns, config::UpstreamTls& tls) const;
  void refuse_plain(Reading& reading, const AuthPlan& plan) const;

  const state::Reader& state_;
  const Options& options_;
  BackendTls& backend_tls_;
  const PolicyTargets& targets_;
  UpstreamPolicies& policies_;
};

}  // namespace handfast::translate
