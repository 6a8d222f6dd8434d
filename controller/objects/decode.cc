#include "controller/objects/decode.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <utility>
#include <variant>

#include "controller/objects/decode_kinds.h"
#include "controller/objects/fields.h"
#include "controller/objects/names.h"

namespace handfast::objects {
namespace {

// kube-apiserver's limit on the keys and values of all annotations of an object.
constexpr std::size_t kMaxAnnotationBytes = std::size_t{256} << 10;

struct KnownKind {
  std::string_view kind;
  std::string_view group;                    // empty: the core group
  std::array<std::string_view, 2> versions;  // the second may be empty
  bool has_namespace;
  bool (*is_name)(std::string_view);
  Object (*decode)(const Place&, Meta, Fields&);
};

constexpr std::array<KnownKind, 10> kKinds{{
    {"Ingress", "networking.k8s.io", {"v1"}, true, is_dns_subdomain, decode_ingress},
    {"IngressClass", "networking.k8s.io", {"v1"}, false, is_dns_subdomain, decode_ingress_class},
    {"Secret", "", {"v1"}, true, is_dns_subdomain, decode_secret},
    {"ConfigMap", "", {"v1"}, true, is_dns_subdomain, decode_config_map},
    {"Service", "", {"v1"}, true, is_dns_label, decode_service},
    {"EndpointSlice", "discovery.k8s.io", {"v1"}, true, is_dns_subdomain, decode_endpoint_slice},
    {"UpstreamTLSPolicy",
     "handfast.dev",
     {"v1alpha1"},
     true,
     is_dns_subdomain,
     decode_upstream_tls_policy},
    {"BackendTLSPolicy",
     "gateway.networking.k8s.io",
     {"v1", "v1alpha3"},
     true,
     is_dns_subdomain,
     decode_backend_tls_policy},
    {"ReferenceGrant",
     "gateway.networking.k8s.io",
     {"v1beta1", "v1"},
     true,
     is_dns_subdomain,
     decode_reference_grant},
    {"ClusterTrustBundle",
     "certificates.k8s.io",
     {"v1beta1", "v1alpha1"},
     false,
     is_trust_bundle_name,
     decode_cluster_trust_bundle},
}};

const KnownKind* find_kind(std::string_view kind) {
  const auto* const found = std::ranges::find(kKinds, kind, &KnownKind::kind);
  return found == kKinds.end() ? nullptr : found;
}

std::string api_version_of(const KnownKind& known, std::string_view version) {
  return std::string(known.group) + (known.group.empty() ? "" : "/") + std::string(version);
}

// The one to use.
std::string api_version_of(const KnownKind& known) {
  return api_version_of(known, known.versions[0]);
}

bool is_read(const KnownKind& known, std::string_view api_version) {
  return std::ranges::any_of(known.versions, [&](std::string_view version) {
    return !version.empty() && api_version == api_version_of(known, version);
  });
}

// Whether `api_version` means this kind in a version that is no more or not yet. Other groups use
// the same words for things of their own (Knative's Service, OpenShift's Ingress): those are
// skipped.
bool is_other_version_of(const KnownKind& known, std::string_view api_version) {
  const std::size_t slash = api_version.find('/');
  const std::string_view group =
      slash == std::string_view::npos ? std::string_view{} : api_version.substr(0, slash);
  if (group == known.group) return true;
  return group == "extensions" && known.kind == "Ingress";
}

// "2026-03-01T14:00:00.5+02:00" -> "2026-03-01T12:00:00Z".
std::optional<std::string> to_utc(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, used = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2d%*1[Tt]%2d:%2d:%2d%n", &year, &month, &day, &hour,
                  &minute, &second, &used) != 6 ||
      used != 19) {
    return std::nullopt;
  }
  std::string_view rest = std::string_view(text).substr(19);
  if (rest.starts_with('.')) {
    const std::size_t end = rest.find_first_not_of("0123456789", 1);
    if (end == 1 || end == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(end);
  }
  int offset_minutes = 0;
  if (rest != "Z" && rest != "z") {
    int hours = 0, minutes = 0, length = 0;
    const bool is_offset =
        rest.size() == 6 && (rest[0] == '+' || rest[0] == '-') &&
        std::sscanf(rest.data() + 1, "%2d:%2d%n", &hours, &minutes, &length) == 2;
    if (!is_offset || length != 5 || hours > 23 || minutes > 59) return std::nullopt;
    offset_minutes = (rest[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
  }

  using std::chrono::days, std::chrono::floor, std::chrono::year_month_day;
  const year_month_day date{std::chrono::year{year},
                            std::chrono::month{static_cast<unsigned>(month)},
                            std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60 || year < 1 || hour < 0 || minute < 0 ||
      second < 0) {
    return std::nullopt;
  }
  const std::chrono::sys_seconds time = std::chrono::sys_days{date} + std::chrono::hours{hour} +
                                        std::chrono::minutes{minute - offset_minutes} +
                                        std::chrono::seconds{second};
  const year_month_day utc_date{floor<days>(time)};
  const std::chrono::hh_mm_ss clock{time - floor<days>(time)};
  std::array<char, 64> out{};
  const int length = std::snprintf(
      out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(utc_date.year()),
      static_cast<unsigned>(utc_date.month()), static_cast<unsigned>(utc_date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()));
  return std::string(out.data(), static_cast<std::size_t>(length));
}

void read_annotations(const Place& place, Meta& meta, Fields& fields) {
  meta.annotations = fields.texts(place);
  std::size_t bytes = 0;
  for (const auto& [name, text] : meta.annotations) {
    if (!is_qualified_name(name)) {
      fields.refuse(place.member(name), "is not a valid annotation name");
    }
    bytes += name.size() + text.size();
  }
  if (bytes > kMaxAnnotationBytes) {
    fields.refuse(place, "are " + std::to_string(bytes) +
                             " bytes together; Kubernetes allows at most 262144");
  }
}

// Fills `key` with what is sure, so that a source can tell whose last good version to keep.
void read_identity(const Place& metadata, const KnownKind& known, ObjectKey& key, Fields& fields) {
  const Place ns = metadata.member("namespace");
  if (known.has_namespace) {
    std::string text = fields.text(ns);
    if (text.empty()) text = "default";
    if (!is_dns_label(text)) {
      fields.refuse(ns, "must be lower-case letters, digits and '-', at most 63");
    } else if (fields.good()) {
      key.ns = std::move(text);
    }
  }
  const Place name = metadata.member("name");
  std::string text = fields.required_text(name);
  if (fields.good() && !known.is_name(text)) {
    fields.refuse(name, known.is_name == is_dns_label
                            ? "must be lower-case letters, digits and '-', at most 63"
                            : "must be lower-case letters, digits, '-' and '.', at most 253");
  }
  if (fields.good()) key.name = std::move(text);
}

Meta read_meta(const Place& metadata, const KnownKind& known, ObjectKey& key, Fields& fields) {
  Meta meta;
  read_identity(metadata, known, key, fields);
  meta.ns = key.ns;
  meta.name = key.name;
  const bool was_good = fields.good();
  fields.only_written(
      metadata, {"name", "generateName", "namespace", "labels", "annotations", "finalizers",
                 "ownerReferences", "uid", "resourceVersion", "generation", "creationTimestamp",
                 "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink"});
  // What isn't known may be the namespace.
  if (was_good && !fields.good() && metadata.member("namespace").absent()) {
    key.ns.clear();
    meta.ns.clear();
  }
  meta.uid = fields.text(metadata.member("uid"));
  meta.generation = read_generation(metadata.value());
  const Place annotations = metadata.member("annotations");
  read_annotations(annotations, meta, fields);
  meta.labels = fields.texts(metadata.member("labels"));

  const Place creation = metadata.member("creationTimestamp");
  if (const std::string text = fields.text(creation); !text.empty()) {
    if (auto time = to_utc(text)) {
      meta.creation_timestamp = std::move(*time);
    } else {
      fields.refuse(creation, "must be a time like 2026-03-01T12:00:00Z");
    }
  }
  return meta;
}

// What nobody asks for, of tens of thousands of objects.
template <class Kind>
void forget_unasked(Meta& meta) {
  constexpr bool is_ingress = std::is_same_v<Kind, Ingress>;
  if constexpr (!is_ingress) meta.annotations = meta.labels = TextMap();
  if constexpr (!is_ingress && !std::is_same_v<Kind, UpstreamTlsPolicy> &&
                !std::is_same_v<Kind, BackendTlsPolicy>) {
    meta.creation_timestamp.clear();
    meta.generation = 0;
  }
}

// A policy that is wrong must still stand in the way of the Services that it targets. Answers
// whether it does: without a target, or without a name, it is a document that can't be read.
bool keep_fault(Object& object, const Fields& fields) {
  const auto keep = [&fields](auto& policy) {
    if (policy.meta.name.empty() || policy.meta.ns.empty() || policy.targets.empty()) return false;
    policy.fault = PolicyFault{fields.failure().field, fields.failure().error};
    return true;
  };
  if (auto* upstream = std::get_if<UpstreamTlsPolicy>(&object)) return keep(*upstream);
  if (auto* backend = std::get_if<BackendTlsPolicy>(&object)) return keep(*backend);
  return false;
}

// The walk over one document: a list's items go through one() again.
class Walk {
 public:
  Walk(const std::string& file, Decoded& out) : file_(file), out_(out) {}

  // `list_kind`: what an item of a <Kind>List is when it doesn't say, as the API server answers.
  void one(const Value& value, const KnownKind* list_kind) {
    if (value.is_null()) return;
    const Place root(value);
    Fields fields{/*is_written=*/!file_.empty()};
    ObjectKey key;
    if (value.kind != Value::Kind::Map) {
      fields.refuse(root, "is not an object");
      tell(key, fields);
      return;
    }
    const Place kind_place = root.member("kind");
    const Place version_place = root.member("apiVersion");
    std::string kind = fields.text(kind_place);
    std::string version = fields.text(version_place);
    if (list_kind != nullptr && kind.empty()) kind = list_kind->kind;
    if (list_kind != nullptr && version.empty()) version = api_version_of(*list_kind);
    if (kind.empty()) fields.refuse(kind_place, "is missing");
    key.kind = kind;
    if (version.empty()) fields.refuse(version_place, "is missing");
    if (!fields.good()) {
      // Which object it would be is told all the same: its last good version is kept then.
      if (const KnownKind* known = find_kind(kind)) identify(root, *known, key);
      tell(key, fields);
      return;
    }
    dispatch(root, kind, version, key, fields);
  }

 private:
  void dispatch(const Place& root, const std::string& kind, const std::string& version,
                ObjectKey& key, Fields& fields) {
    if (kind == "List" && version == "v1") return items(root, nullptr, key, fields);
    if (kind.ends_with("List")) {
      const KnownKind* const item = find_kind(std::string_view(kind).substr(0, kind.size() - 4));
      if (item != nullptr && is_read(*item, version)) return items(root, item, key, fields);
    }
    const KnownKind* const known = find_kind(kind);
    if (known == nullptr || !is_read(*known, version)) {
      out_.skipped.push_back(version + " " + kind);
      if (known == nullptr || !is_other_version_of(*known, version)) return;
      identify(root, *known, key);
      fields.refuse(root.member("apiVersion"),
                    version + " is not read: use apiVersion " + api_version_of(*known),
                    Reason::Unsupported);
    }

    const Place metadata = root.member("metadata");
    if (!fields.is_map(metadata)) fields.refuse(metadata, "is missing");
    Meta meta = read_meta(metadata, *known, key, fields);
    meta.origin = Origin{file_, root.line()};
    Object object = known->decode(root, std::move(meta), fields);
    std::visit([](auto& one) { forget_unasked<std::remove_cvref_t<decltype(one)>>(one.meta); },
               object);
    if (auto* grant = std::get_if<ReferenceGrant>(&object);
        grant != nullptr && !fields.good() && !grant->meta.name.empty()) {
      // One that is wrong grants nothing; its last good form, perhaps a wider one, would go on.
      grant->from.clear();
      tell(key, fields);
    } else if (!fields.good() && !keep_fault(object, fields)) {
      return tell(key, fields);
    }
    out_.objects.push_back(std::move(object));
  }

  void items(const Place& root, const KnownKind* kind, const ObjectKey& key, Fields& fields) {
    const Place list = root.member("items");
    const std::size_t count = fields.items(list);
    if (!fields.good()) return tell(key, fields);
    for (std::size_t n = 0; n < count; ++n) one(list.value()->list[n], kind);
  }

  static void identify(const Place& root, const KnownKind& known, ObjectKey& key) {
    Fields ignored;
    const Place metadata = root.member("metadata");
    read_identity(metadata, known, key, ignored);
  }

  void tell(const ObjectKey& key, const Fields& fields) {
    const Fields::Failure& failure = fields.failure();
    out_.problems.push_back({key, Origin{file_, failure.line}, failure.field, failure.error});
  }

  const std::string& file_;
  Decoded& out_;
};

}  // namespace

std::string api_version(std::string_view kind) {
  const KnownKind* const known = find_kind(kind);
  return known == nullptr ? std::string{} : api_version_of(*known);
}

Decoded decode(const Value& document, const std::string& file) {
  Decoded out;
  Walk(file, out).one(document, nullptr);
  return out;
}

}  // namespace handfast::objects
