#include "proxy/pki/openssl_ptr.h"

#include <openssl/err.h>

namespace handfast::pki {

std::string drain_openssl_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    if (!text.empty()) text += "; ";
    const char* reason = ERR_reason_error_string(code);
    // No ERR_error_string: its numbers and file names say nothing to an operator.
    text += reason != nullptr ? reason : "error " + std::to_string(code);
  }
  return text;
}

CleanErrorQueue::CleanErrorQueue() { ERR_clear_error(); }
CleanErrorQueue::~CleanErrorQueue() { ERR_clear_error(); }

}  // namespace handfast::pki
