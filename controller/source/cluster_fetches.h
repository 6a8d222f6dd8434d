#pragma once
// Secrets and ConfigMaps that are fetched by themselves, because somebody refers to them now;
// internal to controller/source. Which requests to make, and what came of them: no I/O.
//
// A fetch ends with an object, or with none; anything else is tried again, from 0.2 to 10 s later.
// A refusal that lasts for longer than `patience` is told, and asked about again within half a
// minute: what is permitted then must not stay missing.
//
// Threading: one thread's.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "controller/kube/api.h"
#include "controller/kube/watch_event.h"
#include "controller/objects/decode.h"
#include "controller/objects/objects.h"
#include "proxy/base/clock.h"

namespace handfast::source {

class ClusterFetches final {
 public:
  ClusterFetches(const Clock& clock, std::chrono::milliseconds patience)
      : clock_(clock), patience_(patience) {}

  void add(const objects::ObjectKey& key);
  // What comes of it is nobody's.
  void remove(const objects::ObjectKey& key);
  // If it is under way: what comes of it may be older than what is known, so it is asked for again.
  void renew(const objects::ObjectKey& key);
  void renew_all(std::string_view kind);
  [[nodiscard]] bool contains(const objects::ObjectKey& key) const {
    return fetches_.contains(key);
  }

  struct Request {
    std::uint64_t number = 0;
    kube::Request request;
  };
  [[nodiscard]] std::optional<Request> take_request(Monotonic now);
  void on_sent(std::uint64_t number, kube::Api::Id id);
  // Requests that have taken too long, each once.
  [[nodiscard]] std::vector<kube::Api::Id> take_silent(Monotonic now);
  [[nodiscard]] Monotonic due() const;

  struct Fetched {
    objects::ObjectKey key;
    std::optional<kube::Item> item;  // none: it isn't there, or there is a problem
    std::optional<objects::Decoded::Problem> problem;
    bool was_refused = false;  // a problem was told before
  };
  // Nothing: there is no news, or nobody wants it anymore. `random`: from 0 to 1.
  [[nodiscard]] std::optional<Fetched> on_end(std::uint64_t number, const kube::Answer& answer,
                                              Monotonic now, double random);

 private:
  struct Fetch {
    std::uint64_t number = 0;  // of the request under way; 0: none
    Monotonic at{};            // to make one
    std::chrono::milliseconds delay{};
    std::optional<Monotonic> refused_since{};
    bool is_told = false;  // that it is refused
  };
  struct UnderWay {
    objects::ObjectKey key;
    std::optional<kube::Api::Id> id;  // none: not told, or cancelled
    Monotonic since{};
  };

  // The problem to tell, once it has lasted.
  [[nodiscard]] std::optional<objects::Decoded::Problem> on_refused(const objects::ObjectKey& key,
                                                                    Fetch& fetch,
                                                                    const kube::Answer& answer,
                                                                    Monotonic now);

  const Clock& clock_;
  const std::chrono::milliseconds patience_;
  std::map<objects::ObjectKey, Fetch> fetches_;
  std::map<std::uint64_t, UnderWay> under_way_;
  std::uint64_t next_ = 1;
};

}  // namespace handfast::source
