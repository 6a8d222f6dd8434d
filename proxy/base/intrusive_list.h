#pragma once
// A doubly linked list whose links live in the members: O(1) insertion and removal, no allocation.
//
// Ownership: none. A node takes itself out when it is destroyed. Not copyable. One thread's.

#include <cstddef>

namespace handfast {

class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { unlink(); }

  [[nodiscard]] bool linked() const noexcept { return next_ != nullptr; }

  void unlink() noexcept {
    if (next_ == nullptr) return;
    next_->prev_ = prev_;
    prev_->next_ = next_;
    next_ = prev_ = nullptr;
  }

 private:
  template <class T>
  friend class IntrusiveList;
  ListNode* next_ = nullptr;
  ListNode* prev_ = nullptr;
};

// T derives from ListNode (privately tagged bases are not needed so far).
template <class T>
class IntrusiveList {
 public:
  IntrusiveList() { head_.next_ = head_.prev_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    while (!empty()) head_.next_->unlink();
    head_.next_ = head_.prev_ = nullptr;
  }

  [[nodiscard]] bool empty() const noexcept { return head_.next_ == &head_; }
  [[nodiscard]] T& front() noexcept { return static_cast<T&>(*head_.next_); }
  [[nodiscard]] T& back() noexcept { return static_cast<T&>(*head_.prev_); }

  void push_back(T& item) noexcept {
    ListNode& node = item;
    node.unlink();
    node.prev_ = head_.prev_;
    node.next_ = &head_;
    head_.prev_->next_ = &node;
    head_.prev_ = &node;
  }

  void push_front(T& item) noexcept {
    ListNode& node = item;
    node.unlink();
    node.next_ = head_.next_;
    node.prev_ = &head_;
    head_.next_->prev_ = &node;
    head_.next_ = &node;
  }

  // The first that wanted() says, or null.
  template <class Wanted>
  [[nodiscard]] T* find_if(Wanted wanted) {
    for (ListNode* node = head_.next_; node != &head_; node = node->next_) {
      if (wanted(static_cast<const T&>(*node))) return &static_cast<T&>(*node);
    }
    return nullptr;
  }

  // Moves everything of `other` to the end of this list.
  void splice(IntrusiveList& other) noexcept {
    while (!other.empty()) push_back(other.front());
  }

 private:
  ListNode head_;
};

}  // namespace handfast
