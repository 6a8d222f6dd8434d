#pragma once
// What a cluster source has seen and not told yet; internal to controller/source.
//
// Reflectors tell it of objects; it decides which of them count (namespaces that a selector picks,
// Secrets and ConfigMaps that somebody refers to) and makes batches of what is left. A burst
// becomes one batch: it ends when nothing came for `quiet`, or `at_most` after it began.
//
// With a selector of namespaces every object is kept here too, so that a namespace that begins to
// match brings its objects with it. Without one, only what waits to be told is.
//
// Threading: one thread's.

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/kube/reflector.h"
#include "controller/objects/decode.h"
#include "controller/objects/objects.h"
#include "controller/source/source.h"
#include "proxy/base/clock.h"

namespace handfast::source {

class ClusterView final : public kube::Listener {
 public:
  struct Timing {
    std::chrono::milliseconds quiet{10};
    std::chrono::milliseconds at_most{100};
  };
  struct Scope {
    // --watch-namespace: those alone; empty: all.
    std::set<std::string, std::less<>> namespaces;
    // --watch-namespace-selector is given: of all, those that on_name() told of.
    bool has_selector = false;
    // What the operator's flags name is read wherever it is.
    std::set<objects::ObjectKey> named;
  };

  // Borrows the clock.
  ClusterView(Scope scope, Timing timing, const Clock& clock);

  bool wants(const objects::ObjectKey& key) override;
  void on_object(const objects::ObjectKey& key, objects::Object object) override;
  void on_bad(const objects::ObjectKey& key,
              std::vector<objects::Decoded::Problem> problems) override;
  void on_gone(const objects::ObjectKey& key) override;
  void on_name(const objects::ObjectKey& key) override;

  // Of Secrets and ConfigMaps, those that were named by enter() and not by leave() since are
  // wanted.
  void enter(const objects::ObjectKey& key);
  void leave(const objects::ObjectKey& key);
  [[nodiscard]] const std::set<objects::ObjectKey>& wanted() const { return wanted_; }
  // They have been looked for; what was found was told by on_object() before.
  void answer(const objects::ObjectKey& key);
  // What on_bad() told of it is over.
  void on_good(const objects::ObjectKey& key);
  // Whether its namespace counts: one that doesn't is never asked for.
  [[nodiscard]] bool covers(const objects::ObjectKey& key) const;

  // What stands in the way as a whole, beside objects that can't be read.
  void set_troubles(std::vector<objects::Decoded::Problem> troubles);

  // When the next batch should go out; nothing: there is nothing to tell.
  [[nodiscard]] std::optional<Monotonic> due() const;
  [[nodiscard]] Batch take_batch(bool synced);

  // Wanted ones that were told to be gone: what is fetched of them now may be older.
  [[nodiscard]] std::vector<objects::ObjectKey> take_gone();

  // Wanted ones in namespaces that have begun to match: they must be fetched.
  [[nodiscard]] std::vector<objects::ObjectKey> take_uncovered();

 private:
  void tell(const objects::ObjectKey& key, std::optional<objects::Object> object);
  void touch();
  void match(const std::string& ns);
  void unmatch(const std::string& ns);
  [[nodiscard]] std::vector<objects::Decoded::Problem> problems() const;

  const Scope scope_;
  const Timing timing_;
  const Clock& clock_;

  std::map<objects::ObjectKey, Event> pending_;
  std::vector<objects::ObjectKey> answered_;
  std::map<objects::ObjectKey, std::vector<objects::Decoded::Problem>> bad_;
  std::vector<objects::Decoded::Problem> troubles_;
  std::optional<Monotonic> first_;  // of the burst
  Monotonic last_{};

  std::set<std::string, std::less<>> service_namespaces_;  // of named Services
  std::set<objects::ObjectKey> wanted_;
  std::set<std::string, std::less<>> matching_;        // namespaces
  std::map<objects::ObjectKey, objects::Object> all_;  // with a selector
  std::vector<objects::ObjectKey> uncovered_;
  std::vector<objects::ObjectKey> gone_;
};

}  // namespace handfast::source
