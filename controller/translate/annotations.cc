#include "controller/translate/annotations.h"

#include <algorithm>
#include <array>

#include "controller/translate/names.h"

namespace handfast::translate {
namespace {

// An Ingress may carry thousands of annotations: the first few tell what is wrong.
constexpr std::size_t kMaxUnknownTold = 16;
constexpr std::size_t kMaxSuggestions = 4;

std::optional<std::string_view> prefix_of(std::string_view key) {
  if (key.starts_with(kOwnPrefix)) return kOwnPrefix;
  if (key.starts_with(kNginxPrefix)) return kNginxPrefix;
  return std::nullopt;
}

bool asks_for_nothing(const Annotation& annotation) {
  const std::string_view harmless = annotation.row->harmless;
  if (harmless.empty()) return false;
  if (harmless == "true" || harmless == "false") {
    return parse_bool(annotation.value) == (harmless == "true");
  }
  return annotation.value == harmless;
}

config::Refusal refuse_unknown(const Annotation& annotation, bool suggest, ObjectReport& report) {
  std::string remedy = "Remove it: it may be a mistyped restriction, so nothing is served with it.";
  const std::string_view near = suggest ? closest_annotation(annotation.name) : std::string_view{};
  if (!near.empty()) {
    const std::string_view prefix =
        find_annotation(kNginxPrefix, near) == nullptr ? kOwnPrefix : kNginxPrefix;
    remedy = "Did you mean " + std::string{prefix} + std::string{near} + "? Correct or remove it.";
  }
  return report.refuse(Reason::UnsupportedAnnotation, annotation.field(),
                       "There is no such annotation.", std::move(remedy));
}

config::Refusal refuse_known(const Annotation& annotation, ObjectReport& report) {
  return report.refuse(
      Reason::UnsupportedAnnotation, annotation.field(),
      "It is not implemented (" + std::string{annotation.row->why} + ").",
      "Remove it, if the routes of this Ingress may be served without it; until then they answer "
      "503.");
}

void warn_ignored(const Annotation& annotation, ObjectReport& report) {
  report.warn(Reason::UnsupportedAnnotation, annotation.field(),
              "It has no effect (" + std::string{annotation.row->why} + ").",
              "Remove it, or see docs/annotations.md for what applies instead.");
}

}  // namespace

std::string Annotation::field() const { return "metadata.annotations[" + clip(key) + ']'; }

Annotations::Annotations(const objects::Ingress& ingress) {
  for (const auto& [key, value] : ingress.meta.annotations) {
    const auto prefix = prefix_of(key);
    if (!prefix) continue;
    const std::string_view name = std::string_view{key}.substr(prefix->size());
    const Annotation next{key, name, trim(value), find_annotation(*prefix, name)};
    const auto own = prefix == kNginxPrefix
                         ? ingress.meta.annotations.find(std::string{kOwnPrefix}.append(name))
                         : ingress.meta.annotations.end();
    if (own == ingress.meta.annotations.end()) {
      winners_.push_back(next);
    } else if (trim(own->second) != next.value) {
      overruled_.push_back(next);
    }
  }
}

const Annotation* Annotations::find(std::string_view name) const {
  const auto found = std::find_if(winners_.begin(), winners_.end(),
                                  [name](const Annotation& each) { return each.name == name; });
  return found == winners_.end() ? nullptr : &*found;
}

std::optional<config::Refusal> Annotations::review(ObjectReport& report) const {
  std::optional<config::Refusal> refused;
  std::size_t unknown = 0;
  for (const Annotation& each : winners_) {
    if (each.row == nullptr) {
      if (++unknown <= kMaxUnknownTold) {
        keep_first(refused, refuse_unknown(each, unknown <= kMaxSuggestions, report));
      }
    } else if (each.row->what == AnnotationClass::Refused && !asks_for_nothing(each)) {
      keep_first(refused, refuse_known(each, report));
    } else if (each.row->what == AnnotationClass::Ignored && !asks_for_nothing(each)) {
      warn_ignored(each, report);
    }
  }
  if (unknown > kMaxUnknownTold) {
    report.warn(Reason::UnsupportedAnnotation, "metadata.annotations",
                std::to_string(unknown - kMaxUnknownTold) + " more annotations are unknown.",
                "Remove them.");
  }
  for (const Annotation& each : overruled_) {
    report.warn(Reason::Conflict, each.field(),
                "It says " + quoted(each.value) + ", " + std::string{kOwnPrefix} + clip(each.name) +
                    " says otherwise and wins.",
                "Keep one of the two.");
  }
  return refused;
}

std::optional<bool> parse_bool(std::string_view value) {
  constexpr std::array<std::string_view, 6> kTrue{"1", "t", "T", "TRUE", "true", "True"};
  constexpr std::array<std::string_view, 6> kFalse{"0", "f", "F", "FALSE", "false", "False"};
  if (std::find(kTrue.begin(), kTrue.end(), value) != kTrue.end()) return true;
  if (std::find(kFalse.begin(), kFalse.end(), value) != kFalse.end()) return false;
  return std::nullopt;
}

Result<bool> parse_switch(std::string_view value) {
  const auto parsed = parse_bool(value);
  if (parsed) return *parsed;
  return fail(Reason::InvalidValue, quoted(value) + " is neither true nor false.");
}

bool read_switch(const Annotations& annotations, std::string_view name, bool otherwise,
                 ObjectReport& report, std::optional<config::Refusal>& refused) {
  const Annotation* found = annotations.find(name);
  if (found == nullptr) return otherwise;
  if (found->value.empty()) {
    report.warn(Reason::InvalidValue, found->field(), "It is empty and counts as absent.",
                "Write true or false, or remove it.");
    return otherwise;
  }
  const auto parsed = parse_bool(found->value);
  if (!parsed) {
    keep_first(refused, report.refuse(Reason::InvalidValue, found->field(),
                                      quoted(found->value) + " is neither true nor false.",
                                      "Write \"true\" or \"false\"."));
  }
  return parsed.value_or(otherwise);
}

}  // namespace handfast::translate
