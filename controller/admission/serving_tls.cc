#include "controller/admission/serving_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/stat.h>

#include <array>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <utility>

#include "proxy/base/log.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::admission {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;

// A key that is wanted with a passphrase is an error, never a prompt.
int no_passphrase(char*, int, int, void*) { return -1; }

struct FileCloser {
  void operator()(std::FILE* file) const noexcept { (void)std::fclose(file); }
};

Result<std::string> read_file(const std::string& path) {
  const std::unique_ptr<std::FILE, FileCloser> file{std::fopen(path.c_str(), "rbe")};
  if (!file) return fail(Reason::Io, path + ": can't be read");
  std::string bytes;
  std::array<char, 16384> part{};
  std::size_t got = 0;
  while ((got = std::fread(part.data(), 1, part.size(), file.get())) > 0) {
    bytes.append(part.data(), got);
    if (bytes.size() > kMaxFileBytes) return fail(Reason::Io, path + ": is larger than 1 MiB");
  }
  ::explicit_bzero(part.data(), part.size());
  if (std::ferror(file.get()) != 0) return fail(Reason::Io, path + ": can't be read");
  return bytes;
}

pki::BioPtr bio_of(std::string_view pem) {
  return pki::BioPtr{
      BIO_new_mem_buf(pem.data(), pem.size() > INT_MAX ? 0 : static_cast<int>(pem.size()))};
}

pki::X509Ptr next_certificate(BIO* bio) {
  return pki::X509Ptr{PEM_read_bio_X509(bio, nullptr, no_passphrase, nullptr)};
}

}  // namespace

struct ServingTls::Pair {
  pki::X509Ptr leaf;
  std::vector<pki::X509Ptr> chain;
  pki::EvpPkeyPtr key;
};

Result<std::shared_ptr<const ServingTls::Pair>> ServingTls::parse_pair(std::string_view certificate,
                                                                       std::string_view key) {
  const pki::CleanErrorQueue clean;
  auto pair = std::make_shared<Pair>();
  const pki::BioPtr certificates = bio_of(certificate);
  pair->leaf = next_certificate(certificates.get());
  if (!pair->leaf) return fail(Reason::BadCertificate, "there is no certificate in it");
  while (pki::X509Ptr next = next_certificate(certificates.get())) {
    pair->chain.push_back(std::move(next));
  }
  const pki::BioPtr keys = bio_of(key);
  pair->key.reset(PEM_read_bio_PrivateKey(keys.get(), nullptr, no_passphrase, nullptr));
  if (!pair->key) return fail(Reason::BadKey, "there is no key without a passphrase in it");
  if (X509_check_private_key(pair->leaf.get(), pair->key.get()) != 1) {
    return fail(Reason::KeyMismatch, "certificate and key don't belong together");
  }
  return pair;
}

namespace {

Result<std::shared_ptr<X509_STORE>> parse_store(std::string_view pem) {
  const pki::CleanErrorQueue clean;
  std::shared_ptr<X509_STORE> store{X509_STORE_new(), X509_STORE_free};
  const pki::BioPtr bio = bio_of(pem);
  bool is_empty = true;
  while (pki::X509Ptr next = next_certificate(bio.get())) {
    if (!store || X509_STORE_add_cert(store.get(), next.get()) != 1) {
      return fail(Reason::BadCa, "a CA can't be used");
    }
    is_empty = false;
  }
  if (is_empty) return fail(Reason::BadCa, "there is no certificate in it");
  return store;
}

// No handshake of it completes: nobody has a certificate that an empty store trusts.
void close_off(SSL_CTX* context) {
  const pki::X509StorePtr nobody{X509_STORE_new()};
  if (nobody) (void)SSL_CTX_set1_verify_cert_store(context, nobody.get());
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  (void)SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  (void)SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
}

}  // namespace

ServingTls::ServingTls(Files files) : files_(std::move(files)) {}
ServingTls::~ServingTls() = default;

Result<std::unique_ptr<ServingTls>> ServingTls::open(Files files) {
  std::unique_ptr<ServingTls> tls{new ServingTls(std::move(files))};
  const std::lock_guard lock{tls->mutex_};
  if (!tls->files_.client_ca.empty()) {
    if (Status read = tls->read_client_ca(); !read) return fail(std::move(read.error()));
  }
  if (!tls->files_.certificate.empty()) {
    if (Status read = tls->read_pair(); !read) return fail(std::move(read.error()));
  }
  return tls;
}

// Empty: one of them isn't there.
ServingTls::Stamp ServingTls::stamp_of(const std::vector<std::string>& files) {
  Stamp stamp;
  for (const std::string& file : files) {
    struct stat about{};
    if (::stat(file.c_str(), &about) != 0) return {};
    stamp.insert(stamp.end(),
                 {static_cast<std::int64_t>(about.st_dev), static_cast<std::int64_t>(about.st_ino),
                  about.st_size, about.st_mtim.tv_sec, about.st_mtim.tv_nsec});
  }
  return stamp;
}

Status ServingTls::use(std::string_view certificate, std::string_view key) {
  auto pair = parse_pair(certificate, key);
  if (!pair) return fail(std::move(pair.error()));
  const std::lock_guard lock{mutex_};
  pair_ = std::move(*pair);
  return {};
}

Status ServingTls::read_pair() {
  const Stamp stamp = stamp_of({files_.certificate, files_.key});
  const auto certificate = read_file(files_.certificate);
  if (!certificate) return fail(certificate.error());
  auto key = read_file(files_.key);
  if (!key) return fail(std::move(key.error()));
  auto pair = parse_pair(*certificate, *key);
  ::explicit_bzero(key->data(), key->size());
  if (!pair) return within(files_.certificate + ", " + files_.key, std::move(pair.error()));
  pair_ = std::move(*pair);
  pair_stamp_ = stamp;
  return {};
}

Status ServingTls::read_client_ca() {
  const Stamp stamp = stamp_of({files_.client_ca});
  const auto pem = read_file(files_.client_ca);
  if (!pem) return fail(pem.error());
  auto store = parse_store(*pem);
  if (!store) return within(files_.client_ca, std::move(store.error()));
  client_ca_ = std::move(*store);
  ca_stamp_ = stamp;
  if (*pem != client_ca_pem_) ++trust_;
  client_ca_pem_ = *pem;
  return {};
}

void ServingTls::look_again() {
  const auto look = [](const std::string& file, const Stamp& known, std::optional<Stamp>& told,
                       const Stamp& now, auto read) {
    if (file.empty() || now == known) return;
    const Status done = read();
    if (done) {
      told.reset();
      log(LogLevel::Info, "the admission webhook has read new files", {{"file", file}});
    } else if (told != now) {
      told = now;
      log(LogLevel::Warning, "the admission webhook keeps the files that it had",
          {{"reason", to_string(done.error().reason)}, {"detail", done.error().detail}});
    }
  };
  look(files_.certificate, pair_stamp_, pair_told_, stamp_of({files_.certificate, files_.key}),
       [this] { return read_pair(); });
  look(files_.client_ca, ca_stamp_, ca_told_, stamp_of({files_.client_ca}),
       [this] { return read_client_ca(); });
}

std::uint64_t ServingTls::trust() {
  const std::lock_guard lock{mutex_};
  if (!files_.client_ca.empty()) look_again();
  return trust_;
}

void ServingTls::prepare(ssl_ctx_st* context) {
  std::shared_ptr<const Pair> pair;
  std::shared_ptr<X509_STORE> client_ca;
  {
    const std::lock_guard lock{mutex_};
    look_again();
    pair = pair_;
    client_ca = client_ca_;
  }
  const pki::CleanErrorQueue clean;
  // Each connection has a context of its own: there is no session that could be resumed.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_security_level(context, 2);
  bool good = pair != nullptr && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
              SSL_CTX_use_certificate(context, pair->leaf.get()) == 1 &&
              SSL_CTX_use_PrivateKey(context, pair->key.get()) == 1;
  for (std::size_t i = 0; good && i < pair->chain.size(); ++i) {
    good = SSL_CTX_add1_chain_cert(context, pair->chain[i].get()) == 1;
  }
  if (good && !files_.client_ca.empty()) {
    good = client_ca != nullptr && SSL_CTX_set1_verify_cert_store(context, client_ca.get()) == 1;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  if (!good) close_off(context);
}

}  // namespace handfast::admission
