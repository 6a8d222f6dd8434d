#include "proxy/tls/upstream_policy.h"

#include <utility>

namespace handfast::tls {

pki::Verdict UpstreamPolicy::judge(X509* leaf, STACK_OF(X509) * untrusted,
                                   const std::string* stapled, UnixSeconds now) const {
  if (!verify) return {};
  pki::Staple staple{.mode = ocsp, .response = {}};
  if (stapled != nullptr) {
    staple.response = {reinterpret_cast<const unsigned char*>(stapled->data()), stapled->size()};
  }
  return audited(pki::verify_chain(leaf, untrusted, trust, crls, rules, now, staple), now);
}

pki::Verdict UpstreamPolicy::judge_chain(X509* leaf, STACK_OF(X509) * untrusted,
                                         UnixSeconds now) const {
  if (!verify) return {};
  return audited(pki::verify_chain(leaf, untrusted, trust, crls, rules, now), now);
}

pki::Verdict UpstreamPolicy::audited(pki::Verdict verdict, UnixSeconds now) const {
  if (verdict.ok() || now >= audit_until) return verdict;
  pki::Verdict passed;
  passed.would_refuse = verdict.reason;
  passed.detail = std::move(verdict.detail);
  passed.valid_until = audit_until - 1;
  return passed;
}

}  // namespace handfast::tls
