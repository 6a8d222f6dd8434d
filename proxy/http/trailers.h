#pragma once
// Fields behind a body (RFC 9110 6.5), kept apart from the bytes that they were read from.
//
// Only what can't frame, route or assert goes on: a receiver that merges trailers into the head
// must not learn anything there that it wouldn't believe in the head.
//
// Ownership: copies. Allocates per field: trailers are rare and small (bounded by the decoders).

#include <deque>
#include <string>

#include "proxy/http/message.h"

namespace handfast::http {

// Whether a field may stand behind a body that we pass on: no hop-by-hop or framing one, none that
// we assert (Protected).
[[nodiscard]] bool passes_as_trailer(HeaderId id);

class TrailerSection {
 public:
  // Takes a copy; one that doesn't pass is dropped. False: too many.
  bool add(const Header& field);
  [[nodiscard]] const HeaderList& list() const noexcept { return list_; }

 private:
  std::deque<std::string> texts_;  // stable while it grows
  HeaderList list_;
};

[[nodiscard]] const HeaderList& no_trailers();

}  // namespace handfast::http
