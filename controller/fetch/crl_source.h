#pragma once
// CRLs that the controller fetches itself, as a source of objects beside others: one ConfigMap in
// no namespace (objects::kFetchedCrlsName), a key for each list.
//
// A list counts once it can be read, is signed by the certificate that the operator named for it,
// and is no older than what was there. It is kept on disk, so that a restart of the controller has
// it before the network is asked; what can't be fetched is a problem that is told, and the last
// good list stays, whatever its age: an expired list can condemn still.
//
// The next fetch is half of the list's time away, at most an hour; after a failure soon, then ever
// less often. The state is full when all lists are there, or were tried once, or after kMostWait:
// a server that is away holds up nobody.
//
// Threading: as Source's. Errors: those of a fetch are problems of a batch.

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "controller/fetch/crl_point.h"
#include "controller/fetch/getter.h"
#include "controller/publish/file_system.h"
#include "controller/source/source.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/pki/trust.h"

namespace handfast::fetch {

class CrlSource final : public source::Source {
 public:
  static constexpr std::chrono::seconds kMostWait{20};

  // Borrows the clock. `cache`: a directory of its own.
  CrlSource(std::vector<CrlPoint> points, std::unique_ptr<Getter> getter,
            std::unique_ptr<publish::FileSystem> cache, const Clock& clock);
  ~CrlSource() override;

  void run(source::Sink& sink) override;
  void stop() override;

  // What run() consists of. Tells what lies on disk.
  void begin(source::Sink& sink);
  // Fetches what is due and tells of it; answers when the next is.
  [[nodiscard]] Monotonic fetch_due(source::Sink& sink);

 private:
  struct List;

  void load(List& list);
  void fetch(List& list);
  Status accept(List& list, std::string bytes);
  void tell(source::Sink& sink);

  const std::unique_ptr<Getter> getter_;
  const std::unique_ptr<publish::FileSystem> cache_;
  const Clock& clock_;
  std::vector<List> lists_;
  Monotonic began_;
  bool is_changed_ = false;  // a list, since they were told

  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stopped_ = false;  // guarded by mutex_
};

}  // namespace handfast::fetch
