#pragma once
// Runs the program of a kubeconfig that prints credentials, and reads what it printed.
//
// Threading: run() blocks for as long as the program takes, at most `patience`; the program is
// killed then. Errors: a sentence; never what the program printed, which may hold the token.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "controller/kube/access.h"
#include "proxy/base/result.h"

namespace handfast::kube {

struct ExecCredential {
  std::string token;
  std::string client_certificate;  // PEM
  std::string client_key;          // PEM
  std::int64_t expires = 0;        // Unix seconds; 0: not said
};

[[nodiscard]] Result<ExecCredential> run(const ExecPlugin& plugin,
                                         std::chrono::milliseconds patience = std::chrono::minutes{
                                             1});

// The JSON of an ExecCredential.
[[nodiscard]] Result<ExecCredential> parse_exec_credential(std::string_view text);

}  // namespace handfast::kube
