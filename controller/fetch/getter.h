#pragma once
// One document from somewhere, whole.

#include <string>

#include "proxy/base/result.h"

namespace handfast::fetch {

class Getter {
 public:
  virtual ~Getter() = default;
  // Blocks, for a bounded time. One thread's. Error: Reason::Io, with what was answered instead.
  [[nodiscard]] virtual Result<std::string> get(const std::string& url) = 0;
  // What is under way fails soon, and all that comes after at once. From any thread.
  virtual void cancel() = 0;
};

}  // namespace handfast::fetch
