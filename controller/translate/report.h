#pragma once
// What translation has to say about the objects it read: the text behind lint's findings, events,
// log lines and, later, conditions. One finding names one field of one object and what to do.

#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/decode.h"
#include "controller/objects/objects.h"
#include "proxy/base/reason.h"

namespace handfast::translate {

enum class Severity : unsigned char {
  Info,
  Warning,  // served, but not as one may think
  Error,    // a route answers 503, or an object is not used
};

// What a condition of a policy's status would say: "Accepted", "Conflicted". Empty: none. Text that
// lives as long as the program.
struct Condition {
  std::string_view type;
  std::string_view reason;
  friend bool operator==(const Condition&, const Condition&) = default;
};

struct Finding {
  Severity severity = Severity::Warning;
  Reason reason = Reason::Internal;
  objects::ObjectKey object;
  objects::Origin origin;
  std::string field;    // "metadata.annotations[nginx.ingress.kubernetes.io/proxy-ssl-verify]"
  std::string message;  // what is wrong, a sentence; never key material
  std::string remedy;   // what to do, a sentence
  Condition condition = {};
  friend bool operator==(const Finding&, const Finding&) = default;
};

using Report = std::vector<Finding>;

// By object and field, then by all the rest: the same findings are in the same order.
void sort(Report& report);

[[nodiscard]] std::string_view to_string(Severity severity);  // "info", "warning", "error"

// "conflict", or with a condition "conflict, Accepted: Conflicted".
[[nodiscard]] std::string reason_text(const Finding& finding);

// What a source could not read, as a finding: an error of the object, as far as it is known.
[[nodiscard]] Finding to_finding(const objects::Decoded::Problem& problem);

// What a person reads about it where the object is known: "<field>: <message> <remedy>".
[[nodiscard]] std::string sentence(const Finding& finding);

// One line: "shop.yaml:12: error: Ingress shop/orders: <field>: <message> <remedy> [reason]".
[[nodiscard]] std::string to_text(const Finding& finding);

}  // namespace handfast::translate
