#pragma once
// The flags that say what the operator decides for all Ingresses: the same for the controller, for
// `handfast run` and for `handfast lint`.

#include "controller/translate/options.h"
#include "proxy/base/options.h"
#include "proxy/base/result.h"

namespace handfast::translate {

void add_flags(OptionSet& options);

// Precondition: `parsed` comes from a set that add_flags() was called on. Errors name the flag.
[[nodiscard]] Result<Options> read_flags(const ParsedOptions& parsed);

}  // namespace handfast::translate
