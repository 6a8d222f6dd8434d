#pragma once
// A filter of subjects: "CN=" and a regular expression (the annotation auth-tls-match-cn).
//
// ingress-nginx searches the whole subject for the expression, so that CN=admin also lets
// CN=administrator in, and O="CN=admin". Here it must match one common name from end to end.
// Extended POSIX syntax without what costs exponential time (back references) and what other
// dialects read otherwise (lazy quantifiers, classes by letter).
//
// Immutable; thread-safe.

#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

#include "proxy/base/result.h"

namespace handfast::pki {

class CommonNamePattern {
 public:
  // InvalidValue with a sentence for the operator.
  static Result<CommonNamePattern> compile(std::string_view text);

  // Whether one of the subject's CNs matches.
  [[nodiscard]] bool matches(const X509& certificate) const;

 private:
  struct Compiled;
  explicit CommonNamePattern(std::shared_ptr<const Compiled> compiled);

  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace handfast::pki
