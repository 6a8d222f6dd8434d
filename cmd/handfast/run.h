#pragma once
// `handfast run DIR`: handfast-controller and handfast-proxy as children over one state directory,
// so that a laptop or a VM needs no cluster.

namespace handfast {

// argv[0] is the word `run`. Exit status: 0 when a signal ended it; 2 wrong usage, of a child too;
// 1 anything else.
int run_command(int argc, const char* const* argv);

}  // namespace handfast
