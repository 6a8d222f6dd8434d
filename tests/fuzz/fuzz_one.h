#pragma once
// What each fuzz target defines, and both the replay program and libFuzzer call.

#include <cstddef>
#include <span>

namespace handfast {

void fuzz_one(std::span<const std::byte> input);

}  // namespace handfast
