// How long a review takes beside few Ingresses and many: p50 and p99, without the network; and the
// CPU of it, which says the same on a machine that does other things too.

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "controller/admission/index.h"
#include "controller/admission/judge.h"
#include "controller/admission/review.h"
#include "controller/admission/stand_ins.h"
#include "proxy/base/check.h"

namespace handfast {
namespace {

constexpr int kReviews = 5'000;

objects::Ingress make_ingress(std::size_t n) {
  objects::Ingress ingress;
  ingress.meta.ns = "team-" + std::to_string(n % 300);
  ingress.meta.name = "app-" + std::to_string(n);
  ingress.meta.creation_timestamp = "2026-01-01T00:00:00Z";
  ingress.class_name = "handfast";
  objects::IngressPath path;
  path.path = "/";
  path.type = objects::IngressPathType::Prefix;
  path.backend.service = objects::ServiceBackend{"app", {443, {}}};
  ingress.rules.push_back({"app-" + std::to_string(n) + ".example", {path}});
  return ingress;
}

objects::Service make_service(std::size_t n) {
  objects::Service service;
  service.meta.ns = "team-" + std::to_string(n % 300);
  service.meta.name = "app";
  service.ports.push_back({"https", 443, {443, {}}, {}});
  return service;
}

std::string review_of(std::size_t n, bool is_taken) {
  const std::string name = "new-" + std::to_string(n);
  const std::string host =
      is_taken ? "app-" + std::to_string(n % 10) + ".example" : name + ".example";
  return R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":")" +
         name +
         R"(","kind":{"group":"networking.k8s.io","version":"v1","kind":"Ingress"},)"
         R"("operation":"CREATE","object":{"apiVersion":"networking.k8s.io/v1","kind":"Ingress",)"
         R"("metadata":{"name":")" +
         name +
         R"(","namespace":"team-1","annotations":{)"
         R"("nginx.ingress.kubernetes.io/backend-protocol":"HTTPS",)"
         R"("nginx.ingress.kubernetes.io/proxy-ssl-secret":"team-1/app",)"
         R"("nginx.ingress.kubernetes.io/proxy-ssl-verify":"on"}},"spec":{)"
         R"("ingressClassName":"handfast","tls":[{"hosts":[")" +
         host + R"("],"secretName":"web"}],"rules":[{"host":")" + host +
         R"(","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":)"
         R"({"name":"app","port":{"number":443}}}}]}}]}}}})";
}

double cpu_milliseconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

void measure(std::size_t ingresses, bool is_taken) {
  const translate::Options options;
  admission::Index index{options, admission::Index::Told::Asked};
  for (std::size_t n = 0; n < ingresses; ++n) {
    index.apply(make_ingress(n));
    index.apply(make_service(n));
  }
  auto stand_ins = admission::StandIns::make();
  check(stand_ins.has_value(), "no stand-ins");
  const admission::Judge judge{options, index, std::move(*stand_ins)};

  std::vector<double> took, used;
  for (int n = 0; n < kReviews; ++n) {
    const std::string body = review_of(static_cast<std::size_t>(n), is_taken);
    const double cpu = cpu_milliseconds();
    const auto begin = std::chrono::steady_clock::now();
    const auto answer = admission::review(body, judge, 1767225600);
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
    used.push_back(cpu_milliseconds() - cpu);
    check(answer.has_value(), "no answer");
    check(answer->result == (is_taken ? "denied" : "allowed"), "another answer");
    took.push_back(time.count());
  }
  std::sort(took.begin(), took.end());
  std::sort(used.begin(), used.end());
  std::printf("%zu Ingresses, %s: p50 %.3f ms, p99 %.3f ms; CPU p50 %.3f ms, p99 %.3f ms\n",
              ingresses, is_taken ? "refused" : "allowed", took[took.size() / 2],
              took[took.size() * 99 / 100], used[used.size() / 2], used[used.size() * 99 / 100]);
}

}  // namespace
}  // namespace handfast

int main() {
  for (const std::size_t ingresses : {std::size_t{10}, std::size_t{10'000}}) {
    for (const bool is_taken : {false, true}) handfast::measure(ingresses, is_taken);
  }
  return 0;
}
