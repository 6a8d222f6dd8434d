#include "controller/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <string>

namespace handfast::metrics {
namespace {

using Labels = std::map<std::string, std::string>;
using Gauges = prometheus::Family<prometheus::Gauge>;
using Counters = prometheus::Family<prometheus::Counter>;

Gauges& gauges(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

Counters& counters(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

// The series of one gauge that come and go with what they count.
class GaugeSet {
 public:
  explicit GaugeSet(Gauges& family) : family_(family) {}

  void begin() { ++round_; }
  void set(const Labels& labels, double value) {
    auto found = series_.find(labels);
    if (found == series_.end()) found = series_.emplace(labels, Series{&family_.Add(labels)}).first;
    found->second.gauge->Set(value);
    found->second.round = round_;
  }
  void end() {
    for (auto series = series_.begin(); series != series_.end();) {
      if (series->second.round == round_) {
        ++series;
      } else {
        family_.Remove(series->second.gauge);
        series = series_.erase(series);
      }
    }
  }

 private:
  struct Series {
    prometheus::Gauge* gauge;
    std::uint64_t round = 0;
  };
  Gauges& family_;
  std::map<Labels, Series> series_;
  std::uint64_t round_ = 0;
};

template <class Counts, class ToLabels>
void set_all(GaugeSet& set, const Counts& counts, ToLabels to_labels) {
  set.begin();
  for (const auto& [key, count] : counts) set.set(to_labels(key), static_cast<double>(count));
  set.end();
}

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;
  Counters& publishes = counters(registry, "handfast_controller_publishes_total",
                                 "Generations written, by what became of them");
  Counters& rejected = counters(registry, "handfast_controller_rejected_shards_total",
                                "Shards that the proxy would not take");
  Counters& preflights = counters(registry, "handfast_controller_preflights_total",
                                  "Preflights of rotation.preflight, by their verdict");
  prometheus::Gauge& preflights_held =
      gauges(registry, "handfast_controller_preflights_held",
             "Certificates and CAs that wait for a preflight while the last good ones serve")
          .Add({});
  prometheus::Gauge& replaced =
      gauges(registry, "handfast_controller_replaced_shards",
             "Shards at their last good form or refused because the proxy would not take them")
          .Add({});
  prometheus::Gauge& last_publish = gauges(registry, "handfast_controller_last_publish_seconds",
                                           "Unix time of the last acknowledgement")
                                        .Add({});
  prometheus::Gauge& publish_duration =
      gauges(registry, "handfast_controller_last_publish_duration_seconds",
             "From the start of the translation to the acknowledgement, last time")
          .Add({});
  prometheus::Gauge& generation =
      gauges(registry, "handfast_generation", "The generation that the proxy acknowledged last")
          .Add({});
  Counters& api_answers = counters(registry, "handfast_controller_api_answers_total",
                                   "Answers of the API server, by status");
  Gauges& in_step = gauges(registry, "handfast_controller_in_step_seconds",
                           "Unix time up to which all that happened in the cluster is known");
  prometheus::Gauge& skipped = gauges(registry, "handfast_controller_skipped_documents",
                                      "Documents of kinds that Handfast does not read")
                                   .Add({});
  Counters& admissions = counters(registry, "handfast_controller_admission_requests_total",
                                  "Reviews of the admission webhook, by kind and result");
  prometheus::Histogram& admission_duration =
      prometheus::BuildHistogram()
          .Name("handfast_controller_admission_duration_seconds")
          .Help("How long a review took, without the network")
          .Register(registry)
          .Add({}, prometheus::Histogram::BucketBoundaries{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05,
                                                           0.25, 1});
  GaugeSet objects{gauges(registry, "handfast_controller_objects", "Objects known, by kind")};
  GaugeSet findings{gauges(registry, "handfast_controller_findings",
                           "What is wrong with the objects, by severity and reason")};
  GaugeSet refused{
      gauges(registry, "handfast_routes_refused", "Routes that answer 503, by reason")};
  GaugeSet insecure{gauges(registry, "handfast_routes_insecure",
                           "Routes to TLS backends that are not verified, by Ingress")};
  GaugeSet last_good{gauges(registry, "handfast_last_good_age_seconds",
                            "For how long an item has been served at its last good content")};
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::count_publish(std::string_view result) {
  impl_->publishes.Add({{"result", std::string(result)}}).Increment();
}

void Metrics::set_last_publish(std::int64_t unix_seconds, double took_seconds) {
  impl_->last_publish.Set(static_cast<double>(unix_seconds));
  impl_->publish_duration.Set(took_seconds);
}

void Metrics::count_api_answer(int status) {
  impl_->api_answers.Add({{"code", status == 0 ? "none" : std::to_string(status)}}).Increment();
}

void Metrics::set_in_step(std::int64_t unix_seconds) {
  impl_->in_step.Add({}).Set(static_cast<double>(unix_seconds));
}

void Metrics::set_generation(std::uint64_t acknowledged) {
  impl_->generation.Set(static_cast<double>(acknowledged));
}

void Metrics::count_rejected_shard(std::string_view reason) {
  impl_->rejected.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::set_replaced_shards(std::size_t count) {
  impl_->replaced.Set(static_cast<double>(count));
}

void Metrics::count_preflight(std::string_view result) {
  impl_->preflights.Add({{"result", std::string(result)}}).Increment();
}

void Metrics::set_preflights_held(std::size_t count) {
  impl_->preflights_held.Set(static_cast<double>(count));
}

void Metrics::set_skipped_documents(std::size_t count) {
  impl_->skipped.Set(static_cast<double>(count));
}

void Metrics::set_objects(const std::map<std::string, std::size_t>& by_kind) {
  set_all(impl_->objects, by_kind, [](const std::string& kind) { return Labels{{"kind", kind}}; });
}

void Metrics::set_findings(const std::map<FindingKey, std::size_t>& counts) {
  set_all(impl_->findings, counts, [](const FindingKey& key) {
    return Labels{{"severity", key.severity}, {"reason", key.reason}};
  });
}

void Metrics::set_routes_refused(const std::map<std::string, std::size_t>& by_reason) {
  set_all(impl_->refused, by_reason,
          [](const std::string& reason) { return Labels{{"reason", reason}}; });
}

void Metrics::set_routes_insecure(const std::map<IngressName, std::size_t>& by_ingress) {
  set_all(impl_->insecure, by_ingress, [](const IngressName& name) {
    return Labels{{"namespace", name.ns}, {"ingress", name.name}};
  });
}

void Metrics::set_last_good_ages(const std::map<ItemName, std::int64_t>& seconds) {
  set_all(impl_->last_good, seconds, [](const ItemName& name) {
    return Labels{{"namespace", name.ns}, {"secret", name.secret}, {"item", name.item}};
  });
}

void Metrics::count_admission(std::string_view kind, std::string_view result, double took_seconds) {
  impl_->admissions.Add({{"kind", std::string(kind)}, {"result", std::string(result)}}).Increment();
  impl_->admission_duration.Observe(took_seconds);
}

std::string Metrics::render() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace handfast::metrics
