#include "controller/translate/auth_settings.h"

#include <utility>

#include "controller/translate/config_map_table.h"
#include "controller/translate/names.h"

namespace handfast::translate {
namespace {

constexpr std::string_view kGlobal = "global-";
constexpr std::string_view kAuth = "auth-";
constexpr std::string_view kClients = "auth-tls-";  // certificates of clients: another matter

constexpr std::string_view kVerifyByPolicy =
    "Turn it on in the policy of the auth server's Service.";
constexpr std::string_view kVersionsByPolicy =
    "Let the policy of the auth server's Service allow TLSv1.3.";

constexpr AuthWords kIngressWords{
    .group = "networking.k8s.io",
    .kind = "Ingress",
    .grant_from = "Ingress (networking.k8s.io)",
    .url = "auth-url",
    .remove = "remove the annotation",
    .tls_name = "@auth/",
    .no_ca_remedy =
        "Name a Secret with its ca.crt in handfast.dev/auth-proxy-ssl-secret, or set "
        "handfast.dev/auth-upstream-ca: system, or start the controller with "
        "--default-upstream-ca.",
    .floor = {.field = "metadata.annotations",
              .verify = "",
              .identity =
                  "Name a Secret with tls.crt and tls.key in handfast.dev/auth-proxy-ssl-secret.",
              .crl = "Put a ca.crl into the Secret of handfast.dev/auth-proxy-ssl-secret.",
              .versions = ""},
    .floor_of_policy = {
        .field = "metadata.annotations",
        .verify = kVerifyByPolicy,
        .identity =
            "Name a Secret with tls.crt and tls.key in the policy of the auth server's Service; "
            "if it has none, in handfast.dev/auth-proxy-ssl-secret.",
        .crl =
            "Name a CRL in the policy of the auth server's Service; if it has none, put a ca.crl "
            "into the Secret of handfast.dev/auth-proxy-ssl-secret.",
        .versions = kVersionsByPolicy}};

constexpr AuthWords kConfigMapWords{
    .group = "",
    .kind = "ConfigMap",
    .grant_from = "ConfigMap",
    .url = "global-auth-url",
    .remove = "remove it",
    .tls_name = "@global-auth/",
    .no_ca_remedy =
        "Name a Secret with its ca.crt in global-auth-proxy-ssl-secret, or set "
        "global-auth-upstream-ca to \"system\", or start the controller with "
        "--default-upstream-ca.",
    .floor = {.field = "data[global-auth-url]",
              .verify = "",
              .identity = "Name a Secret with tls.crt and tls.key in global-auth-proxy-ssl-secret.",
              .crl = "Put a ca.crl into the Secret of global-auth-proxy-ssl-secret.",
              .versions = ""},
    .floor_of_policy = {
        .field = "data[global-auth-url]",
        .verify = kVerifyByPolicy,
        .identity =
            "Name a Secret with tls.crt and tls.key in the policy of the auth server's Service; "
            "if it has none, in global-auth-proxy-ssl-secret.",
        .crl =
            "Name a CRL in the policy of the auth server's Service; if it has none, put a ca.crl "
            "into the Secret of global-auth-proxy-ssl-secret.",
        .versions = kVersionsByPolicy}};

bool is_about_auth_server(std::string_view name) {
  return name.starts_with(kAuth) && !name.starts_with(kClients);
}

}  // namespace

AuthSettings::AuthSettings(const Annotations& annotations) : words_(&kIngressWords) {
  for (const Annotation& each : annotations.all()) {
    if (!is_about_auth_server(each.name)) continue;
    said_.emplace(each.name, AuthSetting{std::string(each.value), each.field(), {}});
  }
}

AuthSettings::AuthSettings(const objects::ConfigMap& map, ObjectReport& report)
    : words_(&kConfigMapWords) {
  for (const auto& [key, data] : map.data) {
    if (!key.starts_with("global-auth-") || find_config_key(key) == nullptr) continue;
    std::string field = "data[" + key + ']';
    const std::string_view value = trim(data.bytes);
    if (data.problem.empty() && value.empty()) {
      report.warn(Reason::InvalidValue, std::move(field), "It is empty and counts as absent.",
                  "Write a value, or remove it.");
      continue;
    }
    said_.emplace(key.substr(kGlobal.size()),
                  AuthSetting{std::string(value), std::move(field), data.problem});
  }
}

const AuthSetting* AuthSettings::find(std::string_view name) const {
  const auto found = said_.find(name);
  return found == said_.end() ? nullptr : &found->second;
}

}  // namespace handfast::translate
