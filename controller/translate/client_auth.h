#pragma once
// auth-tls-*: whom a host's clients must be. ingress-nginx's annotations, failing closed.
//
// A handshake comes before the path, so a host has one set of rules (CA, CRL, depth, filters): that
// of the first Ingress whose Secret can be used. Another Ingress of the host takes part with the
// same rules and lets nobody in with others. What to do about a certificate is each Ingress' own.
//
// In ingress-nginx the rules hold for the whole host, also for paths of Ingresses that say nothing.
// Here they do within the namespace, where the same people own both; an Ingress opts out by
// auth-tls-verify-client: "off". Another namespace's paths are its own business.

#include <map>
#include <optional>
#include <string>

#include "controller/objects/objects.h"
#include "controller/translate/annotations.h"
#include "controller/translate/findings.h"
#include "controller/translate/options.h"
#include "controller/translate/secrets.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// What one Ingress asks for.
struct ClientPlan {
  std::optional<config::ClientAccess> access;  // none: it asks for nothing
  config::ClientTls rules;                     // usable unless `access` is refused
  bool opted_out = false;                      // it says so
  std::string field;                           // that names the Secret
  friend bool operator==(const ClientPlan&, const ClientPlan&) = default;
};

// Who decided for a host, and what paths that say nothing get, by namespace.
struct ClientOwner {
  std::string ingress;  // "shop/orders"; empty: nobody yet
  std::map<std::string, config::ClientAccess> inherited;
  std::map<std::string, config::Refusal> conflicts;  // by Ingress
};

class ClientAuth {
 public:
  // Borrows it.
  explicit ClientAuth(Materials& materials) : materials_(materials) {}

  // `refused`: values that are no values, for which every route answers 503.
  [[nodiscard]] ClientPlan plan(const objects::Ingress& ingress, const Annotations& annotations,
                                ObjectReport& report, std::optional<config::Refusal>& refused);

  // The Ingress has a path of this host: its rules become the host's, or the plan's access for this
  // host is refused.
  void decide(const objects::Ingress& ingress, const ClientPlan& plan, config::VirtualHost& host,
              ClientOwner& owner, ObjectReport& report);

 private:
  void apply_secret(const NamespacedName& ref, const objects::Ingress& ingress, ClientPlan& plan,
                    ObjectReport& report, std::optional<config::Refusal>& refused);
  void use_files(const config::ClientTls& rules);

  Materials& materials_;
};

// The CA, and the CRL if there is one, of a Secret become the rules by which clients are judged; or
// why nobody can be, as a finding at `field` too.
[[nodiscard]] std::optional<config::Refusal> use_client_secret(const NamespacedName& ref,
                                                               const std::string& field,
                                                               Materials& materials,
                                                               ObjectReport& report,
                                                               config::ClientTls& rules);

// What a route of this host gets: its Ingress' own, or what it inherits; none: it asks for nothing.
[[nodiscard]] std::optional<config::ClientAccess> access_for(const config::Route& route,
                                                             const ClientPlan& plan,
                                                             const ClientOwner& owner);

}  // namespace handfast::translate
