#include "cmd/handfast/lint.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <tuple>
#include <utility>

#include "cmd/handfast/manifests.h"
#include "cmd/handfast/version.h"
#include "controller/translate/flags.h"
#include "controller/translate/report.h"
#include "proxy/base/clock.h"
#include "proxy/base/options.h"

namespace handfast {
namespace {

constexpr int kClean = 0;
constexpr int kFindings = 1;
constexpr int kUnusable = 2;

int print(translate::Report report) {
  std::stable_sort(
      report.begin(), report.end(), [](const translate::Finding& a, const translate::Finding& b) {
        return std::tie(a.origin.file, a.origin.line) < std::tie(b.origin.file, b.origin.line);
      });
  int status = kClean;
  for (const translate::Finding& finding : report) {
    std::puts(finding_line(finding).c_str());
    if (finding.severity != translate::Severity::Info) status = kFindings;
  }
  return status;
}

}  // namespace

int lint_command(int argc, const char* const* argv) {
  OptionSet options{"handfast lint", "tells what the controller would say about manifests"};
  translate::add_flags(options);
  options.set_positionals("PATH...", 1, 100'000);
  const auto parsed = options.parse(argc, argv, environ);
  if (!parsed) {
    std::fprintf(stderr, "handfast lint: %s\n", parsed.error().detail.c_str());
    return kUnusable;
  }
  if (parsed->help()) {
    std::fputs(options.usage().c_str(), stdout);
    return kClean;
  }
  if (parsed->version()) {
    print_version();
    return kClean;
  }
  const auto flags = translate::read_flags(*parsed);
  if (!flags) {
    std::fprintf(stderr, "handfast lint: %s\n", flags.error().detail.c_str());
    return kUnusable;
  }

  Manifests manifests = read_manifests(parsed->positionals(), *flags, SystemClock{}.unix_now());
  const int status = print(std::move(manifests.report));
  if (manifests.skipped_documents > 0) {
    std::fprintf(stderr, "skipped: %zu documents of kinds that Handfast does not read\n",
                 manifests.skipped_documents);
  }
  return manifests.unreadable ? kUnusable : status;
}

}  // namespace handfast
