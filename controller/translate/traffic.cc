#include "controller/translate/traffic.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "controller/translate/names.h"
#include "controller/translate/tls_values.h"
#include "controller/translate/traffic_values.h"
#include "proxy/config/request_expression.h"
#include "proxy/config/words.h"

namespace handfast::translate {
namespace {

using config::BackendProtocol;
using config::Http2;

constexpr auto kMostCount = std::numeric_limits<std::uint32_t>::max();

constexpr std::string_view kSecondsRemedy = "Write seconds as a number, like \"60\".";
constexpr std::string_view kSizeRemedy = "Write bytes, or a number with k, m or g, like \"8m\".";
constexpr std::string_view kOnOffRemedy = "Write \"on\" or \"off\".";

// Reads annotations of one Ingress one after the other, and keeps the first refusal.
class Reader {
 public:
  Reader(const Annotations& annotations, ObjectReport& report,
         std::optional<config::Refusal>& refused)
      : annotations_(annotations), report_(report), refused_(refused) {}

  // Puts what `parse` makes of the annotation, if it is there, into `value`.
  template <class T, class Parse>
  void read(std::string_view name, T& value, std::string_view remedy, Parse parse) {
    const Annotation* found = annotations_.find(name);
    if (found == nullptr) return;
    auto parsed = parse(found->value);
    if (parsed) {
      value = *std::move(parsed);
    } else {
      refuse(*found, std::move(parsed.error().detail), remedy);
    }
  }

  void read_seconds(std::string_view name, std::uint32_t& value, std::uint32_t least) {
    read(name, value, kSecondsRemedy,
         [least](std::string_view text) { return parse_seconds(text, least); });
  }

  void refuse(const Annotation& annotation, std::string message, std::string_view remedy) {
    keep_first(refused_, report_.refuse(Reason::InvalidValue, annotation.field(),
                                        std::move(message), std::string{remedy}));
  }

  [[nodiscard]] const Annotation* find(std::string_view name) const {
    return annotations_.find(name);
  }
  [[nodiscard]] ObjectReport& report() { return report_; }

 private:
  const Annotations& annotations_;
  ObjectReport& report_;
  std::optional<config::Refusal>& refused_;
};

void read_retry(Reader& reader, config::RetryPolicy& retry) {
  if (const Annotation* found = reader.find("proxy-next-upstream")) {
    if (Status read = parse_next_upstream(found->value, retry); !read) {
      reader.refuse(*found, std::move(read.error().detail),
                    "Write \"off\", or some of error, timeout, invalid_header, non_idempotent, "
                    "http_403, http_404, http_429, http_500, http_502, http_503, http_504.");
    }
  }
  reader.read("proxy-next-upstream-tries", retry.tries, "Write a number; 0 means no limit.",
              [](std::string_view text) { return parse_count(text, 0, kMostCount); });
  reader.read_seconds("proxy-next-upstream-timeout", retry.timeout_ms, 0);
}

// Literals and constants alone are the same for every request.
bool tells_requests_apart(const config::RequestExpression& expression) {
  return std::ranges::any_of(expression.parts, [](const config::RequestPart& part) {
    return part.variable != config::RequestVariable::Literal &&
           part.variable != config::RequestVariable::Constant;
  });
}

void read_hash(Reader& reader, config::Route& route) {
  const Annotation* found = reader.find("upstream-hash-by");
  if (found == nullptr) return;
  auto expression = config::parse_request_expression(found->value);
  if (!expression) {
    reader.refuse(*found, quoted(found->value) + ": " + expression.error().detail + '.',
                  "Write variables of the request, like \"$remote_addr\" or \"$request_uri\".");
    return;
  }
  if (!tells_requests_apart(*expression)) {
    reader.report().warn(Reason::InvalidValue, found->field(),
                         quoted(found->value) +
                             " is the same for every request: one endpoint gets "
                             "them all.",
                         "Add a variable of the request, like \"$remote_addr\".");
  }
  if (const Annotation* balance = reader.find("load-balance")) {
    reader.report().info(Reason::Conflict, balance->field(),
                         "upstream-hash-by is there too and decides.", "Remove one of the two.");
  }
  route.load_balance = config::LoadBalance::ConsistentHash;
  route.hash_by = std::string{found->value};
}

void read_balance(Reader& reader, config::Route& route) {
  reader.read("load-balance", route.load_balance,
              "Write round_robin, least_request or ewma; upstream-hash-by keeps requests together.",
              parse_load_balance);
  if (const Annotation* found = reader.find("load-balance"); found && found->value == "ewma") {
    reader.report().info(
        Reason::UnsupportedAnnotation, found->field(),
        "\"ewma\" is least_request here: fewer requests under way, not shorter answers, "
        "decide.",
        "Write least_request if that will do.");
  }
  read_hash(reader, route);
}

void read_buffering(Reader& reader, std::string_view name, BackendProtocol protocol, bool& value) {
  reader.read(name, value, kOnOffRemedy, parse_on_off);
  if (!value || !config::is_grpc(protocol)) return;
  value = false;
  reader.report().warn(Reason::UnsupportedAnnotation, reader.find(name)->field(),
                       "It has no effect with gRPC, whose messages are streamed.", "Remove it.");
}

}  // namespace

std::optional<BackendProtocol> read_protocol(const Annotations& annotations, ObjectReport& report,
                                             std::optional<config::Refusal>& refused) {
  constexpr std::array<std::string_view, 2> kUnsupported{"auto_http", "fcgi"};
  constexpr std::string_view kRemedy = "Write HTTP, HTTPS, GRPC or GRPCS.";
  const Annotation* found = annotations.find("backend-protocol");
  if (found == nullptr) return BackendProtocol::Http;

  const std::string value = found->value.size() <= 16 ? to_lower(found->value) : std::string{};
  for (const auto& [protocol, word] : config::kBackendProtocols) {
    if (value == to_lower(word)) return protocol;
  }
  const bool known = std::ranges::find(kUnsupported, value) != kUnsupported.end();
  keep_first(
      refused,
      report.refuse(known ? Reason::UnsupportedAnnotation : Reason::InvalidValue, found->field(),
                    quoted(found->value) + (known ? " is not implemented." : " is not a protocol."),
                    std::string{kRemedy}));
  return std::nullopt;
}

void read_traffic(const Annotations& annotations, const TrafficDefaults& defaults,
                  ObjectReport& report, std::optional<config::Refusal>& refused,
                  config::Route& route) {
  apply_defaults(defaults, route);
  Reader reader{annotations, report, refused};
  reader.read_seconds("proxy-connect-timeout", route.connect_timeout_ms, 1);
  reader.read_seconds("proxy-read-timeout", route.read_timeout_ms, 1);
  reader.read_seconds("proxy-send-timeout", route.send_timeout_ms, 1);
  read_retry(reader, route.retry);
  read_balance(reader, route);
  reader.read("proxy-body-size", route.max_body_bytes, kSizeRemedy, parse_size);
  reader.read("proxy-max-temp-file-size", route.max_temp_bytes, kSizeRemedy, parse_size);
  read_buffering(reader, "proxy-request-buffering", route.protocol, route.request_buffering);
  read_buffering(reader, "proxy-buffering", route.protocol, route.response_buffering);
}

void apply_defaults(const TrafficDefaults& defaults, config::Route& route) {
  route.connect_timeout_ms = defaults.connect_timeout_ms;
  route.read_timeout_ms = defaults.read_timeout_ms;
  route.send_timeout_ms = defaults.send_timeout_ms;
  route.retry = defaults.retry;
  route.max_body_bytes = defaults.max_body_bytes;
}

std::optional<bool> read_http2(const Annotations& annotations, BackendProtocol protocol,
                               ObjectReport& report, std::optional<config::Refusal>& refused) {
  const Annotation* found = annotations.find("upstream-http2");
  if (found == nullptr) return std::nullopt;
  const auto wanted = parse_bool(found->value);
  if (!wanted) {
    keep_first(refused, report.refuse(Reason::InvalidValue, found->field(),
                                      quoted(found->value) + " is neither true nor false.",
                                      "Write \"true\" or \"false\"."));
  } else if (!*wanted && config::is_grpc(protocol)) {
    keep_first(refused, report.refuse(Reason::InvalidValue, found->field(),
                                      "It is off, but backend-protocol is gRPC, which is HTTP/2.",
                                      "Remove one of the two."));
  }
  return wanted;
}

Http2 choose_http2(BackendProtocol protocol, std::optional<bool> wanted,
                   std::string_view app_protocol) {
  if (config::is_grpc(protocol)) return Http2::Require;
  const bool tls = config::is_tls(protocol);
  bool http2 = false;
  if (wanted) {
    http2 = *wanted;
  } else if (const auto said = find_app_protocol(app_protocol)) {
    // A word that contradicts the protocol has no effect. Without TLS nothing is negotiated, so
    // prior knowledge needs a word that says that there is none.
    http2 = said->http2 && said->tls.value_or(true) == tls;
  }
  if (!http2) return Http2::Off;
  return tls ? Http2::Offer : Http2::Require;
}

void tell_contradiction(const config::Route& route, std::string_view app_protocol,
                        std::string field, ObjectReport& report) {
  const auto said = find_app_protocol(app_protocol);
  if (!said) return;
  const bool tls = config::is_tls(route.protocol);
  if (said->tls && *said->tls != tls) {
    report.warn(Reason::Conflict, std::move(field),
                "The appProtocol of the Service's port is " + quoted(app_protocol) +
                    ", but it is reached " + (tls ? "with" : "without") + " TLS.",
                "Correct appProtocol, or backend-protocol of the Ingress.");
  } else if (!said->tls && !tls && route.http2 == Http2::Off) {
    report.warn(Reason::Conflict, std::move(field),
                "The appProtocol of the Service's port is " + quoted(app_protocol) +
                    ", but it is reached by HTTP/1.1.",
                "Set backend-protocol to GRPC, or to GRPCS for TLS.");
  }
}

}  // namespace handfast::translate
