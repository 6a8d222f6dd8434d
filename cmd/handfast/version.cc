#include "cmd/handfast/version.h"

#include <cstdio>

#include "proxy/config/document.h"
#include "proxy/pki/library.h"

namespace handfast {

void print_version() {
  std::printf("handfast %s (%s, %s)\n", HANDFAST_VERSION, pki::openssl_version().c_str(),
              config::yaml_library().data());
}

}  // namespace handfast
