#pragma once
// A directory of manifests as a source: the YAML that `kubectl apply -f` takes, watched.
//
// After a burst of changes the tree is listed anew, and only files that changed are read: that gets
// kubelet's swapped links and directories that come and go right, where following single notices
// would not. Where all notices are of plain files in directories that no link leads through, these
// files alone are looked at: a change costs no listing of ten thousand others. A burst ends when
// nothing happened for `quiet`, or `at_most` after it began. A rescan every so often covers lost
// notices and file systems that give none.
//
// A directory that isn't there is waited for: batches with synced = false until it comes. One that
// goes away later takes its objects with it; one that can't be read keeps them.
//
// Threading: run() on one thread; stop() from any, also before run(), for good.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "controller/source/source.h"

namespace handfast::source {

class ManifestSource final : public Source {
 public:
  struct Timing {
    std::chrono::milliseconds quiet{50};
    std::chrono::milliseconds at_most{500};
    std::chrono::milliseconds rescan{30'000};
    // Instead, while something is missing, unreadable or can't be watched.
    std::chrono::milliseconds retry{1'000};
  };

  // `directory`: empty for none. `crl_directory`: of --crl-dir, watched in the same way; empty:
  // none. Nothing is synced before it is there.
  ManifestSource(std::string directory, std::string crl_directory)
      : ManifestSource(std::move(directory), std::move(crl_directory), Timing{}) {}
  ManifestSource(std::string directory, std::string crl_directory, Timing timing);
  ~ManifestSource() override;
  ManifestSource(const ManifestSource&) = delete;
  ManifestSource& operator=(const ManifestSource&) = delete;

  void run(Sink& sink) override;
  void stop() override;

 private:
  class Watch;
  class Loop;

  std::string directory_;
  std::string crl_directory_;
  Timing timing_;
  std::unique_ptr<Watch> watch_;
};

// Reads files and directories once, for tools. Files are named as given, those below a directory
// with its path before theirs. What can't be read is in the problems (Reason::Io).
[[nodiscard]] Batch read_once(const std::vector<std::string>& paths,
                              const std::string& crl_directory = {});

}  // namespace handfast::source
