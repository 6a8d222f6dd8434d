#include "controller/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace handfast::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, HaveTheNamesThatOthersBuildOn) {
  Metrics metrics;
  metrics.set_generation(42);
  metrics.set_routes_refused({{"ca_missing", 2}});
  metrics.set_routes_insecure({{{"shop", "orders"}, 3}});
  metrics.set_last_good_ages({{{"shop", "orders-tls", "ca.crl"}, 60}});

  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("handfast_generation 42\n"));
  EXPECT_THAT(text, HasSubstr("handfast_routes_refused{reason=\"ca_missing\"} 2\n"));
  EXPECT_THAT(text,
              HasSubstr("handfast_routes_insecure{ingress=\"orders\",namespace=\"shop\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("handfast_last_good_age_seconds{item=\"ca.crl\",namespace=\"shop\","
                              "secret=\"orders-tls\"} 60\n"));
}

TEST(Metrics, TellWhatTheControllerItselfDoes) {
  Metrics metrics;
  metrics.set_last_publish(1'767'225'600, 0.25);
  metrics.set_replaced_shards(1);
  metrics.set_skipped_documents(7);
  metrics.set_objects({{"Secret", 5}});
  metrics.set_findings({{{"error", "bad_ca"}, 4}});

  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("handfast_controller_last_publish_seconds 1767225600\n"));
  EXPECT_THAT(text, HasSubstr("handfast_controller_last_publish_duration_seconds 0.25\n"));
  EXPECT_THAT(text, HasSubstr("handfast_controller_replaced_shards 1\n"));
  EXPECT_THAT(text, HasSubstr("handfast_controller_skipped_documents 7\n"));
  EXPECT_THAT(text, HasSubstr("handfast_controller_objects{kind=\"Secret\"} 5\n"));
  EXPECT_THAT(text,
              HasSubstr("handfast_controller_findings{reason=\"bad_ca\",severity=\"error\"} 4\n"));
}

TEST(Metrics, CountByResultAndByReason) {
  Metrics metrics;
  metrics.count_publish("acknowledged");
  metrics.count_publish("acknowledged");
  metrics.count_publish("failed");
  metrics.count_rejected_shard("key_mismatch");

  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("handfast_controller_publishes_total{result=\"acknowledged\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("handfast_controller_publishes_total{result=\"failed\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("handfast_controller_rejected_shards_total{reason=\"key_mismatch\"} 1\n"));
}

TEST(Metrics, ASeriesThatIsNotSetAgainDisappears) {
  Metrics metrics;
  metrics.set_last_good_ages(
      {{{"shop", "orders-tls", "ca.crl"}, 60}, {{"shop", "pay-tls", "tls.crt"}, 5}});

  metrics.set_last_good_ages({{{"shop", "pay-tls", "tls.crt"}, 6}});

  const std::string text = metrics.render();
  EXPECT_THAT(text, Not(HasSubstr("orders-tls")));
  EXPECT_THAT(text, HasSubstr("secret=\"pay-tls\"} 6\n"));
}

}  // namespace
}  // namespace handfast::metrics
