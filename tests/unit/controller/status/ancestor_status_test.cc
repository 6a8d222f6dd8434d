#include "controller/status/ancestor_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "controller/objects/json_reader.h"

namespace handfast::status {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr UnixSeconds kNow = 1'800'000'000;
constexpr const char* kForeign =
    R"({"ancestorRef":{"group":"gateway.networking.k8s.io","kind":"Gateway","name":"g","port":443},)"
    R"("controllerName":"example.net/gateway","conditions":[{"type":"Accepted","status":"True",)"
    R"("reason":"Accepted","message":"\"fine\"","lastTransitionTime":"2026-01-01T00:00:00Z"}],)"
    R"("unknownToUs":[1,true,null]})";

class AncestorStatusTest : public testing::Test {
 protected:
  AncestorStatusTest() {
    policy.meta.ns = "shop";
    policy.meta.name = "api";
    policy.meta.generation = 3;
    policy.version = "v1";
  }

  void set_status(const std::string& entries) {
    const std::string text =
        R"({"metadata":{"resourceVersion":"77"},"status":{"ancestors":[)" + entries + "]}}";
    objects::JsonReader reader{text, 1};
    const auto object = reader.next();
    policy.status = objects::read_ancestors(object->find("metadata"), object->find("status"));
  }

  std::optional<Write> write(bool is_used = true) {
    return ancestor_write(policy, is_used, findings, ours, kNow);
  }

  // The entries of what would be written.
  static std::string entries_of(const Write& write) {
    const std::size_t begin = write.body.find("\"ancestors\":[") + 13;
    return write.body.substr(begin, write.body.size() - begin - 3);
  }

  objects::BackendTlsPolicy policy;
  std::vector<const translate::Finding*> findings;
  Installation ours{"handfast.dev/ingress-controller", "handfast"};
};

TEST_F(AncestorStatusTest, APolicyThatIsUsedHasAnEntryOfOurClass) {
  const auto found = write();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path,
            "/apis/gateway.networking.k8s.io/v1/namespaces/shop/backendtlspolicies/api/status");
  EXPECT_THAT(found->body, HasSubstr(R"("kind":"IngressClass","name":"handfast")"));
  EXPECT_THAT(found->body, HasSubstr(R"("type":"Accepted","status":"True","reason":"Accepted")"));
  EXPECT_THAT(found->body, HasSubstr(R"("type":"ResolvedRefs","status":"True")"));
  EXPECT_TRUE(found->leader_only);

  set_status(entries_of(*found));
  EXPECT_FALSE(write()) << "what it says already isn't written again";
}

TEST_F(AncestorStatusTest, EntriesOfOthersStayAsTheyStandThere) {
  set_status(kForeign);
  const auto found = write();
  ASSERT_TRUE(found);
  EXPECT_THAT(found->body, HasSubstr(kForeign));
  EXPECT_THAT(found->body, HasSubstr(R"({"metadata":{"resourceVersion":"77"},)"));
}

TEST_F(AncestorStatusTest, AnotherInstallationOfTheSameControllerHasItsOwn) {
  set_status(entries_of(*write()));
  ours.class_name = "internal";
  const auto found = write();
  ASSERT_TRUE(found);
  EXPECT_THAT(found->body, HasSubstr(R"("name":"handfast")"));
  EXPECT_THAT(found->body, HasSubstr(R"("name":"internal")"));
}

TEST_F(AncestorStatusTest, APolicyThatIsUsedNoMoreLosesOurEntryAlone) {
  set_status(kForeign + ("," + entries_of(*write())));
  const auto found = write(false);
  ASSERT_TRUE(found);
  EXPECT_THAT(found->body, HasSubstr(kForeign));
  EXPECT_THAT(found->body, Not(HasSubstr("IngressClass")));

  set_status(kForeign);
  EXPECT_FALSE(write(false));
}

TEST_F(AncestorStatusTest, AFullListIsLeftAlone) {
  std::string all = kForeign;
  for (int n = 1; n < 16; ++n) all.append(",").append(kForeign);
  set_status(all);
  EXPECT_FALSE(write());
}

TEST_F(AncestorStatusTest, ACaThatIsMissingIsToldInTheWordsOfGatewayApi) {
  translate::Finding finding;
  finding.severity = translate::Severity::Error;
  finding.message = "There is no ConfigMap shop/ca.";
  finding.condition = {"ResolvedRefs", "InvalidCACertificateRef"};
  findings = {&finding};
  const auto found = write();
  ASSERT_TRUE(found);
  EXPECT_THAT(found->body, HasSubstr(R"("status":"False","reason":"NoValidCACertificate")"));
  EXPECT_THAT(found->body, HasSubstr(R"("status":"False","reason":"InvalidCACertificateRef")"));
  EXPECT_THAT(found->body, HasSubstr("There is no ConfigMap shop/ca."));
  EXPECT_THAT(found->body, HasSubstr(R"("observedGeneration":3)"));
}

TEST_F(AncestorStatusTest, ItIsWrittenUnderTheVersionThatWasRead) {
  policy.version = "v1alpha3";
  EXPECT_THAT(write()->path, HasSubstr("/v1alpha3/"));
  policy.version.clear();
  EXPECT_FALSE(write());
}

}  // namespace
}  // namespace handfast::status
