#pragma once
// check(): our own bug or no memory. Ends the process; Kubernetes starts it again. Input of a peer
// or an operator never reaches it.

#include <cstdio>
#include <cstdlib>
#include <source_location>

namespace handfast {

inline void check(bool holds, const char* what = "invariant broken",
                  std::source_location where = std::source_location::current()) {
  if (holds) [[likely]] {
    return;
  }
  std::fprintf(stderr, "handfast: %s:%u: %s\n", where.file_name(),
               static_cast<unsigned>(where.line()), what);
  std::abort();
}

}  // namespace handfast
