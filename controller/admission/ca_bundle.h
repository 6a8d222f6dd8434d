#pragma once
// The caBundle of a ValidatingWebhookConfiguration when every replica makes a certificate of its
// own: PEM certificates one after the other, each written by the replica that serves with it.
//
// Who writes takes out what has expired and what can't be read; and of certificates that replicas
// made, all but the newest, for a controller that is killed again and again leaves one each time.
// A CA that the operator has put there stays as it is. Two who write at once are told apart by the
// API server (resourceVersion), and the later one looks again.
//
// Pure; thread-safe.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"

namespace handfast::admission {

// `bundle`: PEM, not base64. `wanted`: our certificates, PEM, that must be there; `unwanted`: ours
// that must not. The answer is the new bundle; nothing: it is right as it is.
[[nodiscard]] std::optional<std::string> update_bundle(std::string_view bundle,
                                                       const std::vector<std::string>& wanted,
                                                       const std::vector<std::string>& unwanted,
                                                       UnixSeconds now);

}  // namespace handfast::admission
