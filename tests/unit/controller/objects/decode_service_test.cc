#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/controller/objects/decode_yaml.h"

namespace handfast::objects {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string service(std::string_view spec) {
  return "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: " + std::string(spec) + "\n";
}

std::string slice(std::string_view rest) {
  return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
         "metadata: {name: a-x, labels: {kubernetes.io/service-name: a}}\n" +
         std::string(rest) + "\n";
}

TEST(DecodeService, ReadsPortsAndTheirTargets) {
  const Decoded decoded = decode_yaml(service(R"(
  clusterIP: None
  ports:
  - {name: http, port: 80}
  - {name: https, port: 443, targetPort: tls, appProtocol: https}
  - {name: admin, port: 90, targetPort: 9090}
  - {name: zero, port: 91, targetPort: 0}
)"));

  const auto* found = only<Service>(decoded);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->type, ServiceType::ClusterIp);
  EXPECT_EQ(found->cluster_ip, "None");
  EXPECT_THAT(found->ports, ElementsAre(ServicePort{"http", 80, {80, ""}, ""},
                                        ServicePort{"https", 443, {0, "tls"}, "https"},
                                        ServicePort{"admin", 90, {9090, ""}, ""},
                                        ServicePort{"zero", 91, {91, ""}, ""}));
}

TEST(DecodeService, LeavesOutPortsThatAreNotTcp) {
  const Decoded decoded =
      decode_yaml(service("{ports: [{name: quic, port: 443, protocol: UDP}, {name: https, port: "
                          "443, protocol: TCP}]}"));

  const auto* found = only<Service>(decoded);
  ASSERT_NE(found, nullptr);
  ASSERT_EQ(found->ports.size(), 1U);
  EXPECT_EQ(found->ports[0].name, "https");
}

TEST(DecodeService, ReadsAnExternalName) {
  const Decoded decoded =
      decode_yaml(service("{type: ExternalName, externalName: api.example.com}"));

  const auto* found = only<Service>(decoded);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->type, ServiceType::ExternalName);
  EXPECT_EQ(found->external_name, "api.example.com");
}

TEST(DecodeService, RefusesWhatTheApiServerRefuses) {
  EXPECT_THAT(problem_of(service("{}")), HasSubstr("spec.ports: must hold at least one"));
  EXPECT_EQ(problem_of(service("{clusterIP: None}")), "");
  EXPECT_THAT(problem_of(service("{type: External}")), HasSubstr("spec.type: must be"));
  EXPECT_EQ(problem_of(service("{type: ExternalName}")), "spec.externalName: is missing");
  EXPECT_THAT(problem_of(service("{type: ExternalName, externalName: A/b}")),
              HasSubstr("spec.externalName: must be"));
  EXPECT_THAT(problem_of(service("{clusterIP: x, ports: [{port: 1}]}")),
              HasSubstr("spec.clusterIP: must be"));
  EXPECT_EQ(problem_of(service("{ports: [{name: a}]}")), "spec.ports[0].port: is missing");
  EXPECT_EQ(problem_of(service("{ports: [{port: 1}, {port: 2, name: a}]}")),
            "spec.ports[0].name: is missing");
  EXPECT_EQ(problem_of(service("{ports: [{port: 1, name: a}, {port: 2, name: a}]}")),
            "spec.ports: has the name a twice");
  EXPECT_THAT(problem_of(service("{ports: [{port: 1, targetPort: '8080'}]}")),
              HasSubstr("spec.ports[0].targetPort: must be a port number without quotes"));
  EXPECT_THAT(problem_of(service("{ports: [{port: 1, appProtocol: 'a b'}]}")),
              HasSubstr("spec.ports[0].appProtocol: must be a name"));
  EXPECT_EQ(problem_of(service("{ports: [{port: 1, appProtocol: kubernetes.io/h2c}]}")), "");
  EXPECT_THAT(problem_of(service("{ports: [{port: 1, targetPort: 70000}]}")),
              HasSubstr("spec.ports[0].targetPort: must be"));
  EXPECT_THAT(problem_of(service("{ports: [{port: 1, protocol: tcp}]}")),
              HasSubstr("spec.ports[0].protocol: must be"));
}

TEST(DecodeEndpointSlice, AbsentConditionsHaveTheirDefaults) {
  const Decoded decoded = decode_yaml(slice(R"(
addressType: IPv4
ports: [{name: http, port: 8080}, {port: 9090}, {name: any}, {name: dns, port: 53, protocol: UDP}]
endpoints:
- addresses: [10.0.0.1]
- addresses: [10.0.0.2]
  conditions: {ready: false, serving: true, terminating: true}
- addresses: [10.0.0.3]
  conditions: {ready: false}
- addresses: [10.0.0.4]
  conditions: {ready: null, serving: null, terminating: null}
)"));

  const auto* found = only<EndpointSlice>(decoded);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->service, "a");
  EXPECT_THAT(found->ports, ElementsAre(SlicePort{"http", 8080}, SlicePort{"", 9090}));
  EXPECT_THAT(found->endpoints, ElementsAre(SliceEndpoint{{"10.0.0.1"}, true, true, false},
                                            SliceEndpoint{{"10.0.0.2"}, false, true, true},
                                            SliceEndpoint{{"10.0.0.3"}, false, false, false},
                                            SliceEndpoint{{"10.0.0.4"}, true, true, false}));
}

TEST(DecodeEndpointSlice, AddressesAreOfTheirType) {
  EXPECT_EQ(problem_of(slice("addressType: IPv6\nendpoints: [{addresses: ['fd00::1']}]")), "");
  EXPECT_EQ(problem_of(slice("addressType: FQDN\nendpoints: [{addresses: [a.example.com]}]")), "");
  EXPECT_EQ(problem_of(slice("addressType: IPv4\nendpoints: [{addresses: ['fd00::1']}]")),
            "endpoints[0].addresses[0]: must be an IPv4 address");
  EXPECT_EQ(problem_of(slice("addressType: IPv6\nendpoints: [{addresses: [10.0.0.1]}]")),
            "endpoints[0].addresses[0]: must be an IPv6 address");
  EXPECT_EQ(problem_of(slice("addressType: IPv4\nendpoints: [{}]")),
            "endpoints[0].addresses: must hold at least one address");
  EXPECT_EQ(problem_of(slice("endpoints: []")), "addressType: is missing");
  EXPECT_EQ(problem_of(slice("addressType: IP")), "addressType: must be IPv4, IPv6 or FQDN");
}

TEST(DecodeEndpointSlice, AConditionIsABoolean) {
  EXPECT_EQ(problem_of(slice("addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: "
                             "{ready: 'true'}}]")),
            "endpoints[0].conditions.ready: must be true or false, without quotes");
}

}  // namespace
}  // namespace handfast::objects
