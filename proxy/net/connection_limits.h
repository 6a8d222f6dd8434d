#pragma once
// How many connections each client address holds in the whole process, and the limit on that.
//
// A table in shards, each under its own lock, touched when a connection is accepted and when it
// ends, and only if there is a limit. An IPv6 client counts by its /64, the least that one customer
// is given: whoever has one has all its addresses.
//
// Threading: any. Ownership: outlives its slots, each of which stands for one connection.

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "proxy/net/address.h"

namespace handfast::net {

class ConnectionLimits {
 public:
  // Gives its place back when it is destroyed. An empty one counts nothing.
  class Slot {
   public:
    Slot() = default;
    Slot(Slot&& other) noexcept
        : limits_(std::exchange(other.limits_, nullptr)), key_(other.key_) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(limits_, other.limits_);
      std::swap(key_, other.key_);
      return *this;
    }
    ~Slot() {
      if (limits_ != nullptr) limits_->release(key_);
    }

   private:
    friend class ConnectionLimits;
    Slot(ConnectionLimits& limits, std::uint64_t key) : limits_(&limits), key_(key) {}
    ConnectionLimits* limits_ = nullptr;
    std::uint64_t key_ = 0;
  };

  // 0: no limit.
  explicit ConnectionLimits(std::uint32_t most_per_address);
  ConnectionLimits(const ConnectionLimits&) = delete;
  ConnectionLimits& operator=(const ConnectionLimits&) = delete;

  // Nothing: the address has as many as it may.
  [[nodiscard]] std::optional<Slot> try_take(const Address& client);
  // For tests: addresses that hold a connection.
  [[nodiscard]] std::size_t addresses();

 private:
  // The keys are the clients' choice: they must not be able to choose one bucket.
  struct Hash {
    std::uint64_t seed;
    std::size_t operator()(std::uint64_t key) const noexcept;
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, std::uint32_t, Hash> counts;
  };
  static constexpr std::size_t kShards = 64;

  Shard& shard_of(std::uint64_t key);
  void release(std::uint64_t key);

  const std::uint32_t most_;
  const Hash hash_;
  std::array<Shard, kShards> shards_;
};

}  // namespace handfast::net
