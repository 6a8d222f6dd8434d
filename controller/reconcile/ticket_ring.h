#pragma once
// The controller's own keys of session tickets, for where no Secret has any.
//
//   none -> 1 key -> 2 keys -> 3 keys -> the oldest goes for each that comes
//
// The newest encrypts, all decrypt, so that a ticket is taken up for at least two intervals. They
// are material like a Secret's: one file of the generation, which only that generation names and
// which goes with the last that does. There is no other copy: a controller that starts finds its
// ring, and the ring's age, in the generation that is current. (With several controllers the
// ring will be the leader's.)
//
// Threading: one thread's. Ownership: the keys; wiped when they go.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/clock.h"
#include "proxy/config/model.h"

namespace handfast::reconcile {

class TicketRing {
 public:
  static constexpr std::size_t kKeys = 3;

  // Precondition: `interval` is longer than 0.
  explicit TicketRing(std::chrono::seconds interval) : interval_(interval) {}
  TicketRing(const TicketRing&) = delete;
  TicketRing& operator=(const TicketRing&) = delete;
  ~TicketRing();

  // Is it a ring's file, and not a Secret's?
  [[nodiscard]] static bool is_own(const config::FileRef& file);
  // Takes up what an earlier controller made. False: it isn't whole, and nothing is taken.
  bool restore(const config::FileRef& file, std::string_view bytes);

  // Makes the key that is due by now, if one is.
  void rotate(UnixSeconds now);
  // When the next one is due, by the clock of the last rotate().
  [[nodiscard]] UnixSeconds due() const { return made_ + interval_.count(); }

  // Once rotate() was called.
  [[nodiscard]] config::FileRef file() const;
  [[nodiscard]] const std::string& bytes() const { return lines_; }

 private:
  void replace(std::string lines);

  std::chrono::seconds interval_;
  UnixSeconds made_ = 0;  // the newest key
  std::string lines_;     // a key in hex each, the newest first
};

}  // namespace handfast::reconcile
