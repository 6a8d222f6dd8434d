#pragma once
// What a translation that goes on from change to change remembers of each unit of its work: what
// the answer rests on, what it uses, what there is to tell.
//
// A unit (an Ingress, an item of material, a Service port, a host, …) is worked on in a
// Tracer::Scope: look-ups, questions about the time and uses of shared units are noted by
// themselves. A unit that needs another's answer rests on what that rests on: topics lead to all
// who must look again, in one step.
//
// Shared units are counted by how they are used; one that nobody uses is dropped.
//
// Threading: one thread's. Ownership: units belong to who made them, and stay where they are while
// they are traced.

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/material_cache.h"
#include "controller/translate/report.h"
#include "proxy/base/rare.h"

namespace handfast::translate {

struct Unit;

using Topic = std::uint32_t;

// One way in which a unit uses a shared one.
struct Use {
  Unit* unit = nullptr;
  std::uint8_t how = 0;
  friend auto operator<=>(const Use&, const Use&) = default;
};

struct Trace {
  static constexpr std::int64_t kAlways = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();

  std::vector<Topic> topics;  // sorted, each once
  // The answer holds while the time is within these.
  std::int64_t from = kAlways;
  std::int64_t until = kForever;
  std::vector<Use> uses;  // sorted, each once
  Rare<Report> findings;  // none: there are none
  // Facts that were needed only on the way: known as long as this is.
  Rare<std::vector<std::shared_ptr<const MaterialCache::Facts>>> facts;
};

enum class UnitKind : std::uint8_t {
  Item,
  Policy,
  PolicyPort,
  Cluster,
  Target,
  Ingress,
  Rest,
  Host,
  Single
};

// Base of what is traced; the kind says of what.
struct Unit {
  explicit Unit(UnitKind of) : kind(of) {}
  Unit(const Unit&) = delete;
  Unit& operator=(const Unit&) = delete;

  UnitKind kind;
  bool is_dirty = false;    // to be worked on again
  bool is_touched = false;  // to be looked at when the change is collected
  std::array<std::uint32_t, 4> used{};
  Trace trace;
  // The findings that are out are those of the trace, or if they aren't (yet), these.
  bool is_out = false;
  Rare<Report> told;
};

class Tracer final : public state::Book {
 public:
  // For as long as a unit is worked on. What was noted becomes its trace at the end.
  class Scope {
   public:
    Scope(Tracer& tracer, Unit& unit);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    // Where the unit's findings go.
    [[nodiscard]] Report& findings() { return findings_; }
    // Uses that others shall note.
    [[nodiscard]] std::vector<Use> take_uses_but(std::uint8_t how);

   private:
    friend class Tracer;
    Tracer& tracer_;
    Unit& unit_;
    Scope* const outer_;
    Trace fresh_;
    Report findings_;
  };

  explicit Tracer(std::int64_t now) : now_(now) {}

  void on_asked(objects::ObjectKey topic) override;
  // The answer rests on what this one's rests on.
  void on_relied(const Trace& trace);
  void on_held(std::int64_t from, std::int64_t until);
  void on_used(Unit& unit, std::uint8_t how);
  void keep(std::shared_ptr<const MaterialCache::Facts> facts);

  // The time, and whether it is so late: noted.
  [[nodiscard]] bool has_come(std::int64_t time);
  [[nodiscard]] std::int64_t now_exactly();
  // Not noted: for what is bounded by on_held().
  [[nodiscard]] std::int64_t now() const { return now_; }
  // Marks what no longer holds.
  void set_now(std::int64_t now);

  // Marks all units that asked for the topic.
  void touch(const objects::ObjectKey& topic);
  void mark(Unit& unit);
  // Takes those marked of one kind; each was marked once.
  [[nodiscard]] std::vector<Unit*> take_dirty(UnitKind kind);
  void look_at(Unit& unit);
  [[nodiscard]] std::vector<Unit*> take_touched();

  // Drops what the unit notes and uses: before it goes.
  void forget(Unit& unit);

  // Secrets and ConfigMaps that units ask for, and those that are since or no longer.
  struct References {
    std::vector<objects::ObjectKey> gone, added;
  };
  [[nodiscard]] References take_references();
  [[nodiscard]] std::set<objects::ObjectKey> references() const;

 private:
  // Where names stand, by kind and namespace: few, of many names.
  using Realms = std::map<std::pair<std::string, std::string>, std::size_t>;  // how many are there
  using Ids = std::map<std::pair<const Realms::value_type*, std::string>, Topic>;
  struct Entry {
    Ids::iterator id{};  // the name stands there alone: there are many
    std::vector<Unit*> units;
    bool is_told = false;     // as a reference
    bool is_changed = false;  // listed
  };

  void settle(Unit& unit, Trace fresh);
  void listen(Unit& unit, const std::vector<Topic>& now);
  void bound(Unit& unit, std::int64_t from, std::int64_t until);
  void note_change(Topic topic);
  [[nodiscard]] Topic id(objects::ObjectKey key);
  void forget(Entry& entry);
  [[nodiscard]] static objects::ObjectKey key_of(const Entry& entry);

  std::int64_t now_;
  Scope* innermost_ = nullptr;
  Realms realms_;
  Ids ids_;
  std::vector<Entry> entries_;
  std::vector<Topic> free_;
  std::vector<Topic> changed_;  // who gained or lost a unit, or were asked for the first time
  std::array<std::vector<Unit*>, 9> dirty_;
  std::vector<Unit*> touched_;
  // Of those whose answer doesn't hold for good.
  std::set<std::pair<std::int64_t, Unit*>> by_from_;
  std::set<std::pair<std::int64_t, Unit*>> by_until_;
};

}  // namespace handfast::translate
