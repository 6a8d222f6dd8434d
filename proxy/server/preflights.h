#pragma once
// Handshakes that the controller asks for before something new takes effect (config/preflight.h).
//
// A crew of their own does them, one after the other: they block, and serve nothing. Keys are read
// for a question and dropped after it.
//
// Endpoints by name are looked up as those of an ExternalName Service: a name leads to no loopback
// or link-local address, and not to ourselves.
//
// Threading: ask() from any thread; `done` runs on one of ours. Ownership: borrows clock and
// resolver. What is asked when it ends isn't answered; a handshake under way is given up.

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "proxy/base/clock.h"
#include "proxy/base/crew.h"
#include "proxy/base/result.h"
#include "proxy/config/preflight.h"
#include "proxy/net/address.h"
#include "proxy/upstream/resolver.h"

namespace handfast::server {

class Preflights {
 public:
  static constexpr std::size_t kThreads = 4;
  // Of a connection and its handshake together; the wait for the first byte comes after it.
  static constexpr std::chrono::milliseconds kTimeout{3'000};

  // `root`: what the paths of the requests are relative to.
  Preflights(std::string root, const Clock& clock, upstream::Resolver& resolver)
      : root_(std::move(root)), clock_(clock), resolver_(resolver) {}

  using Done = std::function<void(const config::PreflightAnswer&)>;
  void ask(config::PreflightRequest request, Done done);

 private:
  [[nodiscard]] config::PreflightAnswer answer(const config::PreflightRequest& request);
  [[nodiscard]] Result<net::Address> locate(const config::PreflightRequest& request,
                                            const config::Endpoint& endpoint);

  const std::string root_;
  const Clock& clock_;
  upstream::Resolver& resolver_;
  Crew crew_{kThreads};  // ends first
};

}  // namespace handfast::server
