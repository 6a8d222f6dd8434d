#pragma once
// The certificate that a replica makes for itself, and when it is replaced: a machine without I/O.
//
//   Serving --2/3 of its life are over--> Announced (a next one is made, the bundle must hold both)
//   Announced --written, and a minute for every API server to hear of it--> Serving the next one
//
// The old one leaves the bundle then; connections that it opened stay. A clock that is off by a day
// doesn't matter.
//
// Threading: one thread's. Errors: OpenSSL's own.

#include <optional>
#include <string>
#include <vector>

#include "controller/admission/self_signed.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast::admission {

class OwnCertificate final {
 public:
  // `names`: the DNS names of the Service.
  [[nodiscard]] static Result<OwnCertificate> make(std::vector<std::string> names, UnixSeconds now);

  [[nodiscard]] const SelfSigned& serving() const { return serving_; }

  // What the bundle must hold, and what of ours it must not.
  [[nodiscard]] std::vector<std::string> wanted() const;
  [[nodiscard]] std::vector<std::string> unwanted() const;
  // The bundle is so now.
  void on_written(UnixSeconds now);

  // Does what is due; true: serving() is another one.
  [[nodiscard]] Result<bool> advance(UnixSeconds now);
  // When to call it again.
  [[nodiscard]] UnixSeconds due() const;

 private:
  OwnCertificate() = default;

  std::vector<std::string> names_;
  SelfSigned serving_;
  std::optional<SelfSigned> next_;
  std::optional<UnixSeconds> announced_;  // since when the bundle holds the next one
  std::string previous_;                  // PEM; empty: none
};

// "name.namespace.svc", as the API server asks for it, and its longer forms.
[[nodiscard]] std::vector<std::string> names_of_service(const std::string& ns,
                                                        const std::string& name,
                                                        const std::string& cluster_domain);

}  // namespace handfast::admission
