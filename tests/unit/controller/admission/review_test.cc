#include "controller/admission/review.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/test_authority.h"
#include "tests/unit/controller/admission/support.h"

namespace handfast::admission {
namespace {

using handfast::testing::kYear2026;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kIngress =
    "apiVersion: networking.k8s.io/v1\n"
    "kind: Ingress\n"
    "metadata: {name: orders, namespace: shop}\n"
    "spec:\n"
    "  ingressClassName: handfast\n"
    "  defaultBackend: {service: {name: orders, port: {number: 8080}}}\n";

class ReviewTest : public ::testing::Test {
 protected:
  Result<Answer> ask(const std::string& body) { return review(body, judge_, kYear2026); }
  std::string error_of(const std::string& body) {
    const auto answer = ask(body);
    EXPECT_FALSE(answer.has_value()) << answer->json;
    return answer ? "" : answer.error().detail;
  }
  std::string good() { return testing::review_of("CREATE", testing::read_yaml(kIngress).front()); }

  Index index_{translate::Options{}, Index::Told::Asked};
  Judge judge_{translate::Options{}, index_, testing::stand_ins()};
};

TEST_F(ReviewTest, AnswersWithTheUidThatItWasAsked) {
  testing::apply_yaml(index_,
                      "apiVersion: v1\nkind: Service\nmetadata: {name: orders, namespace: shop}\n"
                      "spec: {ports: [{port: 8080}]}\n");

  const auto answer = ask(good());

  ASSERT_TRUE(answer.has_value()) << answer.error();
  EXPECT_EQ(answer->json, R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",)"
                          R"("response":{"uid":"u-1","allowed":true}})");
  EXPECT_EQ(answer->kind, "Ingress");
  EXPECT_EQ(answer->result, "allowed");
}

TEST_F(ReviewTest, ADryRunIsAnsweredAlike) {
  const auto object = testing::read_yaml(kIngress).front();

  const auto real = ask(testing::review_of("CREATE", object));
  const auto dry = ask(testing::review_of("CREATE", object, R"(,"dryRun":true)"));

  ASSERT_TRUE(real.has_value() && dry.has_value());
  EXPECT_EQ(real->json, dry->json);
}

TEST_F(ReviewTest, WhatIsNoReviewGetsNoAnswer) {
  for (const char* body : {"", "x", "{}", "[]", "null", "{\"kind\":\"AdmissionReview\"}",
                           R"({"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview",)"
                           R"("request":{"uid":"a"}})",
                           R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"})",
                           R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",)"
                           R"("request":{}})",
                           R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",)"
                           R"("request":{"uid":7,"operation":"CREATE"}})"}) {
    EXPECT_NE(error_of(body), "") << body;
  }
}

TEST_F(ReviewTest, EveryBeginningOfAReviewIsRefused) {
  const std::string body = good();
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_NE(error_of(body.substr(0, size)), "") << size;
  }
}

TEST_F(ReviewTest, NothingMayFollow) { EXPECT_THAT(error_of(good() + "{}"), HasSubstr("follows")); }

TEST_F(ReviewTest, AUidThatIsNoUidIsRefused) {
  std::string body = good();
  body.replace(body.find("u-1"), 3, std::string(1000, 'u'));

  EXPECT_THAT(error_of(body), HasSubstr("uid"));
}

TEST_F(ReviewTest, ACreationWithoutAnObjectIsRefused) {
  EXPECT_THAT(error_of(R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":)"
                       R"({"uid":"a","operation":"CREATE","object":null}})"),
              HasSubstr("object"));
}

TEST_F(ReviewTest, TooMuchIsRefusedBeforeItIsRead) {
  EXPECT_THAT(error_of(std::string(kMaxReviewBytes + 1, ' ')), HasSubstr("3 MiB"));
}

TEST_F(ReviewTest, TooManyValuesAreRefused) {
  std::string many = "[0";
  for (int n = 0; n < 600'000; ++n) many += ",0";

  EXPECT_THAT(error_of(many + "]"), HasSubstr("too many"));
}

TEST_F(ReviewTest, TooDeepIsRefused) {
  EXPECT_THAT(error_of(std::string(100'000, '[')), HasSubstr("too deep"));
}

TEST_F(ReviewTest, ManagedFieldsMayBeAsDeepAsTheyLike) {
  auto object = testing::read_yaml(kIngress).front();
  std::string body = testing::review_of("CREATE", object);
  const std::string at = R"("metadata":{)";
  std::string fields = R"("managedFields":)";
  for (int n = 0; n < 200; ++n) fields += "[";
  for (int n = 0; n < 200; ++n) fields += "]";
  body.insert(body.find(at) + at.size(), fields + ",");

  EXPECT_TRUE(ask(body).has_value());
}

TEST_F(ReviewTest, WhatAnAuthorWroteIsNoJsonInTheAnswer) {
  const auto annotated = testing::read_yaml(
      "apiVersion: networking.k8s.io/v1\n"
      "kind: Ingress\n"
      "metadata:\n"
      "  name: orders\n"
      "  namespace: shop\n"
      "  annotations: {nginx.ingress.kubernetes.io/proxy-body-size: "
      "\"\\\",\\n\\\"allowed\\\":true\"}\n"
      "spec:\n"
      "  ingressClassName: handfast\n"
      "  defaultBackend: {service: {name: orders, port: {number: 8080}}}\n");

  const auto answer = ask(testing::review_of("CREATE", annotated.front()));

  ASSERT_TRUE(answer.has_value()) << answer.error();
  EXPECT_EQ(answer->result, "denied");
  EXPECT_THAT(answer->json, Not(HasSubstr(R"("allowed":true)")));
}

TEST_F(ReviewTest, ASecretThatNobodyHasLookedForIsNotCalledMissing) {
  auto object =
      testing::read_yaml(std::string(kIngress) + "  tls: [{hosts: [], secretName: shop-tls}]\n");

  const auto answer = ask(testing::review_of("CREATE", object.front()));

  ASSERT_TRUE(answer.has_value()) << answer.error();
  EXPECT_THAT(answer->json, Not(HasSubstr("shop-tls")));
}

// One is judged at a time, so what one author writes must not keep the others waiting: nothing may
// compare each of these with each other.
TEST_F(ReviewTest, AnIngressOfThousandsOfPathsAndSecretsIsJudged) {
  std::string paths;
  std::string tls;
  for (int n = 0; n < 8'000; ++n) {
    const std::string number = std::to_string(n);
    paths += (n == 0 ? "" : ",") + (R"({"path":"/)" + number) +
             R"(","pathType":"Prefix","backend":{"service":{"name":"s)" + number +
             R"(","port":{"number":1}}}})";
    if (n % 2 == 0) {
      tls += (n == 0 ? "" : ",") + (R"({"hosts":["h.example"],"secretName":"s)" + number) + "\"}";
    }
  }
  std::string body = good();
  const std::string at = R"("spec":{)";
  body.insert(body.find(at) + at.size(), R"("rules":[{"host":"h.example","http":{"paths":[)" +
                                             paths + R"(]}}],"tls":[)" + tls + "],");
  ASSERT_LT(body.size(), kMaxReviewBytes);

  const auto answer = ask(body);

  ASSERT_TRUE(answer.has_value()) << answer.error();
  EXPECT_EQ(answer->result, "warned") << answer->json;
  EXPECT_THAT(answer->json, HasSubstr("There is no Service shop/s"));
}

}  // namespace
}  // namespace handfast::admission
