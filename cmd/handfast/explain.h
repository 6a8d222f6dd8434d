#pragma once
// `handfast explain HOST/PATH`: what serves a request, or why nothing does, and what to change.
//
// The manifests go through the controller's translation and the proxy's loader, and the proxy's own
// route table answers; this command tells, and decides nothing.

namespace handfast {

// argv[0] is the word `explain`. Exit status: 0 it is served; 1 it isn't; 2 wrong usage, or
// manifests that can't be read.
int explain_command(int argc, const char* const* argv);

}  // namespace handfast
