// Any bytes as the body of an AdmissionReview: refused, or answered with what an API server can
// read.

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "controller/admission/index.h"
#include "controller/admission/judge.h"
#include "controller/admission/review.h"
#include "controller/admission/stand_ins.h"
#include "controller/objects/json_reader.h"
#include "proxy/base/check.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {
namespace {

// Made once: it costs a key.
struct Webhook {
  Webhook() {
    objects::IngressClass ours;
    ours.meta.name = "handfast";
    ours.controller = options.controller_name;
    index.apply(ours);
    auto made = admission::StandIns::make();
    check(made.has_value(), "no stand-ins");
    judge.emplace(options, index, std::move(*made));
  }

  const translate::Options options;
  admission::Index index{options, admission::Index::Told::All};
  std::optional<admission::Judge> judge;
};

void check_answer(const admission::Answer& answer) {
  objects::JsonReader reader{answer.json, 1};
  const auto document = reader.next();
  check(document.has_value() && !reader.has_more(), "an answer that is no JSON");
  const objects::Value* response = document->find("response");
  check(response != nullptr && response->find("uid") != nullptr, "an answer without a uid");
  const objects::Value* allowed = response->find("allowed");
  check(allowed != nullptr && (allowed->scalar == "false") == (answer.result == "denied"),
        "an answer that contradicts itself");
  check((response->find("status") != nullptr) == (answer.result == "denied"),
        "a refusal without a word");
  if (const objects::Value* warnings = response->find("warnings")) {
    check(warnings->list.size() <= 5, "too many warnings");
    // Each byte that isn't UTF-8 becomes three.
    for (const auto& each : warnings->list) check(each.scalar.size() <= 360, "a long warning");
  }
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  static const auto* const kWebhook = new Webhook;
  const std::string_view body(reinterpret_cast<const char*>(input.data()), input.size());
  const auto answer = admission::review(body, *kWebhook->judge, 1767225600);
  if (!answer) {
    check(!answer.error().detail.empty(), "an error without a word");
    return;
  }
  check_answer(*answer);
}

}  // namespace handfast
