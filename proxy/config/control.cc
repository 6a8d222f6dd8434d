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

// Certificates may end before 1970 as far as X.509 is concerned.
std::int64_t signed_number(Fields& fields, std::string_view name, Problem& problem) {
  const Node* node = fields.find(name);
  if (node == nullptr) {
    fields.problem(name, "is missing");
    return 0;
  }
  if (node->kind == Node::Kind::Scalar && !node->quoted && node->scalar.starts_with('-')) {
    Node positive = *node;
    positive.scalar.erase(0, 1);
    Node map;
    map.kind = Node::Kind::Map;
    map.line = node->line;
    map.map.emplace_back(name, std::move(positive));
    Fields inner{map, "", problem};
    return -static_cast<std::int64_t>(inner.number(name, 1, kMostNumber));
  }
  return static_cast<std::int64_t>(fields.number(name, 0, kMostNumber));
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

template <class T, class Read>
std::vector<T> read_list(Fields& fields, std::string_view name, Problem& problem, Read read) {
  std::vector<T> values;
  const Node* list = fields.find_list(name);
  if (list == nullptr) {
    fields.problem(name, "is missing");
    return values;
  }
  for (std::size_t i = 0; i < list->list.size(); ++i) {
    Fields inner{list->list[i], element_path(name, i), problem};
    values.push_back(read(inner));
    inner.done();
  }
  return values;
}

CrlState read_crl(Fields& fields, Problem& problem) {
  CrlState crl;
  crl.issuer = fields.text("issuer");
  crl.number = fields.text("number");
  crl.this_update = signed_number(fields, "this_update", problem);
  crl.next_update = signed_number(fields, "next_update", problem);
  crl.entries = fields.number("entries", 0, kMostNumber);
  return crl;
}

PolicyState read_policy(Fields& fields, Problem& problem) {
  PolicyState policy;
  policy.name = fields.text("name");
  policy.subject = fields.text("subject");
  policy.serial = fields.text("serial");
  policy.sha256 = fields.text("sha256");
  policy.sans = fields.texts("sans");
  policy.issuer = fields.text("issuer");
  policy.not_before = signed_number(fields, "not_before", problem);
  policy.not_after = signed_number(fields, "not_after", problem);
  policy.ca_count = fields.number("ca_count", 0, kMostNumber);
  policy.ca_not_after = signed_number(fields, "ca_not_after", problem);
  policy.crls = read_list<CrlState>(fields, "crls", problem,
                                    [&problem](Fields& crl) { return read_crl(crl, problem); });
  policy.refused = fields.text("refused");
  return policy;
}

EndpointState read_endpoint(Fields& fields, Problem& problem) {
  EndpointState endpoint;
  endpoint.service = fields.text("service");
  endpoint.address = fields.text("address");
  endpoint.result = fields.text("result");
  endpoint.time = signed_number(fields, "time", problem);
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
  const Result<Node> document = parse_document(json);
  if (!document) return fail(document.error());
  Problem problem;
  Fields fields{*document, "", problem};
  LoadRequest request;
  request.generation = fields.number("generation", 0, kMostNumber);
  fields.done();
  if (problem.is_set()) return fail(problem.error());
  return request;
}

Result<LoadAnswer> parse_load_answer(std::string_view json) {
  const Result<Node> document = parse_document(json);
  if (!document) return fail(document.error());
  Problem problem;
  Fields fields{*document, "", problem};
  LoadAnswer answer;
  answer.generation = fields.number("generation", 0, kMostNumber);
  answer.rejected = read_list<Rejection>(fields, "rejected", problem, read_rejection);
  fields.done();
  if (problem.is_set()) return fail(problem.error());
  return answer;
}

Result<StateAnswer> parse_state_answer(std::string_view json) {
  const Result<Node> document = parse_document(json);
  if (!document) return fail(document.error());
  Problem problem;
  Fields fields{*document, "", problem};
  StateAnswer answer;
  answer.generation = fields.number("generation", 0, kMostNumber);
  answer.policies = read_list<PolicyState>(
      fields, "policies", problem, [&problem](Fields& one) { return read_policy(one, problem); });
  answer.endpoints =
      read_list<EndpointState>(fields, "endpoints", problem,
                               [&problem](Fields& one) { return read_endpoint(one, problem); });
  answer.unwell = read_list<UnwellEndpoint>(fields, "unwell", problem, read_unwell);
  fields.done();
  if (problem.is_set()) return fail(problem.error());
  return answer;
}

}  // namespace handfast::config
