#pragma once
// Our entry of a BackendTLSPolicy's status.ancestors[] (Gateway API): one for each installation,
// whose ancestor is its IngressClass. An Ingress would be nearer, but there may be thousands, and
// the list has room for 16.
//
// The list is written as a whole, since Gateway API declares it atomic: server-side apply would
// take the entries of others away. So the write has the others' entries as they stand there, and
// is refused as a conflict if the object is another by then; the watch brings that one, and a new
// write is made of it.
//
// Pure; thread-safe.

#include <optional>
#include <string>
#include <vector>

#include "controller/objects/policies.h"
#include "controller/status/write_queue.h"
#include "controller/translate/report.h"
#include "proxy/base/clock.h"

namespace handfast::status {

struct Installation {
  std::string controller;  // --controller-class
  std::string class_name;  // --ingress-class
};

// What the write is called, whether there is one or not.
[[nodiscard]] std::string ancestor_key(const objects::BackendTlsPolicy& policy);

// None: the status says so already, or the list is full. `is_used`: a route of ours leads to a
// Service that it targets; else our entry is taken out. `findings`: about the policy.
[[nodiscard]] std::optional<Write> ancestor_write(
    const objects::BackendTlsPolicy& policy, bool is_used,
    const std::vector<const translate::Finding*>& findings, const Installation& ours,
    UnixSeconds now);

}  // namespace handfast::status
