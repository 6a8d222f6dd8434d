#include "controller/status/ancestor_status.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "controller/kube/resource.h"
#include "controller/status/policy_status.h"
#include "proxy/config/emit.h"

namespace handfast::status {
namespace {

using config::JsonObject;
using objects::AncestorStatus;

constexpr std::size_t kMostAncestors = 16;  // Gateway API's limit
constexpr std::string_view kGroup = "networking.k8s.io";
constexpr std::string_view kKind = "IngressClass";

bool is_of(const AncestorStatus& entry, const Installation& ours) {
  return entry.controller == ours.controller && entry.group == kGroup && entry.kind == kKind &&
         entry.name == ours.class_name;
}

std::string entry_text(const Installation& ours,
                       const std::vector<objects::StatusCondition>& conditions) {
  std::string text;
  {
    JsonObject entry{text};
    {
      JsonObject ref{entry.key("ancestorRef")};
      ref.text("group", kGroup);
      ref.text("kind", kKind);
      ref.text("name", ours.class_name);
    }
    entry.text("controllerName", ours.controller);
    append_conditions(entry.key("conditions"), conditions);
  }
  return text;
}

}  // namespace

std::string ancestor_key(const objects::BackendTlsPolicy& policy) {
  return "status BackendTLSPolicy " + policy.meta.ns + '/' + policy.meta.name;
}

std::optional<Write> ancestor_write(const objects::BackendTlsPolicy& policy, bool is_used,
                                    const std::vector<const translate::Finding*>& findings,
                                    const Installation& ours, UnixSeconds now) {
  const std::vector<AncestorStatus>& entries = policy.status.ancestors;
  std::vector<std::string> texts;  // of the others
  std::vector<objects::StatusCondition> told;
  bool is_there = false;
  for (const AncestorStatus& entry : entries) {
    if (!is_of(entry, ours)) {
      texts.push_back(entry.text);
      continue;
    }
    is_there = true;
    told = entry.conditions;
  }
  if (is_used) {
    const auto wanted = ancestor_conditions(findings, policy.meta.generation, told, now);
    if (is_there ? is_told(told, wanted) : texts.size() >= kMostAncestors) return std::nullopt;
    texts.push_back(entry_text(ours, wanted));
  } else if (!is_there) {
    return std::nullopt;
  }

  if (policy.version.empty()) return std::nullopt;
  const kube::Resource resource{.kind = "BackendTLSPolicy",
                                .plural = "backendtlspolicies",
                                .group = "gateway.networking.k8s.io",
                                .versions = {policy.version}};
  Write write;
  write.key = ancestor_key(policy);
  write.method = "PATCH";
  write.path = kube::object_path(resource, 0, policy.meta.ns, policy.meta.name) + "/status";
  write.content_type = "application/merge-patch+json";
  {
    JsonObject patch{write.body};
    JsonObject{patch.key("metadata")}.text("resourceVersion", policy.status.resource_version);
    JsonObject status{patch.key("status")};
    config::append_list(status.key("ancestors"), texts,
                        [](std::string& out, const std::string& text) { out += text; });
  }
  return write;
}

}  // namespace handfast::status
