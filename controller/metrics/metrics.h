#pragma once
// The controller's metrics: docs/metrics.md, section "Controller".
//
// Gauges with labels are set whole: a series that is not in the new set disappears.
//
// Threading: set_* and count_* from one thread, but where it says otherwise; render() from any.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace handfast::metrics {

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // "acknowledged", "pending", "failed".
  void count_publish(std::string_view result);
  void set_last_publish(std::int64_t unix_seconds, double took_seconds);
  void set_generation(std::uint64_t acknowledged);
  void count_rejected_shard(std::string_view reason);
  void set_replaced_shards(std::size_t count);
  void count_preflight(std::string_view result);
  void set_preflights_held(std::size_t count);

  // Of an API server: the status of an answer, 0 for no connection; and the moment up to which all
  // that happened in the cluster is known. From any thread.
  void count_api_answer(int status);
  void set_in_step(std::int64_t unix_seconds);

  void set_skipped_documents(std::size_t count);
  void set_objects(const std::map<std::string, std::size_t>& by_kind);

  struct FindingKey {
    std::string severity, reason;
    friend auto operator<=>(const FindingKey&, const FindingKey&) = default;
  };
  void set_findings(const std::map<FindingKey, std::size_t>& counts);
  void set_routes_refused(const std::map<std::string, std::size_t>& by_reason);

  struct IngressName {
    std::string ns, name;
    friend auto operator<=>(const IngressName&, const IngressName&) = default;
  };
  void set_routes_insecure(const std::map<IngressName, std::size_t>& by_ingress);

  // `item`: "tls.crt", "ca.crt", "ca.crl".
  struct ItemName {
    std::string ns, secret, item;
    friend auto operator<=>(const ItemName&, const ItemName&) = default;
  };
  void set_last_good_ages(const std::map<ItemName, std::int64_t>& seconds);

  // A review of the admission webhook, by kind and by what became of it. From any thread.
  void count_admission(std::string_view kind, std::string_view result, double took_seconds);

  // In the text format of Prometheus.
  [[nodiscard]] std::string render() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace handfast::metrics
