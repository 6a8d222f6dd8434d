#include "cmd/handfast/manifests.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "cmd/handfast/facts.h"
#include "controller/source/manifest_source.h"
#include "controller/translate/flags.h"
#include "proxy/base/unique_fd.h"
#include "proxy/config/control.h"
#include "proxy/server/materials.h"
#include "proxy/server/snapshot_builder.h"

namespace handfast {
namespace {

// Removed with all that it holds when this ends.
class PrivateDirectory {
 public:
  [[nodiscard]] static Result<PrivateDirectory> create() {
    std::error_code error;
    const auto elsewhere = std::filesystem::temp_directory_path(error);
    for (const std::string& parent : {std::string("/dev/shm"), elsewhere.string()}) {
      std::string path = parent + "/handfast-XXXXXX";
      if (::mkdtemp(path.data()) != nullptr) return PrivateDirectory(std::move(path));
    }
    return fail(Reason::Io,
                std::string("no place for a temporary directory: ") + ::strerror(errno));
  }
  PrivateDirectory(PrivateDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  PrivateDirectory& operator=(PrivateDirectory&&) = delete;
  ~PrivateDirectory() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }

  [[nodiscard]] const std::string& path() const { return path_; }

  Status write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path path = std::filesystem::path(path_) / name;
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    while (fd && !bytes.empty()) {
      const ssize_t wrote = ::write(fd.get(), bytes.data(), bytes.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) break;
      bytes.remove_prefix(static_cast<std::size_t>(wrote));
    }
    if (fd && bytes.empty()) return {};
    return fail(Reason::Io, path.string() + ": " + ::strerror(errno));
  }

 private:
  explicit PrivateDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace

Manifests read_manifests(const std::vector<std::string>& paths, const translate::Options& options,
                         UnixSeconds now) {
  Manifests out;
  source::Batch batch = source::read_once(paths, options.crl_directory);
  out.unreadable = batch.events.empty() && !batch.problems.empty();
  out.skipped_documents = batch.skipped_documents;
  for (const auto& problem : batch.problems) {
    out.unreadable = out.unreadable || problem.error.reason == Reason::Io;
    out.report.push_back(translate::to_finding(problem));
  }
  for (source::Event& event : batch.events) {
    if (event.object) (void)out.state.apply(std::move(*event.object));
  }
  out.output = translate::translate(out.state, {}, options, now);
  out.report.insert(out.report.end(), out.output.report.begin(), out.output.report.end());
  return out;
}

std::string finding_line(const translate::Finding& finding) {
  std::string line = finding.origin.file;
  if (finding.origin.line > 0) line += ":" + std::to_string(finding.origin.line);
  if (!line.empty()) line += ": ";
  line.append(translate::to_string(finding.severity)).append(": ");
  if (!finding.object.kind.empty()) line += objects::to_string(finding.object) + ": ";
  if (!finding.field.empty()) line += finding.field + ": ";
  line.append(finding.message).append(" (").append(translate::reason_text(finding)).append(")");
  if (!finding.remedy.empty()) line += " -> " + finding.remedy;
  return one_line(std::move(line));
}

void add_manifest_flags(OptionSet& options) {
  options.add_repeated("manifests", "PATH", "a directory or file of manifests; repeatable");
  options.add_flag("json", "the answer as JSON");
  translate::add_flags(options);
}

Result<Manifests> read_manifests(const ParsedOptions& parsed, UnixSeconds now) {
  if (parsed.list("manifests").empty()) {
    return fail(Reason::InvalidValue, "--manifests PATH is needed");
  }
  const auto flags = translate::read_flags(parsed);
  if (!flags) return fail(flags.error());
  Manifests manifests = read_manifests(parsed.list("manifests"), *flags, now);
  if (manifests.unreadable) {
    const auto unread =
        std::ranges::find(manifests.report, Reason::Io, &translate::Finding::reason);
    return fail(Reason::Io, finding_line(unread == manifests.report.end() ? manifests.report.front()
                                                                          : *unread));
  }
  return manifests;
}

Result<std::unique_ptr<Loaded>> Loaded::load(const translate::Output& output, const Clock& clock) {
  const auto directory = PrivateDirectory::create();
  if (!directory) return fail(directory.error());
  for (const auto& [name, bytes] : output.files) {
    if (const Status written = directory->write(name, bytes); !written) {
      return fail(written.error());
    }
  }
  std::unique_ptr<Loaded> loaded(new Loaded());
  server::Materials materials(directory->path(), clock);
  server::SnapshotBuilder builder(nullptr, materials, loaded->metrics_);
  for (const config::Shard& shard : output.shards) {
    config::Rejection rejection;
    if (builder.put(shard, rejection)) continue;
    if (!rejection.field.empty()) rejection.detail = rejection.field + ": " + rejection.detail;
    config::Rejection again;
    if (const Status put = builder.put(server::refuse(shard, rejection), again); !put) {
      return fail(put.error());
    }
  }
  loaded->snapshot_ = builder.finish(1).snapshot;
  return loaded;
}

}  // namespace handfast
