#include "proxy/net/connection_limits.h"

#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "proxy/base/check.h"

namespace handfast::net {
namespace {

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  check(::getrandom(&seed, sizeof seed, 0) == sizeof seed, "getrandom");
  return seed;
}

// The first half of an IPv6 address; IPv4 where IPv6 has multicast, from which nobody connects.
std::uint64_t key_of(const Address& client) {
  constexpr std::uint64_t kV4 = 0xffff'ffff'0000'0000;
  if (client.family() == AF_INET) {
    return kV4 | ntohl(reinterpret_cast<const sockaddr_in*>(client.data())->sin_addr.s_addr);
  }
  if (client.family() != AF_INET6) return 0;
  const in6_addr& ip = reinterpret_cast<const sockaddr_in6*>(client.data())->sin6_addr;
  const bool mapped = IN6_IS_ADDR_V4MAPPED(&ip);
  std::uint64_t key = 0;
  for (unsigned i = mapped ? 12 : 0; i < (mapped ? 16U : 8U); ++i) key = key << 8U | ip.s6_addr[i];
  return mapped ? kV4 | key : key;
}

}  // namespace

// Steele, Lea, Flood: Fast splittable pseudorandom number generators (the finisher).
std::size_t ConnectionLimits::Hash::operator()(std::uint64_t key) const noexcept {
  std::uint64_t value = key + seed;
  value = (value ^ value >> 30U) * 0xbf58476d1ce4e5b9U;
  value = (value ^ value >> 27U) * 0x94d049bb133111ebU;
  return value ^ value >> 31U;
}

ConnectionLimits::ConnectionLimits(std::uint32_t most_per_address)
    : most_(most_per_address), hash_{random_seed()} {
  for (Shard& shard : shards_) shard.counts = decltype(shard.counts)(0, hash_);
}

ConnectionLimits::Shard& ConnectionLimits::shard_of(std::uint64_t key) {
  // Other bits than those that choose the bucket.
  return shards_[hash_(key) >> 32U & (kShards - 1)];
}

std::optional<ConnectionLimits::Slot> ConnectionLimits::try_take(const Address& client) {
  if (most_ == 0) return Slot();
  const std::uint64_t key = key_of(client);
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  std::uint32_t& count = shard.counts[key];
  if (count >= most_) return {};
  ++count;
  return Slot(*this, key);
}

void ConnectionLimits::release(std::uint64_t key) {
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.counts.find(key);
  check(found != shard.counts.end() && found->second > 0, "a slot that was not taken");
  if (--found->second == 0) shard.counts.erase(found);
}

std::size_t ConnectionLimits::addresses() {
  std::size_t sum = 0;
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    sum += shard.counts.size();
  }
  return sum;
}

}  // namespace handfast::net
