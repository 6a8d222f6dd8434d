#pragma once
// The client of an API server: api.h over cpprestsdk, the only file of ours that knows its client.
//
// The server is believed by the kubeconfig's CA and its name alone (tls_material.h). A connection
// that is dead is noticed after 30 to 45 seconds by TCP itself, however idle. Redirects are not
// followed: the token is for one server.
//
// cpprestsdk closes sockets from whatever thread notices a timeout or a cancellation, while another
// may be in the middle of reading from them, which Boost.Asio does not allow. So its pool has one
// thread here (start_thread()), and cancelling is a task of that thread. It does TLS and copies
// bytes; what they mean is found out elsewhere.
//
// Threading: see api.h. The destructor cancels what is under way and waits for its end, at most 5
// s; it must not run in a callback. Errors: whatever cpprestsdk throws becomes Answer::failure.

#include <memory>

#include "controller/kube/access.h"
#include "controller/kube/api.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast::kube {

// Makes the pool of cpprestsdk, for the whole process and for good; if it was made before, nothing
// changes. To be called first.
void start_thread();

class ApiClient final : public Api {
 public:
  // Reads the credentials and runs the plugin, if there is one; connects to nobody yet. Borrows
  // `clock`.
  [[nodiscard]] static Result<std::unique_ptr<ApiClient>> make(Access access, const Clock& clock);
  ~ApiClient() override;
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  [[nodiscard]] Id send(Request request, Callbacks callbacks) override;
  void cancel(Id id) override;

 private:
  class Exchange;
  struct Shared;

  explicit ApiClient(std::shared_ptr<Shared> shared);

  // Exchanges under way own it too: cpprestsdk lets go of its handlers when it likes.
  std::shared_ptr<Shared> shared_;
};

}  // namespace handfast::kube
