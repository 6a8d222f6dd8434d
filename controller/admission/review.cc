#include "controller/admission/review.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "controller/objects/decode.h"
#include "controller/objects/json_reader.h"
#include "controller/objects/value.h"
#include "controller/translate/annotation_table.h"
#include "controller/translate/findings.h"
#include "proxy/base/log.h"

namespace handfast::admission {
namespace {

using objects::Value;
using translate::Finding;

// A tree costs 100 bytes for each value, and several may be under way.
constexpr std::size_t kMaxReviewNodes = 500'000;
constexpr std::size_t kMaxUidBytes = 128;
// What the API server shows of a warning, and how many help anybody.
constexpr std::size_t kMaxWarningBytes = 120;
constexpr std::size_t kMaxWarnings = 5;
constexpr std::size_t kMaxRefusals = 3;

constexpr std::string_view kClassAnnotation = "kubernetes.io/ingress.class";
constexpr std::string_view kIngress = "Ingress";
constexpr std::string_view kPolicy = "UpstreamTLSPolicy";

struct Request {
  std::string uid;
  std::string_view kind;  // of the label
  std::string operation;
  bool is_subresource = false;
  std::optional<std::string> unread_version;  // ours, in a version that we don't read
  Value* object = nullptr;
  const Value* before = nullptr;
};

struct Response {
  bool is_allowed = true;
  std::string message;
  std::vector<std::string> warnings;
};

// Borrowed; empty if it isn't text.
std::string_view text_of(const Value* value, std::string_view member) {
  const Value* found = value == nullptr ? nullptr : value->find(member);
  return found == nullptr || found->kind != Value::Kind::Scalar ? std::string_view{}
                                                                : std::string_view{found->scalar};
}

const Value* find_map(const Value* value, std::string_view member) {
  const Value* found = value == nullptr ? nullptr : value->find(member);
  return found == nullptr || found->kind != Value::Kind::Map ? nullptr : found;
}

Value* find_map(Value* value, std::string_view member) {
  return const_cast<Value*>(find_map(static_cast<const Value*>(value), member));
}

void read_kind(const Value& request, Request& out) {
  const Value* kind = find_map(&request, "kind");
  const std::string_view group = text_of(kind, "group");
  const std::string_view version = text_of(kind, "version");
  const std::string_view name = text_of(kind, "kind");
  out.kind = "other";
  const bool is_ingress =
      name == kIngress && (group == "networking.k8s.io" || group == "extensions");
  const bool is_policy = name == kPolicy && group == "handfast.dev";
  if (!is_ingress && !is_policy) return;
  out.kind = is_ingress ? kIngress : kPolicy;
  const bool is_read =
      is_policy ? version == "v1alpha1" : group == "networking.k8s.io" && version == "v1";
  if (!is_read) out.unread_version = std::string(group).append("/").append(version);
}

Result<Request> read_request(Value& document) {
  if (document.kind != Value::Kind::Map ||
      text_of(&document, "apiVersion") != "admission.k8s.io/v1" ||
      text_of(&document, "kind") != "AdmissionReview") {
    return fail(Reason::BadObject, "it is no AdmissionReview of admission.k8s.io/v1");
  }
  Value* request = find_map(&document, "request");
  Request out;
  out.uid = text_of(request, "uid");
  if (out.uid.empty() || out.uid.size() > kMaxUidBytes) {
    return fail(Reason::BadObject, "request.uid is missing or too long");
  }
  out.operation = text_of(request, "operation");
  out.is_subresource = !text_of(request, "subResource").empty();
  read_kind(*request, out);
  out.object = find_map(request, "object");
  out.before = find_map(static_cast<const Value*>(request), "oldObject");
  return out;
}

bool is_same(const Value& left, const Value& right) {
  return left.kind == right.kind && left.scalar == right.scalar && left.quoted == right.quoted &&
         std::ranges::equal(left.list, right.list, is_same) &&
         std::ranges::equal(left.map, right.map, [](const auto& a, const auto& b) {
           return a.first == b.first && is_same(a.second, b.second);
         });
}

bool is_same(const Value* left, const Value* right) {
  const bool has_left = left != nullptr && !left->is_null();
  const bool has_right = right != nullptr && !right->is_null();
  return has_left == has_right && (!has_left || is_same(*left, *right));
}

// The annotations that mean something here. What kubectl and others note in theirs is none of it.
std::map<std::string_view, std::string_view> judged_annotations(const Value& object) {
  std::map<std::string_view, std::string_view> out;
  const Value* annotations = find_map(find_map(&object, "metadata"), "annotations");
  if (annotations == nullptr) return out;
  for (const auto& [key, value] : annotations->map) {
    if (key == kClassAnnotation || key.starts_with(translate::kOwnPrefix) ||
        key.starts_with(translate::kNginxPrefix)) {
      out.emplace(key, value.scalar);
    }
  }
  return out;
}

bool is_untouched(const Request& request) {
  return request.before != nullptr &&
         is_same(request.object->find("spec"), request.before->find("spec")) &&
         judged_annotations(*request.object) == judged_annotations(*request.before);
}

// Of a generated name the API server tells the beginning alone, when it asks early.
void give_name(Value& object) {
  Value* metadata = find_map(&object, "metadata");
  if (metadata == nullptr || !text_of(metadata, "name").empty()) return;
  std::string name(text_of(metadata, "generateName"));
  if (name.empty()) return;
  Value value;
  value.kind = Value::Kind::Scalar;
  value.scalar = name + "new";
  value.quoted = true;
  std::erase_if(metadata->map, [](const auto& member) { return member.first == "name"; });
  metadata->map.emplace_back("name", std::move(value));
}

// Whose an Ingress is that can't be read.
objects::Ingress outline_of(const Value& object) {
  objects::Ingress outline;
  const Value* annotations = find_map(find_map(&object, "metadata"), "annotations");
  const std::string_view annotation = text_of(annotations, kClassAnnotation);
  if (!annotation.empty()) outline.meta.annotations.emplace(kClassAnnotation, annotation);
  const std::string_view name = text_of(find_map(&object, "spec"), "ingressClassName");
  if (!name.empty()) outline.class_name = std::string(name);
  return outline;
}

template <class Kind>
std::optional<Kind> try_decode(const Value& object) {
  objects::Decoded decoded = objects::decode(object, {});
  if (!decoded.problems.empty() || decoded.objects.size() != 1) return std::nullopt;
  auto* found = std::get_if<Kind>(&decoded.objects.front());
  return found == nullptr ? std::nullopt : std::optional<Kind>(std::move(*found));
}

Verdict judge_request(const Request& request, const Judge& judge, UnixSeconds now) {
  objects::Decoded decoded = objects::decode(*request.object, {});
  if (!decoded.problems.empty()) {
    Verdict verdict;
    if (request.kind == kIngress && !judge.is_ours(outline_of(*request.object))) return verdict;
    for (const auto& problem : decoded.problems) {
      verdict.refusals.push_back(translate::to_finding(problem));
    }
    return verdict;
  }
  if (decoded.objects.size() != 1) return {};
  const objects::Object& object = decoded.objects.front();
  if (const auto* ingress = std::get_if<objects::Ingress>(&object)) {
    const auto before = request.before == nullptr ? std::optional<objects::Ingress>{}
                                                  : try_decode<objects::Ingress>(*request.before);
    return judge.judge(*ingress, before ? &*before : nullptr, now);
  }
  if (const auto* policy = std::get_if<objects::UpstreamTlsPolicy>(&object)) {
    return judge.judge(*policy, now);
  }
  return {};
}

// "proxy-ssl-secret: There is no Secret shop/orders." The annotation's prefix is half a warning.
std::string warning_of(const Finding& finding) {
  std::string_view field = finding.field;
  constexpr std::string_view kAnnotation = "metadata.annotations[";
  if (field.starts_with(kAnnotation) && field.ends_with(']')) {
    field = field.substr(kAnnotation.size(), field.size() - kAnnotation.size() - 1);
    field.remove_prefix(field.find('/') == std::string_view::npos ? 0 : field.find('/') + 1);
  }
  std::string text(field);
  if (!text.empty()) text += ": ";
  text += finding.message;
  if (text.size() <= kMaxWarningBytes) return translate::clip(text, kMaxWarningBytes);
  // Cut before a character, not in it.
  std::size_t end = kMaxWarningBytes - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return translate::clip(std::string_view(text).substr(0, end), kMaxWarningBytes) + "...";
}

std::string refusal_of(const translate::Report& refusals) {
  std::string text;
  for (std::size_t i = 0; i < std::min(refusals.size(), kMaxRefusals); ++i) {
    const Finding& finding = refusals[i];
    if (i > 0) text += '\n';
    if (!finding.object.kind.empty()) text += objects::to_string(finding.object) + ": ";
    if (!finding.field.empty()) text += finding.field + ": ";
    text += finding.message;
    if (!text.ends_with('.')) text += '.';
    if (!finding.remedy.empty()) text += ' ' + finding.remedy;
    text += " [" + translate::reason_text(finding) + ']';
  }
  if (refusals.size() > kMaxRefusals) {
    text +=
        "\n" + std::to_string(refusals.size() - kMaxRefusals) + " more; `handfast lint` tells all.";
  }
  return text;
}

Response respond(const Request& request, const Judge& judge, UnixSeconds now) {
  Response response;
  const bool is_judged = request.operation == "CREATE" || request.operation == "UPDATE";
  if (!is_judged || request.is_subresource || request.kind == "other") return response;
  if (request.unread_version) {
    response.warnings.push_back(translate::clip(*request.unread_version, 60) +
                                " isn't read by this controller; the object isn't served.");
    return response;
  }
  const Value* metadata = find_map(request.object, "metadata");
  if (!text_of(metadata, "deletionTimestamp").empty()) return response;

  Verdict verdict = judge_request(request, judge, now);
  if (!verdict.refusals.empty() && is_untouched(request)) {
    verdict.warnings.insert(verdict.warnings.begin(), verdict.refusals.begin(),
                            verdict.refusals.end());
    verdict.refusals.clear();
  }
  response.is_allowed = verdict.refusals.empty();
  if (!response.is_allowed) response.message = refusal_of(verdict.refusals);
  const std::size_t told = std::min(verdict.warnings.size(), kMaxWarnings);
  for (std::size_t i = 0; i < told; ++i) {
    response.warnings.push_back(warning_of(verdict.warnings[i]));
  }
  return response;
}

std::string json_of(const Request& request, const Response& response) {
  const auto quoted = [](std::string_view text) {
    std::string out = "\"";
    append_json_escaped(out, text);
    return out += '"';
  };
  std::string out =
      R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":)" +
      quoted(request.uid) + R"(,"allowed":)" + (response.is_allowed ? "true" : "false");
  if (!response.is_allowed) {
    // Not 409 or 422: clients try the former again, and some replace an object after the latter.
    out +=
        R"(,"status":{"code":403,"reason":"Forbidden","message":)" + quoted(response.message) + '}';
  }
  if (!response.warnings.empty()) {
    out += R"(,"warnings":[)";
    for (std::size_t i = 0; i < response.warnings.size(); ++i) {
      if (i > 0) out += ',';
      out += quoted(response.warnings[i]);
    }
    out += ']';
  }
  return out += "}}";
}

}  // namespace

Result<Answer> review(std::string_view body, const Judge& judge, UnixSeconds now) {
  if (body.size() > kMaxReviewBytes) return fail(Reason::BadObject, "it is larger than 3 MiB");
  objects::JsonReader reader{body, 1, objects::JsonReader::Keep::WithoutManagedFields,
                             kMaxReviewNodes};
  auto document = reader.next();
  if (!document) return fail(Reason::BadObject, std::move(document.error().detail));
  if (reader.has_more()) return fail(Reason::BadObject, "something follows the AdmissionReview");
  auto request = read_request(*document);
  if (!request) return fail(std::move(request.error()));
  const bool has_object = request->operation == "CREATE" || request->operation == "UPDATE";
  if (has_object && !request->is_subresource) {
    if (request->object == nullptr) return fail(Reason::BadObject, "request.object is missing");
    give_name(*request->object);
  }

  const Response response = respond(*request, judge, now);
  return Answer{.json = json_of(*request, response),
                .kind = request->kind,
                .result = !response.is_allowed        ? "denied"
                          : response.warnings.empty() ? "allowed"
                                                      : "warned"};
}

}  // namespace handfast::admission
