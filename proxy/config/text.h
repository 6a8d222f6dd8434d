#pragma once
// The text form of the model: YAML out in a stable order, YAML in with errors that name the field.
//
// serialize(parse(text)) == text for every text that serialize() made of a valid shard; parse()
// takes any YAML that says the same, so that a person can write it by hand. An unknown field, a
// missing one or a value out of range is an error (Reason::BadObject, detail "line 7:
// routes[2].protocol: …"): nothing is guessed, but for the defaults that docs/generation-format.md
// lists. parse_shard() and parse_standalone() also apply validate(). Pure functions; thread-safe.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/model.h"

namespace handfast::config {

// What a reader takes: a longer one is refused, whatever it says.
inline constexpr std::size_t kMostShardBytes = std::size_t{8} << 20;

[[nodiscard]] std::string serialize(const Shard& shard);
[[nodiscard]] std::string serialize(const Bucket& bucket);
[[nodiscard]] std::string serialize(const Index& index);

[[nodiscard]] Result<Shard> parse_shard(std::string_view text);
[[nodiscard]] Result<Bucket> parse_bucket(std::string_view text);
[[nodiscard]] Result<Index> parse_index(std::string_view text);

// Rules across fields that both sides must agree on: a route has a Service or a refusal, a route
// over TLS names a TLS policy, gRPC is HTTP/2, paths begin with '/', a policy that verifies has
// trust, names and no NUL bytes; file paths stay inside "tls/".
[[nodiscard]] Status validate(const Shard& shard);

// A whole configuration in one file, for a proxy without a controller (`handfast-proxy --config
// FILE`): {format, hosts: […], services: […], tls: […], tcp: […], default_certificate}. Paths are
// relative to the file's directory.
struct Standalone {
  std::vector<Shard> shards;
  std::optional<KeyPairRef> default_certificate;
};
[[nodiscard]] Result<Standalone> parse_standalone(std::string_view text);

}  // namespace handfast::config
