#include "cmd/handfast-controller/sources.h"

#include <optional>
#include <random>
#include <utility>

#include "controller/fetch/crl_source.h"
#include "controller/fetch/http_getter.h"
#include "controller/fetch/staple_source.h"
#include "controller/kube/credentials.h"
#include "controller/objects/names.h"
#include "controller/publish/file_system.h"
#include "controller/source/joined_source.h"
#include "controller/source/kubeconfig.h"
#include "controller/source/manifest_source.h"
#include "proxy/base/log.h"
#include "proxy/base/process.h"

namespace handfast {
namespace {

constexpr fetch::GetLimits kOcspLimits{.bytes = std::size_t{64} << 10,
                                       .time = std::chrono::seconds(10)};

class Observer final : public source::ClusterObserver {
 public:
  explicit Observer(metrics::Metrics& metrics) : metrics_(metrics) {}
  void on_answer(int status) override { metrics_.count_api_answer(status); }
  void on_in_step(UnixSeconds when) override { metrics_.set_in_step(when); }

 private:
  metrics::Metrics& metrics_;
};

// Where our Lease and our pods are. Nothing stands in for it: "default" would be somebody else's.
Result<kube::Access> find_pods_access() {
  auto access =
      kube::in_cluster(environment("KUBERNETES_SERVICE_HOST"),
                       environment("KUBERNETES_SERVICE_PORT"), kube::kServiceAccountFolder);
  if (!access) return access;
  access->ns = environment("POD_NAMESPACE");
  if (!access->ns.empty()) return access;
  auto ns = kube::read_pod_namespace(kube::kServiceAccountFolder);
  if (!ns) {
    return fail(Reason::InvalidValue, "the pod's namespace is not known: set POD_NAMESPACE; " +
                                          std::move(ns.error().detail));
  }
  access->ns = *std::move(ns);
  return access;
}

Result<kube::Access> find_access(const SourceSettings& settings) {
  auto access = settings.kubeconfig.empty() ? find_pods_access()
                                            : source::load_kubeconfig(settings.kubeconfig);
  if (access && !settings.api_server.empty()) access->server = settings.api_server;
  return access;
}

// What flags name is read wherever it is, also outside --watch-namespace.
std::vector<objects::ObjectKey> named_by(const SourceSettings& settings,
                                         const translate::Options& options) {
  std::vector<objects::ObjectKey> named;
  const auto add = [&named](const char* kind, const std::optional<translate::NamespacedName>& ref) {
    if (ref) named.push_back({kind, ref->ns, ref->name});
  };
  add("Secret", options.default_certificate);
  add("Secret", options.session_tickets);
  add("ConfigMap", options.config_map);
  add("ConfigMap", options.tcp_services);
  add("Service", options.default_backend);
  add("Service", settings.publish_service);
  if (const auto& ca = options.default_upstream_ca) {
    if (ca->kind == translate::DefaultCa::Kind::Secret) add("Secret", ca->ref);
    if (ca->kind == translate::DefaultCa::Kind::ConfigMap) add("ConfigMap", ca->ref);
  }
  return named;
}

Result<std::unique_ptr<source::Source>> make_cluster_source(const SourceSettings& settings,
                                                            const translate::Options& options,
                                                            const Clock& clock,
                                                            metrics::Metrics& metrics,
                                                            Sources& sources) {
  auto access = find_access(settings);
  if (!access) return fail(std::move(access.error()));
  const std::string server = access->server;
  sources.ns = access->ns.empty() ? "default" : access->ns;
  auto api = kube::ApiClient::make(std::move(*access), clock);
  if (!api) return fail(std::move(api.error()));
  log(LogLevel::Info, "watching a cluster", {{"server", server}});
  sources.api = std::move(*api);
  sources.observer = std::make_unique<Observer>(metrics);
  // One for all copies of the function, or all would wait for the same time. Jitter is no secret.
  auto random = [engine = std::make_shared<std::mt19937_64>(std::random_device{}())] {
    return std::uniform_real_distribution<double>(0.0, 1.0)(*engine);
  };
  return std::make_unique<source::ClusterSource>(
      source::ClusterSource::Parts{*sources.api, clock, std::move(random), sources.observer.get()},
      source::ClusterSource::Settings{settings.namespaces, settings.namespace_selector,
                                      named_by(settings, options)});
}

}  // namespace

void add_source_flags(OptionSet& options) {
  options.add_text("manifests", "DIR", "", "directory of manifests, watched, in a cluster's place");
  options.add_text("kubeconfig", "FILE", "", "how to reach a cluster (from inside it: not needed)");
  options.add_text("apiserver-host", "URL", "", "the API server's address, where it is another");
  options.add_list("watch-namespace", "NS,...", "only these; Roles in them are enough");
  options.add_text("watch-namespace-selector", "SELECTOR", "", "only namespaces with these labels");
  fetch::add_flags(options);
  fetch::add_stapling_flag(options);
}

Result<SourceSettings> read_source_flags(const ParsedOptions& parsed) {
  SourceSettings settings;
  settings.manifests = parsed.text("manifests");
  settings.kubeconfig = parsed.text("kubeconfig");
  settings.api_server = parsed.text("apiserver-host");
  settings.namespaces = parsed.list("watch-namespace");
  settings.namespace_selector = parsed.text("watch-namespace-selector");
  const auto refuse = [](std::string why) { return fail(Reason::InvalidValue, std::move(why)); };
  if (!settings.manifests.empty()) {
    if (!settings.kubeconfig.empty())
      return refuse("--manifests and --kubeconfig exclude each other");
    if (!settings.api_server.empty() || !settings.namespaces.empty() ||
        !settings.namespace_selector.empty()) {
      return refuse(
          "--apiserver-host and --watch-namespace… are for clusters, not for --manifests");
    }
  }
  if (!settings.namespaces.empty() && !settings.namespace_selector.empty()) {
    return refuse("--watch-namespace and --watch-namespace-selector exclude each other");
  }
  for (const std::string& ns : settings.namespaces) {
    if (!objects::is_dns_label(ns)) return refuse("--watch-namespace: " + ns + " is no namespace");
  }
  if (!settings.api_server.empty()) {
    if (const auto server = kube::parse_server(settings.api_server); !server) {
      return refuse("--apiserver-host: " + server.error().detail);
    }
  }
  auto points = fetch::read_flags(parsed);
  if (!points) return fail(std::move(points.error()));
  settings.crl_points = std::move(*points);
  auto responders = fetch::read_stapling_flag(parsed);
  if (!responders) return fail(std::move(responders.error()));
  settings.ocsp_responders = std::move(*responders);
  return settings;
}

Result<Sources> make_sources(const SourceSettings& settings, const translate::Options& options,
                             const Clock& clock, metrics::Metrics& metrics) {
  Sources sources;
  std::vector<std::unique_ptr<source::Source>> all;
  if (settings.manifests.empty()) {
    auto cluster = make_cluster_source(settings, options, clock, metrics, sources);
    if (!cluster) return fail(std::move(cluster.error()));
    all.push_back(std::move(*cluster));
  }
  if (!settings.manifests.empty() || !options.crl_directory.empty()) {
    all.push_back(
        std::make_unique<source::ManifestSource>(settings.manifests, options.crl_directory));
  }
  if (!settings.crl_points.empty()) {
    auto cache = publish::DirectoryFileSystem::open(settings.state_directory + "/crls");
    if (!cache) return fail(std::move(cache.error()));
    all.push_back(std::make_unique<fetch::CrlSource>(
        settings.crl_points, std::make_unique<fetch::HttpGetter>(fetch::GetLimits{}),
        std::move(*cache), clock));
  }
  sources.source = all.size() == 1 ? std::move(all.front())
                                   : std::make_unique<source::JoinedSource>(std::move(all));
  if (!settings.ocsp_responders.empty()) {
    auto cache = publish::DirectoryFileSystem::open(settings.state_directory + "/ocsp");
    if (!cache) return fail(std::move(cache.error()));
    sources.source = std::make_unique<fetch::StapleSource>(
        std::move(sources.source), settings.ocsp_responders,
        std::make_unique<fetch::HttpGetter>(kOcspLimits), std::move(*cache), clock);
  }
  return sources;
}

}  // namespace handfast
