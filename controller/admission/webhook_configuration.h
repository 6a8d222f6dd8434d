#pragma once
// A ValidatingWebhookConfiguration as far as it concerns us: the caBundle of each of its webhooks.
// From the object's JSON to the patch that puts it right. Pure; thread-safe.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast::admission {

struct BundlePatch {
  std::string resource_version;
  // JSON patch (RFC 6902), refused with 409 if somebody wrote since; nothing: all is well.
  std::optional<std::string> json;
};

// As update_bundle() for every webhook. BadObject if it isn't such a configuration.
[[nodiscard]] Result<BundlePatch> patch_bundles(std::string_view configuration,
                                                const std::vector<std::string>& wanted,
                                                const std::vector<std::string>& unwanted,
                                                UnixSeconds now);

// "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations".
inline constexpr std::string_view kConfigurationsPath =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

}  // namespace handfast::admission
