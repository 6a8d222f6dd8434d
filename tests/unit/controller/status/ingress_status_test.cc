#include "controller/status/ingress_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/status/events.h"

namespace handfast::status {
namespace {

using objects::LoadBalancerAddress;
using objects::ServiceType;
using testing::ElementsAre;
using testing::HasSubstr;

LoadBalancerAddress ip(const char* text) { return {text, {}}; }
LoadBalancerAddress host(const char* text) { return {{}, text}; }

TEST(IngressStatus, AddressesAreWrittenAsTheFlagSays) {
  EXPECT_THAT(parse_addresses("203.0.113.7, lb.example,2001:db8::1,,203.0.113.7"),
              ElementsAre(host("lb.example"), ip("2001:db8::1"), ip("203.0.113.7")));
  EXPECT_TRUE(parse_addresses("").empty());
}

TEST(IngressStatus, AServiceIsReachedAtWhatItsTypeHas) {
  objects::Service service;
  service.cluster_ip = "10.0.0.1";
  EXPECT_THAT(addresses_of(service), ElementsAre(ip("10.0.0.1")));

  service.type = ServiceType::LoadBalancer;
  EXPECT_TRUE(addresses_of(service).empty()) << "as long as nobody gave it one";
  service.addresses = {host("lb.example"), ip("203.0.113.7")};
  service.external_ips = {"203.0.113.9"};
  EXPECT_THAT(addresses_of(service),
              ElementsAre(host("lb.example"), ip("203.0.113.7"), ip("203.0.113.9")));

  service.type = ServiceType::NodePort;
  EXPECT_THAT(addresses_of(service), ElementsAre(ip("203.0.113.9")));
  service.external_ips.clear();
  EXPECT_THAT(addresses_of(service), ElementsAre(ip("10.0.0.1")));

  service.type = ServiceType::ExternalName;
  service.external_name = "edge.example";
  EXPECT_THAT(addresses_of(service), ElementsAre(host("edge.example")));
}

TEST(IngressStatus, IsAPatchOfWhatItSaysAndNothingElse) {
  objects::Ingress ingress;
  ingress.meta.ns = "shop";
  ingress.meta.name = "orders";
  const Addresses addresses = parse_addresses("203.0.113.7,lb.example");
  EXPECT_FALSE(is_told(ingress, addresses));
  ingress.addresses = {ip("203.0.113.7"), host("lb.example")};
  EXPECT_TRUE(is_told(ingress, addresses));

  const Write write = ingress_write(ingress.meta, addresses);
  EXPECT_EQ(write.path, "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/orders/status");
  EXPECT_EQ(
      write.body,
      R"({"status":{"loadBalancer":{"ingress":[{"hostname":"lb.example"},{"ip":"203.0.113.7"}]}}})");
  EXPECT_EQ(ingress_write(ingress.meta, {}).body, R"({"status":{"loadBalancer":{"ingress":[]}}})");
}

TEST(Events, AreCalledAfterWhatTheySay) {
  translate::Finding finding;
  finding.severity = translate::Severity::Error;
  finding.reason = Reason::SecretMissing;
  finding.object = {"Ingress", "shop", "orders"};
  finding.field = "spec.tls";
  finding.message = "There is no Secret shop/x.";
  finding.remedy = "Make it.";
  const Reporter reporter{"handfast.dev/ingress-controller", "pod-a"};
  const auto event = make_event(finding, "uid-1", reporter, 1'800'000'000);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->path, "/apis/events.k8s.io/v1/namespaces/shop/events");
  EXPECT_THAT(event->body, HasSubstr(R"("reason":"SecretMissing")"));
  EXPECT_THAT(event->body, HasSubstr("spec.tls: There is no Secret shop/x. Make it."));
  EXPECT_THAT(event->body, HasSubstr(R"("apiVersion":"networking.k8s.io/v1","kind":"Ingress")"));
  EXPECT_THAT(event->body, HasSubstr(R"("eventTime":"2027-01-15T08:00:00.000000Z")"));

  EXPECT_EQ(make_event(finding, "uid-1", {"", "pod-b"}, 1'800'000'100)->key, event->key);
  EXPECT_NE(make_event(finding, "uid-2", reporter, 1'800'000'000)->key, event->key);
  EXPECT_FALSE(make_event(finding, "", reporter, 0)) << "a file has no Events";
  finding.severity = translate::Severity::Info;
  EXPECT_FALSE(make_event(finding, "uid-1", reporter, 0));
}

}  // namespace
}  // namespace handfast::status
