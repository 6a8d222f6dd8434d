#pragma once
// Which replica writes status: whoever holds one Lease (coordination.k8s.io/v1), by the rules of
// client-go's leaderelection.
//
//   following --the lease is free, or ran out: update--> leading --renewed each ttl/4--> leading
//       ^                                                   |
//       +---------- not renewed for ttl/2, or lost ---------+
//
// Clocks of replicas needn't agree: a lease runs out by our own clock, its duration after we saw
// its last change. A leader may write until ttl/2 after it *sent* its last renewal that arrived;
// nobody takes over before a whole ttl after that. So two never write at once, if a write is given
// up within ttl/4.
//
// No I/O and no waiting: the caller sends what next() says and hands in the answer.
//
// Threading: one thread's.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "controller/objects/value.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast::status {

// What we read of a Lease; texts as they stand there.
struct Lease {
  std::string holder;  // empty: given up
  std::chrono::seconds duration{};
  std::string acquired, renewed;  // RFC 3339
  std::int64_t transitions = 0;
  std::string resource_version;
};

// BadResponse if it is none.
[[nodiscard]] Result<Lease> parse_lease(const objects::Value& object);

class LeaderElection {
 public:
  struct Settings {
    std::string ns, name;      // --election-id
    std::string identity;      // ours, and nobody else's
    std::chrono::seconds ttl;  // --election-ttl, at least 4 s
  };

  struct Request {
    enum class Verb : std::uint8_t { Get, Create, Patch };
    Verb verb = Verb::Get;
    std::string body;  // JSON: of Create the object, of Patch a merge patch
  };
  struct Answer {
    enum class Kind : std::uint8_t { Ok, NotFound, Conflict, Failed };
    Kind kind = Kind::Failed;
    std::optional<Lease> lease{};  // of Ok
  };

  explicit LeaderElection(Settings settings);

  // What to send now; none while an answer is due, or before due().
  [[nodiscard]] std::optional<Request> next(Monotonic now, UnixSeconds wall);
  void on_answer(const Answer& answer, Monotonic now);
  // When to ask next() again; while an answer is due, not before that.
  [[nodiscard]] Monotonic due() const { return waiting_ ? Monotonic::max() : due_; }

  [[nodiscard]] bool leads(Monotonic now) const { return now < leads_until_; }
  // Until when what we send may still be under way as a leader's.
  [[nodiscard]] Monotonic leads_until() const { return leads_until_; }

  // Gives the lease up, if it is ours: the others needn't wait. The answer doesn't matter, and
  // nothing comes after it.
  [[nodiscard]] std::optional<Request> release(UnixSeconds wall);

 private:
  void observe(const Lease& lease, Monotonic now);
  [[nodiscard]] bool is_free(Monotonic now) const;
  [[nodiscard]] Request make_update(UnixSeconds wall) const;
  void ask_next(Request::Verb verb, Monotonic at);

  const Settings settings_;
  std::optional<Lease> seen_;
  Monotonic seen_at_{};  // when its spec last changed
  Monotonic leads_until_{};

  Request::Verb next_ = Request::Verb::Get;
  Monotonic due_{};
  bool waiting_ = false;  // for an answer
  Monotonic sent_at_{};
};

}  // namespace handfast::status
