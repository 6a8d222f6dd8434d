#pragma once
// What the tests of translate share: objects from YAML text with generated TLS material in it.
//
//   ${CRT:a.example,b.example}  a certificate with these DNS names, as a quoted YAML string
//   ${KEY:a.example,b.example}  its key
//   ${EXPIRED-CRT:a.example}    one that ended in 2025; ${EXPIRED-KEY:…}
//   ${SERVER-CRT:a.example}     one whose extendedKeyUsage is serverAuth alone; ${SERVER-KEY:…}
//   ${CA:shop}                  the certificate of the authority "shop"
//   ${CRL:shop}                 its list, which revokes nothing

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "controller/state/cluster_state.h"
#include "controller/translate/translate.h"
#include "tests/support/test_authority.h"

namespace handfast::translate::testing {

// The time at which the tests translate.
inline constexpr std::int64_t kNow = handfast::testing::kYear2026;

// Makes material by name; the same name gives the same material.
class MaterialSource {
 public:
  // Replaces every placeholder of `text`.
  [[nodiscard]] std::string fill(std::string_view text);

 private:
  std::string make(std::string_view kind, const std::string& name);
  const handfast::testing::TestAuthority& authority(const std::string& name);
  enum class Form : std::uint8_t { Usual, Expired, Server };
  const handfast::testing::TestCertificate& certificate(const std::string& name, Form form);

  std::map<std::string, handfast::testing::TestAuthority> authorities_;
  std::map<std::string, handfast::testing::TestCertificate> certificates_;
};

// Applies every object of the YAML text, whose file is called "input.yaml"; fails the test if
// something can't be read.
void apply_yaml(state::ClusterState& state, std::string_view yaml);

// "UpstreamTls", "Service" or "VirtualHost" by shard name, or null.
[[nodiscard]] const config::Shard* find_shard(const Output& output, std::string_view name);

template <class T>
[[nodiscard]] const T* find_shard_as(const Output& output, std::string_view name) {
  const config::Shard* shard = find_shard(output, name);
  return shard == nullptr ? nullptr : std::get_if<T>(shard);
}

// One line per finding.
[[nodiscard]] std::string report_text(const Output& output);

}  // namespace handfast::translate::testing
