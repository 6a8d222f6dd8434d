#pragma once
// Writing findings about one object, and the texts that all findings share.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "controller/objects/objects.h"
#include "controller/translate/report.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// User text for a message: at most `limit` bytes, control characters replaced, with the true length
// if it was cut. An annotation may hold a megabyte; a finding never does.
inline constexpr std::size_t kMaxEchoedBytes = 80;
[[nodiscard]] std::string clip(std::string_view text, std::size_t limit = kMaxEchoedBytes);

// A sentence of ours that quotes names from a certificate or a file.
inline constexpr std::size_t kMaxDetailBytes = 400;

// clip() in double quotes.
[[nodiscard]] std::string quoted(std::string_view text);

// "2026-03-01T12:00:00Z".
[[nodiscard]] std::string utc_time(std::int64_t unix_seconds);

// The findings of one object. Borrows the report and the object's Meta.
class ObjectReport {
 public:
  ObjectReport(Report& report, std::string_view kind, const objects::Meta& meta);

  // The same, for findings that this condition of the object's status will tell.
  [[nodiscard]] ObjectReport as(Condition condition) const;

  void add(Severity severity, Reason reason, std::string field, std::string message,
           std::string remedy);
  void warn(Reason reason, std::string field, std::string message, std::string remedy);
  void info(Reason reason, std::string field, std::string message, std::string remedy);
  // An error; the answer is the same thing as a refusal that names object and field.
  config::Refusal refuse(Reason reason, std::string field, std::string message, std::string remedy);

  [[nodiscard]] const objects::ObjectKey& key() const { return key_; }

 private:
  Report& report_;
  objects::ObjectKey key_;
  const objects::Origin& origin_;
  Condition condition_;
};

// Keeps the first of several refusals: one reason is enough to answer 503, the report has them all.
inline void keep_first(std::optional<config::Refusal>& kept, std::optional<config::Refusal> next) {
  if (!kept) kept = std::move(next);
}

}  // namespace handfast::translate
