#pragma once
// Texts by name, as annotations and labels are: few, and in thousands of objects. One list in the
// order of the names, where a std::map would take a third more for its nodes and twice as much for
// none.
//
// A plain value with the part of std::map's interface that is used.

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace handfast::objects {

class TextMap {
 public:
  using value_type = std::pair<std::string, std::string>;
  using const_iterator = std::vector<value_type>::const_iterator;

  TextMap() = default;
  TextMap(std::initializer_list<value_type> entries) {
    for (const value_type& entry : entries) insert(entry);
  }
  // In any order, at the price of sorting them; of two under one name the first stays. Entry by
  // entry, each would move those behind it, which takes minutes where somebody writes many.
  explicit TextMap(std::vector<value_type> entries) : entries_(std::move(entries)) {
    std::ranges::stable_sort(entries_, {}, &value_type::first);
    const auto same = std::ranges::unique(entries_, {}, &value_type::first);
    entries_.erase(same.begin(), same.end());
    entries_.shrink_to_fit();
  }

  [[nodiscard]] const_iterator begin() const { return entries_.begin(); }
  [[nodiscard]] const_iterator end() const { return entries_.end(); }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] const_iterator find(std::string_view name) const {
    const auto place = place_of(name);
    return place != end() && place->first == name ? place : end();
  }
  [[nodiscard]] bool contains(std::string_view name) const { return find(name) != end(); }

  std::string& operator[](std::string_view name) {
    const auto place = entries_.begin() + (place_of(name) - begin());
    if (place != entries_.end() && place->first == name) return place->second;
    return entries_.emplace(place, name, std::string())->second;
  }
  // What is there stays.
  void insert(const value_type& entry) { emplace(entry.first, entry.second); }
  void emplace(std::string_view name, std::string_view text) {
    if (!contains(name)) (*this)[name] = text;
  }
  void erase(std::string_view name) {
    if (const auto found = find(name); found != end()) entries_.erase(found);
  }
  void clear() { entries_ = {}; }

  friend bool operator==(const TextMap&, const TextMap&) = default;

 private:
  [[nodiscard]] const_iterator place_of(std::string_view name) const {
    return std::ranges::lower_bound(
        entries_, name, {}, [](const value_type& one) -> std::string_view { return one.first; });
  }

  std::vector<value_type> entries_;
};

}  // namespace handfast::objects
