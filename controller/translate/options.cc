#include "controller/translate/options.h"

#include <charconv>
#include <chrono>
#include <optional>
#include <utility>

#include "controller/objects/names.h"
#include "controller/translate/findings.h"

namespace handfast::translate {
namespace {

Result<MinimumTls> parse_minimum(std::string_view word) {
  if (word == "none") return MinimumTls::None;
  if (word == "server") return MinimumTls::Server;
  if (word == "mutual") return MinimumTls::Mutual;
  return fail(Reason::InvalidValue,
              quoted(word) +
                  " is none of none, server, mutual; the form is "
                  "[NAMESPACE-PATTERN=]none|server|mutual[,min-version=1.3][,crl].");
}

Status apply_floor_extra(std::string_view extra, Floor& floor) {
  if (extra == "crl") {
    floor.crl_required = true;
  } else if (extra == "min-version=1.2") {
    floor.least_version = config::TlsVersion::Tls12;
  } else if (extra == "min-version=1.3") {
    floor.least_version = config::TlsVersion::Tls13;
  } else {
    return fail(Reason::InvalidValue,
                quoted(extra) + " is none of crl, min-version=1.2, min-version=1.3.");
  }
  return {};
}

// "2027-01-31": the beginning of that day in UTC.
std::optional<std::int64_t> parse_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto number = [&text](std::size_t begin, std::size_t size) {
    int value = -1;
    const char* const end = text.data() + begin + size;
    const auto read = std::from_chars(text.data() + begin, end, value);
    return read.ptr == end ? value : -1;
  };
  const int year = number(0, 4);
  const int month = number(5, 2);
  const int day = number(8, 2);
  if (year < 1970 || month < 0 || day < 0) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_seconds{std::chrono::sys_days{date}}.time_since_epoch().count();
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view text) {
  // Greedy with one place to come back to: linear space, at most |pattern| * |text| steps.
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos && text[resume] != '/') {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<NamespacedName> parse_namespaced_name(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || !objects::is_dns_label(text.substr(0, slash)) ||
      !objects::is_dns_subdomain(text.substr(slash + 1))) {
    return fail(Reason::InvalidValue, quoted(text) + " is not of the form namespace/name.");
  }
  return NamespacedName{std::string{text.substr(0, slash)}, std::string{text.substr(slash + 1)}};
}

Result<DefaultCa> parse_default_ca(std::string_view text) {
  if (text == "system") return DefaultCa{.kind = DefaultCa::Kind::System, .ref = {}};
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  if (colon == std::string_view::npos || (kind != "secret" && kind != "configmap")) {
    return fail(Reason::InvalidValue,
                quoted(text) + " is none of secret:ns/name, configmap:ns/name, system.");
  }
  auto ref = parse_namespaced_name(text.substr(colon + 1));
  if (!ref) return fail(std::move(ref).error());
  return DefaultCa{.kind = kind == "secret" ? DefaultCa::Kind::Secret : DefaultCa::Kind::ConfigMap,
                   .ref = *std::move(ref)};
}

Result<Floor> parse_floor(std::string_view text) {
  Floor floor;
  std::size_t comma = text.find(',');
  std::string_view head = text.substr(0, comma);
  if (const std::size_t equals = head.find('='); equals != std::string_view::npos) {
    if (equals == 0) return fail(Reason::InvalidValue, "The pattern before '=' is empty.");
    floor.namespace_pattern = std::string{head.substr(0, equals)};
    head.remove_prefix(equals + 1);
  }
  const auto minimum = parse_minimum(head);
  if (!minimum) return fail(minimum.error());
  floor.minimum = *minimum;

  while (comma != std::string_view::npos) {
    text.remove_prefix(comma + 1);
    comma = text.find(',');
    if (auto applied = apply_floor_extra(text.substr(0, comma), floor); !applied) {
      return fail(std::move(applied).error());
    }
  }
  return floor;
}

Status check_object_pattern(std::string_view pattern) {
  if (pattern.find('/') == pattern.npos) {
    return fail(Reason::InvalidValue, quoted(pattern) + " must be a pattern of namespace/name");
  }
  if (pattern.find('*') != pattern.npos) return {};
  auto shape = parse_namespaced_name(pattern);
  return shape ? Status{} : fail(std::move(shape).error());
}

Result<VerificationAudit> parse_verification_audit(std::string_view text) {
  const std::size_t at = text.rfind('@');
  const auto until = parse_date(at == text.npos ? "" : text.substr(at + 1));
  if (!until) {
    return fail(Reason::InvalidValue,
                quoted(text) + " is not of the form PATTERN@DATE, like shop/*@2027-01-31");
  }
  const std::string_view pattern = text.substr(0, at);
  if (Status good = check_object_pattern(pattern); !good) return fail(std::move(good).error());
  return VerificationAudit{std::string{pattern}, *until};
}

}  // namespace handfast::translate
