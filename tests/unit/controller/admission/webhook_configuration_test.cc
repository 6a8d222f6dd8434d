#include "controller/admission/webhook_configuration.h"

#include <gtest/gtest.h>

#include <string>

#include "controller/admission/self_signed.h"
#include "controller/objects/decode.h"
#include "controller/objects/json_reader.h"
#include "tests/support/test_authority.h"

namespace handfast::admission {
namespace {

using handfast::testing::kDay;
using handfast::testing::kYear2026;

std::string make() {
  auto made = make_self_signed({.names = {"a.svc"},
                                .not_before = kYear2026 - kDay,
                                .not_after = kYear2026 + kDay,
                                .with_crl = false});
  EXPECT_TRUE(made.has_value()) << made.error();
  return made->certificate;
}

std::string configuration(const std::string& webhooks) {
  return R"({"kind":"ValidatingWebhookConfiguration","apiVersion":)"
         R"("admissionregistration.k8s.io/v1","metadata":{"name":"handfast",)"
         R"("resourceVersion":"17"},"webhooks":)" +
         webhooks + "}";
}

TEST(WebhookConfiguration, PutsTheBundleIntoEachWebhook) {
  const std::string own = make();

  const auto patch =
      patch_bundles(configuration(R"([{"name":"a","clientConfig":{"service":{}}},)"
                                  R"({"name":"b","clientConfig":{"caBundle":"bm9uc2Vuc2U="}}])"),
                    {own}, {}, kYear2026);

  ASSERT_TRUE(patch.has_value()) << patch.error();
  ASSERT_TRUE(patch->json.has_value());
  objects::JsonReader reader{*patch->json, 1};
  const auto operations = reader.next();
  ASSERT_TRUE(operations.has_value()) << operations.error();
  ASSERT_EQ(operations->list.size(), 3U);
  EXPECT_EQ(operations->list[0].find("path")->scalar, "/metadata/resourceVersion");
  EXPECT_EQ(operations->list[0].find("value")->scalar, "17");
  EXPECT_EQ(operations->list[1].find("path")->scalar, "/webhooks/0/clientConfig/caBundle");
  EXPECT_EQ(operations->list[2].find("path")->scalar, "/webhooks/1/clientConfig/caBundle");
  EXPECT_EQ(objects::decode_base64(operations->list[2].find("value")->scalar), own);
}

TEST(WebhookConfiguration, IsLeftAloneWhereItIsRight) {
  const auto patch = patch_bundles(configuration("[]"), {make()}, {}, kYear2026);

  ASSERT_TRUE(patch.has_value()) << patch.error();
  EXPECT_EQ(patch->resource_version, "17");
  EXPECT_FALSE(patch->json.has_value());
}

TEST(WebhookConfiguration, AnythingElseIsAnError) {
  for (const std::string text : {"", "[]", "{}", R"({"kind":"Status","metadata":{}})",
                                 R"({"kind":"ValidatingWebhookConfiguration"})"}) {
    EXPECT_FALSE(patch_bundles(text, {}, {}, kYear2026).has_value()) << text;
  }
}

TEST(WebhookConfiguration, WebhooksOfOddShapesArePassedOver) {
  const auto patch =
      patch_bundles(configuration(R"([1,[],{},{"clientConfig":null}])"), {make()}, {}, kYear2026);

  ASSERT_TRUE(patch.has_value()) << patch.error();
  EXPECT_FALSE(patch->json.has_value());
}

}  // namespace
}  // namespace handfast::admission
