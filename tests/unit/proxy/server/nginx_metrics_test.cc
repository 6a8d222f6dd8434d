#include "proxy/server/nginx_metrics.h"

#include <gtest/gtest.h>

#include <string>

namespace handfast::server {
namespace {

bool holds(const std::string& text, const std::string& line) {
  return text.find(line + "\n") != std::string::npos;
}

TEST(NginxMetrics, EachSeriesSaysWhoTheControllerIs) {
  const std::string labels = nginx_labels("edge", "pod-\"1\"");
  std::string text;
  write_nginx_facts(text, {.requests = 7, .generation = 42}, labels);

  EXPECT_EQ(labels,
            "controller_class=\"k8s.io/ingress-nginx\",controller_namespace=\"edge\","
            "controller_pod=\"pod-\\\"1\\\"\"");
  EXPECT_TRUE(holds(text, "nginx_ingress_controller_config_hash{" + labels + "} 42")) << text;
  EXPECT_TRUE(
      holds(text, "nginx_ingress_controller_nginx_process_requests_total{" + labels + "} 7"));
}

TEST(NginxMetrics, AConnectionThatServesWaitsForNothing) {
  std::string text;
  write_nginx_facts(text, {.connections = 5, .requests_in_flight = 2}, "x=\"\"");

  const std::string name = "nginx_ingress_controller_nginx_process_connections{x=\"\",state=";
  EXPECT_TRUE(holds(text, name + "\"active\"} 5")) << text;
  EXPECT_TRUE(holds(text, name + "\"writing\"} 2"));
  EXPECT_TRUE(holds(text, name + "\"waiting\"} 3"));
}

TEST(NginxMetrics, MoreRequestsThanConnectionsLeaveNoneWaiting) {
  std::string text;
  write_nginx_facts(text, {.connections = 1, .requests_in_flight = 100}, "x=\"\"");

  EXPECT_TRUE(holds(
      text, "nginx_ingress_controller_nginx_process_connections{x=\"\",state=\"waiting\"} 0"));
}

TEST(NginxMetrics, ALoadThatWasRejectedIsTheLastWordOnReloads) {
  std::string text;
  write_nginx_facts(
      text,
      {.loads_accepted = 3, .loads_rejected = 1, .last_load_accepted = false, .last_load = 99},
      "x=\"\"");

  EXPECT_TRUE(holds(text, "nginx_ingress_controller_config_last_reload_successful{x=\"\"} 0"));
  EXPECT_TRUE(holds(
      text, "nginx_ingress_controller_config_last_reload_successful_timestamp_seconds{x=\"\"} 99"));
  EXPECT_TRUE(holds(text, "nginx_ingress_controller_success{x=\"\"} 3"));
  EXPECT_TRUE(holds(text, "nginx_ingress_controller_errors{x=\"\"} 1"));
}

}  // namespace
}  // namespace handfast::server
