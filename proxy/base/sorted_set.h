#pragma once
// A set in one block of memory, for the few names that each of ten thousand objects has: a std::set
// takes 48 bytes before the first of them and 32 more for each.
//
// A plain value. Insertion and erasure move what lies behind; references and iterators end then.

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace handfast {

template <class T, class Less = std::less<>>
class SortedSet {
 public:
  using const_iterator = typename std::vector<T>::const_iterator;

  [[nodiscard]] const_iterator begin() const { return items_.begin(); }
  [[nodiscard]] const_iterator end() const { return items_.end(); }
  [[nodiscard]] bool empty() const { return items_.empty(); }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] bool contains(const T& item) const {
    const auto place = place_of(item);
    return place != end() && !Less()(item, *place);
  }

  // What is equal and there stays.
  void insert(T item) {
    const auto place = place_of(item);
    if (place == end() || Less()(item, *place)) items_.insert(place, std::move(item));
  }
  void erase(const T& item) {
    if (contains(item)) items_.erase(place_of(item));
  }
  void clear() { items_.clear(); }

  friend bool operator==(const SortedSet&, const SortedSet&) = default;

 private:
  [[nodiscard]] const_iterator place_of(const T& item) const {
    return std::lower_bound(items_.begin(), items_.end(), item, Less());
  }

  std::vector<T> items_;
};

}  // namespace handfast
