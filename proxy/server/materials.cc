#include "proxy/server/materials.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "proxy/base/log.h"
#include "proxy/base/unique_fd.h"
#include "proxy/pki/ocsp.h"
#include "proxy/pki/passphrases.h"

namespace handfast::server {
namespace {

constexpr std::size_t kMaxPemBytes = 64 << 20;
constexpr std::size_t kMaxPassphraseBytes = 64 << 10;
constexpr std::size_t kMaxOcspBytes = 64 << 10;

Result<pki::Passphrases> read_passphrases(const std::string& path) {
  auto text = read_file(path, kMaxPassphraseBytes);
  if (!text) return fail(std::move(text.error()));
  auto passphrases = pki::Passphrases::parse(*text);
  ::explicit_bzero(text->data(), text->size());
  if (!passphrases) return within(path, std::move(passphrases.error()));
  return passphrases;
}
constexpr std::size_t kMaxTicketKeys = 4096;

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0)
    return fail(Reason::Io, path + ": " + ::strerror(errno));
  if (!S_ISREG(info.st_mode)) return fail(Reason::Io, path + ": not a file");
  if (static_cast<std::size_t>(info.st_size) > limit) {
    return fail(Reason::Io, path + ": larger than " + std::to_string(limit) + " bytes");
  }
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = ::read(fd.get(), bytes.data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(Reason::Io, path + ": " + ::strerror(errno));
    if (got == 0) return fail(Reason::Io, path + ": became shorter while it was read");
    have += static_cast<std::size_t>(got);
  }
  return bytes;
}

Result<Materials::Loaded<pki::Identity>> Materials::identity(const config::KeyPairRef& files) {
  Cached<pki::Identity>& cached = identities_[config::sha256(
      files.certificate + '\n' + files.key + '\n' + files.passphrases + '\n' + files.ocsp)];
  if (auto object = cached.object.lock()) return loaded(std::move(object), cached.hash);
  pki::Passphrases passphrases;
  if (!files.passphrases.empty()) {
    auto read = read_passphrases(root_ + "/" + files.passphrases);
    if (!read) return fail(std::move(read.error()));
    passphrases = std::move(*read);
  }
  auto certificate = read_file(root_ + "/" + files.certificate, kMaxPemBytes);
  if (!certificate) return fail(std::move(certificate.error()));
  auto identity = load_identity(files, *certificate, passphrases.lines());
  const pki::Sha256 hash = config::sha256(*certificate);
  // It may hold the key too.
  ::explicit_bzero(certificate->data(), certificate->size());
  if (!identity) return within(files.certificate, identity.error());
  if (!files.ocsp.empty()) identity = staple(std::move(*identity), files.ocsp);
  // The chain that is sent belongs to what we present. A passphrase is no part of it; a key that is
  // written in another way counts as another, though it is told by its certificate.
  cached = {*identity, hash};
  return loaded(*std::move(identity), hash);
}

Result<std::shared_ptr<const pki::Identity>> Materials::load_identity(
    const config::KeyPairRef& files, std::string_view certificate,
    std::span<const std::string> passphrases) const {
  if (files.certificate == files.key) {
    return pki::Identity::load_file(files.key, certificate, passphrases);
  }
  auto key = read_file(root_ + "/" + files.key, kMaxPemBytes);
  if (!key) return fail(std::move(key.error()));
  auto loaded = pki::Identity::load(certificate, *key, passphrases);
  ::explicit_bzero(key->data(), key->size());
  return loaded;
}

// A response that isn't good is left out: no client needs one.
std::shared_ptr<const pki::Identity> Materials::staple(
    std::shared_ptr<const pki::Identity> identity, const std::string& path) const {
  auto response = read_file(root_ + "/" + path, kMaxOcspBytes);
  if (!response) {
    log(LogLevel::Warning, "an OCSP response can't be read", {{"detail", response.error().detail}});
    return identity;
  }
  const std::span bytes(reinterpret_cast<const unsigned char*>(response->data()), response->size());
  const auto open = identity->open();
  if (open == nullptr) return identity;
  const pki::OcspVerdict verdict =
      pki::judge_own_ocsp(bytes, *open->leaf, open->intermediates.get(), clock_.unix_now());
  if (verdict.reason != Reason::Ok) {
    log(LogLevel::Warning, "an OCSP response is not stapled",
        {{"file", path}, {"detail", verdict.detail}});
    return identity;
  }
  return identity->with_staple(std::move(*response), verdict.valid_until);
}

Result<Materials::Loaded<pki::CaBundle>> Materials::ca(const config::FileRef& file) {
  Cached<pki::CaBundle>& cached = authorities_[config::sha256(file.path)];
  if (auto object = cached.object.lock()) return loaded(std::move(object), cached.hash);
  const auto pem = read_file(root_ + "/" + file.path, kMaxPemBytes);
  if (!pem) return fail(pem.error());
  const pki::Sha256 hash = config::sha256(*pem);
  std::weak_ptr<const pki::CaBundle>& same = authority_contents_[hash];
  auto object = same.lock();
  if (object == nullptr) {
    bytes_parsed_ += pem->size();
    auto parsed = pki::CaBundle::load(*pem, clock_.unix_now());
    if (!parsed) return within(file.path, parsed.error());
    object = *std::move(parsed);
    same = object;
  }
  cached = {object, hash};
  return loaded(std::move(object), hash);
}

Result<Materials::Loaded<pki::CrlSet>> Materials::crl(const config::FileRef& file) {
  Cached<pki::CrlSet>& cached = revocations_[config::sha256(file.path)];
  if (auto object = cached.object.lock()) return loaded(std::move(object), cached.hash);
  const auto bytes = read_file(root_ + "/" + file.path, kMaxPemBytes);
  if (!bytes) return fail(bytes.error());
  const pki::Sha256 hash = config::sha256(*bytes);
  std::weak_ptr<const pki::CrlSet>& same = revocation_contents_[hash];
  auto object = same.lock();
  if (object == nullptr) {
    bytes_parsed_ += bytes->size();
    auto parsed = pki::CrlSet::load(*bytes);
    if (!parsed) return within(file.path, parsed.error());
    object = *std::move(parsed);
    same = object;
  }
  cached = {object, hash};
  return loaded(std::move(object), hash);
}

Result<Materials::Loaded<pki::CaBundle>> Materials::system_ca() {
  Cached<pki::CaBundle>& cached = authorities_[config::sha256("system")];
  if (auto object = cached.object.lock()) return loaded(std::move(object), cached.hash);
  auto system = pki::CaBundle::load_system(clock_.unix_now());
  if (!system) return fail(system.error());
  std::string fingerprints;
  for (const auto& anchor : (*system)->anchors()) fingerprints += pki::describe(*anchor).sha256;
  cached = {*system, config::sha256(fingerprints)};
  return loaded(*std::move(system), cached.hash);
}

Result<std::shared_ptr<const tls::TicketKeyRing>> Materials::ticket_keys(
    const std::vector<config::FileRef>& files) const {
  std::vector<std::string> contents;
  for (const config::FileRef& file : files) {
    auto bytes = read_file(root_ + "/" + file.path, kMaxTicketKeys);
    if (!bytes) return fail(bytes.error());
    contents.push_back(std::move(*bytes));
  }
  return tls::TicketKeyRing::load(std::move(contents));
}

void Materials::collect() {
  const auto unused = [](const auto& entry) { return entry.second.object.expired(); };
  std::erase_if(identities_, unused);
  std::erase_if(authorities_, unused);
  std::erase_if(revocations_, unused);
  const auto is_gone = [](const auto& entry) { return entry.second.expired(); };
  std::erase_if(authority_contents_, is_gone);
  std::erase_if(revocation_contents_, is_gone);
}

void Materials::forget() {
  identities_.clear();
  authorities_.clear();
  revocations_.clear();
  authority_contents_.clear();
  revocation_contents_.clear();
}

}  // namespace handfast::server
