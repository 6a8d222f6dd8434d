#pragma once
// Ends connections that send more between two answers than a review holds: cpprestsdk gathers heads
// without a bound, and bodies before anybody can refuse them.
//
// Each may send 3 MiB and 64 KiB; all together 64 MiB, beyond which a connection that has sent more
// than 64 KiB is ended, so that ordinary reviews still pass. TLS counts the records, and a
// connection that is over the limit reads as one that its client has ended.
//
// Threading: any thread. Ownership: contexts share the sum; each belongs to one connection.

#include <atomic>
#include <cstddef>
#include <memory>

struct ssl_ctx_st;

namespace handfast::admission {

class ReadLimit final {
 public:
  ReadLimit() : sum_(std::make_shared<std::atomic<std::size_t>>(0)) {}

  // False: there is no memory for it.
  [[nodiscard]] bool apply(ssl_ctx_st* context) const;

  // What is being gathered now.
  [[nodiscard]] std::size_t sum() const { return sum_->load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<std::atomic<std::size_t>> sum_;
};

}  // namespace handfast::admission
