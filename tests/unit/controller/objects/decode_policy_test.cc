// What is read of policies, grants and trust bundles. What is refused is in tests/fixtures/crd.

#include <gtest/gtest.h>

#include <string>

#include "controller/objects/policy_fields.h"
#include "tests/unit/controller/objects/decode_yaml.h"

namespace handfast::objects {
namespace {

std::string policy(const std::string& spec, const std::string& metadata = "") {
  return "apiVersion: handfast.dev/v1alpha1\nkind: UpstreamTLSPolicy\n"
         "metadata: {name: orders, namespace: shop" +
         metadata + "}\nspec:\n" + spec;
}

constexpr const char* kGood =
    "  targetRefs: [{name: orders, sectionName: https}, {name: billing}]\n"
    "  validation: {hostname: orders.svc, wellKnownCACertificates: System}\n";

using Targets = std::vector<PolicyTarget>;

TEST(DecodePolicy, ReadsTargetsAndDefaults) {
  const Decoded decoded = decode_yaml(policy(kGood));

  const auto* read = only<UpstreamTlsPolicy>(decoded);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->targets, (Targets{{"orders", "https"}, {"billing", ""}}));
  EXPECT_EQ(read->mode, PolicyMode::ServerOnly);
  EXPECT_TRUE(read->validation.system_roots);
  EXPECT_EQ(read->validation.verify_depth, 4);
  EXPECT_TRUE(read->resumption);
  EXPECT_EQ(read->rotation, PolicyRotation{});
  EXPECT_EQ(read->expiry_warning_s, 336 * 3600);
}

TEST(DecodePolicy, KeepsTheTargetsOfAWrongOne) {
  const Decoded decoded = decode_yaml(policy(std::string(kGood) + "  mode: Mutual\n"));

  const auto* read = only<UpstreamTlsPolicy>(decoded);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->targets, (Targets{{"orders", "https"}, {"billing", ""}}));
  ASSERT_TRUE(read->fault);
  EXPECT_EQ(read->fault->field, "spec.mode");
  EXPECT_TRUE(decoded.problems.empty());
}

TEST(DecodePolicy, TakesAWrongTargetForEveryPortOfItsService) {
  const Decoded decoded = decode_yaml(
      policy("  targetRefs: [{name: orders, sectionName: 443}, {name: 7}, {kind: X}]\n"));

  const auto* read = only<UpstreamTlsPolicy>(decoded);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->targets, (Targets{{"orders", ""}, {"7", ""}}));
  EXPECT_TRUE(read->fault);
}

TEST(DecodePolicy, KeepsOneWhoseMetadataOrVersionIsWrong) {
  const Decoded metadata = decode_yaml(policy(kGood, ", annotations: {a: on}"));
  ASSERT_NE(only<UpstreamTlsPolicy>(metadata), nullptr);
  EXPECT_EQ(only<UpstreamTlsPolicy>(metadata)->fault->field, "metadata.annotations.a");

  std::string text = policy(kGood);
  text.replace(text.find("v1alpha1"), 8, "v1beta1");
  const Decoded version = decode_yaml(text);
  ASSERT_NE(only<UpstreamTlsPolicy>(version), nullptr);
  EXPECT_EQ(only<UpstreamTlsPolicy>(version)->fault->field, "apiVersion");
}

TEST(DecodePolicy, IsAProblemIfNobodyCanTellWhomItTargets) {
  const Decoded decoded = decode_yaml(policy("  targetRef: [{name: orders}]\n"));

  EXPECT_TRUE(decoded.objects.empty());
  ASSERT_EQ(decoded.problems.size(), 1U);
  EXPECT_EQ(decoded.problems[0].key, (ObjectKey{"UpstreamTLSPolicy", "shop", "orders"}));
}

TEST(DecodePolicy, ReadsBothVersionsOfABackendTlsPolicy) {
  for (const char* version : {"v1", "v1alpha3"}) {
    const Decoded decoded =
        decode_yaml(std::string("apiVersion: gateway.networking.k8s.io/") + version +
                    "\nkind: BackendTLSPolicy\nmetadata: {name: orders, namespace: shop}\n"
                    "spec:\n  targetRefs: [{group: '', kind: Service, name: orders}]\n"
                    "  options: {example.com/x: some}\n"
                    "  validation:\n    hostname: orders.svc\n"
                    "    caCertificateRefs: [{group: '', kind: ConfigMap, name: roots}]\n"
                    "    subjectAltNames: [{type: URI, uri: spiffe://a/b}]\n");

    const auto* read = only<BackendTlsPolicy>(decoded);
    ASSERT_NE(read, nullptr) << version;
    ASSERT_FALSE(read->fault) << read->fault->field << ": " << read->fault->error;
    EXPECT_EQ(read->validation.cas, (std::vector<MaterialRef>{{"ConfigMap", "", "roots", ""}}));
    EXPECT_EQ(read->validation.sans, (std::vector<SubjectAltName>{{SanType::Uri, "spiffe://a/b"}}));
    EXPECT_EQ(read->options, std::vector<std::string>{"example.com/x"});
  }
}

TEST(DecodePolicy, ReadsWhatControllersSayOfABackendTlsPolicy) {
  const std::string text =
      "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n"
      "metadata: {name: orders, namespace: shop, resourceVersion: \"7\"}\n"
      "spec:\n  targetRefs: [{name: orders}]\n"
      "  validation: {hostname: orders.svc, wellKnownCACertificates: System}\n";
  const Decoded without = decode_yaml(text);
  const Decoded with =
      decode_yaml(text +
                  "status:\n  ancestors:\n"
                  "  - {controllerName: a/b, ancestorRef: {kind: Gateway, name: g, port: 443},\n"
                  "     conditions: [{type: Accepted, status: \"True\"}]}\n");

  const auto* read = only<BackendTlsPolicy>(with);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->version, "v1");
  EXPECT_EQ(read->status.resource_version, "7");
  ASSERT_EQ(read->status.ancestors.size(), 1U);
  EXPECT_EQ(read->status.ancestors[0].controller, "a/b");
  EXPECT_EQ(read->status.ancestors[0].kind, "Gateway");
  EXPECT_EQ(read->status.ancestors[0].conditions.at(0).type, "Accepted");
  EXPECT_NE(read->status.ancestors[0].text.find("\"port\":443"), std::string::npos);
  EXPECT_TRUE(same_content(*only<BackendTlsPolicy>(without), *read)) << "a status changes nothing";
}

TEST(DecodePolicy, RefusesOurOwnFieldsInABackendTlsPolicy) {
  const Decoded decoded = decode_yaml(
      "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n"
      "metadata: {name: orders, namespace: shop}\n"
      "spec:\n  targetRefs: [{name: orders}]\n"
      "  validation: {hostname: orders.svc, wellKnownCACertificates: System, verifyDepth: 1}\n");

  const auto* read = only<BackendTlsPolicy>(decoded);
  ASSERT_NE(read, nullptr);
  ASSERT_TRUE(read->fault);
  EXPECT_EQ(read->fault->field, "spec.validation.verifyDepth");
}

TEST(DecodeGrant, ReadsFromAndTo) {
  const Decoded decoded = decode_yaml(
      "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n"
      "metadata: {name: g, namespace: pki}\n"
      "spec:\n  from: [{group: handfast.dev, kind: UpstreamTLSPolicy, namespace: shop}]\n"
      "  to: [{group: '', kind: Secret, name: x}, {group: '', kind: ConfigMap}]\n");

  const auto* grant = only<ReferenceGrant>(decoded);
  ASSERT_NE(grant, nullptr);
  ASSERT_EQ(grant->from.size(), 1U);
  EXPECT_EQ(grant->from[0].ns, "shop");
  ASSERT_EQ(grant->to.size(), 2U);
  EXPECT_EQ(grant->to[0].name, "x");
  EXPECT_EQ(grant->to[1].name, "");
}

TEST(DecodeGrant, RefusesAnEmptyNameWhichWouldMeanEveryObject) {
  EXPECT_EQ(problem_of("apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n"
                       "metadata: {name: g, namespace: pki}\n"
                       "spec:\n  from: [{kind: UpstreamTLSPolicy, namespace: shop}]\n"
                       "  to: [{kind: Secret, name: ''}]\n"),
            "spec.to[0].name: is empty");
}

TEST(DecodeGrant, OneThatIsWrongIsThereAndGrantsNothing) {
  const Decoded decoded = decode_yaml(
      "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n"
      "metadata: {name: g, namespace: pki}\n"
      "spec:\n  from: [{kind: UpstreamTLSPolicy, namespace: shop}]\n"
      "  to: [{kind: Secret, nmae: roots}]\n");

  ASSERT_EQ(decoded.problems.size(), 1U);
  ASSERT_EQ(decoded.objects.size(), 1U);
  const auto* grant = std::get_if<ReferenceGrant>(&decoded.objects[0]);
  ASSERT_NE(grant, nullptr);
  EXPECT_TRUE(grant->from.empty());
}

TEST(DecodeTrustBundle, HasNoNamespaceAndMayHaveASignersName) {
  const Decoded decoded = decode_yaml(
      "apiVersion: certificates.k8s.io/v1beta1\nkind: ClusterTrustBundle\n"
      "metadata: {name: 'example.com:mesh:roots'}\nspec: {trustBundle: PEM}\n");

  const auto* bundle = only<ClusterTrustBundle>(decoded);
  ASSERT_NE(bundle, nullptr);
  EXPECT_EQ(bundle->meta.ns, "");
  EXPECT_EQ(bundle->trust_bundle.bytes, "PEM");
}

TEST(GatewayDuration, IsReadAsGep2257Says) {
  EXPECT_EQ(parse_gateway_duration("1h30m5s7ms"), 5'405'007U);
  EXPECT_EQ(parse_gateway_duration("0s"), 0U);
  EXPECT_EQ(parse_gateway_duration("1s1s"), 2'000U);
  for (const char* bad :
       {"", "1", "s", "1d", "1.5s", "-1s", "100000s", "1s1s1s1s1s", "1 s", "1sm"}) {
    EXPECT_FALSE(parse_gateway_duration(bad)) << bad;
  }
}

TEST(PinValue, IsHexOrBase64) {
  const std::string hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  EXPECT_EQ(parse_sha256(hex), hex);
  EXPECT_EQ(parse_sha256("E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"), hex);
  EXPECT_EQ(parse_sha256("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), hex);
  EXPECT_FALSE(parse_sha256(hex.substr(1)));
  EXPECT_FALSE(parse_sha256("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"));
}

}  // namespace
}  // namespace handfast::objects
