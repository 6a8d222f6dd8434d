#pragma once
// Handshakes that the controller asks for before something new takes effect (config/preflight.h).
//
// A few threads of their own do them, one after the other: they block, and serve nothing. They
// begin with the first question. Keys are read for a question and dropped after it.
//
// Endpoints by name are looked up as those of an ExternalName Service: a name leads to no loopback
// or link-local address, and not to ourselves.
//
// Threading: ask() from any thread; `done` runs on one of ours. Ownership: borrows clock and
// resolver. What is asked when it ends isn't answered; a handshake under way is given up.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/config/preflight.h"
#include "proxy/net/address.h"
#include "proxy/upstream/probe.h"
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
  ~Preflights();
  Preflights(const Preflights&) = delete;
  Preflights& operator=(const Preflights&) = delete;

  using Done = std::function<void(const config::PreflightAnswer&)>;
  void ask(config::PreflightRequest request, Done done);

 private:
  struct Question {
    config::PreflightRequest request;
    Done done;
  };

  void run();
  [[nodiscard]] config::PreflightAnswer answer(const config::PreflightRequest& request,
                                               upstream::Prober& prober);
  [[nodiscard]] Result<net::Address> locate(const config::PreflightRequest& request,
                                            const config::Endpoint& endpoint);

  const std::string root_;
  const Clock& clock_;
  upstream::Resolver& resolver_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Question> questions_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  std::atomic<bool> stopping_{false};
};

}  // namespace handfast::server
