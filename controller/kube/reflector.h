#pragma once
// Keeps up with one collection of objects: lists it, watches it, and gets over whatever happens to
// a watch. A machine without I/O: it says what to request, and is told what came.
//
//   Waiting --due--> Listing (page after page) -----------------> Waiting (to watch)
//   Waiting --due--> Opening --200--> Watching --ended, cut, silent--> Waiting
//                    (a watch that begins with the objects that are there, where the server has
//                    WatchList; else a list comes first)
//
// A list asks for the newest state, so it never goes back in time; what is gone is found by
// comparing with what was known. A watch resumes at the last version seen, bookmarks included, so a
// cut loses and repeats nothing. 410, as a status or as an event, means that the version is too
// old: the collection is listed anew. Versions that go backwards mean that the server was restored
// from a backup: likewise. Half an object, before a cut, is no line and is never seen here.
//
// After a failure it waits: 0.8 s doubling to 30 s, any time below that, or as long as Retry-After
// says. While no connection can be made it waits for on_reachable(): whoever runs many of these
// lets one of them try (is_waiting_for_server()). A 403 is told and tried again.
//
// A 404 tries the next version of the kind. Without any, discovery decides (Discovering): a kind
// that isn't there is empty, and looked for again twice a minute; one that is there in other
// versions only is told, and what was known of it stays: a policy that can't be read must not pass
// for none.
//
// Threading: one thread's. Ownership: borrows the listener.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "controller/kube/api.h"
#include "controller/kube/resource.h"
#include "controller/kube/watch_event.h"
#include "controller/objects/decode.h"
#include "controller/objects/objects.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast::kube {

// What of a collection. Selectors as the API takes them: "type!=helm.sh/release.v1".
struct Scope {
  std::string ns;  // empty: all
  std::string field_selector;
  std::string label_selector;
};

class Listener {
 public:
  virtual ~Listener() = default;
  // Asked for each object before anything else; one that isn't wanted is as if it weren't there.
  [[nodiscard]] virtual bool wants(const objects::ObjectKey& key) = 0;
  virtual void on_object(const objects::ObjectKey& key, objects::Object object) = 0;
  // It is there and can't be read; its last good version counts. Over with any other call for it.
  virtual void on_bad(const objects::ObjectKey& key,
                      std::vector<objects::Decoded::Problem> problems) = 0;
  // Also of one that is wanted and was never told of: somebody may be fetching it.
  virtual void on_gone(const objects::ObjectKey& key) = 0;
  // An object of a kind that isn't read, only counted: a Namespace.
  virtual void on_name(const objects::ObjectKey& key) = 0;
};

class Reflector final {
 public:
  enum class State : std::uint8_t { Waiting, Discovering, Listing, Opening, Watching };

  // `random`: from 0 to 1, without 1.
  Reflector(const Resource& resource, Scope scope, Listener& listener,
            std::function<double()> random);

  // --- what to do --------------------------------------------------------------------------------

  // The request to make now, if one is due; its end must be told by on_end().
  [[nodiscard]] std::optional<Request> take_request(Monotonic now);
  // Whether the one under way has been silent for too long: it should be cancelled.
  [[nodiscard]] bool is_silent(Monotonic now) const;
  // When to ask the two again.
  [[nodiscard]] Monotonic due() const;
  // No connection could be made: it does nothing until on_reachable() or try_server().
  [[nodiscard]] bool is_waiting_for_server() const { return is_waiting_for_server_; }
  void try_server(Monotonic now);

  // --- what came ---------------------------------------------------------------------------------

  void on_open(Monotonic now);
  // False: there is no going on with this watch; it should be cancelled.
  [[nodiscard]] bool on_line(std::string_view line, Monotonic now);
  void on_end(const Answer& answer, Monotonic now);
  // The server answered somebody.
  void on_reachable(Monotonic now);

  // An object that was fetched by itself: what the watch has to say of an older version is no news.
  // False: the watch has told of it, or of a newer one, already. What was asked for before an
  // on_gone() or the end of a list must not be adopted: perhaps it is gone since.
  [[nodiscard]] bool adopt(const objects::ObjectKey& key, std::string_view resource_version);
  // It isn't wanted anymore.
  void forget(const objects::ObjectKey& key);

  // --- how it stands -----------------------------------------------------------------------------

  [[nodiscard]] State state() const { return state_; }
  // Whether the whole collection has been seen once; an absent kind counts as empty.
  [[nodiscard]] bool is_synced() const { return is_synced_; }
  [[nodiscard]] bool is_absent() const { return is_absent_; }
  // How often it has.
  [[nodiscard]] std::uint64_t lists() const { return lists_; }
  // Whether the request under way asks for the whole collection.
  [[nodiscard]] bool is_listing() const { return state_ != State::Waiting && is_initial(); }
  // Whether the next one will.
  [[nodiscard]] bool will_list() const { return is_initial() && continue_.empty(); }
  // What stands in its way now.
  struct Trouble {
    int status = 0;  // the server's; 0: it is none of its answers
    std::string detail;
    Monotonic since{};
  };
  [[nodiscard]] const std::optional<Trouble>& trouble() const { return trouble_; }
  // The last word of the server that all is well: an event, a bookmark, a list.
  [[nodiscard]] std::optional<Monotonic> last_heard_well() const { return last_well_; }
  [[nodiscard]] const Resource& resource() const { return resource_; }
  [[nodiscard]] const Scope& scope() const { return scope_; }
  [[nodiscard]] std::size_t version() const { return version_; }

 private:
  struct Known {
    std::uint64_t version = 0;
    std::uint64_t round = 0;
  };
  enum class Wait : std::uint8_t { Soon, Backoff };

  [[nodiscard]] Request discovery_request() const;
  [[nodiscard]] Request list_request() const;
  [[nodiscard]] Request watch_request();
  [[nodiscard]] std::string selectors() const;

  void on_list_end(const Answer& answer, Monotonic now);
  void on_watch_end(const Answer& answer, Monotonic now);
  void on_refusal(const Answer& answer, Monotonic now);
  void on_not_found(const Answer& answer, Monotonic now);
  void on_discovery_end(const Answer& answer, Monotonic now);
  void look_at_version(const Answer& answer, Monotonic now);
  void conclude_discovery(Monotonic now);
  [[nodiscard]] bool on_event(WatchEvent event, Monotonic now);

  void see(Item item);
  void remove(const Item& item);
  // False: the versions are older than what was seen.
  [[nodiscard]] bool finish_round(std::string resource_version, Monotonic now);
  void start_over();
  [[nodiscard]] bool went_back(std::uint64_t version) const;
  [[nodiscard]] bool is_initial() const { return resource_version_.empty(); }

  void wait(Wait how, Monotonic now);
  void be_well(Monotonic now);
  void be_steady(Monotonic now);
  void be_in_trouble(int status, std::string detail, Monotonic now);

  const Resource resource_;
  const Scope scope_;
  Listener& listener_;
  const std::function<double()> random_;

  State state_ = State::Waiting;
  Monotonic at_{};     // Waiting: when to go on
  Monotonic heard_{};  // else: when something came last
  Monotonic opened_{};
  std::chrono::milliseconds delay_;
  bool is_waiting_for_server_ = false;

  std::size_t version_ = 0;       // of the resource's
  std::string resource_version_;  // where to resume; empty: the collection must be listed
  std::string continue_;          // the next page
  std::size_t page_limit_;
  bool has_watch_list_ = true;
  int watch_error_ = 0;  // the code of an error event
  bool has_event_ = false;
  std::string watch_message_;

  // By "namespace/name". `round_` counts the lists: what wasn't seen in the last is gone.
  std::unordered_map<std::string, Known> known_;
  std::uint64_t round_ = 1;
  std::uint64_t lists_ = 0;   // that came to their end
  std::uint64_t newest_ = 0;  // version of anything seen

  bool is_synced_ = false;
  bool is_absent_ = false;
  int not_found_ = 0;  // in a row
  bool is_discovering_ = false;
  std::vector<std::string> to_look_at_;      // versions of the group
  std::vector<std::string> other_versions_;  // that have the kind, and that we can't read
  std::optional<Trouble> trouble_;
  std::optional<Monotonic> last_well_;
};

}  // namespace handfast::kube
