#include "cmd/handfast/lint.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <tuple>

#include "cmd/handfast/version.h"
#include "controller/source/manifest_source.h"
#include "controller/translate/flags.h"
#include "controller/translate/translate.h"
#include "proxy/base/clock.h"
#include "proxy/base/options.h"

namespace handfast {
namespace {

constexpr int kClean = 0;
constexpr int kFindings = 1;
constexpr int kUnusable = 2;

// "shop.yaml:12: error: Ingress shop/orders: <field>: <message> (<reason>) -> <remedy>".
std::string line_of(const translate::Finding& finding) {
  std::string line = finding.origin.file;
  if (finding.origin.line > 0) line += ":" + std::to_string(finding.origin.line);
  if (!line.empty()) line += ": ";
  line.append(translate::to_string(finding.severity)).append(": ");
  if (!finding.object.kind.empty()) line += objects::to_string(finding.object) + ": ";
  if (!finding.field.empty()) line += finding.field + ": ";
  line.append(finding.message).append(" (").append(to_string(finding.reason)).append(")");
  if (!finding.remedy.empty()) line += " -> " + finding.remedy;
  // A line is a line, whatever an annotation held.
  std::replace_if(
      line.begin(), line.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return line;
}

int print(translate::Report report) {
  std::stable_sort(
      report.begin(), report.end(), [](const translate::Finding& a, const translate::Finding& b) {
        return std::tie(a.origin.file, a.origin.line) < std::tie(b.origin.file, b.origin.line);
      });
  int status = kClean;
  for (const translate::Finding& finding : report) {
    std::puts(line_of(finding).c_str());
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

  source::Batch batch = source::read_once(parsed->positionals());
  translate::Report report;
  bool unreadable = batch.events.empty() && !batch.problems.empty();
  for (const auto& problem : batch.problems) {
    unreadable = unreadable || problem.error.reason == Reason::Io;
    report.push_back(translate::to_finding(problem));
  }
  state::ClusterState state;
  for (source::Event& event : batch.events) {
    if (event.object) (void)state.apply(std::move(*event.object));
  }
  const auto output = translate::translate(state, {}, *flags, SystemClock{}.unix_now());
  report.insert(report.end(), output.report.begin(), output.report.end());
  const int status = print(std::move(report));
  if (batch.skipped_documents > 0) {
    std::fprintf(stderr, "skipped: %zu documents of kinds that Handfast does not read\n",
                 batch.skipped_documents);
  }
  return unreadable ? kUnusable : status;
}

}  // namespace handfast
