#include "cmd/handfast-controller/statuses.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include "controller/objects/names.h"
#include "proxy/base/process.h"

namespace handfast {
namespace {

constexpr std::chrono::seconds kLeastTtl{4};

std::string machine_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "controller";
}

// A pod that is started anew under its name is somebody else.
std::string identity_of(const std::string& pod) {
  std::random_device random;
  return pod + '_' + std::to_string(random()) + std::to_string(random());
}

// One without an installation is of an earlier release: of ours.
std::string namespace_of(const objects::ReplicaStatus& replica, const std::string& own) {
  const std::string& name = replica.installation;
  return name.empty() ? own : name.substr(0, name.find('/'));
}

std::optional<status::LeaderElection::Settings> election_of(const StatusSettings& settings) {
  if (settings.is_alone) return std::nullopt;
  return status::LeaderElection::Settings{settings.ns, settings.election_id,
                                          identity_of(settings.pod), settings.election_ttl};
}

}  // namespace

void add_status_flags(OptionSet& options) {
  options.add_choice("update-status", {"true", "false"}, "true",
                     "write where Ingresses are reached");
  options.add_text("publish-service", "NS/NAME", "", "the Service whose address that is");
  options.add_list("publish-status-address", "ADDR,...", "that address itself");
  options.add_flag("report-node-internal-ip-address", "else of nodes: not the external addresses");
  options.add_text("election-id", "NAME", "ingress-controller-leader",
                   "Lease of who writes status");
  options.add_duration("election-ttl", "30s", "how long it holds");
  options.add_flag("disable-leader-election", "this is the only replica");
}

Result<StatusSettings> read_status_flags(const ParsedOptions& parsed) {
  const auto refuse = [](std::string why) { return fail(Reason::InvalidValue, std::move(why)); };
  StatusSettings settings;
  settings.update = parsed.text("update-status") == "true";
  if (const std::string& text = parsed.text("publish-service"); !text.empty()) {
    auto service = translate::parse_namespaced_name(text);
    if (!service) return refuse("--publish-service: " + service.error().detail);
    settings.publish_service = *std::move(service);
  }
  for (const std::string& one : parsed.list("publish-status-address")) {
    if (!objects::is_ipv4(one) && !objects::is_ipv6(one) && !objects::is_dns_subdomain(one)) {
      return refuse("--publish-status-address: " + one + " is no address and no host name");
    }
    const status::Addresses address = status::parse_addresses(one);
    settings.addresses.insert(settings.addresses.end(), address.begin(), address.end());
  }
  if (settings.publish_service && !settings.addresses.empty()) {
    return refuse("--publish-service and --publish-status-address exclude each other");
  }
  std::ranges::sort(settings.addresses);
  settings.internal_addresses = parsed.flag("report-node-internal-ip-address");
  settings.election_id = parsed.text("election-id");
  if (!objects::is_dns_subdomain(settings.election_id)) {
    return refuse("--election-id: " + settings.election_id + " is no name of a Lease");
  }
  const auto ttl = parsed.duration("election-ttl");
  settings.election_ttl = std::chrono::duration_cast<std::chrono::seconds>(ttl);
  if (settings.election_ttl != ttl || settings.election_ttl < kLeastTtl) {
    return refuse("--election-ttl: must be whole seconds, at least 4");
  }
  settings.is_alone = parsed.flag("disable-leader-election");
  settings.pod = environment("POD_NAME");
  if (settings.pod.empty()) settings.pod = machine_name();
  settings.ns = environment("POD_NAMESPACE");
  return settings;
}

Statuses::Statuses(StatusSettings settings, kube::Api& api, publish::ProxyControl& proxy,
                   const translate::Options& options, const Clock& clock)
    : settings_(std::move(settings)),
      pods_(api, clock),
      nodes_(api, clock, {settings_.ns, settings_.pod, settings_.internal_addresses}),
      keeper_(api, clock, election_of(settings_)),
      reporter_(keeper_, clock, options,
                {.reporter = {options.controller_name, settings_.pod},
                 .installation = settings_.ns + '/' + settings_.election_id,
                 .update_ingresses = settings_.update,
                 .addresses = settings_.addresses,
                 .service = settings_.publish_service}),
      parts_{reporter_, proxy,
             [this](const objects::ReplicaStatus& replica) {
               return keeper_.leads() &&
                      pods_.is_gone(namespace_of(replica, settings_.ns), replica.pod);
             },
             [this] { return keeper_.leads() ? nodes_.find() : status::Addresses{}; }} {}

Statuses::~Statuses() { stop(); }

void Statuses::start() {
  thread_ = std::thread{[this] { keeper_.run(); }};
}

void Statuses::stop() {
  if (!thread_.joinable()) return;
  keeper_.stop();
  thread_.join();
}

}  // namespace handfast
