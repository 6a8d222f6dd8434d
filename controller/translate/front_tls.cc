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
                      std::vector<FrontOwner>& owners, ObjectReport& report) {
  if (ingress.tls.empty()) return;
  host.tls = true;
  // None: it has TLS, for other hosts; one that names a certificate for this host may still come.
  for (const Choice& choice : choose(ingress, host.host)) {
    take(ingress, choice, host, owners, report);
  }
}

void FrontTls::take(const objects::Ingress& ingress, const Choice& choice,
                    config::VirtualHost& host, std::vector<FrontOwner>& owners,
                    ObjectReport& report) {
  FrontOwner owner = owner_of(ingress, choice);
  const bool is_known = std::ranges::any_of(
      owners, [&](const FrontOwner& each) { return each.secret == owner.secret; });
  if (is_known) return;
  const auto stands_in_the_way = [&owner](const FrontOwner& each) {
    const bool may_add = each.usable && owner.usable && each.ns == owner.ns;
    return !may_add || (!owner.key_type.empty() && each.key_type == owner.key_type);
  };
  const auto rival = std::ranges::find_if(owners, stands_in_the_way);
  if (rival == owners.end()) {
    owners.push_back(std::move(owner));
    apply(ingress, choice, host, report);
  } else if (rival->ingress != owner.ingress) {
    report.warn(Reason::Conflict, choice.field,
                "Ingress " + rival->ingress + " decided on the certificate of host " +
                    quoted(host.host) + " before; this one isn't used.",
                "Name the same Secret in both, or only in one.");
  } else if (!owner.usable && !owner.secret.empty()) {
    report.warn(Reason::FrontCertificate, choice.field,
                "Secret " + owner.secret + " can't be used; host " + quoted(host.host) +
                    " is served with the other certificates.",
                "Correct the Secret.");
  }
}

FrontOwner FrontTls::owner_of(const objects::Ingress& ingress, const Choice& choice) {
  FrontOwner owner{
      .ns = ingress.meta.ns, .ingress = ingress.meta.ns + '/' + ingress.meta.name, .secret = {}};
  if (choice.secret.empty()) return owner;
  owner.secret = ingress.meta.ns + '/' + choice.secret;
  if (!objects::is_dns_subdomain(choice.secret)) return owner;
  const Item& item = materials_.find(pair_key(ingress, choice.secret));
  owner.usable = item.usable();
  if (item.facts != nullptr) owner.key_type = item.facts->key_type;
  return owner;
}

std::vector<FrontTls::Choice> FrontTls::choose(const objects::Ingress& ingress,
                                               std::string_view host) {
  const auto choice_at = [&ingress](std::size_t i) {
    return Choice{ingress.tls[i].secret_name, "spec.tls[" + std::to_string(i) + "].secretName"};
  };
  std::vector<Choice> listed;
  for (std::size_t i = 0; i < ingress.tls.size(); ++i) {
    if (lists(ingress.tls[i], host)) listed.push_back(choice_at(i));
  }
  std::ranges::stable_partition(
      listed, [&](const Choice& choice) { return owner_of(ingress, choice).usable; });
  if (!listed.empty()) return listed;
  std::optional<std::size_t> meant;
  for (std::size_t i = 0; i < ingress.tls.size(); ++i) {
    const std::string& secret = ingress.tls[i].secret_name;
    if (!objects::is_dns_subdomain(secret)) continue;
    const Item& item = materials_.find(pair_key(ingress, secret));
    if (item.state == Item::State::Good && covers(item.facts->sans, host)) return {choice_at(i)};
    if (!meant && item.state != Item::State::Good && may_mean(ingress.tls[i], host)) meant = i;
  }
  if (!meant) return {};
  return {choice_at(*meant)};
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
    config::KeyPairRef pair = materials_.use_pair(key, Materials::Side::Front);
    if (host.certificate) {
      host.more_certificates.push_back(std::move(pair));
    } else {
      host.certificate = std::move(pair);
    }
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
