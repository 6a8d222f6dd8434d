#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/controller/objects/decode_yaml.h"

namespace handfast::objects {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ingress(std::string_view spec) {
  return "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec:\n" +
         std::string(spec);
}

// An Ingress with one rule whose only path is `path`.
std::string with_path(std::string_view path) {
  return ingress("  rules:\n  - http:\n      paths:\n      - " + std::string(path) + "\n");
}

std::string with_host(std::string_view host) {
  return ingress("  rules:\n  - host: " + std::string(host) + "\n");
}

constexpr std::string_view kBackend = "backend: {service: {name: s, port: {number: 80}}}";

TEST(DecodeIngress, ReadsEveryFieldThatIsUsed) {
  const Decoded decoded = decode_yaml(ingress(R"(
  ingressClassName: handfast
  defaultBackend: {service: {name: fallback, port: {name: http}}}
  tls:
  - hosts: [shop.example.com, "*.example.com"]
    secretName: front
  - {}
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /a, pathType: Exact, backend: {service: {name: a, port: {number: 8443}}}}
      - {path: /b, pathType: Prefix, backend: {resource: {kind: Bucket, name: b}}}
      - {pathType: ImplementationSpecific, backend: {service: {name: c, port: {name: web}}}}
  - host: "*.example.com"
)"));

  const auto* found = only<Ingress>(decoded);
  ASSERT_NE(found, nullptr) << (decoded.problems.empty() ? "" : decoded.problems[0].error.detail);
  EXPECT_EQ(found->class_name, "handfast");
  EXPECT_EQ(found->default_backend->service, (ServiceBackend{"fallback", {0, "http"}}));
  ASSERT_EQ(found->tls.size(), 2U);
  EXPECT_THAT(found->tls[0].hosts, ElementsAre("shop.example.com", "*.example.com"));
  EXPECT_EQ(found->tls[0].secret_name, "front");
  ASSERT_EQ(found->rules.size(), 2U);
  const auto& paths = found->rules[0].paths;
  ASSERT_EQ(paths.size(), 3U);
  EXPECT_EQ(paths[0].type, IngressPathType::Exact);
  EXPECT_EQ(paths[0].backend.service, (ServiceBackend{"a", {8443, ""}}));
  EXPECT_EQ(paths[1].type, IngressPathType::Prefix);
  EXPECT_FALSE(paths[1].backend.service.has_value());
  EXPECT_EQ(paths[2].path, "");
  EXPECT_EQ(paths[2].backend.service->port.name, "web");
  EXPECT_TRUE(found->rules[1].paths.empty());
}

TEST(DecodeIngress, AFieldThatIsSpeltWrongIsRefused) {
  const auto problem = [](const std::string& metadata, const std::string& more,
                          const std::string& spec = "") {
    const Decoded decoded = decode_yaml(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\n" + more + "metadata: {name: a" +
        metadata + "}\nspec:\n  defaultBackend: {service: {name: s, port: {number: 80}}}\n" + spec);
    return decoded.problems.empty() ? "" : decoded.problems[0].field;
  };
  const std::string annotations = "{handfast.dev/auth-url: 'https://a.b.svc'}";

  EXPECT_EQ(problem(", annotations: " + annotations, ""), "");
  EXPECT_EQ(problem(", annotation: " + annotations, ""), "metadata.annotation");
  EXPECT_EQ(problem("", "annotations: " + annotations + "\n"), "annotations");
  EXPECT_EQ(problem("", "", "  tsl: [{hosts: [a.example]}]\n"), "spec.tsl");
  // As kubectl prints one, which people keep and change.
  EXPECT_EQ(problem(", uid: 6f1f, annotation: " + annotations, ""), "metadata.annotation");
}

TEST(DecodeIngress, AFieldFurtherInThatIsSpeltWrongIsRefused) {
  const std::string path = "{path: /, pathType: Prefix, " + std::string(kBackend) + "}";
  const auto problem = [](const std::string& text) {
    const Decoded decoded = decode_yaml(ingress(text));
    return decoded.problems.empty() ? "" : decoded.problems[0].field;
  };

  // A rule for every host, one for the default backend, and another certificate than was meant.
  EXPECT_EQ(problem("  rules: [{hots: a.example, http: {paths: [" + path + "]}}]\n"),
            "spec.rules[0].hots");
  EXPECT_EQ(problem("  rules: [{host: a.example, htp: {paths: [" + path + "]}}]\n"),
            "spec.rules[0].htp");
  EXPECT_EQ(problem("  rules: [{http: {paths: [" + path + "]}}]\n  tls: [{secretname: a}]\n"),
            "spec.tls[0].secretname");
  EXPECT_EQ(problem("  rules: [{http: {paths: [{pth: /a, pathType: ImplementationSpecific, " +
                    std::string(kBackend) + "}]}}]\n"),
            "spec.rules[0].http.paths[0].pth");
}

TEST(DecodeIngress, AnApiServerMayKnowMoreFields) {
  const Decoded decoded = decode_yaml(
      "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, novelty: x}\n"
      "spec:\n  defaultBackend: {service: {name: s, port: {number: 80}}}\n  novelty: x\n",
      "");

  EXPECT_NE(only<Ingress>(decoded), nullptr);
}

TEST(DecodeIngress, PathTypeIsRequiredAndOneOfThree) {
  const std::string backend(kBackend);

  EXPECT_EQ(problem_of(with_path("{path: /, " + backend + "}")),
            "spec.rules[0].http.paths[0].pathType: is missing");
  EXPECT_EQ(
      problem_of(with_path("{path: /, pathType: prefix, " + backend + "}")),
      "spec.rules[0].http.paths[0].pathType: must be Exact, Prefix or ImplementationSpecific");
}

TEST(DecodeIngress, PathsAreRefusedAsTheApiServerDoes) {
  const std::string backend(kBackend);

  for (const char* path :
       {"\"\"", "a", "//", "/a//b", "/a/./b", "/a/../b", "/a%2fb", "/a%2F", "/..", "/a/."}) {
    for (const char* type : {"Exact", "Prefix"}) {
      const std::string text = std::string("{path: ") + path + ", pathType: " + type + ", ";
      EXPECT_THAT(problem_of(with_path(text + backend + "}")), HasSubstr("paths[0].path: must "))
          << path;
    }
  }
  const std::string loose = "pathType: ImplementationSpecific, " + backend + "}";
  EXPECT_EQ(problem_of(with_path("{path: \"\", " + loose)), "");
  EXPECT_EQ(problem_of(with_path("{path: '/a/../(b|c)$', " + loose)), "");
  EXPECT_THAT(problem_of(with_path("{path: a, " + loose)), HasSubstr("must begin with '/'"));
}

TEST(DecodeIngress, APortHasANumberOrAName) {
  const auto port = [](std::string_view text) {
    return problem_of(with_path("{path: /, pathType: Exact, backend: {service: {name: s, port: " +
                                std::string(text) + "}}}"));
  };

  EXPECT_EQ(port("{number: 65535}"), "");
  EXPECT_EQ(port("{name: http}"), "");
  EXPECT_THAT(port("{number: 80, name: http}"), HasSubstr("port: has both"));
  EXPECT_THAT(port("{}"), HasSubstr("port: needs a name or a number"));
  EXPECT_THAT(port("~"), HasSubstr("port: needs a name or a number"));
  EXPECT_THAT(port("{name: '80'}"), HasSubstr("port.name: must be"));
  EXPECT_THAT(port("{number: '80'}"),
              HasSubstr("port.number: must be a port number without quotes"));
  for (const char* bad : {"0", "65536", "-1", "80.0", "0x50", "1e3", "abc", "[80]", "080", "on"}) {
    EXPECT_THAT(port(std::string("{number: ") + bad + "}"), HasSubstr("port.number: must be"))
        << bad;
  }
}

TEST(DecodeIngress, ABackendIsAServiceOrAResource) {
  const auto backend = [](std::string_view text) {
    return problem_of(ingress("  defaultBackend: " + std::string(text) + "\n"));
  };

  EXPECT_EQ(backend("{resource: {kind: Bucket, name: b}}"), "");
  EXPECT_EQ(backend("{}"), "spec.defaultBackend: needs a service");
  EXPECT_THAT(backend("{service: {name: a, port: {number: 1}}, resource: {kind: B, name: b}}"),
              HasSubstr("spec.defaultBackend: has both"));
  EXPECT_EQ(backend("{service: {port: {number: 1}}}"),
            "spec.defaultBackend.service.name: is missing");
  EXPECT_THAT(backend("{service: {name: a/b, port: {number: 1}}}"),
              HasSubstr("spec.defaultBackend.service.name: must be"));
}

TEST(DecodeIngress, HostsAreDnsNamesInLowerCase) {
  EXPECT_EQ(problem_of(with_host("shop.example.com")), "");
  EXPECT_EQ(problem_of(with_host("'*.example.com'")), "");
  for (const char* bad : {"Shop.example.com", "example.com:80", "10.0.0.1", "'fd00::1'", "'*'",
                          "'a.*.com'", "'*a.com'", "a..b", "a_b", "example.com."}) {
    EXPECT_THAT(problem_of(with_host(bad)), HasSubstr("spec.rules[0].host: must be a DNS name"))
        << bad;
  }
}

TEST(DecodeIngress, NeedsRulesOrADefaultBackend) {
  EXPECT_EQ(problem_of(ingress("  tls: []\n")), "spec: needs rules or a defaultBackend");
  EXPECT_EQ(problem_of(ingress("")), "spec: needs rules or a defaultBackend");
  EXPECT_EQ(problem_of(ingress("  rules: [{http: {paths: []}}]\n")),
            "spec.rules[0].http.paths: must hold at least one path");
  EXPECT_EQ(problem_of(ingress("  rules: {}\n")), "spec.rules: must be a list");
}

TEST(DecodeIngress, TlsHostsAndSecretNamesAreChecked) {
  EXPECT_THAT(problem_of(ingress("  rules: [{}]\n  tls: [{hosts: [A]}]\n")),
              HasSubstr("spec.tls[0].hosts[0]: must be"));
  EXPECT_THAT(problem_of(ingress("  rules: [{}]\n  tls: [{secretName: ns/name}]\n")),
              HasSubstr("spec.tls[0].secretName: must be"));
}

TEST(DecodeIngressClass, IsDefaultByItsAnnotation) {
  const Decoded decoded = decode_yaml(R"(
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata:
  name: handfast
  annotations: {ingressclass.kubernetes.io/is-default-class: "true"}
spec: {controller: handfast.dev/ingress-controller}
)");

  const auto* found = only<IngressClass>(decoded);
  ASSERT_NE(found, nullptr);
  EXPECT_TRUE(found->is_default);
  EXPECT_EQ(found->controller, "handfast.dev/ingress-controller");
}

}  // namespace
}  // namespace handfast::objects
