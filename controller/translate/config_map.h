#pragma once
// --configmap: what the operator says for all hosts in the keys of ingress-nginx's ConfigMap.
//
// A value that is none is told and not used. What clients are offered stays at what was last good
// then, which is what the proxy serves: never at something weaker. Other values fall back to their
// flags. A key that is gone takes effect at once. A restriction of all hosts that isn't implemented
// refuses them.
//
// Pure.

#include "controller/state/reader.h"
#include "controller/translate/options.h"
#include "controller/translate/report.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct Settings {
  Options options;      // the flags', where the ConfigMap says nothing else
  config::Front front;  // without ticket keys
};

// `served`: what the last acknowledged generation offers.
[[nodiscard]] Settings read_config_map(const state::Reader& state, const Options& flags,
                                       const config::Front& served, Report& report);

}  // namespace handfast::translate
