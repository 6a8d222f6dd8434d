#include "controller/preflight/novelty.h"

#include <string.h>

#include <algorithm>
#include <memory>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "proxy/pki/identity.h"
#include "proxy/pki/passphrases.h"
#include "proxy/pki/trust.h"

namespace handfast::preflight {
namespace {

using config::KeyPairRef;
using config::UpstreamTls;

// Until when the pair can be presented; nothing if it can't be any more.
std::optional<UnixSeconds> find_end(const KeyPairRef& pair, UnixSeconds now,
                                    const ReadFile& read_file) {
  pki::Passphrases passphrases;
  if (!pair.passphrases.empty()) {
    auto text = read_file(pair.passphrases);
    if (!text) return std::nullopt;
    auto parsed = pki::Passphrases::parse(*text);
    ::explicit_bzero(text->data(), text->size());
    if (!parsed) return std::nullopt;
    passphrases = *std::move(parsed);
  }
  auto certificate = read_file(pair.certificate);
  if (!certificate) return std::nullopt;
  Result<std::shared_ptr<const pki::Identity>> identity;
  if (pair.certificate == pair.key) {
    identity = pki::Identity::load_file(pair.key, *certificate, passphrases.lines());
  } else {
    auto key = read_file(pair.key);
    if (!key) return std::nullopt;
    identity = pki::Identity::load(*certificate, *key, passphrases.lines());
    ::explicit_bzero(key->data(), key->size());
  }
  ::explicit_bzero(certificate->data(), certificate->size());
  if (!identity || now > (*identity)->info().not_after) return std::nullopt;
  return (*identity)->info().not_after;
}

using Anchors = std::set<std::string>;  // their sha256

std::optional<Anchors> read_anchors(const std::vector<config::FileRef>& files, UnixSeconds now,
                                    const ReadFile& read_file) {
  Anchors anchors;
  for (const config::FileRef& file : files) {
    const auto pem = read_file(file.path);
    if (!pem) return std::nullopt;
    const auto bundle = pki::CaBundle::load(*pem, now);
    if (!bundle) return std::nullopt;
    for (const auto& anchor : (*bundle)->anchors()) anchors.insert(pki::describe(*anchor).sha256);
  }
  return anchors;
}

void compare_trust(const UpstreamTls& served, const UpstreamTls& wanted, UnixSeconds now,
                   const ReadFile& read_file, Novelty& novelty) {
  if (served.ca == wanted.ca && served.system_ca == wanted.system_ca) return;
  // With verification off, or by a pin alone, nothing was trusted that could be kept.
  const bool was_trust = served.verify && (!served.ca.empty() || served.system_ca);
  if (!wanted.verify || !was_trust) return;
  const auto before = read_anchors(served.ca, now, read_file);
  const auto after = read_anchors(wanted.ca, now, read_file);
  novelty.trust = (wanted.system_ca && !served.system_ca) || !before || !after ||
                  !std::ranges::includes(*before, *after);
  novelty.may_keep_trust = novelty.trust && before && after && !before->empty() &&
                           (wanted.system_ca || !served.system_ca) &&
                           std::ranges::includes(*after, *before);
}

}  // namespace

Novelty find_novelty(const UpstreamTls& served, const UpstreamTls& wanted, UnixSeconds now,
                     const ReadFile& read_file) {
  Novelty novelty;
  novelty.identity = wanted.identity && wanted.identity != served.identity;
  if (novelty.identity && served.identity && served.identity->source == wanted.identity->source) {
    if (const auto end = find_end(*served.identity, now, read_file)) {
      novelty.may_keep_identity = true;
      novelty.identity_ends = *end;
    }
  }
  compare_trust(served, wanted, now, read_file, novelty);
  return novelty;
}

}  // namespace handfast::preflight
