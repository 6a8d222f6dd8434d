#include "controller/reconcile/findings_log.h"

#include <vector>

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

void FindingsLog::tell(const Known& known, Change& change) {
  if (known.count_before == 0 && known.count != 0) {
    ++change.appeared;
    const translate::Finding& finding = *known.latest;
    log(level_of(finding.severity), "finding",
        {{"object", known.object},
         {"field", finding.field},
         {"reason", known.reason},
         {"detail", finding.message},
         {"remedy", finding.remedy},
         {"file", finding.origin.file},
         {"line", std::to_string(finding.origin.line)}});
  } else if (known.count_before != 0 && known.count == 0) {
    ++change.over;
    log(LogLevel::Info, "finding is over",
        {{"object", known.object}, {"field", known.field}, {"reason", known.reason}});
  }
}

FindingsLog::Change FindingsLog::update(const translate::Report& over,
                                        const translate::Report& added) {
  std::vector<Entries::iterator> others;
  const auto entry_of = [&](const translate::Finding& finding) -> Known& {
    const auto [entry, is_new] = known_.try_emplace(key_of(finding));
    Known& known = entry->second;
    if (is_new) {
      // Of a file that doesn't parse, no object is known.
      if (!finding.object.kind.empty()) known.object = objects::to_string(finding.object);
      known.field = finding.field;
      known.reason = to_string(finding.reason);
    }
    if (!std::exchange(known.is_listed, true)) {
      known.count_before = known.count;
      others.push_back(entry);
    }
    return known;
  };
  for (const translate::Finding& finding : added) {
    Known& known = entry_of(finding);
    ++known.count;
    known.latest = &finding;
    ++counts_[{finding.severity, finding.reason}];
  }
  for (const translate::Finding& finding : over) {
    Known& known = entry_of(finding);
    if (known.count == 0) continue;
    --known.count;
    const auto counted = counts_.find({finding.severity, finding.reason});
    if (--counted->second == 0) counts_.erase(counted);
  }
  Change change;
  for (const auto& entry : others) {
    tell(entry->second, change);
    entry->second.is_listed = false;
    if (entry->second.count == 0) known_.erase(entry);
  }
  return change;
}

}  // namespace handfast::reconcile
