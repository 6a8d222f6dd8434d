#pragma once
// spec.tls: which certificate a host shows to clients. ingress-nginx's rules: the entry that lists
// the host, else the first Secret of that Ingress whose names cover it, else the default
// certificate; the first Ingress that has a tls section decides for the host.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/translate/findings.h"
#include "controller/translate/secrets.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// Whose certificate a host has, to tell a later Ingress that wants another.
struct FrontOwner {
  std::string ingress;  // "shop/orders"
  std::string secret;   // "shop/orders-tls"; empty: the default certificate
};

class FrontTls {
 public:
  // Borrows it.
  explicit FrontTls(Materials& materials) : materials_(materials) {}

  // Sets the host's TLS fields if `ingress` has a tls section and nobody decided before.
  void decide(const objects::Ingress& ingress, config::VirtualHost& host,
              std::optional<FrontOwner>& owner, ObjectReport& report);

 private:
  struct Choice {
    std::string secret;  // empty: the default certificate
    std::string field;
    bool decides = false;  // an entry lists, covers or means the host
  };
  [[nodiscard]] Choice choose(const objects::Ingress& ingress, std::string_view host);
  void apply(const objects::Ingress& ingress, const Choice& choice, config::VirtualHost& host,
             ObjectReport& report);

  Materials& materials_;
};

// Do the SANs ("DNS:*.shop.example") cover the host? "*.shop.example" is covered by itself only.
[[nodiscard]] bool covers(const std::vector<std::string>& sans, std::string_view host);

}  // namespace handfast::translate
