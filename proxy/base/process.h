#pragma once
// What each of our programs does with its own process at start.

#include <string>

namespace handfast {

// No core dump and no ptrace by others of the same user: the memory holds private keys. Call it
// before the first key is read.
void forbid_core_dumps();

// What the environment says; empty: nothing.
[[nodiscard]] std::string environment(const char* name);

}  // namespace handfast
