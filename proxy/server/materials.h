#pragma once
// Certificates, keys, CAs and CRLs of files, parsed once per content and shared by whoever names
// them.
//
// Files of a state directory never change under their path, so a path is remembered as long as a
// policy or host still uses what was read from it. CAs and CRLs of many objects are often the same
// bytes: these are one.
//
// Threading: the loader's. Errors: of the operator's material, with the file's path in detail.

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/config/model.h"
#include "proxy/pki/identity.h"
#include "proxy/pki/pins.h"
#include "proxy/pki/trust.h"
#include "proxy/tls/ticket_keys.h"

namespace handfast::server {

// Reads a whole file of at most `limit` bytes.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t limit);

class Materials {
 public:
  // `root`: what the paths of the model are relative to.
  Materials(std::string root, const Clock& clock) : root_(std::move(root)), clock_(clock) {}

  // What was read, and the sha256 of the bytes that it was made of, in hex.
  template <class T>
  struct Loaded {
    std::shared_ptr<const T> object;
    std::string hash;
  };

  Result<Loaded<pki::Identity>> identity(const config::KeyPairRef& files);
  Result<Loaded<pki::CaBundle>> ca(const config::FileRef& file);
  Result<Loaded<pki::CrlSet>> crl(const config::FileRef& file);
  Result<Loaded<pki::CaBundle>> system_ca();
  // Small, and read anew each time: nothing is kept here.
  Result<std::shared_ptr<const tls::TicketKeyRing>> ticket_keys(
      const std::vector<config::FileRef>& files) const;

  // Drops what nobody uses any more.
  void collect();
  // The bytes of the CAs and CRLs that were made into objects since it was asked last.
  [[nodiscard]] std::size_t take_bytes_parsed() { return std::exchange(bytes_parsed_, 0); }
  // Forgets every path: the files may have changed (a configuration without a controller).
  void forget();

 private:
  // There are as many as objects that name something: digests are a third of their paths and texts.
  template <class T>
  struct Cached {
    std::weak_ptr<const T> object;
    pki::Sha256 hash{};
  };
  // By the sha256 of the paths.
  template <class T>
  using Cache = std::map<pki::Sha256, Cached<T>>;
  // By that of the bytes.
  template <class T>
  using Contents = std::map<pki::Sha256, std::weak_ptr<const T>>;

  template <class T>
  static Loaded<T> loaded(std::shared_ptr<const T> object, const pki::Sha256& hash) {
    return {std::move(object), pki::sha256_text(hash)};
  }

  Result<std::shared_ptr<const pki::Identity>> load_identity(
      const config::KeyPairRef& files, std::string_view certificate,
      std::span<const std::string> passphrases) const;
  [[nodiscard]] std::shared_ptr<const pki::Identity> staple(
      std::shared_ptr<const pki::Identity> identity, const std::string& path) const;

  std::string root_;
  const Clock& clock_;
  Cache<pki::Identity> identities_;
  Cache<pki::CaBundle> authorities_;
  Cache<pki::CrlSet> revocations_;
  Contents<pki::CaBundle> authority_contents_;
  Contents<pki::CrlSet> revocation_contents_;
  std::size_t bytes_parsed_ = 0;
};

}  // namespace handfast::server
