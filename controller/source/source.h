#pragma once
// Where objects come from. A source delivers whole states of single objects, in batches.
//
// Threading: run() blocks on the caller's thread and calls the sink from it. stop() from any
// thread.

#include <cstddef>
#include <optional>
#include <set>
#include <vector>

#include "controller/objects/decode.h"
#include "controller/objects/objects.h"

namespace handfast::source {

// One object's new state, or its end.
struct Event {
  objects::ObjectKey key;
  std::optional<objects::Object> object;  // none: gone
};

// A batch is everything that changed together (in a directory: one debounced scan). `problems` is
// the whole list of what can't be read now, each time: a problem that is no longer in it is over.
struct Batch {
  std::vector<Event> events;
  std::vector<objects::Decoded::Problem> problems;
  // Documents of kinds that Handfast doesn't read, now.
  std::size_t skipped_documents = 0;
  // False: the source has not seen its full state yet (a directory that isn't there), and has only
  // problems to tell. Nothing may be concluded from what is absent.
  bool synced = true;
  // Of what Source::want() asked for: these have been looked for, and are among the events, in this
  // batch or before, if they are there.
  std::vector<objects::ObjectKey> answered;
};

class Sink {
 public:
  virtual ~Sink() = default;
  // The first call with `synced` is the full initial state, even if empty.
  virtual void on_batch(Batch batch) = 0;
};

class Source {
 public:
  virtual ~Source() = default;
  virtual void run(Sink& sink) = 0;
  virtual void stop() = 0;

  // Which Secrets and ConfigMaps are referred to, found or not: the whole set, each time. True:
  // they have been delivered as all others. False: this source delivers no others, and those that
  // were not in the last set are answered by Batch::answered; until then nothing may be concluded
  // from their absence. From any thread; comes back at once.
  [[nodiscard]] virtual bool want(std::set<objects::ObjectKey> references) {
    (void)references;
    return true;
  }
};

}  // namespace handfast::source
