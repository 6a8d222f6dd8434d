// handfast: the person's tool. Picks the command.

#include <algorithm>
#include <cstdio>
#include <span>
#include <string_view>
#include <vector>

#include "cmd/handfast/explain.h"
#include "cmd/handfast/lint.h"
#include "cmd/handfast/run.h"
#include "cmd/handfast/verify.h"
#include "cmd/handfast/verify_backends.h"
#include "cmd/handfast/version.h"
#include "proxy/pki/library.h"

namespace {

constexpr std::string_view kUsage =
    "Usage: handfast COMMAND [options]\n"
    "an ingress controller whose every hop to a backend is verified mutual TLS\n"
    "\n"
    "  run DIR             serve the manifests in DIR: controller and proxy, no cluster needed\n"
    "  lint PATH...        tell what is wrong with manifests, and what to do\n"
    "  explain HOST/PATH   tell what serves a request, or why nothing does\n"
    "  verify SERVICE      do the proxy's handshake with backends, and explain it\n"
    "  verify --chain FILE judge a certificate chain on files as the proxy would\n"
    "\n"
    "  COMMAND --help      the options of a command\n"
    "  --help              this\n"
    "  --version           the version, and the libraries it runs on\n";

}  // namespace

int main(int argc, char** argv) {
  handfast::pki::start_openssl();
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "run") return handfast::run_command(argc - 1, argv + 1);
  if (command == "lint") return handfast::lint_command(argc - 1, argv + 1);
  if (command == "explain") return handfast::explain_command(argc - 1, argv + 1);
  if (command == "verify") {
    const std::vector<std::string_view> arguments(argv + 2, argv + argc);
    const bool on_files = std::ranges::any_of(arguments, [](std::string_view argument) {
      return argument == "--chain" || argument.starts_with("--chain=");
    });
    return on_files ? handfast::verify_command(arguments)
                    : handfast::verify_backends_command(argc - 1, argv + 1);
  }
  if (command == "--help" || command == "-h" || command == "help") {
    std::fputs(kUsage.data(), stdout);
    return 0;
  }
  if (command == "--version" || command == "version") {
    handfast::print_version();
    return 0;
  }
  if (command.empty()) {
    std::fputs(kUsage.data(), stderr);
  } else {
    std::fprintf(stderr, "handfast: %.*s: is not a command; see handfast --help\n",
                 static_cast<int>(command.size()), command.data());
  }
  return 2;
}
