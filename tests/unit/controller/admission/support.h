#pragma once
// What the tests of admission share: objects from YAML, reviews from objects.

#include <string>
#include <string_view>
#include <vector>

#include "controller/admission/index.h"
#include "controller/admission/stand_ins.h"
#include "controller/objects/objects.h"
#include "controller/objects/value.h"

namespace handfast::admission::testing {

// Fails the test if something can't be read.
[[nodiscard]] std::vector<objects::Value> read_yaml(std::string_view yaml);
[[nodiscard]] std::vector<objects::Object> decode_yaml(std::string_view yaml);
void apply_yaml(Index& index, std::string_view yaml);

[[nodiscard]] std::string to_json(const objects::Value& value);

// The body of a review; `more` stands in the request: R"(,"dryRun":true)".
[[nodiscard]] std::string review_of(std::string_view operation, const objects::Value& object,
                                    const std::string& more = {});

// Made once: they cost a key.
[[nodiscard]] const StandIns& stand_ins();

}  // namespace handfast::admission::testing
