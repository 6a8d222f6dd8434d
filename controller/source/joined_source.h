#pragma once
// Several sources as one: a cluster, and a directory of CRLs beside it.
//
// They must not tell of the same objects. The state is full when each has told its own; of
// problems, the newest list of each counts.
//
// Threading: run() makes a thread for each source but the first, and calls the sink from any of
// them, one at a time; stop() and want() from any thread.

#include <memory>
#include <set>
#include <vector>

#include "controller/source/source.h"

namespace handfast::source {

class JoinedSource final : public Source {
 public:
  // Precondition: one at least.
  explicit JoinedSource(std::vector<std::unique_ptr<Source>> sources);

  void run(Sink& sink) override;
  void stop() override;
  [[nodiscard]] bool want(std::set<objects::ObjectKey> references) override;

 private:
  class Junction;

  std::vector<std::unique_ptr<Source>> sources_;
};

}  // namespace handfast::source
