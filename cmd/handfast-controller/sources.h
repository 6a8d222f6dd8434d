#pragma once
// Where the controller's objects come from, as its flags say: a directory, or a Kubernetes API
// server, inside the cluster or by a kubeconfig.

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/fetch/crl_point.h"
#include "controller/kube/api_client.h"
#include "controller/metrics/metrics.h"
#include "controller/source/cluster_source.h"
#include "controller/source/source.h"
#include "controller/translate/options.h"
#include "proxy/base/clock.h"
#include "proxy/base/options.h"
#include "proxy/base/result.h"

namespace handfast {

struct SourceSettings {
  std::string manifests;
  std::string kubeconfig;
  std::string api_server;  // --apiserver-host
  std::vector<std::string> namespaces;
  std::string namespace_selector;
  std::optional<translate::NamespacedName> publish_service;
  std::vector<fetch::CrlPoint> crl_points;
  std::set<std::string> ocsp_responders;
  std::string state_directory;  // where what is fetched is kept
};

void add_source_flags(OptionSet& options);
[[nodiscard]] Result<SourceSettings> read_source_flags(const ParsedOptions& parsed);

// In the order of their making. The API client is ended last: it waits for its callbacks.
struct Sources {
  std::unique_ptr<kube::ApiClient> api;  // null: there is no cluster
  std::string ns;                        // of the pod, or the kubeconfig's context
  std::unique_ptr<source::ClusterObserver> observer;
  std::unique_ptr<source::Source> source;
};

// Borrows the clock and the metrics. An error is one of this machine: a file that isn't there.
[[nodiscard]] Result<Sources> make_sources(const SourceSettings& settings,
                                           const translate::Options& options, const Clock& clock,
                                           metrics::Metrics& metrics);

}  // namespace handfast
