#pragma once
// Who we are to the API server, as it is now: tokens and files that change while we run.
//
// A token file is read again when it was read more than 50 seconds ago or the server said 401;
// kubelet replaces a projected token long before it expires. An exec plugin runs before the first
// request and then, on a thread of its own, when its credential is about to expire or was refused.
// CA, certificate and key are read for each new connection.
//
// Threading: any thread. Errors: a file that can't be read leaves the last token that could.

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "controller/kube/access.h"
#include "controller/kube/exec_plugin.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast::kube {

// Of the pod, from the file that Kubernetes mounts beside its token in `folder`.
[[nodiscard]] Result<std::string> read_pod_namespace(std::string_view folder);

class Credentials final {
 public:
  // Borrows `clock`. `access` stays as it is for good.
  Credentials(Access access, const Clock& clock);
  ~Credentials();
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  [[nodiscard]] const Access& access() const { return access_; }

  // Runs the plugin, if there is one, and reads the files: what can be known to be wrong at start.
  [[nodiscard]] Status start();

  // The bearer token; empty if we have none.
  [[nodiscard]] std::string token();
  // The server did not accept what token() answered.
  void on_refused();

  struct Pems {
    std::string ca;
    std::string certificate;  // empty: none
    std::string key;
  };
  [[nodiscard]] Result<Pems> pems();

 private:
  void read_token_file();
  void refresh_soon();

  const Access access_;
  const Clock& clock_;
  std::mutex mutex_;
  std::string file_token_;  // guarded by mutex_, as all below
  std::optional<Monotonic> read_at_;
  ExecCredential credential_;
  std::thread refresh_;
  bool is_refreshing_ = false;
  Monotonic refreshed_at_{};
};

}  // namespace handfast::kube
