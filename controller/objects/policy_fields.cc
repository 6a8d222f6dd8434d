#include "controller/objects/policy_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <utility>

#include "controller/objects/decode.h"
#include "controller/objects/names.h"
#include "proxy/base/hex.h"

namespace handfast::objects {
namespace {

constexpr std::size_t kMaxTargets = 16;

// The text of a scalar, whatever type it has: to find out whom a wrong target means.
std::string_view raw_text(const Place& place) {
  const Value* value = place.value();
  return value != nullptr && value->kind == Value::Kind::Scalar ? std::string_view(value->scalar)
                                                                : std::string_view{};
}

void check_target(const Place& place, Fields& fields, PolicyTarget& target) {
  (void)fields.only(place, {"group", "kind", "name", "sectionName"});
  const Place group = place.member("group");
  if (!fields.text(group).empty()) fields.refuse(group, "must be \"\", the group of Services");
  (void)fields.word(place.member("kind"), {"Service"}, 0);
  const Place name = place.member("name");
  if (!is_dns_label(fields.required_text(name))) {
    fields.refuse(name, "must be lower-case letters, digits and '-', at most 63");
  }
  const Place section = place.member("sectionName");
  if (section.absent()) return;
  target.section = fields.text(section);
  if (!is_dns_subdomain(target.section)) {
    fields.refuse(section, "must be the name of a port of the Service");
  }
}

// Gateway API's two rules: of several references to one Service each names another port.
void check_distinct(const Place& list, const std::vector<PolicyTarget>& targets, Fields& fields) {
  for (std::size_t i = 0; i < targets.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (targets[i].service != targets[j].service) continue;
      if (targets[i].section == targets[j].section) {
        fields.refuse(list, "names " + targets[i].service + " twice with the same sectionName");
      } else if (targets[i].section.empty() || targets[j].section.empty()) {
        fields.refuse(list,
                      "names " + targets[i].service + " several times: each needs a sectionName");
      }
    }
  }
}

}  // namespace

std::vector<PolicyTarget> read_targets(const Place& list, Fields& fields) {
  std::vector<PolicyTarget> targets;
  const std::size_t count = fields.items(list);
  if (count < 1 || count > kMaxTargets) fields.refuse(list, "must hold 1 to 16 targets");
  for (std::size_t n = 0; n < count; ++n) {
    const Place item = list.item(n);
    Fields own;
    PolicyTarget target;
    check_target(item, own, target);
    target.service = raw_text(item.member("name"));
    if (!own.good()) target.section.clear();
    fields.absorb(own);
    if (is_dns_label(target.service)) targets.push_back(std::move(target));
  }
  check_distinct(list, targets, fields);
  return targets;
}

std::optional<std::uint64_t> parse_gateway_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 4> kUnits{
      {{"ms", 1}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}}};
  std::uint64_t total = 0;
  int parts = 0;
  while (!text.empty()) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits < 1 || digits > 5 || ++parts > 4) return std::nullopt;
    std::uint64_t number = 0;
    (void)std::from_chars(text.data(), text.data() + digits, number);
    text.remove_prefix(digits);
    const auto* const unit =
        std::ranges::find_if(kUnits, [&](const auto& one) { return text.starts_with(one.first); });
    if (unit == kUnits.end()) return std::nullopt;
    total += number * unit->second;
    text.remove_prefix(unit->first.size());
  }
  if (parts == 0) return std::nullopt;
  return total;
}

std::optional<std::string> parse_sha256(std::string_view text) {
  std::string hex(text);
  std::ranges::transform(hex, hex.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (hex.size() == 64 && hex.find_first_not_of(kHexDigits) == std::string::npos) return hex;
  if (text.size() != 44) return std::nullopt;
  const auto bytes = decode_base64(text);
  if (!bytes || bytes->size() != 32) return std::nullopt;
  hex.clear();
  for (const char c : *bytes) append_hex(hex, static_cast<unsigned char>(c));
  return hex;
}

MaterialRef read_ref(const Place& place, const RefForm& form, Fields& fields) {
  MaterialRef ref;
  if (place.absent()) {
    fields.refuse(place, "is missing");
    return ref;
  }
  if (form.has_key) {
    (void)fields.only(place, {"group", "kind", "name", "namespace", "key"});
  } else {
    (void)fields.only(place, {"group", "kind", "name", "namespace"});
  }
  const Place kind = place.member("kind");
  ref.kind = fields.text(kind);
  if (ref.kind.empty()) {
    if (form.is_secret) ref.kind = "Secret";
    if (!form.is_secret) fields.refuse(kind, "is missing");
  }
  const bool is_bundle = ref.kind == "ClusterTrustBundle";
  const bool is_known = ref.kind == "Secret" || (!form.is_secret && ref.kind == "ConfigMap") ||
                        (form.may_be_bundle && is_bundle);
  if (!is_known) {
    fields.refuse(kind, form.is_secret       ? "must be Secret"
                        : form.may_be_bundle ? "must be Secret, ConfigMap or ClusterTrustBundle"
                                             : "must be Secret or ConfigMap");
  }
  const Place group = place.member("group");
  if (fields.text(group) != (is_bundle ? "certificates.k8s.io" : "")) {
    fields.refuse(group, is_bundle ? "must be certificates.k8s.io" : "must be \"\"");
  }
  const Place name = place.member("name");
  ref.name = fields.required_text(name);
  if (is_bundle ? !is_trust_bundle_name(ref.name) : !is_dns_subdomain(ref.name)) {
    fields.refuse(name, "must be lower-case letters, digits, '-' and '.', at most 253");
  }
  const Place ns = place.member("namespace");
  ref.ns = fields.text(ns);
  if (!ref.ns.empty() && is_bundle) fields.refuse(ns, "is not for a ClusterTrustBundle");
  if (!ref.ns.empty() && !form.has_namespace) fields.refuse(ns, "must be that of the policy");
  if (!ns.absent() && !is_dns_label(ref.ns)) {
    fields.refuse(ns, "must be lower-case letters, digits and '-', at most 63");
  }
  const Place key = place.member("key");
  ref.key = fields.text(key);
  if (!ref.key.empty() && is_bundle) fields.refuse(key, "is not for a ClusterTrustBundle");
  if (!key.absent() && !is_data_key(ref.key)) {
    fields.refuse(key, "must be letters, digits, '-', '_' and '.', at most 253");
  }
  return ref;
}

}  // namespace handfast::objects
