#include "proxy/tls/ticket_facts.h"

#include <cstddef>
#include <cstdint>

#include "proxy/base/check.h"

namespace handfast::tls {
namespace {

// Longer tickets than some clients and middle boxes take aren't worth it.
constexpr std::size_t kMostChainBytes = 6 * 1024;

constexpr char kForm = 1;
constexpr std::size_t kEpochSize = 64;
constexpr std::size_t kTimeSize = 8;
constexpr std::size_t kFixedSize = 1 + kEpochSize + kTimeSize;

bool add_chain(std::string& facts, STACK_OF(X509) * chain) {
  for (int i = 0; i < sk_X509_num(chain); ++i) {  // -1 for null
    unsigned char* der = nullptr;
    const int size = i2d_X509(sk_X509_value(chain, i), &der);
    const pki::OpensslBytesPtr owned(der);
    if (size <= 0 || facts.size() + static_cast<std::size_t>(size) > kMostChainBytes) return false;
    facts.append(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  }
  return true;
}

}  // namespace

std::string write_ticket_facts(const ClientCertificate& client) {
  const std::string& epoch = client.policy()->epoch;
  if (!client.verdict().ok() || epoch.size() != kEpochSize) return {};
  std::string facts(1, kForm);
  facts.append(epoch);
  const auto time = static_cast<std::uint64_t>(client.verdict().valid_until);
  for (std::size_t i = kTimeSize; i-- > 0;) facts.push_back(static_cast<char>(time >> (8 * i)));
  return add_chain(facts, client.chain()) ? facts : std::string();
}

std::optional<TicketFacts> read_ticket_facts(std::string_view bytes) {
  if (bytes.size() < kFixedSize || bytes.front() != kForm) return std::nullopt;
  TicketFacts facts;
  facts.epoch = bytes.substr(1, kEpochSize);
  std::uint64_t time = 0;
  for (const char c : bytes.substr(1 + kEpochSize, kTimeSize)) {
    time = time << 8 | static_cast<unsigned char>(c);
  }
  facts.valid_until = static_cast<UnixSeconds>(time);
  facts.chain.reset(sk_X509_new_null());
  check(facts.chain != nullptr);
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data()) + kFixedSize;
  const auto* const end = reinterpret_cast<const unsigned char*>(bytes.data()) + bytes.size();
  const pki::CleanErrorQueue clean;
  while (at < end) {
    X509* const certificate = d2i_X509(nullptr, &at, end - at);
    if (certificate == nullptr) return std::nullopt;
    check(sk_X509_push(facts.chain.get(), certificate) > 0);
  }
  return facts;
}

}  // namespace handfast::tls
