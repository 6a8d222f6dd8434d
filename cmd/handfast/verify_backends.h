#pragma once
// `handfast verify SERVICE|HOST:PORT` and `handfast verify --all`: does the handshake that the
// proxy would do with each endpoint, under each policy that applies to it, and explains it.

namespace handfast {

// argv[0] is the word `verify`. Exit status: 0 every backend passed (or is plain HTTP, which is
// told); 1 one failed, is refused, or none was found; 2 wrong usage, or input that can't be read.
int verify_backends_command(int argc, const char* const* argv);

}  // namespace handfast
