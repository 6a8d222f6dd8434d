#include "controller/objects/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/controller/objects/decode_yaml.h"

namespace handfast::objects {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kConfigMap = R"(
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
)";

// A ConfigMap whose metadata goes on with `lines`.
std::string with_metadata(std::string_view lines) {
  return std::string(kConfigMap) + std::string(lines);
}

TEST(Decode, AnObjectWithoutANamespaceIsInDefault) {
  const Decoded decoded = decode_yaml(kConfigMap);

  const auto* map = only<ConfigMap>(decoded);
  ASSERT_NE(map, nullptr);
  EXPECT_EQ(key(*map), (ObjectKey{"ConfigMap", "default", "settings"}));
  EXPECT_EQ(map->meta.origin, (Origin{"test.yaml", 2}));
}

TEST(Decode, AnIngressClassHasNoNamespace) {
  const Decoded decoded = decode_yaml(R"(
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: handfast, namespace: shop}
spec: {controller: handfast.dev/ingress-controller}
)");

  ASSERT_NE(only<IngressClass>(decoded), nullptr);
  EXPECT_EQ(to_string(key(decoded.objects[0])), "IngressClass handfast");
}

TEST(Decode, MetadataIsReadWhole) {
  const std::string metadata = R"(
metadata:
  name: a
  namespace: shop
  uid: 6f1f
  generation: 3
  labels: {app: shop}
  annotations: {note: this}
  creationTimestamp: 2026-03-01T14:30:00.25+02:00
)";
  const Decoded decoded = decode_yaml(
      "apiVersion: networking.k8s.io/v1\nkind: Ingress\nspec: {rules: [{host: a.b}]}" + metadata);

  const auto* ingress = only<Ingress>(decoded);
  ASSERT_NE(ingress, nullptr);
  EXPECT_EQ(ingress->meta.ns, "shop");
  EXPECT_EQ(ingress->meta.uid, "6f1f");
  EXPECT_EQ(ingress->meta.generation, 3);
  EXPECT_EQ(ingress->meta.creation_timestamp, "2026-03-01T12:30:00Z");
  EXPECT_EQ(ingress->meta.labels.size(), 1U);
  EXPECT_EQ(ingress->meta.annotations.size(), 1U);

  // Nobody asks for these of a Secret.
  const Decoded secrets = decode_yaml("apiVersion: v1\nkind: Secret" + metadata);

  const auto* secret = only<Secret>(secrets);
  ASSERT_NE(secret, nullptr);
  Meta meta;
  meta.ns = "shop";
  meta.name = "a";
  meta.uid = "6f1f";
  meta.origin = secret->meta.origin;
  EXPECT_EQ(secret->meta, meta);
}

// Each would be read as if the field weren't there: no settings, no CRL, another namespace.
TEST(Decode, AFieldThatPeopleSpeltWrongIsRefused) {
  const auto problem = [](const std::string& text, const std::string& file = "test.yaml") {
    const Decoded decoded = decode_yaml(text, file);
    return decoded.problems.empty() ? "" : decoded.problems[0].field;
  };
  const std::string core = "apiVersion: v1\nmetadata: {name: a}\n";

  EXPECT_EQ(problem(core + "kind: ConfigMap\ndat: {global-auth-url: https://a.b.svc}"), "dat");
  EXPECT_EQ(problem(core + "kind: Secret\ndata: {}\nstringdata: {ca.crl: x}"), "stringdata");
  EXPECT_EQ(problem(core + "kind: Service\nspec: {ports: [{port: 80}]}\nstate: {}"), "state");
  EXPECT_EQ(problem("apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespce: b}"),
            "metadata.namespce");
  EXPECT_EQ(problem("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\n"
                    "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: {redy: "
                    "false}}]"),
            "endpoints[0].conditions.redy");
  EXPECT_EQ(problem("apiVersion: handfast.dev/v1alpha1\nkind: UpstreamTLSPolicy\n"
                    "metadata: {name: a, namespce: b}\n"
                    "spec: {mode: None, targetRefs: [{kind: Service, name: s}]}"),
            "metadata.namespce");
  EXPECT_EQ(problem(core + "kind: ConfigMap\nnovelty: {}", ""), "");
}

TEST(Decode, ANamespaceThatMayBeSpeltWrongIsNotKnown) {
  const Decoded unsure = decode_yaml(with_metadata("  namespce: shop\n"));
  const Decoded sure = decode_yaml(with_metadata("  namespace: shop\n  lables: {}\n"));

  ASSERT_EQ(unsure.problems.size(), 1U);
  EXPECT_EQ(unsure.problems[0].key, (ObjectKey{"ConfigMap", "", "settings"}));
  ASSERT_EQ(sure.problems.size(), 1U);
  EXPECT_EQ(sure.problems[0].key, (ObjectKey{"ConfigMap", "shop", "settings"}));
}

TEST(Decode, WhatKubectlPrintsIsTaken) {
  const Decoded decoded = decode_yaml(R"(
apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: v1
  kind: Secret
  type: kubernetes.io/tls
  immutable: true
  data: {tls.crt: eA==}
  metadata:
    name: a
    namespace: shop
    uid: 6f1f
    resourceVersion: "7"
    generation: 1
    creationTimestamp: "2026-03-01T14:30:00Z"
    deletionTimestamp: null
    selfLink: /x
    finalizers: [a.example/b]
    ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: b}]
    managedFields: [{manager: kubectl, operation: Apply}]
    annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
)");

  EXPECT_TRUE(decoded.problems.empty());
  EXPECT_NE(only<Secret>(decoded), nullptr);
}

TEST(Decode, OnlyAnIngressKeepsItsAnnotationsAndLabels) {
  const std::string text = R"(
  labels: {app: "shop"}
  annotations:
    handfast.dev/note: "on"
)";

  const Decoded map = decode_yaml(with_metadata(text));
  const Decoded ingress = decode_yaml(
      "apiVersion: networking.k8s.io/v1\nkind: Ingress\n"
      "spec: {defaultBackend: {service: {name: a, port: {number: 80}}}}\nmetadata:\n  name: a" +
      text);

  ASSERT_NE(only<ConfigMap>(map), nullptr);
  EXPECT_TRUE(only<ConfigMap>(map)->meta.annotations.empty());
  EXPECT_TRUE(only<ConfigMap>(map)->meta.labels.empty());
  ASSERT_NE(only<Ingress>(ingress), nullptr);
  EXPECT_EQ(only<Ingress>(ingress)->meta.annotations.find("handfast.dev/note")->second, "on");
  EXPECT_EQ(only<Ingress>(ingress)->meta.labels.find("app")->second, "shop");
}

TEST(Decode, ATimeInAnotherFormIsRefused) {
  for (const char* time : {"yesterday", "2026-02-30T00:00:00Z", "2026-03-01T24:00:00Z",
                           "2026-03-01T00:00:00", "2026-03-01T00:00:00+2", "2026-03-01"}) {
    EXPECT_THAT(problem_of(with_metadata("  creationTimestamp: '" + std::string(time) + "'\n")),
                HasSubstr("metadata.creationTimestamp: must be a time"))
        << time;
  }
}

// sigs.k8s.io/yaml makes these booleans, numbers and nulls, which the API server refuses as values.
TEST(Decode, AnAnnotationThatKubernetesReadsAsNoStringIsRefusedAndNamed) {
  for (const char* value :
       {"on",   "Off", "yes",  "n",    "Y",   "true", "FALSE", "1", "0x1F", "1_000", "1e3",
        "-2.5", ".5",  ".inf", "0b11", "007", "~",    "null",  "",  "[a]",  "{a: b}"}) {
    const Decoded decoded =
        decode_yaml(with_metadata("  annotations:\n    x/verify: " + std::string(value) + "\n"));
    ASSERT_EQ(decoded.problems.size(), 1U) << value;
    EXPECT_EQ(decoded.problems[0].field, "metadata.annotations[x/verify]") << value;
    EXPECT_EQ(decoded.problems[0].origin.line, 7) << value;
  }
  EXPECT_THAT(problem_of(with_metadata("  annotations:\n    x/verify: on\n")),
              HasSubstr("is a boolean for Kubernetes (on), not a string: quote it"));
}

TEST(Decode, AnAnnotationThatOnlyLooksLikeANumberIsAString) {
  for (const char* value : {"'on'", "\"1\"", "1h", "10m", "1.2.3.4", "2026-01-01", "0x", "e3",
                            "--1", "onn", "1:30", "TLSv1.2", "!!str 5"}) {
    EXPECT_EQ(problem_of(with_metadata("  annotations:\n    x: " + std::string(value) + "\n")), "")
        << value;
  }
}

TEST(Decode, AnnotationsOfMoreThan256KiBAreRefused) {
  const std::string fits(std::size_t{262144} - 1, 'x');

  EXPECT_EQ(problem_of(with_metadata("  annotations: {a: " + fits + "}\n")), "");
  EXPECT_THAT(problem_of(with_metadata("  annotations: {a: " + fits + "x}\n")),
              HasSubstr("metadata.annotations: are 262145 bytes together"));
  EXPECT_THAT(problem_of(with_metadata("  annotations: {a: " + fits + fits + fits + fits + "}\n")),
              HasSubstr("metadata.annotations: are "));
}

TEST(Decode, NamesThatCouldLeaveADirectoryAreRefused) {
  for (const char* name : {"../up", "a/b", "A", "a_b", "-", "\"\"", "123"}) {
    const std::string text = "apiVersion: v1\nkind: Secret\nmetadata: {name: " + std::string(name);
    EXPECT_THAT(problem_of(text + "}\n"), HasSubstr("metadata.name: ")) << name;
  }
  EXPECT_THAT(problem_of(with_metadata("  namespace: a.b\n")), HasSubstr("metadata.namespace: "));
}

TEST(Decode, WhatIsMissingIsNamed) {
  EXPECT_EQ(problem_of("apiVersion: v1\nmetadata: {name: a}\n"), "kind: is missing");
  EXPECT_EQ(problem_of("kind: Secret\nmetadata: {name: a}\n"), "apiVersion: is missing");
  EXPECT_EQ(problem_of("kind: Secret\napiVersion: v1\n"), "metadata: is missing");
  EXPECT_EQ(problem_of("kind: Secret\napiVersion: v1\nmetadata: {}\n"),
            "metadata.name: is missing");
}

TEST(Decode, ADocumentThatIsNoMapIsNoObject) {
  EXPECT_EQ(problem_of("- a\n"), ": is not an object");
  EXPECT_EQ(problem_of("hello\n"), ": is not an object");
}

TEST(Decode, AnEmptyDocumentYieldsNothing) {
  const Decoded decoded = decode_yaml("---\n---\n# nothing\n---\n~\n");

  EXPECT_TRUE(decoded.objects.empty());
  EXPECT_TRUE(decoded.problems.empty());
}

TEST(Decode, UnknownKindsAreSkippedWithoutAProblem) {
  const Decoded decoded = decode_yaml(R"(
{apiVersion: apps/v1, kind: Deployment, metadata: {name: NOT_CHECKED}}
---
{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: knative}}
---
{apiVersion: apps/v1, kind: DeploymentList, items: [{}]}
)");

  EXPECT_THAT(decoded.skipped, ElementsAre("apps/v1 Deployment", "serving.knative.dev/v1 Service",
                                           "apps/v1 DeploymentList"));
  EXPECT_TRUE(decoded.problems.empty());
}

TEST(Decode, AnOldVersionOfAKnownKindIsSkippedAndSaysWhichOneToUse) {
  const Decoded decoded = decode_yaml(R"(
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: orders, namespace: shop}
)");

  EXPECT_THAT(decoded.skipped, ElementsAre("extensions/v1beta1 Ingress"));
  ASSERT_EQ(decoded.problems.size(), 1U);
  EXPECT_EQ(decoded.problems[0].error.reason, Reason::Unsupported);
  EXPECT_THAT(decoded.problems[0].error.detail, HasSubstr("use apiVersion networking.k8s.io/v1"));
  EXPECT_EQ(decoded.problems[0].key, (ObjectKey{"Ingress", "shop", "orders"}));
}

TEST(Decode, ListsAreOpened) {
  const Decoded decoded = decode_yaml(R"(
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Secret, metadata: {name: a}}
- {apiVersion: v1, kind: Secret, metadata: {name: B}}
- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}]}
---
apiVersion: v1
kind: SecretList
items:
- metadata: {name: without-kind}
)");

  ASSERT_EQ(decoded.objects.size(), 3U);
  EXPECT_EQ(key(decoded.objects[0]).name, "a");
  EXPECT_EQ(key(decoded.objects[1]).kind, "ConfigMap");
  EXPECT_EQ(key(decoded.objects[2]), (ObjectKey{"Secret", "default", "without-kind"}));
  ASSERT_EQ(decoded.problems.size(), 1U);
  EXPECT_EQ(decoded.problems[0].origin.line, 6);
}

TEST(Decode, AProblemNamesTheObjectEvenIfItsVersionIsMissing) {
  const Decoded decoded = decode_yaml("kind: Secret\nmetadata: {name: a, namespace: shop}\n");

  ASSERT_EQ(decoded.problems.size(), 1U);
  EXPECT_EQ(decoded.problems[0].key, (ObjectKey{"Secret", "shop", "a"}));
}

TEST(Objects, AreTheSameWhereverTheyWereRead) {
  Secret secret;
  secret.meta.name = "a";
  secret.meta.origin = {"a.yaml", 1};
  Secret moved = secret;
  moved.meta.origin = {"b.yaml", 7};
  Secret changed = moved;
  changed.data["x"].bytes = "1";

  EXPECT_TRUE(same_content(secret, moved));
  EXPECT_FALSE(same_content(secret, changed));
  EXPECT_FALSE(same_content(secret, ConfigMap{secret.meta, {}}));
}

}  // namespace
}  // namespace handfast::objects
