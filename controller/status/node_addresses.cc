#include "controller/status/node_addresses.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/kube/resource.h"
#include "controller/objects/json_reader.h"
#include "proxy/base/hex.h"
#include "proxy/base/log.h"

namespace handfast::status {
namespace {

using objects::Value;

constexpr kube::Resource kNodes{
    .kind = "Node", .plural = "nodes", .group = "", .versions = {"v1"}, .is_namespaced = false};
// Searches in vain until the next is kAgain away.
constexpr int kMostSoon = 4;
// A node tells of up to 50 images, or of more where kubelet was told so.
constexpr std::size_t kMaxObjectBytes = std::size_t{8} << 20;
constexpr std::size_t kMaxListBytes = std::size_t{64} << 20;
// Of one revision or of one pod alone, not of all that are ours.
constexpr std::array<std::string_view, 5> kNotInCommon{
    "pod-template-hash", "controller-revision-hash", "pod-template-generation",
    "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"};

struct HostedPod {
  std::string node, host_ip;
};

const Value* find(const Value* map, std::string_view key) {
  return map == nullptr ? nullptr : map->find(key);
}

std::string text(const Value* map, std::string_view key) {
  const Value* value = find(map, key);
  return value == nullptr ? std::string{} : value->scalar;
}

Value parse(const std::string& body) {
  objects::JsonReader reader{body, 1, objects::JsonReader::Keep::WithoutManagedFields};
  auto value = reader.next();
  return value ? *std::move(value) : Value{};
}

// "app=web,tier=front", or the pod by its name if it has no labels.
std::string selector_of(const Value& pod, const std::string& name) {
  std::string labels;
  if (const Value* all = find(pod.find("metadata"), "labels"); all != nullptr) {
    for (const auto& [key, value] : all->map) {
      if (std::ranges::find(kNotInCommon, key) != kNotInCommon.end()) continue;
      if (!labels.empty()) labels += ',';
      labels.append(key).append("=").append(value.scalar);
    }
  }
  return labels.empty() ? "fieldSelector=" + percent_encode("metadata.name=" + name)
                        : "labelSelector=" + percent_encode(labels);
}

bool has_host_port(const Value* containers) {
  if (containers == nullptr) return false;
  return std::ranges::any_of(containers->list, [](const Value& container) {
    const Value* ports = container.find("ports");
    return ports != nullptr && std::ranges::any_of(ports->list, [](const Value& port) {
             const std::string number = text(&port, "hostPort");
             return !number.empty() && number != "0";
           });
  });
}

bool is_at_its_node(const Value* spec) {
  return text(spec, "hostNetwork") == "true" || has_host_port(find(spec, "containers")) ||
         has_host_port(find(spec, "initContainers"));
}

bool is_ready(const Value& pod) {
  const Value* status = pod.find("status");
  const Value* conditions = find(status, "conditions");
  if (text(status, "phase") != "Running" || conditions == nullptr) return false;
  if (find(pod.find("metadata"), "deletionTimestamp") != nullptr) return false;
  return std::ranges::any_of(conditions->list, [](const Value& one) {
    return text(&one, "type") == "Ready" && text(&one, "status") == "True";
  });
}

std::vector<HostedPod> read_pods(const Value& list) {
  std::vector<HostedPod> pods;
  const Value* items = list.find("items");
  if (items == nullptr) return pods;
  for (const Value& pod : items->list) {
    const Value* spec = pod.find("spec");
    if (!is_ready(pod) || !is_at_its_node(spec)) continue;
    pods.push_back({text(spec, "nodeName"), text(pod.find("status"), "hostIP")});
  }
  return pods;
}

std::vector<std::string> external_addresses(const Value& node) {
  std::vector<std::string> addresses;
  const Value* all = find(node.find("status"), "addresses");
  if (all == nullptr) return addresses;
  for (const Value& one : all->list) {
    if (text(&one, "type") == "ExternalIP") addresses.push_back(text(&one, "address"));
  }
  return addresses;
}

}  // namespace

// One after the other: each answer sends the next question.
struct NodeAddresses::Search : std::enable_shared_from_this<Search> {
  Search(kube::Api& borrowed_api, const Clock& borrowed_clock, Settings given)
      : api(borrowed_api), clock(borrowed_clock), settings(std::move(given)) {}

  void ask_own_pod() {
    ask(kube::object_path(kube::kPods, 0, settings.ns, settings.pod), kMaxObjectBytes,
        [](Search& search, const Value& pod) {
          search.ask_pods(selector_of(pod, search.settings.pod));
        });
  }

  void ask_pods(const std::string& selector) {
    // Of the server's cache: nobody is harmed by a second's age.
    ask(kube::collection_path(kube::kPods, 0, settings.ns) + "?resourceVersion=0&" + selector,
        kMaxListBytes, [](Search& search, const Value& list) {
          search.pods = read_pods(list);
          search.found.clear();
          search.ask_next_node();
        });
  }

  void ask_next_node() {
    while (!pods.empty()) {
      const HostedPod& pod = pods.back();
      const auto node = nodes.find(pod.node);
      const bool is_fresh = node != nodes.end() && clock.now() < node->second.at + kNodeAgain;
      if (!settings.is_internal && !pod.node.empty() && !is_fresh) {
        ask(
            kube::object_path(kNodes, 0, {}, pod.node), kMaxObjectBytes,
            [name = pod.node](Search& search, const Value& object) {
              search.nodes[name] = {external_addresses(object), search.clock.now()};
              search.ask_next_node();
            },
            404);
        return;
      }
      if (!settings.is_internal && is_fresh && !node->second.external.empty()) {
        found.insert(node->second.external.begin(), node->second.external.end());
      } else if (!pod.host_ip.empty()) {
        found.insert(pod.host_ip);
      }
      pods.pop_back();
    }
    finish();
  }

  void finish() {
    std::string all;
    for (const std::string& one : found) all.append(one).append(",");
    const std::lock_guard lock(mutex);
    known = parse_addresses(all);
    known_at = clock.now();
    is_asking = false;
    in_vain = known.empty() ? in_vain + 1 : 0;
    // There may never be such a pod.
    const bool is_soon = in_vain > 0 && in_vain <= kMostSoon;
    pause = is_soon ? kSoon * (1 << (in_vain - 1)) : kAgain;
    std::erase_if(
        nodes, [this](const auto& one) { return clock.now() >= one.second.at + 2 * kNodeAgain; });
    tell(known.empty() ? "no ready pod is reached by its node's own ports" : "");
  }

  // `then` is called for a 200, and with an empty object for `absent`; not after the end.
  template <class Then>
  void ask(const std::string& target, std::size_t max_bytes, Then then, int absent = 200) {
    kube::Request request;
    request.target = target;
    request.max_bytes = max_bytes;
    kube::Callbacks callbacks;
    callbacks.on_end = [self = shared_from_this(), target, then,
                        absent](const kube::Answer& answer) {
      const bool is_absent = answer.status == absent;
      if (!self->goes_on(target, is_absent ? 200 : answer.status)) return;
      then(*self, answer.status == 200 ? parse(answer.body) : Value{});
    };
    (void)api.send(std::move(request), std::move(callbacks));
  }

  bool goes_on(const std::string& target, int status) {
    const std::lock_guard lock(mutex);
    if (!is_over && status == 200) return true;
    is_asking = false;
    pause = kAgain;
    if (!is_over && status != 0) {
      tell("GET " + target + " answered " + std::to_string(status));
    }
    return false;
  }

  // Precondition: mutex is held.
  void tell(std::string trouble) {
    if (trouble == told) return;
    told = std::move(trouble);
    if (told.empty()) return;
    log(LogLevel::Warning, "it isn't known where Ingresses are reached",
        {{"detail", told},
         {"remedy",
          "Give --publish-service or --publish-status-address, or permit what was asked for."}});
  }

  kube::Api& api;
  const Clock& clock;
  const Settings settings;

  struct Node {
    std::vector<std::string> external;
    Monotonic at{};
  };
  // Of the search under way: one callback's at a time.
  std::vector<HostedPod> pods;
  std::set<std::string> found;
  std::map<std::string, Node> nodes;

  std::mutex mutex;
  // Guarded by mutex, all.
  bool is_over = false;
  bool is_asking = false;
  Addresses known;
  std::optional<Monotonic> known_at, asked_at;
  std::chrono::seconds pause = kAgain;  // between two searches
  int in_vain = 0;                      // those that found nobody, one after the other
  std::string told;
};

NodeAddresses::NodeAddresses(kube::Api& api, const Clock& clock, Settings settings)
    : search_(std::make_shared<Search>(api, clock, std::move(settings))) {}

NodeAddresses::~NodeAddresses() {
  const std::lock_guard lock(search_->mutex);
  search_->is_over = true;
}

Addresses NodeAddresses::find() {
  Search& search = *search_;
  const Monotonic now = search.clock.now();
  bool is_due = false;
  Addresses known;
  {
    const std::lock_guard lock(search.mutex);
    if (search.known_at && now < *search.known_at + kTrust) known = search.known;
    is_due = !search.is_asking && (!search.asked_at || now >= *search.asked_at + search.pause);
    if (is_due) {
      search.is_asking = true;
      search.asked_at = now;
    }
  }
  if (is_due) search.ask_own_pod();
  return known;
}

}  // namespace handfast::status
