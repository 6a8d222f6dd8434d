#pragma once
// `handfast lint PATH…`: what the controller would say about manifests, without serving them.

namespace handfast {

// argv[0] is the word `lint`. Exit status: 0 nothing but information; 1 findings; 2 wrong usage, a
// path that can't be read, or nothing in it that can be.
int lint_command(int argc, const char* const* argv);

}  // namespace handfast
