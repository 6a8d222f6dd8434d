#pragma once
// spec.tls: which certificates a host shows to clients. ingress-nginx's rules: the entry that lists
// the host, else the first Secret of that Ingress whose names cover it, else the default
// certificate; the first Ingress that has a tls section decides for the host.
//
// Other than there, a host has one certificate for each type of key: entries that list it, of one
// Ingress or of several of the same namespace, add to each other, and the rules hold among those of
// the same type. Another namespace's never add: most clients would see theirs.

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
  std::string ns;
  std::string ingress;  // "shop/orders"
  std::string secret;   // "shop/orders-tls"; empty: the default certificate
  bool usable = false;
  std::string key_type = {};  // empty: not known, of a last good one
};

class FrontTls {
 public:
  // Borrows it.
  explicit FrontTls(Materials& materials) : materials_(materials) {}

  // Sets the host's TLS fields if `ingress` has a tls section and nobody decided before.
  void decide(const objects::Ingress& ingress, config::VirtualHost& host,
              std::vector<FrontOwner>& owners, ObjectReport& report);

 private:
  struct Choice {
    std::string secret;  // empty: the default certificate
    std::string field;
  };
  // Of the entries that list, cover or mean the host; what can be used first.
  [[nodiscard]] std::vector<Choice> choose(const objects::Ingress& ingress, std::string_view host);
  [[nodiscard]] FrontOwner owner_of(const objects::Ingress& ingress, const Choice& choice);
  void take(const objects::Ingress& ingress, const Choice& choice, config::VirtualHost& host,
            std::vector<FrontOwner>& owners, ObjectReport& report);
  void apply(const objects::Ingress& ingress, const Choice& choice, config::VirtualHost& host,
             ObjectReport& report);

  Materials& materials_;
};

// Do the SANs ("DNS:*.shop.example") cover the host? "*.shop.example" is covered by itself only.
[[nodiscard]] bool covers(const std::vector<std::string>& sans, std::string_view host);

}  // namespace handfast::translate
