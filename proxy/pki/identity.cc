#include "proxy/pki/identity.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/pki/asn1_text.h"
#include "proxy/pki/intermediates.h"
#include "proxy/pki/key_decoder.h"
#include "proxy/pki/leaf.h"
#include "proxy/pki/names.h"
#include "proxy/pki/pem.h"
#include "proxy/pki/pins.h"
#include "proxy/pki/pkcs12.h"
#include "proxy/pki/strength.h"

namespace handfast::pki {
namespace {

using UsagesPtr = std::unique_ptr<EXTENDED_KEY_USAGE, OpensslDeleter<EXTENDED_KEY_USAGE_free>>;

constexpr int kNoExtension = -1;  // X509_get_ext_d2i(3)

// More than any peer accepts; keeps the ordering below cheap for hostile input.
constexpr std::size_t kMaxChain = 64;

X509StackPtr new_stack() {
  X509StackPtr stack{sk_X509_new_null()};
  check(stack != nullptr);
  return stack;
}

void push(STACK_OF(X509) * stack, X509Ptr certificate) {
  check(sk_X509_push(stack, certificate.get()) > 0);
  static_cast<void>(certificate.release());
}

// The one block that is a private key. "EC PARAMETERS" is what `openssl ecparam -genkey` writes in
// front of one.
Result<PemBlock> find_key_block(std::span<const PemBlock> blocks) {
  static constexpr std::array<std::string_view, 4> kKeys{"PRIVATE KEY", "RSA PRIVATE KEY",
                                                         "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"};
  std::vector<PemBlock> keys;
  for (const PemBlock& block : blocks) {
    if (block.label == "EC PARAMETERS") continue;
    if (std::find(kKeys.begin(), kKeys.end(), block.label) == kKeys.end()) {
      return fail(Reason::BadKey, "holds a block of type " + std::string(block.label) +
                                      ": expected one private key (PKCS#8, PKCS#1 or SEC1)");
    }
    keys.push_back(block);
  }
  if (keys.size() == 1) return keys.front();
  return fail(Reason::BadKey,
              keys.empty() ? "holds no private key" : "holds more than one private key: keep one");
}

struct LoadedKey {
  EvpPkeyPtr key;
  std::optional<PackedKey> packed;  // that was opened from it
};

Result<LoadedKey> load_key(std::span<const PemBlock> blocks,
                           std::span<const std::string> passphrases) {
  const CleanErrorQueue clean;
  const auto block = find_key_block(blocks);
  if (!block) return fail(block.error());
  LoadedKey loaded;
  if (block->encrypted) {
    auto decrypted = decode_encrypted_key(*block, passphrases);
    if (!decrypted) return fail(std::move(decrypted.error()));
    loaded.key = std::move(*decrypted);
  } else if (auto packed = PackedKey::pack(*block)) {
    loaded.key = packed->open();
    if (loaded.key) loaded.packed.emplace(*std::move(packed));
  }
  // What OpenSSL's search takes and no ready decoder does (bytes behind the key) can't be packed.
  if (!loaded.key) loaded.key = decode_private_key(*block);
  if (!loaded.key) {
    return fail(Reason::BadKey, "the private key can't be decoded: " + drain_openssl_errors());
  }
  if (auto why = key_unusable_in_tls(loaded.key.get())) {
    return fail(Reason::BadKey, std::move(*why));
  }
  return loaded;
}

Status presentable(std::span<const X509Ptr> certificates) {
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    auto why = key_weakness(X509_get0_pubkey(certificates[i].get()));
    if (!why) why = signature_weakness(certificates[i].get());
    if (why) {
      return fail(Reason::BadCertificate,
                  entry_text(i) + " (" +
                      printable(name_text(X509_get_subject_name(certificates[i].get()))) + ") " +
                      *why);
    }
  }
  return {};
}

// A bundle that lists the same certificate twice means it once.
void drop_duplicates(std::vector<X509Ptr>& certificates) {
  std::vector<X509Ptr> kept;
  for (X509Ptr& next : certificates) {
    const bool seen = std::any_of(kept.begin(), kept.end(), [&next](const X509Ptr& other) {
      return X509_cmp(next.get(), other.get()) == 0;
    });
    if (!seen) kept.push_back(std::move(next));
  }
  certificates = std::move(kept);
}

Result<X509Ptr> take_leaf(std::vector<X509Ptr>& certificates, const EVP_PKEY& key) {
  std::vector<std::size_t> matches;
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    const EVP_PKEY* certified = X509_get0_pubkey(certificates[i].get());
    if (certified != nullptr && EVP_PKEY_eq(certified, &key) == 1) matches.push_back(i);
  }
  if (matches.empty()) {
    return fail(Reason::KeyMismatch,
                "belongs to no certificate given (first: " +
                    printable(name_text(X509_get_subject_name(certificates.front().get()))) + ")");
  }
  if (matches.size() > 1) {
    return fail(Reason::BadCertificate, "two different certificates belong to the key: keep one");
  }
  X509Ptr leaf = std::move(certificates[matches.front()]);
  certificates.erase(certificates.begin() + static_cast<std::ptrdiff_t>(matches.front()));
  return leaf;
}

bool issued(X509* issuer, X509* certificate) {
  return X509_check_issued(issuer, certificate) == X509_V_OK &&
         X509_verify(certificate, X509_get0_pubkey(issuer)) == 1;
}

// Each certificate after the one it signed, as TLS 1.2 wants it; what belongs to no one comes last,
// because a second path (a cross-signed CA) may need it.
X509StackPtr in_sending_order(X509* leaf, std::vector<X509Ptr> rest) {
  X509StackPtr ordered = new_stack();
  X509* below = leaf;
  while (!rest.empty()) {
    const auto next = std::find_if(rest.begin(), rest.end(), [below](const X509Ptr& candidate) {
      return issued(candidate.get(), below);
    });
    if (next == rest.end()) break;
    below = next->get();
    push(ordered.get(), std::move(*next));
    rest.erase(next);
  }
  for (X509Ptr& other : rest) push(ordered.get(), std::move(other));
  return ordered;
}

bool allows_clients(const X509& certificate) {
  const CleanErrorQueue clean;
  int critical = 0;
  const UsagesPtr usages{static_cast<EXTENDED_KEY_USAGE*>(
      X509_get_ext_d2i(&certificate, NID_ext_key_usage, &critical, nullptr))};
  // One that is there and can't be read allows nothing.
  if (usages == nullptr) return critical == kNoExtension;
  for (int i = 0; i < sk_ASN1_OBJECT_num(usages.get()); ++i) {
    const int usage = OBJ_obj2nid(sk_ASN1_OBJECT_value(usages.get(), i));
    if (usage == NID_client_auth || usage == NID_anyExtendedKeyUsage) return true;
  }
  return false;
}

// `key`: the certificate's; null: it can't be read.
CertificateInfo describe(const X509& certificate, const EVP_PKEY* key, const Sha256& sha256) {
  const CleanErrorQueue clean;
  CertificateInfo info;
  info.subject = name_text(X509_get_subject_name(&certificate));
  info.issuer = name_text(X509_get_issuer_name(&certificate));
  info.serial = serial_text(X509_get0_serialNumber(&certificate));
  info.sha256 = sha256_text(sha256);
  const char* const type = key == nullptr ? nullptr : EVP_PKEY_get0_type_name(key);
  if (type != nullptr) info.key_type = type;
  info.sans = subject_alt_names(certificate);
  info.not_before = to_unix(X509_get0_notBefore(&certificate)).value_or(0);
  info.not_after = to_unix(X509_get0_notAfter(&certificate)).value_or(0);
  info.is_for_clients = allows_clients(certificate);
  return info;
}

std::array<unsigned char, 20> sha1_of(std::span<const unsigned char> bytes) {
  std::array<unsigned char, 20> digest{};
  check(EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha1(), nullptr) == 1);
  return digest;
}

std::vector<std::shared_ptr<X509>> share(STACK_OF(X509) * intermediates) {
  std::vector<std::shared_ptr<X509>> shared;
  for (int i = 0; i < sk_X509_num(intermediates); ++i) {
    shared.push_back(share_intermediate(*sk_X509_value(intermediates, i)));
  }
  return shared;
}

// The one intermediate of a chain, or none, if others sent it before. Nothing: the long way has to
// read it.
std::optional<std::vector<std::shared_ptr<X509>>> find_known(std::span<const PemBlock> blocks) {
  std::vector<std::shared_ptr<X509>> known;
  if (blocks.empty()) return known;
  if (blocks.size() > 1 || !is_certificate(blocks.front())) return std::nullopt;
  const auto der = decode_block(blocks.front(), Reason::BadCertificate);
  auto one = der ? find_intermediate({der->data.get(), der->size}) : nullptr;
  if (one == nullptr) return std::nullopt;
  known.push_back(std::move(one));
  return known;
}

}  // namespace

CertificateInfo describe(const X509& certificate) {
  return describe(certificate, X509_get0_pubkey(&certificate), certificate_sha256(certificate));
}

bool covers_host(const X509& certificate, std::string_view host) {
  const NameKind kind = name_kind(host);
  return (kind == NameKind::Dns || kind == NameKind::Ip) && proves_name(certificate, host);
}

Result<CertificateChain> load_chain(std::string_view pem) {
  auto certificates = parse_certificates(pem, Reason::BadCertificate);
  if (!certificates) return fail(std::move(certificates.error()));
  CertificateChain chain{std::move(certificates->front()), new_stack()};
  for (std::size_t i = 1; i < certificates->size(); ++i) {
    push(chain.intermediates.get(), std::move((*certificates)[i]));
  }
  return chain;
}

std::string join_pem(std::string_view certificate_pem, std::string_view key_pem) {
  static constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (key_pem.starts_with(kByteOrderMark)) key_pem.remove_prefix(kByteOrderMark.size());
  std::string pem;
  pem.reserve(certificate_pem.size() + 1 + key_pem.size());
  pem.append(certificate_pem);
  if (!pem.ends_with('\n')) pem += '\n';
  return pem.append(key_pem);
}

Result<std::shared_ptr<const Identity>> Identity::load(std::string_view certificate_pem,
                                                       std::string_view key_pem,
                                                       std::span<const std::string> passphrases) {
  const CleanErrorQueue clean;
  const auto certificates = split_pem(certificate_pem, Reason::BadCertificate);
  if (!certificates) return within("tls.crt", certificates.error());
  const auto keys = split_pem(key_pem, Reason::BadKey);
  if (keys) return load_blocks(*certificates, *keys, passphrases, {"tls.crt", "tls.key"});
  // What is wrong with the certificates is told first.
  const auto parsed = parse_certificates(*certificates, Reason::BadCertificate);
  return parsed ? within("tls.key", keys.error()) : within("tls.crt", parsed.error());
}

Result<std::shared_ptr<const Identity>> Identity::load_pem(
    std::string_view pem, std::span<const std::string> passphrases) {
  const CleanErrorQueue clean;
  auto blocks = split_pem(pem, Reason::BadCertificate);
  if (!blocks) return within("tls.pem", std::move(blocks.error()));
  const auto keys = std::ranges::stable_partition(*blocks, is_certificate);
  const std::span<const PemBlock> first(blocks->begin(), keys.begin());
  if (first.empty()) return fail(Reason::BadCertificate, "tls.pem: holds no certificate");
  return load_blocks(first, {keys.begin(), keys.end()}, passphrases, {"tls.pem", "tls.pem"});
}

Result<std::shared_ptr<const Identity>> Identity::load_blocks(
    std::span<const PemBlock> certificates, std::span<const PemBlock> keys,
    std::span<const std::string> passphrases, const FileNames& files) {
  if (auto plain = load_plain(certificates, keys)) return plain;
  auto parsed = parse_certificates(certificates, Reason::BadCertificate);
  if (!parsed) return within(files.certificate, std::move(parsed.error()));
  auto key = load_key(keys, passphrases);
  if (!key) return within(files.key, std::move(key.error()));
  return join(std::move(*parsed), std::move(key->key), std::move(key->packed), files);
}

Result<std::shared_ptr<const Identity>> Identity::load_file(
    std::string_view name, std::string_view bytes, std::span<const std::string> passphrases) {
  return name.ends_with(".p12") ? load_pkcs12(bytes, passphrases) : load_pem(bytes, passphrases);
}

Result<std::shared_ptr<const Identity>> Identity::load_pkcs12(
    std::string_view bytes, std::span<const std::string> passphrases) {
  const CleanErrorQueue clean;
  auto content = read_pkcs12(bytes, passphrases);
  if (!content) return within("tls.p12", std::move(content.error()));
  if (auto why = key_unusable_in_tls(content->key.get())) {
    return fail(Reason::BadKey, "tls.p12: the private key " + *why);
  }
  return join(std::move(content->certificates), std::move(content->key), std::nullopt,
              {"tls.p12", "tls.p12"});
}

Result<std::shared_ptr<const Identity>> Identity::join(std::vector<X509Ptr> certificates,
                                                       EvpPkeyPtr key,
                                                       std::optional<PackedKey> packed_key,
                                                       const FileNames& files) {
  if (certificates.size() > kMaxChain) {
    return within(files.certificate,
                  {Reason::BadCertificate,
                   "holds more than 64 certificates: give the leaf and its intermediates"});
  }
  Status usable = presentable(certificates);
  drop_duplicates(certificates);
  auto leaf = take_leaf(certificates, *key);
  if (!leaf) {
    const bool mismatch = leaf.error().reason == Reason::KeyMismatch;
    return within(mismatch ? files.key : files.certificate, std::move(leaf.error()));
  }
  // Told after the match: "wrong key" is the likelier mistake, and the plainer sentence.
  if (!usable) return within(files.certificate, std::move(usable.error()));
  OpenIdentity open{.leaf = std::move(*leaf), .intermediates = {}, .key = std::move(key)};
  open.intermediates = in_sending_order(open.leaf.get(), std::move(certificates));

  const std::shared_ptr<Identity> identity(new Identity);
  auto der = encode_certificate(*open.leaf);
  identity->info_ = describe(*open.leaf);
  identity->leaf_sha1_ = sha1_of(der);
  if (packed_key) {
    identity->packed_ = std::make_shared<const PackedIdentity>(
        std::move(der), share(open.intermediates.get()), *std::move(packed_key));
  } else {
    identity->open_ = std::make_shared<const OpenIdentity>(std::move(open));
  }
  return identity;
}

std::shared_ptr<const Identity> Identity::load_plain(std::span<const PemBlock> certificates,
                                                     std::span<const PemBlock> keys) {
  if (certificates.empty() || !is_certificate(certificates.front())) return nullptr;
  auto intermediates = find_known(certificates.subspan(1));
  const auto block = find_key_block(keys);
  if (!intermediates || !block || block->encrypted) return nullptr;
  auto leaf = read_leaf(certificates.front());
  if (!leaf) return nullptr;
  auto packed = PackedKey::pack(*block);
  const EvpPkeyPtr key = packed ? packed->open() : nullptr;
  // The long way tells of two certificates of one key.
  const bool is_good =
      key != nullptr && EVP_PKEY_eq(leaf->key.get(), key.get()) == 1 &&
      !key_unusable_in_tls(key.get()) && !key_weakness(leaf->key.get()) &&
      !signature_weakness(leaf->certificate.get()) &&
      std::ranges::none_of(*intermediates, [&key](const std::shared_ptr<X509>& each) {
        return EVP_PKEY_eq(X509_get0_pubkey(each.get()), key.get()) == 1;
      });
  if (!is_good) return nullptr;

  const std::shared_ptr<Identity> identity(new Identity);
  identity->info_ = describe(*leaf->certificate, leaf->key.get(), sha256_of(leaf->der));
  identity->leaf_sha1_ = sha1_of(leaf->der);
  identity->packed_ = std::make_shared<const PackedIdentity>(
      std::move(leaf->der), *std::move(intermediates), *std::move(packed));
  return identity;
}

Identity::~Identity() = default;

bool Identity::is_leaf(const X509& certificate) const {
  const auto mine = open();
  return mine != nullptr && X509_cmp(mine->leaf.get(), &certificate) == 0;
}

std::shared_ptr<const Identity> Identity::with_staple(std::string response,
                                                      UnixSeconds valid_until) const {
  const std::shared_ptr<Identity> stapled(new Identity);
  stapled->open_ = open_;
  stapled->packed_ = packed_;
  stapled->leaf_sha1_ = leaf_sha1_;
  stapled->info_ = info_;
  stapled->staple_ = std::move(response);
  stapled->staple_valid_until_ = valid_until;
  return stapled;
}

}  // namespace handfast::pki
