#include "proxy/config/control.h"

#include <limits>

#include "proxy/config/emit.h"
#include "proxy/config/fields.h"

namespace handfast::config {
namespace {

constexpr auto kMostNumber = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

void append_crl(std::string& out, const CrlState& crl) {
  JsonObject json{out};
  json.text("issuer", crl.issuer);
  json.text("number", crl.number);
  json.number("this_update", crl.this_update);
  json.number("next_update", crl.next_update);
  json.number("entries", crl.entries);
}

void append_policy(std::string& out, const PolicyState& policy) {
  JsonObject json{out};
  json.text("name", policy.name);
  json.text("subject", policy.subject);
  json.text("issuer", policy.issuer);
  json.text("serial", policy.serial);
  json.text("sha256", policy.sha256);
  append_list(json.key("sans"), policy.sans,
              [](std::string& to, const std::string& san) { append_quoted(to, san); });
  json.number("not_before", policy.not_before);
  json.number("not_after", policy.not_after);
  json.number("ca_count", policy.ca_count);
  json.number("ca_not_after", policy.ca_not_after);
  append_list(json.key("crls"), policy.crls, append_crl);
  json.text("refused", policy.refused);
}

void append_endpoint(std::string& out, const EndpointState& endpoint) {
  JsonObject json{out};
  json.text("service", endpoint.service);
  json.text("address", endpoint.address);
  json.text("result", endpoint.result);
  json.number("time", endpoint.time);
}

void append_unwell(std::string& out, const UnwellEndpoint& endpoint) {
  JsonObject json{out};
  json.number("worker", endpoint.worker);
  json.text("service", endpoint.service);
  json.text("address", endpoint.address);
  json.text("state", endpoint.state);
  json.number("failures", endpoint.failures);
  json.number("milliseconds_left", endpoint.milliseconds_left);
}

Rejection read_rejection(Fields& fields) {
  Rejection rejection;
  rejection.shard = fields.text("shard");
  rejection.field = fields.text_or("field", "");
  rejection.file = fields.text_or("file", "");
  const auto reason = parse_reason(fields.text("reason"));
  if (!reason) fields.problem("reason", "is not a known reason word");
  rejection.reason = reason.value_or(Reason::Internal);
  rejection.detail = fields.text_or("detail", "");
  return rejection;
}

CrlState read_crl(Fields& fields) {
  CrlState crl;
  crl.issuer = fields.text("issuer");
  crl.number = fields.text("number");
  crl.this_update = fields.signed_number("this_update");
  crl.next_update = fields.signed_number("next_update");
  crl.entries = fields.number("entries", 0, kMostNumber);
  return crl;
}

PolicyState read_policy(Fields& fields) {
  PolicyState policy;
  policy.name = fields.text("name");
  policy.subject = fields.text("subject");
  policy.serial = fields.text("serial");
  policy.sha256 = fields.text("sha256");
  policy.sans = fields.texts("sans");
  policy.issuer = fields.text("issuer");
  policy.not_before = fields.signed_number("not_before");
  policy.not_after = fields.signed_number("not_after");
  policy.ca_count = fields.number("ca_count", 0, kMostNumber);
  policy.ca_not_after = fields.signed_number("ca_not_after");
  policy.crls = fields.required_maps("crls", read_crl);
  policy.refused = fields.text("refused");
  return policy;
}

EndpointState read_endpoint(Fields& fields) {
  EndpointState endpoint;
  endpoint.service = fields.text("service");
  endpoint.address = fields.text("address");
  endpoint.result = fields.text("result");
  endpoint.time = fields.signed_number("time");
  return endpoint;
}

UnwellEndpoint read_unwell(Fields& fields) {
  UnwellEndpoint endpoint;
  endpoint.worker = fields.number("worker", 0, kMostNumber);
  endpoint.service = fields.text("service");
  endpoint.address = fields.text("address");
  endpoint.state = fields.text("state");
  endpoint.failures = fields.number("failures", 0, kMostNumber);
  endpoint.milliseconds_left = fields.number("milliseconds_left", 0, kMostNumber);
  return endpoint;
}

}  // namespace

void append_rejection(std::string& out, const Rejection& rejection) {
  JsonObject json{out};
  json.text("shard", rejection.shard);
  json.text("field", rejection.field);
  json.text("file", rejection.file);
  json.text("reason", to_string(rejection.reason));
  json.text("detail", rejection.detail);
}

std::string to_json(const LoadRequest& request) {
  std::string out;
  JsonObject{out}.number("generation", request.generation);
  return out;
}

std::string to_json(const LoadAnswer& answer) {
  std::string out;
  {
    JsonObject json{out};
    json.number("generation", answer.generation);
    append_list(json.key("rejected"), answer.rejected, append_rejection);
  }
  return out;
}

std::string to_json(const StateAnswer& answer) {
  std::string out;
  {
    JsonObject json{out};
    json.number("generation", answer.generation);
    append_list(json.key("policies"), answer.policies, append_policy);
    append_list(json.key("endpoints"), answer.endpoints, append_endpoint);
    append_list(json.key("unwell"), answer.unwell, append_unwell);
  }
  return out;
}

Result<LoadRequest> parse_load_request(std::string_view json) {
  return read_document(json, [](Fields& fields) {
    LoadRequest request;
    request.generation = fields.number("generation", 0, kMostNumber);
    return request;
  });
}

Result<LoadAnswer> parse_load_answer(std::string_view json) {
  return read_document(json, [](Fields& fields) {
    LoadAnswer answer;
    answer.generation = fields.number("generation", 0, kMostNumber);
    answer.rejected = fields.required_maps("rejected", read_rejection);
    return answer;
  });
}

Result<StateAnswer> parse_state_answer(std::string_view json) {
  return read_document(json, [](Fields& fields) {
    StateAnswer answer;
    answer.generation = fields.number("generation", 0, kMostNumber);
    answer.policies = fields.required_maps("policies", read_policy);
    answer.endpoints = fields.required_maps("endpoints", read_endpoint);
    answer.unwell = fields.required_maps("unwell", read_unwell);
    return answer;
  });
}

}  // namespace handfast::config
