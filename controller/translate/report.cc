#include "controller/translate/report.h"

#include <algorithm>
#include <tuple>

namespace handfast::translate {
namespace {

// For what a source can't read; the message says which of these it is.
std::string_view remedy_of(Reason reason) {
  switch (reason) {
    case Reason::BadYaml:
      return "Correct the document so that it parses; what it held before stays until then.";
    case Reason::BadObject:
      return "Correct it as the API of that kind documents it, or take the document out.";
    case Reason::Unsupported:
      return "Convert the object to that version.";
    case Reason::Conflict:
      return "Delete one of the two.";
    case Reason::Io:
      return "Make it a directory or a regular file of at most 64 MiB that this user can read, or "
             "take it away.";
    default:
      return "Correct the file, or take it away.";
  }
}

}  // namespace

void sort(Report& report) {
  const auto rank = [](const Finding& finding) {
    return std::tie(finding.object, finding.field, finding.severity, finding.reason,
                    finding.message, finding.remedy, finding.condition.type,
                    finding.condition.reason, finding.origin.file, finding.origin.line);
  };
  std::ranges::sort(report, [&](const Finding& a, const Finding& b) { return rank(a) < rank(b); });
}

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::Info:
      return "info";
    case Severity::Warning:
      return "warning";
    case Severity::Error:
      return "error";
  }
  return "error";
}

Finding to_finding(const objects::Decoded::Problem& problem) {
  Finding finding;
  finding.severity = Severity::Error;
  finding.reason = problem.error.reason;
  finding.object = problem.key;
  finding.origin = problem.origin;
  finding.field = problem.field;
  finding.message = problem.error.detail;
  finding.remedy = problem.remedy.empty() ? remedy_of(finding.reason) : problem.remedy;
  return finding;
}

std::string reason_text(const Finding& finding) {
  std::string text(handfast::to_string(finding.reason));
  if (finding.condition.type.empty()) return text;
  return text.append(", ")
      .append(finding.condition.type)
      .append(": ")
      .append(finding.condition.reason);
}

std::string sentence(const Finding& finding) {
  std::string text = finding.field.empty() ? std::string{} : finding.field + ": ";
  text += finding.message;
  if (!finding.remedy.empty()) text += ' ' + finding.remedy;
  return text;
}

std::string to_text(const Finding& finding) {
  std::string out;
  if (!finding.origin.file.empty()) {
    out += finding.origin.file;
    if (finding.origin.line > 0) out += ':' + std::to_string(finding.origin.line);
    out += ": ";
  }
  out += to_string(finding.severity);
  out += ": ";
  // Of a file that doesn't parse, no object is known.
  if (!finding.object.kind.empty()) out += objects::to_string(finding.object) + ": ";
  out += sentence(finding);
  out += " [";
  out += reason_text(finding);
  out += ']';
  return out;
}

}  // namespace handfast::translate
