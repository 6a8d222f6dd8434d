#include "controller/admission/stand_ins.h"

#include <map>
#include <utility>

#include "controller/admission/self_signed.h"

namespace handfast::admission {
namespace {

using objects::DataValue;
using objects::ObjectKey;

// The objects of several references: two may name different keys of one.
class Shelf {
 public:
  explicit Shelf(const std::string& ns) : ns_(ns) {}

  void put(const objects::MaterialRef& ref, std::string_view usual_key,
           const std::string& content) {
    if (ref.kind == "ClusterTrustBundle") {
      objects::ClusterTrustBundle bundle;
      bundle.meta.name = ref.name;
      bundle.trust_bundle.bytes = content;
      objects_.insert_or_assign({ref.kind, {}, ref.name}, std::move(bundle));
      return;
    }
    const std::string& ns = ref.ns.empty() ? ns_ : ref.ns;
    const ObjectKey key{ref.kind, ns, ref.name};
    data_[key][ref.key.empty() ? std::string(usual_key) : ref.key] = DataValue{content, {}};
  }

  std::vector<objects::Object> take() {
    std::vector<objects::Object> out;
    for (auto& [key, data] : data_) {
      const auto add = [&](auto object) {
        object.meta.ns = key.ns;
        object.meta.name = key.name;
        object.data = std::move(data);
        out.emplace_back(std::move(object));
      };
      if (key.kind == "Secret") add(objects::Secret{});
      if (key.kind == "ConfigMap") add(objects::ConfigMap{});
    }
    for (auto& [key, object] : objects_) out.push_back(std::move(object));
    return out;
  }

 private:
  const std::string& ns_;
  std::map<ObjectKey, objects::DataMap> data_;
  std::map<ObjectKey, objects::Object> objects_;
};

}  // namespace

Result<StandIns> StandIns::make() {
  // Longer than any controller runs.
  constexpr UnixSeconds kBegin = 0;
  constexpr UnixSeconds kEnd = UnixSeconds{8'000'000'000};
  auto authority = make_self_signed(
      {.names = {"stand-in.invalid"}, .not_before = kBegin, .not_after = kEnd, .with_crl = true});
  if (!authority) return fail(std::move(authority.error()));
  StandIns made;
  made.certificate_ = std::move(authority->certificate);
  made.key_ = std::move(authority->key);
  made.crl_ = std::move(authority->crl);
  return made;
}

std::vector<objects::Object> StandIns::for_ingress(const std::set<ObjectKey>& references) const {
  std::vector<objects::Object> out;
  for (const ObjectKey& key : references) {
    if (key.kind == "ConfigMap") {
      objects::ConfigMap map;
      map.meta.ns = key.ns;
      map.meta.name = key.name;
      out.emplace_back(std::move(map));
    } else if (key.kind == "Secret") {
      objects::Secret secret;
      secret.meta.ns = key.ns;
      secret.meta.name = key.name;
      secret.data = {{"tls.crt", {certificate_, {}}},
                     {"tls.key", {key_, {}}},
                     {"ca.crt", {certificate_, {}}},
                     {"ca.crl", {crl_, {}}}};
      out.emplace_back(std::move(secret));
    }
  }
  return out;
}

std::vector<objects::Object> StandIns::for_policy(const objects::UpstreamTlsPolicy& policy) const {
  const objects::PolicyValidation& validation = policy.validation;
  Shelf shelf{policy.meta.ns};
  if (policy.client_certificate) {
    objects::MaterialRef ref = *policy.client_certificate;
    ref.key.clear();
    shelf.put(ref, "tls.crt", certificate_);
    shelf.put(ref, "tls.key", key_);
  }
  if (policy.passphrase) shelf.put(*policy.passphrase, "passphrase", "stand-in");
  for (const auto& ref : validation.cas) shelf.put(ref, "ca.crt", certificate_);
  for (const auto& ref : validation.revocation.crls) shelf.put(ref, "ca.crl", crl_);
  return shelf.take();
}

}  // namespace handfast::admission
