#pragma once
// Every annotation that Handfast knows under its prefixes, and what becomes of those that it
// doesn't implement: the table of the rule "restricts access or changes the target: refuse;
// harmless: warn".
//
// It holds all annotations of ingress-nginx 1.15 with their aliases, and removed ones that are
// still in the wild. docs/annotations.md explains each; a test holds the two together.

#include <span>
#include <string_view>

namespace handfast::translate {

inline constexpr std::string_view kOwnPrefix = "handfast.dev/";
inline constexpr std::string_view kNginxPrefix = "nginx.ingress.kubernetes.io/";

enum class AnnotationClass : unsigned char {
  Implemented,
  // Restricts access, or changes where a request goes or what it becomes: the Ingress' routes
  // answer 503 as long as it is there.
  Refused,
  // Harmless: a warning says that it has no effect (yet).
  Ignored,
};

struct AnnotationRow {
  std::string_view name;  // without prefix
  AnnotationClass what = AnnotationClass::Refused;
  // The value under which it asks for nothing; "true" and "false" stand for all spellings of Go's
  // ParseBool. Empty: there is none.
  std::string_view harmless;
  std::string_view why;
};

// Sorted by name.
[[nodiscard]] std::span<const AnnotationRow> annotation_table();

// Null if unknown. Names that exist under kOwnPrefix only are unknown under the other.
[[nodiscard]] const AnnotationRow* find_annotation(std::string_view prefix, std::string_view name);

// The known name that a typing mistake is likely to have meant; empty if none is near.
[[nodiscard]] std::string_view closest_annotation(std::string_view name);

}  // namespace handfast::translate
