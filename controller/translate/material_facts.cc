#include "controller/translate/material_facts.h"

#include <memory>

#include "proxy/pki/identity.h"
#include "proxy/pki/passphrases.h"
#include "proxy/pki/trust.h"

namespace handfast::translate {

namespace {

using LoadedIdentity = Result<std::shared_ptr<const pki::Identity>>;

Facts facts_of(const LoadedIdentity& identity) {
  Facts facts;
  if (!identity) {
    facts.error = identity.error();
    return facts;
  }
  const pki::CertificateInfo& info = (*identity)->info();
  facts.sans = info.sans;
  facts.key_type = info.key_type;
  facts.for_clients = info.is_for_clients;
  facts.not_before = info.not_before;
  facts.not_after = info.not_after;
  return facts;
}

Result<pki::Passphrases> read_passphrases(std::string_view text) {
  if (text.empty()) return pki::Passphrases{};
  return pki::Passphrases::parse(text);
}

}  // namespace

Facts parse_pair(std::string_view certificate, std::string_view key, std::string_view passphrases) {
  const auto read = read_passphrases(passphrases);
  if (!read) return facts_of(fail(read.error()));
  return facts_of(pki::Identity::load(certificate, key, read->lines()));
}

Facts parse_pkcs12(std::string_view bytes, std::string_view passphrases) {
  const auto read = read_passphrases(passphrases);
  if (!read) return facts_of(fail(read.error()));
  return facts_of(pki::Identity::load_pkcs12(bytes, read->lines()));
}

Facts parse_ca(std::string_view pem, std::int64_t now) {
  Facts facts;
  const auto bundle = pki::CaBundle::load(pem, now);
  if (!bundle) {
    facts.error = bundle.error();
    return facts;
  }
  facts.not_after = (*bundle)->earliest_not_after();
  facts.not_before = (*bundle)->next_not_before();
  facts.warnings = (*bundle)->warnings();
  facts.early = (*bundle)->early();
  return facts;
}

Facts parse_crl(std::string_view bytes) {
  Facts facts;
  const auto crls = pki::CrlSet::load(bytes);
  if (!crls) {
    facts.error = crls.error();
    return facts;
  }
  facts.not_after = (*crls)->earliest_next_update();
  facts.due_at = (*crls)->due_at();
  return facts;
}

Facts parse_ticket_keys(std::string_view lines) {
  constexpr std::size_t kMostKeys = 16;
  Facts facts;
  std::size_t count = 0;
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    const std::size_t size = end / 2;
    if ((size != 48 && size != 80) || ++count > kMostKeys) {
      facts.error = Error{Reason::BadKey, "ticket.key: a key has " + std::to_string(size) +
                                              " bytes and not 48 or 80, or there are too many"};
    }
    lines.remove_prefix(end + 1);
  }
  return facts;
}

}  // namespace handfast::translate
