#pragma once
// The words that the text form uses for the model's enumerations, and the names of its kinds.

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "proxy/config/model.h"

namespace handfast::config {

template <class Enum, std::size_t kCount>
using Words = std::array<std::pair<Enum, std::string_view>, kCount>;

inline constexpr Words<TlsVersion, 2> kTlsVersions{
    {{TlsVersion::Tls12, "TLSv1.2"}, {TlsVersion::Tls13, "TLSv1.3"}}};
inline constexpr Words<RevocationScope, 4> kRevocationScopes{{{RevocationScope::Off, "Off"},
                                                              {RevocationScope::Listed, "Listed"},
                                                              {RevocationScope::Leaf, "Leaf"},
                                                              {RevocationScope::Chain, "Chain"}}};
inline constexpr Words<PinType, 2> kPinTypes{
    {{PinType::Spki, "SPKISHA256"}, {PinType::Certificate, "CertificateSHA256"}}};
inline constexpr Words<Ocsp, 3> kOcspWords{
    {{Ocsp::Off, "Off"}, {Ocsp::IfPresent, "IfPresent"}, {Ocsp::Require, "Require"}}};
inline constexpr Words<ClientVerify, 3> kClientVerifies{
    {{ClientVerify::On, "On"},
     {ClientVerify::Optional, "Optional"},
     {ClientVerify::OptionalNoCa, "OptionalNoCa"}}};
inline constexpr Words<PathType, 2> kPathTypes{
    {{PathType::Exact, "Exact"}, {PathType::Prefix, "Prefix"}}};
inline constexpr Words<BackendProtocol, 4> kBackendProtocols{{{BackendProtocol::Http, "HTTP"},
                                                              {BackendProtocol::Https, "HTTPS"},
                                                              {BackendProtocol::Grpc, "GRPC"},
                                                              {BackendProtocol::Grpcs, "GRPCS"}}};
inline constexpr Words<Http2, 3> kHttp2Words{
    {{Http2::Off, "Off"}, {Http2::Offer, "Offer"}, {Http2::Require, "Require"}}};
inline constexpr Words<LoadBalance, 3> kLoadBalances{
    {{LoadBalance::RoundRobin, "RoundRobin"},
     {LoadBalance::LeastRequest, "LeastRequest"},
     {LoadBalance::ConsistentHash, "ConsistentHash"}}};

template <class Enum, std::size_t kCount>
[[nodiscard]] constexpr std::string_view word_of(const Words<Enum, kCount>& words, Enum value) {
  for (const auto& [candidate, word] : words) {
    if (candidate == value) return word;
  }
  return {};
}

template <class Enum, std::size_t kCount>
[[nodiscard]] constexpr std::optional<Enum> find_word(const Words<Enum, kCount>& words,
                                                      std::string_view text) {
  for (const auto& [value, word] : words) {
    if (word == text) return value;
  }
  return std::nullopt;
}

// The conditions of a RetryPolicy are words too, those of proxy-next-upstream; its statuses are
// kStatusPrefix and the number.
inline constexpr std::array<std::pair<bool RetryPolicy::*, std::string_view>, 4> kRetryConditions{
    {{&RetryPolicy::error, "error"},
     {&RetryPolicy::timeout, "timeout"},
     {&RetryPolicy::invalid_header, "invalid_header"},
     {&RetryPolicy::non_idempotent, "non_idempotent"}}};
inline constexpr std::string_view kStatusPrefix = "http_";

inline constexpr std::string_view kKindHost = "host";
inline constexpr std::string_view kKindService = "service";
inline constexpr std::string_view kKindTls = "tls";
inline constexpr std::string_view kKindTcp = "tcp";
inline constexpr std::string_view kKindFront = "front";
inline constexpr std::string_view kKindBucket = "bucket";
inline constexpr std::string_view kKindIndex = "index";

}  // namespace handfast::config
