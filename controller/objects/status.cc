#include "controller/objects/status.h"

#include <charconv>
#include <map>
#include <string_view>
#include <utility>

#include "proxy/base/log.h"

namespace handfast::objects {
namespace {

// A status of any size costs no more than this.
constexpr std::size_t kMostItems = 1024;

std::string text(const Value& map, std::string_view key) {
  const Value* value = map.find(key);
  return value == nullptr ? std::string{} : value->scalar;
}

template <class Number>
Number number(const Value& map, std::string_view key) {
  const Value* value = map.find(key);
  Number result = 0;
  if (value == nullptr || value->quoted) return result;
  const std::string& digits = value->scalar;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, result);
  return error == std::errc{} && stop == end ? result : Number{0};
}

// Each item of the list `key` of a map.
template <class Read>
void each(const Value* map, std::string_view key, Read read) {
  const Value* list = map == nullptr ? nullptr : map->find(key);
  if (list == nullptr) return;
  std::size_t count = 0;
  for (const Value& item : list->list) {
    if (++count > kMostItems) return;
    read(item);
  }
}

StatusCondition read_condition(const Value& item) {
  return {.type = text(item, "type"),
          .status = text(item, "status"),
          .reason = text(item, "reason"),
          .message = text(item, "message"),
          .observed_generation = number<std::int64_t>(item, "observedGeneration"),
          .last_transition = text(item, "lastTransitionTime")};
}

ReplicaStatus read_replica(const Value& item) {
  return {.installation = text(item, "installation"),
          .pod = text(item, "pod"),
          .observed_generation = number<std::int64_t>(item, "observedGeneration"),
          .hash = text(item, "hash"),
          .programmed = text(item, "programmed"),
          .message = text(item, "message"),
          .verified = number<std::uint32_t>(item, "verified"),
          .failing = number<std::uint32_t>(item, "failing"),
          .last_failure = text(item, "lastFailure")};
}

void append_string(std::string& out, std::string_view text) {
  out += '"';
  append_json_escaped(out, text);
  out += '"';
}

// As it was read: a number stays one, and so does what we don't know.
void append_json(std::string& out, const Value& value) {
  const char* between = "";
  switch (value.kind) {
    case Value::Kind::Null:
      out += "null";
      return;
    case Value::Kind::Scalar:
      if (!value.quoted) {
        out += value.scalar;
      } else {
        append_string(out, value.scalar);
      }
      return;
    case Value::Kind::List:
      out += '[';
      for (const Value& item : value.list) {
        out += std::exchange(between, ",");
        append_json(out, item);
      }
      out += ']';
      return;
    case Value::Kind::Map:
      out += '{';
      for (const auto& [key, member] : value.map) {
        out += std::exchange(between, ",");
        append_string(out, key);
        out += ':';
        append_json(out, member);
      }
      out += '}';
      return;
  }
}

AncestorStatus read_ancestor(const Value& item) {
  AncestorStatus ancestor;
  ancestor.controller = text(item, "controllerName");
  if (const Value* ref = item.find("ancestorRef"); ref != nullptr) {
    ancestor.group = text(*ref, "group");
    ancestor.kind = text(*ref, "kind");
    ancestor.name = text(*ref, "name");
  }
  each(&item, "conditions", [&ancestor](const Value& condition) {
    ancestor.conditions.push_back(read_condition(condition));
  });
  append_json(ancestor.text, item);
  return ancestor;
}

// A text that is the same for the same value, however it was written and in whatever order.
void append_canonical(std::string& out, const Value& value) {
  switch (value.kind) {
    case Value::Kind::Null:
      out += '-';
      return;
    case Value::Kind::Scalar:
      out += std::to_string(value.scalar.size()) + ':' + value.scalar;
      return;
    case Value::Kind::List:
      out += '[';
      for (const Value& item : value.list) append_canonical(out, item);
      out += ']';
      return;
    case Value::Kind::Map: {
      std::map<std::string_view, const Value*> members;
      for (const auto& [key, member] : value.map) members[key] = &member;
      out += '{';
      for (const auto& [key, member] : members) {
        out.append(key).append("=");
        append_canonical(out, *member);
      }
      out += '}';
      return;
    }
  }
}

}  // namespace

std::int64_t read_generation(const Value* metadata) {
  return metadata == nullptr ? 0 : number<std::int64_t>(*metadata, "generation");
}

PolicyStatus read_policy_status(const Value* status) {
  PolicyStatus result;
  if (status == nullptr) return result;
  result.observed_generation = number<std::int64_t>(*status, "observedGeneration");
  each(status, "conditions", [&result](const Value& item) {
    StatusCondition condition = read_condition(item);
    if (!condition.type.empty()) result.conditions.push_back(std::move(condition));
  });
  each(status, "replicas", [&result](const Value& item) {
    ReplicaStatus replica = read_replica(item);
    if (!replica.pod.empty()) result.replicas.push_back(std::move(replica));
  });
  for (const char* key : {"client", "crl", "endpoints", "proxies", "trust"}) {
    const Value* part = status->find(key);
    if (part == nullptr) continue;
    result.rest.append(key).append("=");
    append_canonical(result.rest, *part);
  }
  return result;
}

AncestorsStatus read_ancestors(const Value* metadata, const Value* status) {
  AncestorsStatus result;
  if (metadata != nullptr) result.resource_version = text(*metadata, "resourceVersion");
  each(status, "ancestors",
       [&result](const Value& item) { result.ancestors.push_back(read_ancestor(item)); });
  return result;
}

std::vector<LoadBalancerAddress> read_load_balancer(const Value* status) {
  std::vector<LoadBalancerAddress> addresses;
  const Value* balancer = status == nullptr ? nullptr : status->find("loadBalancer");
  each(balancer, "ingress", [&addresses](const Value& item) {
    LoadBalancerAddress address{text(item, "ip"), text(item, "hostname")};
    if (!address.ip.empty() || !address.hostname.empty()) addresses.push_back(std::move(address));
  });
  return addresses;
}

}  // namespace handfast::objects
