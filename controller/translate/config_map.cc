#include "controller/translate/config_map.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "controller/translate/annotations.h"
#include "controller/translate/config_map_table.h"
#include "controller/translate/findings.h"
#include "controller/translate/front_values.h"
#include "controller/translate/names.h"
#include "controller/translate/tls_values.h"
#include "controller/translate/traffic_values.h"

namespace handfast::translate {
namespace {

// The first few tell what is wrong.
constexpr std::size_t kMostUnknownTold = 16;
constexpr std::uint32_t kAnyNumber = 0xffff'ffff;

std::string field_of(std::string_view key) { return "data[" + clip(key) + ']'; }

// Reads the keys of one ConfigMap, each by its name.
class Reader {
 public:
  Reader(const objects::ConfigMap& map, ObjectReport& report) : map_(map), report_(report) {}

  // `parse`: string_view -> Result<T>; `fallback`: what a bad value leaves.
  template <class T, class Parse>
  void read(std::string_view key, T& target, const T& fallback, Parse parse) {
    const auto found = map_.data.find(key);
    if (found == map_.data.end()) return;
    const std::string& problem = found->second.problem;
    const std::string_view value = trim(found->second.bytes);
    if (problem.empty() && value.empty()) {
      report_.warn(Reason::InvalidValue, field_of(key), "It is empty and counts as absent.",
                   "Write a value, or remove it.");
      return;
    }
    using Parsed = std::invoke_result_t<Parse, std::string_view>;
    auto parsed = problem.empty()
                      ? parse(value)
                      : Parsed(fail(Reason::InvalidValue, "The value " + problem + '.'));
    if (parsed) {
      target = *std::move(parsed);
      return;
    }
    report_.add(Severity::Error, parsed.error().reason, field_of(key),
                parsed.error().detail + " What was good before stays, or the default.",
                "Correct the value, or remove it.");
    target = fallback;
  }

 private:
  const objects::ConfigMap& map_;
  ObjectReport& report_;
};

void tell_without_effect(const std::vector<std::string>& names, ObjectReport& report) {
  const std::string others =
      names.size() == 1 ? " has" : " and " + std::to_string(names.size() - 1) + " more have";
  report.warn(Reason::InvalidValue, field_of("ssl-ciphers"),
              quoted(names.front()) + others +
                  " no effect: DHE isn't offered, and suites of TLS 1.3 aren't chosen here.",
              "Take them out.");
}

void read_front(Reader& reader, const config::Front& served, ObjectReport& report,
                config::Front& front) {
  reader.read("ssl-protocols", front.versions, served.versions, parse_versions);
  reader.read("ssl-ciphers", front.ciphers, served.ciphers,
              [&report](std::string_view value) -> Result<std::string> {
                auto parsed = parse_front_ciphers(value);
                if (!parsed) return fail(std::move(parsed.error()));
                if (!parsed->without_effect.empty())
                  tell_without_effect(parsed->without_effect, report);
                return std::move(parsed->list);
              });
  reader.read("ssl-ecdh-curve", front.groups, served.groups, parse_front_groups);
  reader.read("use-http2", front.http2, served.http2, parse_switch);
  reader.read("ssl-session-tickets", front.session_tickets, served.session_tickets, parse_switch);
  reader.read("hsts", front.hsts, served.hsts, parse_switch);
  reader.read("hsts-max-age", front.hsts_max_age, served.hsts_max_age,
              [](std::string_view value) { return parse_count(value, 0, kAnyNumber); });
  reader.read("hsts-include-subdomains", front.hsts_include_subdomains,
              served.hsts_include_subdomains, parse_switch);
  reader.read("hsts-preload", front.hsts_preload, served.hsts_preload, parse_switch);
}

void read_defaults(Reader& reader, Options& options) {
  const auto read = [&reader](std::string_view key, auto& target, auto parse) {
    const auto flag = target;
    reader.read(key, target, flag, parse);
  };
  const auto seconds = [](std::uint32_t least) {
    return [least](std::string_view value) { return parse_seconds(value, least); };
  };
  TrafficDefaults& traffic = options.traffic;
  read("ssl-redirect", options.ssl_redirect, parse_switch);
  read("force-ssl-redirect", options.force_ssl_redirect, parse_switch);
  read("proxy-body-size", traffic.max_body_bytes, parse_size);
  read("proxy-connect-timeout", traffic.connect_timeout_ms, seconds(1));
  read("proxy-read-timeout", traffic.read_timeout_ms, seconds(1));
  read("proxy-send-timeout", traffic.send_timeout_ms, seconds(1));
  read("proxy-next-upstream", traffic.retry,
       [&traffic](std::string_view value) -> Result<config::RetryPolicy> {
         config::RetryPolicy retry = traffic.retry;
         if (Status parsed = parse_next_upstream(value, retry); !parsed) {
           return fail(std::move(parsed.error()));
         }
         return retry;
       });
  read("proxy-next-upstream-tries", traffic.retry.tries,
       [](std::string_view value) { return parse_count(value, 0, kAnyNumber); });
  read("proxy-next-upstream-timeout", traffic.retry.timeout_ms, seconds(0));
}

// As nginx writes times: seconds, or with "s", "m" or "h" behind.
Result<std::uint32_t> parse_stream_time(std::string_view value, std::uint32_t least) {
  const char unit = value.empty() ? '\0' : value.back();
  const std::uint32_t factor = unit == 'm' ? 60 : unit == 'h' ? 3600 : 1;
  if (factor > 1 || unit == 's') value.remove_suffix(1);
  const auto milliseconds = parse_seconds(value, least);
  if (!milliseconds) return fail(milliseconds.error());
  if (*milliseconds > kAnyNumber / factor) {
    return fail(Reason::InvalidValue, "must be at most 49 days");
  }
  return *milliseconds * factor;
}

void read_streams(Reader& reader, StreamDefaults& streams) {
  const auto read = [&reader](std::string_view key, auto& target, auto parse) {
    const auto flag = target;
    reader.read(key, target, flag, parse);
  };
  config::RetryPolicy& retry = streams.retry;
  read("proxy-stream-timeout", streams.idle_timeout_ms,
       [](std::string_view value) { return parse_stream_time(value, 1); });
  read("proxy-stream-next-upstream", retry.error, parse_switch);
  retry.timeout = retry.error;
  read("proxy-stream-next-upstream-tries", retry.tries,
       [](std::string_view value) { return parse_count(value, 0, kAnyNumber); });
  read("proxy-stream-next-upstream-timeout", retry.timeout_ms,
       [](std::string_view value) { return parse_stream_time(value, 0); });
}

bool asks_for_nothing(const ConfigKeyRow& row, const objects::DataValue& data) {
  if (!data.problem.empty()) return false;  // whatever it says, it says something
  const std::string_view value = trim(data.bytes);
  if (value.empty()) return true;
  if (row.harmless == "false") return parse_bool(value) == false;
  return !row.harmless.empty() && value == row.harmless;
}

void tell_others(const objects::ConfigMap& map, Options& options, ObjectReport& report) {
  std::size_t unknown = 0;
  for (const auto& [key, value] : map.data) {
    if (key.starts_with("global-auth-")) continue;  // global_auth.h
    const ConfigKeyRow* row = find_config_key(key);
    if (row == nullptr) {
      if (++unknown > kMostUnknownTold) continue;
      report.add(Severity::Error, Reason::Unsupported, field_of(key), "There is no such key.",
                 "Correct or remove it: it may be a mistyped restriction.");
    } else if (row->what == ConfigKeyClass::Implemented || asks_for_nothing(*row, value)) {
      continue;
    } else if (row->what == ConfigKeyClass::Restricts) {
      keep_first(options.unenforced,
                 report.refuse(Reason::Unsupported, field_of(key),
                               "It is not implemented (" + std::string{row->why} + ").",
                               "Remove it, if everybody may have what it restricts; until "
                               "then requests are answered 503."));
    } else if (row->what == ConfigKeyClass::Missing) {
      report.add(Severity::Error, Reason::Unsupported, field_of(key),
                 "It is not implemented (" + std::string{row->why} +
                     "), and hosts are served "
                     "without it.",
                 "Remove it, if they may be; see docs/configmap.md.");
    } else {
      report.warn(Reason::Unsupported, field_of(key),
                  "It has no effect (" + std::string{row->why} + ").",
                  "Remove it, or see docs/configmap.md for what applies instead.");
    }
  }
  if (unknown > kMostUnknownTold) {
    report.add(Severity::Error, Reason::Unsupported, "data",
               std::to_string(unknown - kMostUnknownTold) + " more keys are unknown.",
               "Remove them.");
  }
}

}  // namespace

Settings read_config_map(const state::Reader& state, const Options& flags,
                         const config::Front& served, Report& report) {
  Settings settings{.options = flags, .front = {}};
  if (!flags.config_map) return settings;
  const objects::ConfigMap* map =
      state.find_config_map(flags.config_map->ns, flags.config_map->name);
  if (map == nullptr) {
    objects::Meta absent;
    absent.ns = flags.config_map->ns;
    absent.name = flags.config_map->name;
    ObjectReport{report, "ConfigMap", absent}.warn(Reason::BadObject, "",
                                                   "It isn't there; the defaults apply.",
                                                   "Create it, or correct --configmap.");
    return settings;
  }
  ObjectReport findings{report, "ConfigMap", map->meta};
  Reader reader{*map, findings};
  read_front(reader, served, findings, settings.front);
  read_defaults(reader, settings.options);
  read_streams(reader, settings.options.streams);
  tell_others(*map, settings.options, findings);
  return settings;
}

}  // namespace handfast::translate
