#include "proxy/config/preflight.h"

#include <cstdint>
#include <utility>
#include <variant>

#include "proxy/config/emit.h"
#include "proxy/config/fields.h"
#include "proxy/config/text.h"
#include "proxy/config/words.h"

namespace handfast::config {
namespace {

constexpr Words<Acceptance, 4> kAcceptances{{{Acceptance::Unknown, "unknown"},
                                             {Acceptance::Unasked, "unasked"},
                                             {Acceptance::Accepted, "accepted"},
                                             {Acceptance::NotConfirmed, "not_confirmed"}}};

template <class Enum, std::size_t kCount>
Enum read_word(Fields& fields, std::string_view name, const Words<Enum, kCount>& words) {
  const auto value = find_word(words, fields.text(name));
  if (!value) fields.problem(name, "is not a word that is known");
  return value.value_or(words.front().first);
}

Reason read_reason(Fields& fields, std::string_view name) {
  const auto reason = parse_reason(fields.text(name));
  if (!reason) fields.problem(name, "is not a known reason word");
  return reason.value_or(Reason::Internal);
}

void read_rules(Fields& fields, UpstreamTls& tls) {
  auto shard = parse_shard(fields.text("tls"));
  if (!shard) {
    fields.problem("tls", shard.error().detail);
  } else if (auto* found = std::get_if<UpstreamTls>(&*shard); found != nullptr) {
    tls = std::move(*found);
  } else {
    fields.problem("tls", "is another kind of shard");
  }
}

}  // namespace

std::string to_json(const PreflightRequest& request) {
  std::string out;
  {
    JsonObject json{out};
    json.text("tls", serialize(request.tls));
    json.text("http2", word_of(kHttp2Words, request.http2));
    json.flag("external_name", request.external_name);
    append_list(json.key("endpoints"), request.endpoints,
                [](std::string& to, const Endpoint& endpoint) {
                  JsonObject one{to};
                  one.text("address", endpoint.address);
                  one.number("port", std::uint64_t{endpoint.port});
                });
  }
  return out;
}

std::string to_json(const PreflightAnswer& answer) {
  std::string out;
  {
    JsonObject json{out};
    json.text("refused", to_string(answer.refused));
    json.text("detail", answer.detail);
    append_list(json.key("votes"), answer.votes, [](std::string& to, const PreflightVote& vote) {
      JsonObject one{to};
      one.text("address", vote.address);
      one.text("reason", to_string(vote.reason));
      one.text("detail", vote.detail);
      one.text("acceptance", word_of(kAcceptances, vote.acceptance));
    });
  }
  return out;
}

Result<PreflightRequest> parse_preflight_request(std::string_view json) {
  return read_document(json, [](Fields& fields) {
    PreflightRequest request;
    read_rules(fields, request.tls);
    request.http2 = read_word(fields, "http2", kHttp2Words);
    request.external_name = fields.flag_or("external_name", false);
    request.endpoints = fields.required_maps("endpoints", [](Fields& one) {
      Endpoint endpoint;
      endpoint.address = one.text("address");
      endpoint.port = static_cast<std::uint16_t>(one.number("port", 1, 65535));
      return endpoint;
    });
    if (request.endpoints.size() > kMostPreflightEndpoints) {
      fields.problem("endpoints", "holds too many");
    }
    return request;
  });
}

Result<PreflightAnswer> parse_preflight_answer(std::string_view json) {
  return read_document(json, [](Fields& fields) {
    PreflightAnswer answer;
    answer.refused = read_reason(fields, "refused");
    answer.detail = fields.text_or("detail", "");
    answer.votes = fields.required_maps("votes", [](Fields& one) {
      PreflightVote vote;
      vote.address = one.text("address");
      vote.reason = read_reason(one, "reason");
      vote.detail = one.text_or("detail", "");
      vote.acceptance = read_word(one, "acceptance", kAcceptances);
      return vote;
    });
    return answer;
  });
}

}  // namespace handfast::config
