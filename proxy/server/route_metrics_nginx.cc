// The request series of ingress-nginx, told from what is counted in detail.

#include <array>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/server/route_counters.h"
#include "proxy/server/route_metrics.h"

namespace handfast::server {
namespace {

constexpr std::array<std::string_view, 11> kTimeBounds{
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"};
constexpr std::array<std::string_view, 10> kByteBounds{"10", "20", "30", "40", "50",
                                                       "60", "70", "80", "90", "100"};

struct DetailSum {
  std::uint64_t count = 0;
  HistogramSum<kNginxMicroseconds.size()> duration, connect, header, response;
  HistogramSum<kNginxBytes.size()> request_bytes, response_bytes;
};

// One text for each family, since the format wants a family's series together.
struct Families {
  std::string requests, duration, connect, header, response, request_bytes, response_bytes;
};

template <std::size_t Bounds>
void write_histogram(std::string& out, std::string_view name, const std::string& labels,
                     const HistogramSum<Bounds>& sum,
                     const std::array<std::string_view, Bounds>& bounds, double unit) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i <= Bounds; ++i) {
    total += sum.buckets[i];
    out.append(name).append("_bucket{").append(labels).append(",le=\"");
    out.append(i < Bounds ? bounds[i] : "+Inf").append("\"} ");
    out.append(std::to_string(total)).append("\n");
  }
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", static_cast<double>(sum.sum) / unit);
  out.append(name).append("_sum{").append(labels).append("} ").append(text).append("\n");
  out.append(name).append("_count{").append(labels).append("} ");
  out.append(std::to_string(total)).append("\n");
}

void write_request(Families& out, const std::string& labels, const DetailSum& sum) {
  out.requests.append("nginx_ingress_controller_requests{").append(labels).append("} ");
  out.requests.append(std::to_string(sum.count)).append("\n");
  const auto times = [&labels](std::string& family, std::string_view name, const auto& histogram) {
    write_histogram(family, name, labels, histogram, kTimeBounds, 1e6);
  };
  times(out.duration, "nginx_ingress_controller_request_duration_seconds", sum.duration);
  times(out.connect, "nginx_ingress_controller_connect_duration_seconds", sum.connect);
  times(out.header, "nginx_ingress_controller_header_duration_seconds", sum.header);
  times(out.response, "nginx_ingress_controller_response_duration_seconds", sum.response);
  write_histogram(out.request_bytes, "nginx_ingress_controller_request_size", labels,
                  sum.request_bytes, kByteBounds, 1);
  write_histogram(out.response_bytes, "nginx_ingress_controller_response_size", labels,
                  sum.response_bytes, kByteBounds, 1);
}

std::string labels_of(const RouteLabels& route, std::uint32_t key, std::string_view others) {
  std::string labels = "canary=\"\",";
  labels.append(others).append(",host=\"").append(escape_label(route.host));
  labels.append("\",ingress=\"").append(escape_label(route.ingress));
  labels.append("\",method=\"").append(kMethods[key >> 16]);
  labels.append("\",namespace=\"").append(escape_label(route.ns));
  labels.append("\",path=\"").append(escape_label(route.path));
  labels.append("\",service=\"").append(escape_label(route.service));
  return labels.append("\",status=\"").append(std::to_string(key & 0xffff)).append("\"");
}

}  // namespace

void RouteMetrics::write_nginx(std::string& out, std::string_view labels) const {
  Families families;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [route, interned] : interned_) {
      if (interned.id == kNoRoute) continue;
      std::map<std::uint32_t, DetailSum> sums;
      for_each_worker(interned.id, [&sums](const Counters& counters) {
        const Counters::Details& details = *counters.details.load(std::memory_order_acquire);
        for (std::size_t i = 0; i < Counters::kSlots; ++i) {
          const RequestCounters* detail = details[i].load(std::memory_order_acquire);
          if (detail == nullptr) continue;
          DetailSum& sum = sums[counters.slots[i].key.load(std::memory_order_relaxed)];
          sum.count += counters.slots[i].count.load(std::memory_order_relaxed);
          sum.duration.add(detail->duration);
          sum.connect.add(detail->connect);
          sum.header.add(detail->header);
          sum.response.add(detail->response);
          sum.request_bytes.add(detail->request_bytes);
          sum.response_bytes.add(detail->response_bytes);
        }
      });
      for (const auto& [key, sum] : sums)
        write_request(families, labels_of(route, key, labels), sum);
    }
  }
  const std::pair<std::string_view, const std::string*> histograms[] = {
      {"request_duration_seconds", &families.duration},
      {"connect_duration_seconds", &families.connect},
      {"header_duration_seconds", &families.header},
      {"response_duration_seconds", &families.response},
      {"request_size", &families.request_bytes},
      {"response_size", &families.response_bytes}};
  out.append("# TYPE nginx_ingress_controller_requests counter\n").append(families.requests);
  for (const auto& [name, text] : histograms) {
    out.append("# TYPE nginx_ingress_controller_").append(name).append(" histogram\n");
    out.append(*text);
  }
}

}  // namespace handfast::server
