#include "proxy/server/route_metrics.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace handfast::server {
namespace {

using std::chrono::microseconds;

const RouteLabels kShop{"shop.example", "shop", "web", "orders"};
const RouteLabels kOther{"other.example", "shop", "web", "billing"};

std::string text_of(const RouteMetrics& metrics) {
  std::string text;
  metrics.write(text);
  return text;
}

bool has_line(const std::string& text, const std::string& start, const std::string& value) {
  for (std::size_t at = text.find(start); at != std::string::npos; at = text.find(start, at + 1)) {
    const std::size_t end = text.find('\n', at);
    if (text.substr(at, end - at).ends_with("} " + value)) return true;
  }
  return false;
}

TEST(RouteMetrics, SumsOverTheWorkers) {
  RouteMetrics metrics(3);
  std::vector<std::uint32_t> ids;
  const auto lease = metrics.intern({kShop}, ids);
  for (std::size_t worker = 0; worker < 3; ++worker) {
    metrics.count(worker, ids[0], {"GET", 200, microseconds(1500)});
  }
  metrics.count(0, ids[0], {"POST", 503, microseconds(2'000'000)});
  const std::string text = text_of(metrics);

  EXPECT_TRUE(has_line(text, "handfast_requests_total{", "3")) << text;
  EXPECT_TRUE(has_line(text, "handfast_requests_total{", "1")) << text;
  EXPECT_TRUE(has_line(text, "handfast_request_duration_seconds_count{", "4")) << text;
  EXPECT_TRUE(has_line(text, "handfast_request_duration_seconds_sum{", "2.004500")) << text;
  EXPECT_NE(
      text.find("host=\"shop.example\",ingress=\"web\",namespace=\"shop\",service=\"orders\""),
      std::string::npos)
      << text;
}

TEST(RouteMetrics, SaysNothingOfARouteWithoutTraffic) {
  RouteMetrics metrics(1);
  std::vector<std::uint32_t> ids;
  const auto lease = metrics.intern({kShop}, ids);

  EXPECT_EQ(text_of(metrics).find("shop.example"), std::string::npos);
}

TEST(RouteMetrics, GoesOnOverReloadsAndVanishesWithTheLastLease) {
  RouteMetrics metrics(1);
  std::vector<std::uint32_t> first_ids;
  std::vector<std::uint32_t> second_ids;
  auto first = metrics.intern({kShop, kOther}, first_ids);
  metrics.count(0, first_ids[0], {"GET", 200, microseconds(1)});
  auto second = metrics.intern({kShop}, second_ids);
  first.reset();
  metrics.count(0, second_ids[0], {"GET", 200, microseconds(1)});
  EXPECT_EQ(second_ids[0], first_ids[0]);
  EXPECT_TRUE(has_line(text_of(metrics), "handfast_requests_total{", "2"));

  second.reset();

  EXPECT_EQ(text_of(metrics).find("shop.example"), std::string::npos);
}

TEST(RouteMetrics, ANumberThatIsUsedAgainBeginsAtNothing) {
  RouteMetrics metrics(1);
  std::vector<std::uint32_t> ids;
  auto lease = metrics.intern({kShop}, ids);
  metrics.count(0, ids[0], {"GET", 200, microseconds(1)});
  const std::uint32_t old = ids[0];
  lease.reset();
  lease = metrics.intern({kOther}, ids);
  ASSERT_EQ(ids[0], old);
  metrics.count(0, ids[0], {"GET", 200, microseconds(1)});

  EXPECT_TRUE(has_line(text_of(metrics), "handfast_requests_total{", "1"));
  EXPECT_FALSE(has_line(text_of(metrics), "handfast_requests_total{", "2"));
}

TEST(RouteMetrics, RoutesOfTheSameLabelsShareANumber) {
  RouteMetrics metrics(1);
  std::vector<std::uint32_t> ids;
  const auto lease = metrics.intern({kShop, kShop, kOther}, ids);

  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_NE(ids[0], ids[2]);
}

TEST(RouteMetrics, ABackendThatInventsStatusesCostsNoMoreSeries) {
  RouteMetrics metrics(1);
  std::vector<std::uint32_t> ids;
  const auto lease = metrics.intern({kShop}, ids);
  for (int status = 200; status < 600; ++status) {
    metrics.count(0, ids[0], {"GET", status, microseconds(1)});
  }
  const std::string text = text_of(metrics);
  std::size_t series = 0;
  for (std::size_t at = text.find("handfast_requests_total{"); at != std::string::npos;
       at = text.find("handfast_requests_total{", at + 1)) {
    ++series;
  }

  EXPECT_LE(series, 30u);
  EXPECT_TRUE(has_line(text, "handfast_request_duration_seconds_count{", "400"));
}

TEST(RouteMetrics, CountsWhileItIsWrittenAndReloaded) {
  RouteMetrics metrics(2);
  std::vector<std::uint32_t> ids;
  const auto lease = metrics.intern({kShop}, ids);
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  for (std::size_t w = 0; w < 2; ++w) {
    workers.emplace_back([&, w] {
      for (int i = 0; i < 20'000; ++i) metrics.count(w, ids[0], {"GET", 200, microseconds(i)});
    });
  }
  std::thread reloader([&] {
    while (!stop) {
      std::vector<std::uint32_t> others;
      metrics.intern({kShop, kOther}, others).reset();
    }
  });
  for (int i = 0; i < 50; ++i) (void)text_of(metrics);
  for (auto& worker : workers) worker.join();
  stop = true;
  reloader.join();

  EXPECT_TRUE(has_line(text_of(metrics), "handfast_requests_total{", "40000"));
}

TEST(RouteMetrics, InDetailEachPathHasItsSeriesAndOursAreTheSumOfThem) {
  RouteMetrics metrics(2, RouteMetrics::Detail::OfPaths);
  RouteLabels cart = kShop;
  cart.path = "/cart";
  RouteLabels pay = kShop;
  pay.path = "/pay";
  std::vector<std::uint32_t> ids;
  const auto lease = metrics.intern({cart, pay}, ids);
  metrics.count(0, ids[0], {"GET", 200, microseconds(3'000'000)});
  metrics.count(1, ids[0], {"GET", 200, microseconds(1)});
  metrics.count(0, ids[1], {"GET", 502, microseconds(1)});
  std::string nginx;
  metrics.write_nginx(nginx, "controller_pod=\"a\"");

  EXPECT_TRUE(has_line(text_of(metrics), "handfast_request_duration_seconds_count{", "3"));
  const std::string labels =
      "{canary=\"\",controller_pod=\"a\",host=\"shop.example\",ingress=\"web\",method=\"GET\","
      "namespace=\"shop\",path=\"/cart\",service=\"orders\",status=\"200\"";
  EXPECT_TRUE(has_line(nginx, "nginx_ingress_controller_requests" + labels, "2")) << nginx;
  const std::string bucket = "nginx_ingress_controller_request_duration_seconds_bucket" + labels;
  EXPECT_TRUE(has_line(nginx, bucket + ",le=\"2.5\"", "1")) << nginx;
  EXPECT_TRUE(has_line(nginx, bucket + ",le=\"5\"", "2")) << nginx;
  EXPECT_NE(nginx.find("path=\"/pay\",service=\"orders\",status=\"502\""), std::string::npos);
  EXPECT_EQ(metrics.requests(), 3u);
}

TEST(RouteMetrics, ARequestThatReachedNoBackendHasNoTimesOfOne) {
  RouteMetrics metrics(1, RouteMetrics::Detail::OfPaths);
  std::vector<std::uint32_t> ids;
  const auto lease = metrics.intern({kShop}, ids);
  metrics.count(0, ids[0],
                {.method = "GET", .status = 503, .connect = microseconds(7), .response_bytes = 55});
  std::string nginx;
  metrics.write_nginx(nginx, "x=\"\"");

  EXPECT_TRUE(has_line(nginx, "nginx_ingress_controller_connect_duration_seconds_count{", "1"));
  EXPECT_TRUE(has_line(nginx, "nginx_ingress_controller_response_duration_seconds_count{", "0"));
  EXPECT_TRUE(has_line(nginx, "nginx_ingress_controller_response_size_sum{", "55"));
}

TEST(RouteMetrics, RequestsWithoutARouteAreNotToldUnderNamesOfOthers) {
  RouteMetrics metrics(1, RouteMetrics::Detail::OfPaths);
  metrics.count(0, RouteMetrics::kNoRoute, {"GET", 404, microseconds(1)});
  std::string nginx;
  metrics.write_nginx(nginx, "x=\"\"");

  EXPECT_EQ(nginx.find("nginx_ingress_controller_requests{"), std::string::npos);
}

TEST(EscapeLabel, EscapesWhatWouldEndTheValue) {
  EXPECT_EQ(escape_label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
}

}  // namespace
}  // namespace handfast::server
