#pragma once
// An AdmissionReview (admission.k8s.io/v1) and the answer to it: bytes to bytes, nothing else.
//
// CREATE and UPDATE of an Ingress (networking.k8s.io/v1) or an UpstreamTLSPolicy
// (handfast.dev/v1alpha1) are judged (judge.h). Allowed without being looked at: DELETE and
// CONNECT; subresources, which hold nothing that we serve; an object that is being deleted, whose
// finalizers must be able to go; kinds that we don't read, for a rule that is too wide must not
// stop what isn't ours. Our kinds in versions that we don't read are allowed with a warning: they
// aren't served, and the API server converts what it can.
//
// An update that leaves spec and annotations as they were is allowed, with warnings: what came in
// before this webhook, or under other flags, must not freeze labels and owners.
//
// A dry run is answered as the real thing: a review changes nothing here.
//
// Threading: any thread. Errors: BadObject for what is no AdmissionReview; it gets no answer but a
// status 400, and so, with failurePolicy: Fail, no admission.

#include <cstddef>
#include <string>
#include <string_view>

#include "controller/admission/judge.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast::admission {

// Two objects of etcd's size, escaped.
inline constexpr std::size_t kMaxReviewBytes = std::size_t{3} << 20;

struct Answer {
  std::string json;
  // For the metric; text that lives as long as the program.
  std::string_view kind;    // "Ingress", "UpstreamTLSPolicy", "other"
  std::string_view result;  // "allowed", "warned", "denied"
};

[[nodiscard]] Result<Answer> review(std::string_view body, const Judge& judge, UnixSeconds now);

}  // namespace handfast::admission
