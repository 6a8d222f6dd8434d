#pragma once
// Findings as Events (events.k8s.io/v1): what `kubectl describe` shows of an object.
//
// An Event is called after what it says, so that replicas and restarts make one of it, not several.
//
// Pure; thread-safe.

#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/objects.h"
#include "controller/status/write_queue.h"
#include "controller/translate/report.h"

namespace handfast::status {

struct Reporter {
  std::string controller;  // "handfast.dev/ingress-controller"
  std::string instance;    // the pod
};

// For a warning or an error about an object that the API server knows (it has a uid): reason is the
// finding's word in CamelCase, the note says field, message and remedy.
[[nodiscard]] std::optional<Write> make_event(const translate::Finding& finding,
                                              std::string_view uid, const Reporter& reporter,
                                              UnixSeconds now);

}  // namespace handfast::status
