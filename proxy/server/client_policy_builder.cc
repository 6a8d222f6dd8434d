#include "proxy/server/client_policy_builder.h"

#include <string>
#include <utility>

#include "proxy/server/policy_fields.h"

namespace handfast::server {
namespace {

tl::unexpected<Error> reject(config::Rejection& rejection, std::string field, std::string file,
                             Error error) {
  rejection.field = std::move(field);
  rejection.file = std::move(file);
  return fail(std::move(error));
}

// The rules that decide: names of sources, not their contents.
std::string key_of(const config::ClientTls& client) {
  std::string key;
  for (const auto& ca : client.ca) add_field(key, "ca " + ca.source);
  for (const auto& crl : client.crl) add_field(key, "crl " + crl.source);
  add_field(key, std::to_string(static_cast<int>(client.revocation)));
  add_field(key, std::to_string(client.verify_depth));
  add_field(key, client.subject);
  for (const auto& name : client.names) add_field(key, "name " + name);
  add_field(key, client.announce ? "announce" : "");
  return config::sha256_hex(key);
}

}  // namespace

Result<std::shared_ptr<const tls::ClientPolicy>> make_client_policy(const config::ClientTls& client,
                                                                    Materials& materials,
                                                                    config::Rejection& rejection) {
  auto policy = std::make_shared<tls::ClientPolicy>();
  policy->key = key_of(client);
  std::string authorities;
  for (const auto& file : client.ca) {
    auto ca = materials.ca(file);
    if (!ca) return reject(rejection, "client.ca", file.path, ca.error());
    policy->trust.push_back(std::move(ca->object));
    policy->trust_sources.push_back(file.source);
    add_field(authorities, ca->hash);
  }
  std::string epoch = authorities;
  for (const auto& file : client.crl) {
    auto crl = materials.crl(file);
    if (!crl) return reject(rejection, "client.crl", file.path, crl.error());
    for (const auto& bundle : policy->trust) crl->object->meet(bundle->anchors());
    policy->crls.push_back(std::move(crl->object));
    policy->crl_sources.push_back(file.source);
    add_field(epoch, crl->hash);
  }
  if (!client.subject.empty()) {
    auto pattern = pki::CommonNamePattern::compile(client.subject);
    if (!pattern) return reject(rejection, "client.subject", {}, pattern.error());
    policy->subject = std::move(*pattern);
  }
  policy->rules.purpose = pki::Purpose::Client;
  policy->rules.depth = client.verify_depth;
  policy->rules.names = client.names;
  policy->rules.crl_scope = scope_of(client.revocation);
  if (client.announce) policy->announce_authorities();
  policy->epoch = config::sha256_hex(epoch);
  policy->bind_sessions(policy->key + authorities);
  return policy;
}

}  // namespace handfast::server
