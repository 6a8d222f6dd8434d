#include "proxy/config/control.h"

#include <limits>

#include "proxy/config/emit.h"
#include "proxy/config/fields.h"

namespace handfast::config {
namespace {

constexpr auto kMostNumber = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

// {"a":1,"b":"c"}: members in the order of the calls.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_.push_back('{'); }
  JsonObject(const JsonObject&) = delete;
  JsonObject& operator=(const JsonObject&) = delete;
  ~JsonObject() { out_.push_back('}'); }

  std::string& key(std::string_view name) {
    if (!first_) out_.push_back(',');
    first_ = false;
    append_quoted(out_, name);
    out_.push_back(':');
    return out_;
  }
  void text(std::string_view name, std::string_view value) { append_quoted(key(name), value); }
  void number(std::string_view name, std::int64_t value) { key(name) += std::to_string(value); }
  void number(std::string_view name, std::uint64_t value) { key(name) += std::to_string(value); }

 private:
  std::string& out_;
  bool first_ = true;
};

template <class List, class Append>
void append_list(std::string& out, const List& list, Append append) {
  out.push_back('[');
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (i > 0) out.push_back(',');
    append(out, list[i]);
  }
  out.push_back(']');
}

void append_rejection(std::string& out, const Rejection& rejection) {
  JsonObject json{out};
  json.text("shard", rejection.shard);
  json.text("field", rejection.field);
  json.text("file", rejection.file);
  json.text("reason", to_string(rejection.reason));
  json.text("detail", rejection.detail);
}

void append_policy(std::string& out, const PolicyState& policy) {
  JsonObject json{out};
  json.text("name", policy.name);
  json.text("subject", policy.subject);
  json.text("serial", policy.serial);
  json.text("sha256", policy.sha256);
  append_list(json.key("sans"), policy.sans,
              [](std::string& to, const std::string& san) { append_quoted(to, san); });
  json.number("not_after", policy.not_after);
  json.number("ca_count", policy.ca_count);
  json.text("crl_number", policy.crl_number);
  json.number("crl_next_update", policy.crl_next_update);
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

PolicyState read_policy(Fields& fields, Problem& problem) {
  PolicyState policy;
  policy.name = fields.text("name");
  policy.subject = fields.text("subject");
  policy.serial = fields.text("serial");
  policy.sha256 = fields.text("sha256");
  policy.sans = fields.texts("sans");
  policy.not_after = signed_number(fields, "not_after", problem);
  policy.ca_count = fields.number("ca_count", 0, kMostNumber);
  policy.crl_number = fields.text("crl_number");
  policy.crl_next_update = signed_number(fields, "crl_next_update", problem);
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

}  // namespace

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
