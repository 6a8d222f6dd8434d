#pragma once
// Which seeds a simulation runs: 1 to a default; HANDFAST_SEED=n that one alone, HANDFAST_SEEDS=n
// as many.

#include <cstdlib>

namespace handfast::session {

struct Seeds {
  unsigned first = 1;
  unsigned last = 1;
  [[nodiscard]] bool many() const { return first != last; }
};

inline Seeds seeds_from_environment(unsigned otherwise) {
  const auto number = [](const char* text) {
    return static_cast<unsigned>(std::strtoul(text, nullptr, 10));
  };
  Seeds seeds{1, otherwise};
  if (const char* replay = std::getenv("HANDFAST_SEED"); replay != nullptr) {
    seeds.first = seeds.last = number(replay);
  }
  if (const char* many = std::getenv("HANDFAST_SEEDS"); many != nullptr) seeds.last = number(many);
  return seeds;
}

}  // namespace handfast::session
