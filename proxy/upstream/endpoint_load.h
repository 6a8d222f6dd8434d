#pragma once
// How many connections of one worker lead to each endpoint, and the limit on that.
//
// A place is taken when a connection is begun and given back when it is closed. Nothing is counted
// where there is no limit.
//
// Threading: one worker's. Ownership: outlives its places, each of which stands for one connection.

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/base/string_hash.h"
#include "proxy/net/address.h"

namespace handfast::upstream {

class EndpointLoad {
 public:
  // Gives itself back when it is destroyed. An empty one counts nothing.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept
        : load_(std::exchange(other.load_, nullptr)),
          address_(other.address_),
          idle_(std::exchange(other.idle_, false)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(load_, other.load_);
      std::swap(address_, other.address_);
      std::swap(idle_, other.idle_);
      return *this;
    }
    ~Place() {
      if (load_ != nullptr) load_->give_back(*this);
    }
    // Its connection carries nothing, and could make room for another.
    void set_idle(bool idle) {
      if (load_ == nullptr || idle == idle_) return;
      idle_ = idle;
      std::size_t& count = load_->counts_.at(address_).idle;
      idle ? ++count : --count;
    }

   private:
    friend class EndpointLoad;
    Place(EndpointLoad& load, const net::Address& address) : load_(&load), address_(address) {}
    EndpointLoad* load_ = nullptr;
    net::Address address_;
    bool idle_ = false;
  };

  // 0: no limit.
  explicit EndpointLoad(std::size_t most) : most_(most) {}
  EndpointLoad(const EndpointLoad&) = delete;
  EndpointLoad& operator=(const EndpointLoad&) = delete;

  // Nothing: the endpoint has as many as it may.
  [[nodiscard]] std::optional<Place> try_take(const net::Address& endpoint) {
    if (most_ == 0) return Place();
    Count& count = counts_[endpoint];
    if (count.all >= most_) return std::nullopt;
    ++count.all;
    return Place(*this, endpoint);
  }
  [[nodiscard]] bool has_idle(const net::Address& endpoint) const {
    const auto found = counts_.find(endpoint);
    return found != counts_.end() && found->second.idle > 0;
  }

 private:
  struct Count {
    std::size_t all = 0;
    std::size_t idle = 0;
  };
  struct Hash {
    std::size_t operator()(const net::Address& address) const noexcept {
      return StringHash()(
          std::string_view(reinterpret_cast<const char*>(address.data()), address.length()));
    }
  };

  void give_back(Place& place) {
    place.set_idle(false);
    const auto found = counts_.find(place.address_);
    check(found != counts_.end() && found->second.all > 0);
    if (--found->second.all == 0) counts_.erase(found);
  }

  const std::size_t most_;
  std::unordered_map<net::Address, Count, Hash> counts_;
};

}  // namespace handfast::upstream
