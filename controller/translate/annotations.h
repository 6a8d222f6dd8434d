#pragma once
// The annotations of one Ingress under our two prefixes, and the verdict on those that aren't
// implemented.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/translate/annotation_table.h"
#include "controller/translate/findings.h"
#include "proxy/base/result.h"

namespace handfast::translate {

// Borrowed from the Ingress.
struct Annotation {
  std::string_view key;                // with prefix
  std::string_view name;               // without
  std::string_view value;              // trimmed, as ingress-nginx does
  const AnnotationRow* row = nullptr;  // null: unknown

  [[nodiscard]] std::string field() const;  // "metadata.annotations[<key>]"
};

// Where a name stands under both prefixes, handfast.dev/ wins and the other isn't looked at.
class Annotations {
 public:
  explicit Annotations(const objects::Ingress& ingress);

  [[nodiscard]] const Annotation* find(std::string_view name) const;

  [[nodiscard]] const std::vector<Annotation>& all() const { return winners_; }

  // Reports what is refused, unknown, ineffective or said twice. The answer refuses every route of
  // the Ingress.
  [[nodiscard]] std::optional<config::Refusal> review(ObjectReport& report) const;

 private:
  std::vector<Annotation> winners_;
  // Under nginx.ingress.kubernetes.io/, with another value than the winner.
  std::vector<Annotation> overruled_;
};

// The spellings of Go's strconv.ParseBool, nothing else.
[[nodiscard]] std::optional<bool> parse_bool(std::string_view value);
[[nodiscard]] Result<bool> parse_switch(std::string_view value);

// Reads one annotation if it is there, by `parse` of its value; what is no value refuses, else
// `use` gets what came of it and the annotation.
template <class Parse, class Use>
void read_value(const Annotations& annotations, std::string_view name, ObjectReport& report,
                std::optional<config::Refusal>& refused, Parse parse, Use use) {
  const Annotation* found = annotations.find(name);
  if (found == nullptr) return;
  auto parsed = parse(found->value);
  if (parsed) {
    use(*std::move(parsed), *found);
    return;
  }
  keep_first(refused, report.refuse(parsed.error().reason, found->field(), parsed.error().detail,
                                    "Correct the value, or remove the annotation."));
}

// A switch that isn't about TLS: absent and empty are `otherwise`, as in ingress-nginx; what is no
// boolean refuses.
[[nodiscard]] bool read_switch(const Annotations& annotations, std::string_view name,
                               bool otherwise, ObjectReport& report,
                               std::optional<config::Refusal>& refused);

}  // namespace handfast::translate
