#include "controller/kube/watch_event.h"

#include <gtest/gtest.h>

namespace handfast::kube {
namespace {

constexpr Resource kConfigMaps{"ConfigMap", "configmaps", "", {"v1"}};
constexpr Resource kIngresses{"Ingress", "ingresses", "networking.k8s.io", {"v1"}};
constexpr Resource kClasses{"IngressClass", "ingressclasses", "networking.k8s.io", {"v1"}, false};

TEST(WatchEvent, CutsOutTheObjectAndItsVersion) {
  const auto event = parse_watch_event(
      R"({"type":"MODIFIED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":)"
      R"({"name":"a","namespace":"shop","resourceVersion":"17","managedFields":[{}]}}})",
      kConfigMaps, 0);

  ASSERT_TRUE(event.has_value()) << event.error();
  EXPECT_EQ(event->type, WatchEvent::Type::Changed);
  EXPECT_EQ(to_string(event->item.key), "ConfigMap shop/a");
  EXPECT_EQ(event->item.resource_version, "17");
}

TEST(WatchEvent, KnowsTheBookmarkThatEndsTheBeginning) {
  const auto plain = parse_watch_event(
      R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}})", kConfigMaps, 0);
  const auto last = parse_watch_event(
      R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9","annotations":)"
      R"({"k8s.io/initial-events-end":"true"}}}})",
      kConfigMaps, 0);

  EXPECT_FALSE(plain->ends_initial_events);
  EXPECT_TRUE(last->ends_initial_events);
  EXPECT_EQ(last->item.resource_version, "9");
}

TEST(WatchEvent, ReadsAnError) {
  const auto event = parse_watch_event(
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}})", kConfigMaps,
      0);

  EXPECT_EQ(event->type, WatchEvent::Type::Error);
  EXPECT_EQ(event->code, 410);
  EXPECT_EQ(event->message, "too old");
}

TEST(WatchEvent, RefusesWhatNoServerSends) {
  for (const char* line :
       {"", "{", "[]", "{}", R"({"type":"ADDED"})", R"({"type":"ADDED","object":[]})",
        R"({"type":"WHAT","object":{"metadata":{"name":"a","namespace":"b"}}})",
        R"({"type":"ADDED","object":{"metadata":{"name":"a"}}})",
        R"({"type":"ADDED","object":{"metadata":{"namespace":"b"}}})",
        R"({"type":"BOOKMARK","object":{}} {})"}) {
    EXPECT_FALSE(parse_watch_event(line, kConfigMaps, 0).has_value()) << line;
  }
}

TEST(WatchEvent, PutsBackWhatAListLeavesOutOfItsItems) {
  const auto page = parse_list(
      R"({"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"5","continue":)"
      R"("next"},"items":[{"metadata":{"name":"a","namespace":"b"},"data":{"k":"v"}}]})",
      kConfigMaps, 0);

  ASSERT_TRUE(page.has_value()) << page.error();
  EXPECT_EQ(page->next, "next");
  const objects::Decoded decoded = decode(page->items.at(0));
  ASSERT_EQ(decoded.objects.size(), 1U);
  EXPECT_EQ(std::get<objects::ConfigMap>(decoded.objects[0]).data.at("k").bytes, "v");
}

TEST(WatchEvent, ForgetsWhatKubectlKeepsInAnAnnotation) {
  const auto item =
      parse_object(R"({"spec":{"defaultBackend":{"service":{"name":"a","port":{"number":80}}}},)"
                   R"("metadata":{"name":"a","namespace":"b","annotations":{"x":"y",)"
                   R"("kubectl.kubernetes.io/last-applied-configuration":"secret"}}})",
                   kIngresses, 0);

  const objects::Decoded decoded = decode(*item);

  EXPECT_EQ(meta(decoded.objects.at(0)).annotations.size(), 1U);
}

TEST(WatchEvent, TellsWhichObjectCanNotBeRead) {
  const auto item = parse_object(
      R"({"kind":"ConfigMap","apiVersion":"v9","metadata":{"name":"a","namespace":"b"}})",
      kConfigMaps, 0);

  const objects::Decoded decoded = decode(*item);

  ASSERT_EQ(decoded.problems.size(), 1U);
  EXPECT_EQ(to_string(decoded.problems[0].key), "ConfigMap b/a");
}

TEST(WatchEvent, TakesTheMessageOfAStatus) {
  EXPECT_EQ(message_of(R"({"kind":"Status","message":"no"})"), "no");
  EXPECT_EQ(message_of("404 page not found\nmore"), "404 page not found");
  EXPECT_EQ(message_of(""), "");
}

TEST(WatchEvent, VersionsAreNumbersOrNothing) {
  EXPECT_EQ(version_number("42"), 42U);
  EXPECT_EQ(version_number(""), 0U);
  EXPECT_EQ(version_number("4x"), 0U);
  EXPECT_EQ(version_number("99999999999999999999999"), 0U);
}

TEST(Resource, HasItsAddresses) {
  EXPECT_EQ(collection_path(kConfigMaps, 0, "shop"), "/api/v1/namespaces/shop/configmaps");
  EXPECT_EQ(collection_path(kClasses, 0, ""), "/apis/networking.k8s.io/v1/ingressclasses");
  EXPECT_EQ(object_path(kConfigMaps, 0, "shop", "a"), "/api/v1/namespaces/shop/configmaps/a");
}

}  // namespace
}  // namespace handfast::kube
