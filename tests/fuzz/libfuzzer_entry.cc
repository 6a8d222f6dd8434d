#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/fuzz/fuzz_one.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handfast::fuzz_one(std::as_bytes(std::span(data, size)));
  return 0;
}
