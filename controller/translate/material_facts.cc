#include "controller/translate/material_facts.h"

#include "proxy/pki/identity.h"
#include "proxy/pki/trust.h"

namespace handfast::translate {

Facts parse_pair(std::string_view certificate, std::string_view key) {
  Facts facts;
  const auto identity = pki::Identity::load(certificate, key);
  if (!identity) {
    facts.error = identity.error();
    return facts;
  }
  const pki::CertificateInfo& info = (*identity)->info();
  facts.sans = info.sans;
  facts.not_before = info.not_before;
  facts.not_after = info.not_after;
  return facts;
}

Facts parse_ca(std::string_view pem, std::int64_t now) {
  Facts facts;
  const auto bundle = pki::CaBundle::load(pem, now);
  if (!bundle) {
    facts.error = bundle.error();
    return facts;
  }
  facts.not_after = (*bundle)->earliest_not_after();
  facts.warnings = (*bundle)->warnings();
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
  return facts;
}

}  // namespace handfast::translate
