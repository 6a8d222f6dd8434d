#include "controller/translate/backend_tls.h"

#include <algorithm>
#include <array>
#include <utility>

#include "controller/translate/item_findings.h"
#include "controller/translate/names.h"
#include "controller/translate/operator_rules.h"
#include "controller/translate/tls_values.h"

namespace handfast::translate {
namespace {

constexpr std::array<std::string_view, 8> kTlsAnnotations{
    "proxy-ssl-secret",      "proxy-ssl-verify",    "proxy-ssl-verify-depth", "proxy-ssl-name",
    "proxy-ssl-server-name", "proxy-ssl-protocols", "proxy-ssl-ciphers",      "upstream-ca"};

constexpr FloorWords kFloorWords{
    .field = "metadata.annotations",
    .verify = "Set proxy-ssl-verify to \"on\".",
    .identity = "Name a Secret with tls.crt and tls.key in proxy-ssl-secret.",
    .crl = "Put a ca.crl into the Secret of proxy-ssl-secret.",
    .versions = "Set proxy-ssl-protocols to TLSv1.3."};

constexpr BackendTls::NoCaWords kNoCa{
    "There is no CA to verify the Service's certificate with.",
    "Put a ca.crt into the Secret of proxy-ssl-secret, or set handfast.dev/upstream-ca: system, or "
    "start the controller with --default-upstream-ca."};

// What the annotations say, before anything is looked up.
struct Values {
  std::optional<NamespacedName> secret;
  std::string secret_field;
  bool verify = true;
  std::string verify_field;
  bool versions_given = false;
  bool system_roots = false;
};

Result<bool> parse_upstream_ca(std::string_view value) {
  if (value == "system") return true;
  return fail(Reason::InvalidValue, quoted(value) + " is not \"system\", the only value.");
}

// Fills `plan.rules` but for trust and identity.
Values read_values(const objects::Ingress& ingress, const Annotations& annotations,
                   UpstreamPlan& plan, ObjectReport& report) {
  Values values;
  config::UpstreamTls& rules = plan.rules;
  rules.versions = {config::TlsVersion::Tls12, config::TlsVersion::Tls13};
  const auto read = [&](std::string_view name, auto parse, auto use) {
    read_value(annotations, name, report, rules.refused, parse, use);
  };
  read("proxy-ssl-secret", parse_namespaced_name, [&](NamespacedName ref, const Annotation& from) {
    values.secret = std::move(ref);
    values.secret_field = from.field();
  });
  read("proxy-ssl-verify", parse_on_off, [&](bool on, const Annotation& from) {
    values.verify = on;
    values.verify_field = from.field();
  });
  read("proxy-ssl-verify-depth", parse_depth,
       [&](std::uint8_t depth, const Annotation&) { rules.verify_depth = depth; });
  // Which Service it is for comes later; any will do to judge the form.
  const auto check_name = [&](std::string_view value) {
    return expand_name(value, {"service", ingress.meta.ns, "443"});
  };
  read("proxy-ssl-name", check_name, [&](const std::string&, const Annotation& from) {
    plan.expected_name = from.value;
    plan.expected_name_field = from.field();
  });
  read("proxy-ssl-server-name", parse_on_off,
       [&](bool on, const Annotation&) { plan.send_sni = on; });
  read("proxy-ssl-protocols", parse_versions,
       [&](std::vector<config::TlsVersion> versions, const Annotation&) {
         rules.versions = std::move(versions);
         values.versions_given = true;
       });
  read("proxy-ssl-ciphers", parse_ciphers,
       [&](std::string ciphers, const Annotation&) { rules.ciphers = std::move(ciphers); });
  read("upstream-ca", parse_upstream_ca,
       [&](bool, const Annotation&) { values.system_roots = true; });
  return values;
}

void apply_verify_off(const Options& options, const objects::Ingress& ingress,
                      const std::string& field, config::UpstreamTls& rules, ObjectReport& report) {
  if (may_be_insecure(options, ingress.meta)) {
    rules.verify = false;
    report.warn(Reason::Weak, field, "The Service's certificate isn't verified.",
                "Set it to \"on\" and give the Secret a ca.crt.");
    return;
  }
  keep_first(rules.refused,
             report.refuse(Reason::NotPermitted, field,
                           "Verification may be turned off only where the operator allows it.",
                           insecure_remedy(ingress.meta)));
}

ItemKey secret_item(const NamespacedName& ref, ItemKind kind) {
  return {.kind = "Secret", .ns = ref.ns, .name = ref.name, .item = kind};
}

// There is no annotation for a passphrase, and without one PKCS#12 is nothing.
void tell_of_pkcs12(const ItemKey& pair, bool is_alone, const std::string& field,
                    std::optional<config::Refusal>& refused, ObjectReport& report) {
  std::string message =
      object_text(pair) + " holds PKCS#12, and no annotation names a passphrase to open it with";
  std::string remedy =
      "Put tls.crt and tls.key into the Secret, or name it in clientCertificateRef of an "
      "UpstreamTLSPolicy, with privateKeyPassphraseRef.";
  if (is_alone) {
    keep_first(refused, report.refuse(Reason::Passphrase, field, message + '.', std::move(remedy)));
  } else {
    report.warn(Reason::Passphrase, field, message + "; no client certificate is presented.",
                std::move(remedy));
  }
}

std::string https_field(const Annotations& annotations) {
  const Annotation* protocol = annotations.find("backend-protocol");
  return protocol == nullptr ? "metadata.annotations" : protocol->field();
}

}  // namespace

const Annotation* find_tls_annotation(const Annotations& annotations) {
  for (const std::string_view name : kTlsAnnotations) {
    if (const Annotation* found = annotations.find(name)) return found;
  }
  return nullptr;
}

UpstreamPlan BackendTls::plan(const objects::Ingress& ingress, const Annotations& annotations,
                              ObjectReport& report) {
  UpstreamPlan plan;
  const Values values = read_values(ingress, annotations, plan, report);
  config::UpstreamTls& rules = plan.rules;
  if (!values.verify) {
    apply_verify_off(options_, ingress, values.verify_field, rules, report);
  }
  if (values.secret) {
    apply_secret(*values.secret, ingress.meta.ns, values.secret_field, plan, report);
    if (values.system_roots && !rules.ca.empty()) {
      report.warn(Reason::Conflict, annotations.find("upstream-ca")->field(),
                  "The Secret's ca.crt decides; the machine's roots aren't used.",
                  "Remove the annotation, or the ca.crt.");
    }
  }
  if (!rules.refused && rules.verify && rules.ca.empty()) {
    const std::string field = values.secret ? values.secret_field : https_field(annotations);
    apply_other_trust(values.system_roots, field, kNoCa, plan, report);
  }
  const Floor* floor = find_floor(options_, ingress.meta.ns);
  if (floor != nullptr && !rules.refused) {
    apply_floor(*floor, values.versions_given, kFloorWords, rules, report);
  }
  apply_audit(options_, ingress.meta, tracer_, "metadata.annotations", rules, report);
  return plan;
}

config::UpstreamTls BackendTls::plan_auth(const std::string& ns, const AuthSettings& settings,
                                          const std::string& field, ObjectReport& report) {
  UpstreamPlan plan;
  config::UpstreamTls& rules = plan.rules;
  rules.versions = {config::TlsVersion::Tls12, config::TlsVersion::Tls13};
  const auto read = [&](std::string_view name, auto parse, auto use) {
    const AuthSetting* found = settings.find(name);
    if (found == nullptr) return;
    const auto parsed = parse(found->value);
    if (parsed && found->problem.empty()) {
      use(*parsed, found->field);
      return;
    }
    keep_first(
        rules.refused,
        report.refuse(Reason::InvalidValue, found->field,
                      parsed ? "The value " + found->problem + '.' : parsed.error().detail,
                      "Correct the value, or " + std::string{settings.words().remove} + '.'));
  };
  bool system_roots = false;
  read("auth-upstream-ca", parse_upstream_ca,
       [&](bool, const std::string&) { system_roots = true; });
  std::string secret_field = field;
  read("auth-proxy-ssl-secret", parse_namespaced_name,
       [&](const NamespacedName& ref, const std::string& from) {
         secret_field = from;
         apply_secret(ref, ns, secret_field, plan, report);
       });
  if (!rules.refused && rules.ca.empty()) {
    const NoCaWords words{"There is no CA to verify the auth server's certificate with.",
                          settings.words().no_ca_remedy};
    apply_other_trust(system_roots, secret_field, words, plan, report);
  }
  const Floor* floor = find_floor(options_, ns);
  if (floor != nullptr && !rules.refused) {
    apply_floor(*floor, /*versions_given=*/false, settings.words().floor, rules, report);
  }
  return std::move(rules);
}

void BackendTls::apply_secret(const NamespacedName& ref, const std::string& ns,
                              const std::string& field, UpstreamPlan& plan, ObjectReport& report) {
  auto& refused = plan.rules.refused;
  if (ref.ns != ns) {
    keep_first(refused, report.refuse(Reason::NotPermitted, field,
                                      "A Secret of another namespace isn't used.",
                                      "Copy it to the namespace " + ns + '.'));
    return;
  }
  const ItemKey pair = secret_item(ref, ItemKind::KeyPair);
  const ItemKey ca = secret_item(ref, ItemKind::Ca);
  const ItemKey crl = secret_item(ref, ItemKind::Crl);
  if (!materials_.exists(pair)) {
    keep_first(refused,
               report.refuse(Reason::SecretMissing, field, "There is no " + object_text(pair) + '.',
                             "Create it, or correct the name."));
    return;
  }
  const Item& identity = materials_.find(pair);
  if (identity.usable()) {
    plan.rules.identity = materials_.use_pair(pair, Materials::Side::Upstream);
  } else if (identity.state == Item::State::Bad) {
    keep_first(refused, refuse_bad(pair, identity, field, report));
  } else {
    warn_if_gone(materials_, pair, Reason::SecretMissing, field,
                 "tls.crt and tls.key; no client certificate is presented.", report);
    const bool is_alone = materials_.find(ca).state == Item::State::Absent &&
                          materials_.find(crl).state == Item::State::Absent;
    if (materials_.holds_pkcs12(pair)) {
      tell_of_pkcs12(pair, is_alone, field, refused, report);
    } else if (is_alone) {
      keep_first(refused,
                 report.refuse(Reason::SecretMissing, field,
                               object_text(pair) + " holds no tls.crt, tls.key, ca.crt or ca.crl.",
                               "Put them into the Secret."));
    }
  }
  if (plan.rules.verify) apply_secret_trust(ca, crl, field, plan, report);
}

void BackendTls::apply_secret_trust(const ItemKey& ca_key, const ItemKey& crl_key,
                                    const std::string& field, UpstreamPlan& plan,
                                    ObjectReport& report) {
  config::UpstreamTls& rules = plan.rules;
  const Item& ca = materials_.find(ca_key);
  if (ca.usable()) {
    rules.ca = {materials_.use_file(ca_key)};
  } else if (ca.state == Item::State::Bad) {
    keep_first(rules.refused, refuse_bad(ca_key, ca, field, report));
  } else {
    warn_if_gone(materials_, ca_key, Reason::CaMissing, field, "ca.crt.", report);
  }
  const Item& crl = materials_.find(crl_key);
  if (crl.usable()) {
    rules.crl = {materials_.use_file(crl_key)};
    rules.revocation = config::RevocationScope::Chain;
  } else if (crl.state == Item::State::Bad) {
    keep_first(rules.refused, refuse_bad(crl_key, crl, field, report));
  } else {
    warn_if_gone(materials_, crl_key, Reason::CrlMissing, field,
                 "ca.crl; revoked certificates are no longer refused.", report);
  }
}

void BackendTls::apply_other_trust(bool system_roots, const std::string& field,
                                   const NoCaWords& words, UpstreamPlan& plan,
                                   ObjectReport& report) {
  const auto& default_ca = options_.default_upstream_ca;
  if (system_roots) {
    plan.rules.system_ca = true;
  } else if (default_ca) {
    apply_default_ca(*default_ca, field, plan, report);
  } else {
    keep_first(plan.rules.refused,
               report.refuse(Reason::CaMissing, field, std::string{words.message},
                             std::string{words.remedy}));
  }
}

void BackendTls::apply_default_ca(const DefaultCa& ca, const std::string& field, UpstreamPlan& plan,
                                  ObjectReport& report) {
  config::UpstreamTls& rules = plan.rules;
  if (ca.kind == DefaultCa::Kind::System) {
    rules.system_ca = true;
    return;
  }
  const ItemKey key{.kind = ca.kind == DefaultCa::Kind::Secret ? "Secret" : "ConfigMap",
                    .ns = ca.ref.ns,
                    .name = ca.ref.name,
                    .item = ItemKind::Ca};
  const Item& item = materials_.find(key);
  if (item.usable()) {
    rules.ca = {materials_.use_file(key)};
  } else if (item.state == Item::State::Bad) {
    keep_first(rules.refused, refuse_bad(key, item, field, report));
  } else {
    keep_first(rules.refused, report.refuse(Reason::CaMissing, field,
                                            "The default CA is missing: there is no " +
                                                object_text(key) + " with a ca.crt.",
                                            "Create it, or correct --default-upstream-ca."));
  }
}

std::optional<config::Refusal> BackendTls::check_unused(const objects::Ingress& ingress,
                                                        const Annotations& annotations,
                                                        ObjectReport& report) const {
  std::string present;
  std::string field;
  for (const std::string_view name : kTlsAnnotations) {
    const Annotation* found = annotations.find(name);
    if (found == nullptr) continue;
    if (field.empty()) field = found->field();
    present.append(present.empty() ? "" : ", ").append(name);
  }
  if (present.empty()) return std::nullopt;

  report.warn(Reason::Conflict, field,
              "The protocol to the Service has no TLS: " + present + " has no effect.",
              "Set backend-protocol to HTTPS or GRPCS, or remove it.");
  UpstreamPlan plan;
  const Values values = read_values(ingress, annotations, plan, report);
  if (values.secret && values.secret->ns != ingress.meta.ns) {
    keep_first(plan.rules.refused, report.refuse(Reason::NotPermitted, values.secret_field,
                                                 "A Secret of another namespace isn't used.",
                                                 "Remove the annotation."));
  }
  return plan.rules.refused;
}

config::UpstreamTls BackendTls::finish(const UpstreamPlan& plan, const objects::Ingress& ingress,
                                       const objects::ServiceBackend& backend,
                                       const objects::Service* service,
                                       ObjectReport& report) const {
  config::UpstreamTls tls = plan.rules;
  const std::string& ns = ingress.meta.ns;
  const std::string port = port_text(backend.port);
  tls.name = ns + '/' + ingress.meta.name + '/' + backend.service + ':' + port;
  const std::string in_cluster = backend.service + '.' + ns + ".svc";

  if (!plan.expected_name.empty()) {
    auto name = expand_name(plan.expected_name, {backend.service, ns, port});
    if (name) {
      tls.names = {*std::move(name)};
    } else {
      keep_first(tls.refused, report.refuse(name.error().reason, plan.expected_name_field,
                                            name.error().detail, "Correct the value."));
    }
  } else if (service != nullptr && service->type == objects::ServiceType::ExternalName) {
    tls.names = {external_host(*service)};
  } else {
    tls.names = {in_cluster, in_cluster + '.' + options_.cluster_domain};
  }
  if (plan.send_sni && !tls.names.empty() && !is_ip_address(tls.names.front())) {
    tls.sni = tls.names.front();
  }
  return tls;
}

}  // namespace handfast::translate
