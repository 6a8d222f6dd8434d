#pragma once
// Keeps this replica's certificate in the caBundle of a ValidatingWebhookConfiguration, and the
// server serving with it: makes it, announces it, renews it, and takes it out at the end.
//
// One object is watched, so a bundle that somebody else resets is put right at once; it is written
// only when something is wrong with it. A write that meets another one is tried again on what the
// other one wrote. While the API server is away, or forbids it, it is tried again after 1 s,
// doubling to a minute.
//
// Threading: run() on one thread, stop() from any. Ownership: borrows all.

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "controller/admission/own_certificate.h"
#include "controller/admission/serving_tls.h"
#include "controller/kube/api.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast::admission {

class BundleKeeper final {
 public:
  // `name`: of the configuration.
  BundleKeeper(kube::Api& api, std::string name, OwnCertificate certificate, ServingTls& tls,
               const Clock& clock);
  ~BundleKeeper();
  BundleKeeper(const BundleKeeper&) = delete;
  BundleKeeper& operator=(const BundleKeeper&) = delete;

  // Until stop(); takes our certificates out of the bundle then, if that can be done in 3 s.
  void run();
  void stop();

 private:
  struct Shared;

  // GET, and a PATCH if it needs one.
  [[nodiscard]] Status write(const std::vector<std::string>& wanted,
                             const std::vector<std::string>& unwanted,
                             std::chrono::seconds timeout);
  [[nodiscard]] kube::Answer call(kube::Request request, std::chrono::seconds timeout);
  void watch();
  void tell(const Status& status);
  // False: stopped.
  bool wait(std::chrono::milliseconds at_most);

  kube::Api& api_;
  const std::string name_;
  OwnCertificate certificate_;
  ServingTls& tls_;
  const Clock& clock_;
  const std::shared_ptr<Shared> shared_;  // with the callbacks of requests
  std::string resource_version_;
  std::string told_ = "nothing";
};

}  // namespace handfast::admission
