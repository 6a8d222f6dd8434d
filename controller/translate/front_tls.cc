#include "controller/translate/front_tls.h"

#include <algorithm>
#include <utility>

#include "controller/objects/names.h"
#include "controller/translate/names.h"

namespace handfast::translate {
namespace {

constexpr std::string_view kDns = "DNS:";

bool wildcard_covers(std::string_view pattern, std::string_view host) {
  if (!pattern.starts_with("*.")) return false;
  const std::size_t dot = host.find('.');
  return dot != std::string_view::npos && dot > 0 && host.substr(dot) == pattern.substr(1);
}

bool lists(const objects::IngressTls& entry, std::string_view host) {
  // An entry without hosts means the controller's own wildcard: the host that names none.
  if (host.empty()) return entry.hosts.empty();
  return std::any_of(entry.hosts.begin(), entry.hosts.end(),
                     [host](const std::string& each) { return to_lower(each) == host; });
}

// Doesn't list the host, but may well mean it.
bool may_mean(const objects::IngressTls& entry, std::string_view host) {
  return entry.hosts.empty() ||
         std::any_of(entry.hosts.begin(), entry.hosts.end(), [host](const std::string& each) {
           return wildcard_covers(to_lower(each), host);
         });
}

ItemKey pair_key(const objects::Ingress& ingress, const std::string& secret) {
  return {.kind = "Secret", .ns = ingress.meta.ns, .name = secret, .item = ItemKind::KeyPair};
}

}  // namespace

bool covers(const std::vector<std::string>& sans, std::string_view host) {
  return std::any_of(sans.begin(), sans.end(), [host](const std::string& san) {
    if (!san.starts_with(kDns)) return false;
    const std::string name = to_lower(std::string_view{san}.substr(kDns.size()));
    return name == host || (!host.starts_with("*.") && wildcard_covers(name, host));
  });
}

void FrontTls::decide(const objects::Ingress& ingress, config::VirtualHost& host,
                      std::optional<FrontOwner>& owner, ObjectReport& report) {
  if (ingress.tls.empty()) return;
  host.tls = true;
  const Choice choice = choose(ingress, host.host);
  // It has TLS, for other hosts: one that names a certificate for this host may still come.
  if (!choice.decides) return;
  const std::string secret = choice.secret.empty() ? "" : ingress.meta.ns + '/' + choice.secret;
  const std::string name = ingress.meta.ns + '/' + ingress.meta.name;
  if (!owner) {
    owner = FrontOwner{.ingress = name, .secret = secret};
    apply(ingress, choice, host, report);
  } else if (owner->ingress != name && owner->secret != secret) {
    report.warn(Reason::Conflict, choice.field,
                "Ingress " + owner->ingress + " decided on the certificate of host " +
                    quoted(host.host) + " before; this one isn't used.",
                "Name the same Secret in both, or only in one.");
  }
}

FrontTls::Choice FrontTls::choose(const objects::Ingress& ingress, std::string_view host) {
  const auto choice_at = [&ingress](std::size_t i) {
    return Choice{ingress.tls[i].secret_name, "spec.tls[" + std::to_string(i) + "].secretName",
                  true};
  };
  for (std::size_t i = 0; i < ingress.tls.size(); ++i) {
    if (lists(ingress.tls[i], host)) return choice_at(i);
  }
  std::optional<std::size_t> meant;
  for (std::size_t i = 0; i < ingress.tls.size(); ++i) {
    const std::string& secret = ingress.tls[i].secret_name;
    if (!objects::is_dns_subdomain(secret)) continue;
    const Item& item = materials_.find(pair_key(ingress, secret));
    if (item.state == Item::State::Good && covers(item.facts->sans, host)) return choice_at(i);
    if (!meant && item.state != Item::State::Good && may_mean(ingress.tls[i], host)) meant = i;
  }
  return meant ? choice_at(*meant) : Choice{};
}

void FrontTls::apply(const objects::Ingress& ingress, const Choice& choice,
                     config::VirtualHost& host, ObjectReport& report) {
  if (choice.secret.empty()) return;
  const auto problem = [&](const std::string& what) {
    const std::string message =
        what + "; host " + quoted(host.host) + " is served with the default certificate.";
    report.warn(Reason::FrontCertificate, choice.field, message, "Correct the Secret.");
    host.certificate_problem = config::Refusal{
        Reason::FrontCertificate, "Ingress " + ingress.meta.ns + '/' + ingress.meta.name + ": " +
                                      choice.field + ": " + message};
  };
  if (!objects::is_dns_subdomain(choice.secret)) {
    problem(quoted(choice.secret) + " is not a Secret's name");
    return;
  }
  const ItemKey key = pair_key(ingress, choice.secret);
  const Item& item = materials_.find(key);
  const std::string object = "Secret " + key.ns + '/' + key.name;
  if (item.usable()) {
    host.certificate = materials_.use_pair(key, Materials::Side::Front);
    if (item.state == Item::State::Good && !host.host.empty() &&
        !covers(item.facts->sans, host.host)) {
      report.warn(Reason::NameMismatch, choice.field,
                  object + " has no name that covers the host " + quoted(host.host) + '.',
                  "Issue a certificate for it.");
    }
  } else if (item.state == Item::State::Bad) {
    problem(object + ": " + clip(item.error.detail, kMaxDetailBytes));
  } else if (materials_.exists(key)) {
    problem(object + " holds no tls.crt and tls.key");
  } else {
    problem("There is no " + object);
  }
}

}  // namespace handfast::translate
