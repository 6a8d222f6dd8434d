#pragma once
// GET over plain HTTP by cpprestsdk: for what is signed, and needs no TLS around it (RFC 5280
// section 8 warns of https in distribution points).
//
// Redirects are not followed, and a body has a bound, whatever the server says of its length.
//
// Threading: as Getter's; kube::start_thread() must have been called, and its one thread does the
// work. Errors: whatever cpprestsdk throws becomes Reason::Io.

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "controller/fetch/getter.h"

namespace handfast::fetch {

struct GetLimits {
  std::size_t bytes = std::size_t{64} << 20;
  std::chrono::seconds time{30};  // for all of it
};

class HttpGetter final : public Getter {
 public:
  explicit HttpGetter(const GetLimits& limits);
  ~HttpGetter() override;
  Result<std::string> get(const std::string& url) override;
  void cancel() override;

 private:
  struct Shared;
  const GetLimits limits_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace handfast::fetch
