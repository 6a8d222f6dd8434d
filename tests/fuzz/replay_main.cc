// Replays a fuzz target's corpus: each file whole, and each of its prefixes up to 256 bytes.

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <vector>

#include "tests/fuzz/fuzz_one.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
    return 2;
  }
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    const auto whole = std::as_bytes(std::span(bytes));
    for (std::size_t n = 0; n < std::min<std::size_t>(whole.size(), 256); ++n) {
      handfast::fuzz_one(whole.first(n));
    }
    handfast::fuzz_one(whole);
    ++files;
  }
  std::printf("%zu corpus files replayed\n", files);
  return files > 0 ? 0 : 1;  // an empty corpus tests nothing
}
