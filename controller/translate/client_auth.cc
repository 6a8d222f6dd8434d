#include "controller/translate/client_auth.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/translate/item_findings.h"
#include "controller/translate/names.h"
#include "controller/translate/tls_values.h"
#include "proxy/pki/common_name.h"
#include "proxy/pki/names.h"

namespace handfast::translate {
namespace {

// Those that restrict: without a CA to judge by, nobody can be let in.
constexpr std::array<std::string_view, 3> kRestricting{"auth-tls-verify-client",
                                                       "auth-tls-match-cn", "auth-tls-match-san"};
constexpr std::array<std::string_view, 4> kOther{"auth-tls-verify-depth", "auth-tls-error-page",
                                                 "auth-tls-pass-certificate-to-upstream",
                                                 "auth-tls-announce-ca"};
constexpr std::size_t kMostNames = 64;
constexpr std::size_t kLongestUrl = 2048;
// Certificates are issued over plain HTTP, by a Service that the issuer puts there for the moment.
constexpr std::string_view kAcmePrefix = "/.well-known/acme-challenge";

enum class Mode : unsigned char { Off, On, Optional, OptionalNoCa };

Result<Mode> parse_mode(std::string_view value) {
  if (value == "off") return Mode::Off;
  if (value == "on") return Mode::On;
  if (value == "optional") return Mode::Optional;
  if (value == "optional_no_ca") return Mode::OptionalNoCa;
  return fail(Reason::InvalidValue,
              quoted(value) + " is none of on, off, optional, optional_no_ca.");
}

config::ClientVerify verify_of(Mode mode) {
  switch (mode) {
    case Mode::Optional:
      return config::ClientVerify::Optional;
    case Mode::OptionalNoCa:
      return config::ClientVerify::OptionalNoCa;
    case Mode::Off:
    case Mode::On:
      break;
  }
  return config::ClientVerify::On;
}

Result<std::string> parse_pattern(std::string_view value) {
  const auto compiled = pki::CommonNamePattern::compile(value);
  if (!compiled) return fail(compiled.error());
  return std::string{value};
}

Result<std::vector<std::string>> parse_names(std::string_view value) {
  std::vector<std::string> names;
  while (!value.empty()) {
    const std::size_t end = std::min(value.find_first_of(", \t\r\n"), value.size());
    const std::string_view name = value.substr(0, end);
    value.remove_prefix(std::min(end + 1, value.size()));
    if (name.empty()) continue;
    if (pki::name_kind(name) == pki::NameKind::Unusable || names.size() == kMostNames) {
      return fail(Reason::InvalidValue,
                  quoted(name) + " is no DNS name, IP address or URI, or one too many.");
    }
    names.emplace_back(name);
  }
  if (names.empty()) return fail(Reason::InvalidValue, "It names nobody.");
  return names;
}

// Named locations and variables are nginx's own.
Result<std::string> parse_url(std::string_view value) {
  const bool absolute = value.starts_with("https://") || value.starts_with("http://");
  const bool plain = std::ranges::all_of(value, [](char c) {
    return c > ' ' && c < 0x7f &&
           std::string_view("\"<>\\^`{|}$").find(c) == std::string_view::npos;
  });
  if (!absolute || !plain || value.size() > kLongestUrl) {
    return fail(Reason::InvalidValue, quoted(value) + " is no http:// or https:// URL.");
  }
  return std::string{value};
}

std::string name_of(const objects::Ingress& ingress) {
  return ingress.meta.ns + '/' + ingress.meta.name;
}

const Annotation* find_any(const Annotations& annotations,
                           std::span<const std::string_view> names) {
  for (const std::string_view name : names) {
    if (const Annotation* found = annotations.find(name); found != nullptr) return found;
  }
  return nullptr;
}

// It asks for certificates of nobody.
void plan_without_secret(const Annotations& annotations, std::optional<Mode> mode, ClientPlan& plan,
                         ObjectReport& report) {
  plan.opted_out = mode == Mode::Off;
  const Annotation* restricting = find_any(annotations, kRestricting);
  const Annotation* other = find_any(annotations, kOther);
  if (restricting != nullptr && !plan.opted_out) {
    plan.access.emplace().refused =
        report.refuse(Reason::CaMissing, restricting->field(),
                      "There is no auth-tls-secret, so no certificate of a client can be good.",
                      "Name the Secret with the clients' ca.crt in auth-tls-secret, or set "
                      "auth-tls-verify-client to \"off\".");
  } else if (other != nullptr) {
    report.warn(Reason::Conflict, other->field(), "It has no effect without auth-tls-secret.",
                "Name a Secret, or remove it.");
  }
}

}  // namespace

std::optional<config::Refusal> use_client_secret(const NamespacedName& ref,
                                                 const std::string& field, Materials& materials,
                                                 ObjectReport& report, config::ClientTls& rules) {
  std::optional<config::Refusal> closed;
  const ItemKey ca{.kind = "Secret", .ns = ref.ns, .name = ref.name, .item = ItemKind::Ca};
  ItemKey crl = ca;
  crl.item = ItemKind::Crl;
  const auto use = [&](const ItemKey& key, const Item& item, std::vector<config::FileRef>& files) {
    if (item.usable()) {
      files = {materials.use_file(key)};
    } else if (item.state == Item::State::Bad) {
      keep_first(closed, report.refuse(item.error.reason, field,
                                       object_text(key) + ": " +
                                           clip(item.error.detail, kMaxDetailBytes) + '.',
                                       "Correct the Secret; until then nobody gets in."));
    }
  };
  use(ca, materials.find(ca), rules.ca);
  if (materials.find(ca).state == Item::State::Absent) {
    keep_first(closed, report.refuse(Reason::CaMissing, field,
                                     materials.exists(ca) ? object_text(ca) + " holds no ca.crt."
                                                          : "There is no " + object_text(ca) + '.',
                                     "Put the clients' CA into it; until then nobody gets in."));
  }
  use(crl, materials.find(crl), rules.crl);
  if (!rules.crl.empty()) {
    rules.revocation = config::RevocationScope::Chain;
  } else if (materials.find(crl).state == Item::State::Absent) {
    warn_if_gone(materials, crl, Reason::CrlMissing, field,
                 "ca.crl; revoked certificates of clients are no longer refused.", report);
  }
  return closed;
}

ClientPlan ClientAuth::plan(const objects::Ingress& ingress, const Annotations& annotations,
                            ObjectReport& report, std::optional<config::Refusal>& refused) {
  ClientPlan plan;
  config::ClientAccess access;
  std::optional<config::Refusal> bad;
  const auto read = [&](std::string_view name, auto parse, auto use) {
    read_value(annotations, name, report, bad, parse,
               [&use](auto value, const Annotation&) { use(std::move(value)); });
  };
  std::optional<Mode> mode;
  read("auth-tls-verify-client", parse_mode, [&](Mode said) { mode = said; });
  read("auth-tls-verify-depth", parse_depth,
       [&](std::uint8_t depth) { plan.rules.verify_depth = depth; });
  read("auth-tls-match-cn", parse_pattern,
       [&](std::string pattern) { plan.rules.subject = std::move(pattern); });
  read("auth-tls-match-san", parse_names,
       [&](std::vector<std::string> names) { plan.rules.names = std::move(names); });
  read("auth-tls-error-page", parse_url,
       [&](std::string url) { access.error_page = std::move(url); });
  access.pass_certificate =
      read_switch(annotations, "auth-tls-pass-certificate-to-upstream", false, report, bad);
  plan.rules.announce = read_switch(annotations, "auth-tls-announce-ca", true, report, bad);
  access.verify = verify_of(mode.value_or(Mode::On));

  const Annotation* secret = annotations.find("auth-tls-secret");
  if (secret == nullptr) {
    plan_without_secret(annotations, mode, plan, report);
  } else if (mode == Mode::Off) {
    plan.opted_out = true;
  } else {
    plan.field = secret->field();
    plan.access = std::move(access);
    read("auth-tls-secret", parse_namespaced_name,
         [&](const NamespacedName& ref) { apply_secret(ref, ingress, plan, report, bad); });
  }
  // Its own routes answer 503; those that would inherit from it let nobody in either.
  if (bad) {
    if (!plan.access) plan.access.emplace();
    keep_first(plan.access->refused, bad);
    plan.opted_out = false;
    keep_first(refused, std::move(bad));
  }
  return plan;
}

void ClientAuth::apply_secret(const NamespacedName& ref, const objects::Ingress& ingress,
                              ClientPlan& plan, ObjectReport& report,
                              std::optional<config::Refusal>& refused) {
  if (ref.ns != ingress.meta.ns) {
    keep_first(refused, report.refuse(Reason::NotPermitted, plan.field,
                                      "A Secret of another namespace isn't used.",
                                      "Copy it to the namespace " + ingress.meta.ns + '.'));
    return;
  }
  keep_first(plan.access->refused,
             use_client_secret(ref, plan.field, materials_, report, plan.rules));
}

void ClientAuth::decide(const objects::Ingress& ingress, const ClientPlan& plan,
                        config::VirtualHost& host, ClientOwner& owner, ObjectReport& report) {
  if (!plan.access) return;
  const std::string name = name_of(ingress);
  config::ClientAccess access = *plan.access;
  if (!access.refused && !host.client) {
    host.client = plan.rules;
    owner.ingress = name;
    use_files(plan.rules);
  } else if (!access.refused && host.client != plan.rules) {
    const auto [known, added] = owner.conflicts.try_emplace(name);
    if (added) {
      known->second = report.refuse(
          Reason::Conflict, plan.field,
          "Ingress " + owner.ingress + " decided before whom the clients of host " +
              quoted(host.host) + " must be, by other rules; nobody gets in here.",
          "Give both the same auth-tls-secret, -verify-depth, -match-cn and -match-san, or another "
          "host.");
    }
    access.refused = known->second;
  }
  owner.inherited.try_emplace(ingress.meta.ns, std::move(access));
}

// By the host too: it may be the first to name them, long after the Ingress was read, when another
// that had decided is gone.
void ClientAuth::use_files(const config::ClientTls& rules) {
  const auto use = [this](const config::FileRef& file, ItemKind item) {
    if (const auto key = find_key(file, item)) static_cast<void>(materials_.use_file(*key));
  };
  for (const config::FileRef& file : rules.ca) use(file, ItemKind::Ca);
  for (const config::FileRef& file : rules.crl) use(file, ItemKind::Crl);
}

std::optional<config::ClientAccess> access_for(const config::Route& route, const ClientPlan& plan,
                                               const ClientOwner& owner) {
  if (plan.access) {
    config::ClientAccess access = *plan.access;
    const auto conflict = owner.conflicts.find(route.ingress_namespace + '/' + route.ingress);
    if (conflict != owner.conflicts.end()) access.refused = conflict->second;
    return access;
  }
  if (plan.opted_out || route.path.starts_with(kAcmePrefix)) return std::nullopt;
  const auto inherited = owner.inherited.find(route.ingress_namespace);
  return inherited == owner.inherited.end() ? std::nullopt : std::optional(inherited->second);
}

}  // namespace handfast::translate
