#include "proxy/base/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdlib>

#include "proxy/base/check.h"

namespace handfast {

void forbid_core_dumps() {
  const rlimit none{0, 0};
  check(::setrlimit(RLIMIT_CORE, &none) == 0, "RLIMIT_CORE can't be set");
  check(::prctl(PR_SET_DUMPABLE, 0) == 0, "PR_SET_DUMPABLE can't be set");
}

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string{} : value;
}

}  // namespace handfast
