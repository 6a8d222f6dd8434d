#include "controller/reconcile/findings_log.h"

#include "proxy/base/log.h"

namespace handfast::reconcile {
namespace {

LogLevel level_of(translate::Severity severity) {
  switch (severity) {
    case translate::Severity::Info:
      return LogLevel::Info;
    case translate::Severity::Warning:
      return LogLevel::Warning;
    case translate::Severity::Error:
      return LogLevel::Error;
  }
  return LogLevel::Error;
}

std::string key_of(const translate::Finding& finding) {
  translate::Finding anywhere = finding;
  anywhere.origin.line = 0;
  return translate::to_text(anywhere);
}

}  // namespace

FindingsLog::Change FindingsLog::update(const translate::Report& report) {
  Change change;
  for (auto& [key, known] : known_) known.is_seen = false;
  for (const translate::Finding& finding : report) {
    const auto [entry, is_new] = known_.try_emplace(key_of(finding));
    entry->second.is_seen = true;
    if (!is_new) continue;
    ++change.appeared;
    // Of a file that doesn't parse, no object is known.
    if (!finding.object.kind.empty()) entry->second.object = objects::to_string(finding.object);
    entry->second.field = finding.field;
    entry->second.reason = to_string(finding.reason);
    log(level_of(finding.severity), "finding",
        {{"object", entry->second.object},
         {"field", finding.field},
         {"reason", entry->second.reason},
         {"detail", finding.message},
         {"remedy", finding.remedy},
         {"file", finding.origin.file},
         {"line", std::to_string(finding.origin.line)}});
  }
  for (auto known = known_.begin(); known != known_.end();) {
    if (known->second.is_seen) {
      ++known;
      continue;
    }
    ++change.over;
    log(LogLevel::Info, "finding is over",
        {{"object", known->second.object},
         {"field", known->second.field},
         {"reason", known->second.reason}});
    known = known_.erase(known);
  }
  return change;
}

}  // namespace handfast::reconcile
