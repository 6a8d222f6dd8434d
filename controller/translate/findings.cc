#include "controller/translate/findings.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <utility>

namespace handfast::translate {
namespace {

bool is_continuation_byte(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

}  // namespace

std::string clip(std::string_view text, std::size_t limit) {
  std::size_t end = text.size();
  if (end > limit) {
    end = limit;
    while (end > 0 && is_continuation_byte(text[end])) --end;
  }
  std::string out{text.substr(0, end)};
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = '?';
  }
  if (end < text.size()) out += "... (" + std::to_string(text.size()) + " bytes)";
  return out;
}

std::string quoted(std::string_view text) { return '"' + clip(text) + '"'; }

std::string utc_time(std::int64_t unix_seconds) {
  const auto time = static_cast<std::time_t>(unix_seconds);
  std::tm parts{};
  if (::gmtime_r(&time, &parts) == nullptr) return std::to_string(unix_seconds);
  std::array<char, 64> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

ObjectReport::ObjectReport(Report& report, std::string_view kind, const objects::Meta& meta)
    : report_(report), key_{std::string{kind}, meta.ns, meta.name}, origin_(meta.origin) {}

ObjectReport ObjectReport::as(Condition condition) const {
  ObjectReport report = *this;
  report.condition_ = condition;
  return report;
}

void ObjectReport::add(Severity severity, Reason reason, std::string field, std::string message,
                       std::string remedy) {
  report_.push_back(Finding{.severity = severity,
                            .reason = reason,
                            .object = key_,
                            .origin = origin_,
                            .field = std::move(field),
                            .message = std::move(message),
                            .remedy = std::move(remedy),
                            .condition = condition_});
}

void ObjectReport::warn(Reason reason, std::string field, std::string message, std::string remedy) {
  add(Severity::Warning, reason, std::move(field), std::move(message), std::move(remedy));
}

void ObjectReport::info(Reason reason, std::string field, std::string message, std::string remedy) {
  add(Severity::Info, reason, std::move(field), std::move(message), std::move(remedy));
}

config::Refusal ObjectReport::refuse(Reason reason, std::string field, std::string message,
                                     std::string remedy) {
  std::string detail = key_.kind + ' ' + (key_.ns.empty() ? "" : key_.ns + '/') + key_.name + ": " +
                       field + ": " + message + ' ' + remedy;
  add(Severity::Error, reason, std::move(field), std::move(message), std::move(remedy));
  return {reason, std::move(detail)};
}

}  // namespace handfast::translate
