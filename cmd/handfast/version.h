#pragma once
// What `--version` says, behind the word of a command too.

namespace handfast {

// The version and the libraries that this program runs on, as one line on stdout.
void print_version();

}  // namespace handfast
