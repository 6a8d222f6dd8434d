#pragma once
// Where the answers of an API server wait for the thread that reads them; internal to
// controller/source.
//
// It holds so many bytes and no more: whoever brings the next waits, and with it the server's
// sending. A list of 50 MB is never in memory as text.
//
// Threading: any thread; take() one's. close() lets everybody go, for good.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "controller/kube/api.h"
#include "proxy/base/clock.h"

namespace handfast::source {

class ClusterInbox final {
 public:
  struct Note {
    enum class Kind : std::uint8_t { Open, Line, End };
    Kind kind = Kind::Open;
    std::uint64_t who = 0;
    std::string line;
    kube::Answer answer;
  };

  // Waits while there is no room.
  void put(Note note);
  // Ends the next take() or the one under way.
  void wake();
  void close();
  [[nodiscard]] bool is_closed();

  // All that is there, once something is, or wake() was called, or it is `deadline`.
  [[nodiscard]] std::vector<Note> take(Monotonic deadline);

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::condition_variable went_;
  std::vector<Note> notes_;  // guarded by mutex_, as all below
  std::size_t bytes_ = 0;
  bool is_woken_ = false;
  bool is_closed_ = false;
};

}  // namespace handfast::source
