#pragma once
// What the webhook's server shows and demands, put into the TLS context of each connection: a
// certificate from files or one of our own, TLS 1.2 or newer, and, if asked for, a certificate of
// the API server.
//
// Files are looked at for each connection and read again when they are others (device, inode, size
// or time); connections that are open stay, but for those that another client CA let in: trust()
// tells them. A pair that can't be read, or doesn't match, leaves the
// last good one: kubelet swaps both at once, others don't. It is tried again for each connection,
// and told of once for each content.
//
// Threading: any thread. Errors: a context that could not be prepared completes no handshake.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"

struct ssl_ctx_st;
struct x509_store_st;

namespace handfast::admission {

class ServingTls final {
 public:
  struct Files {
    std::string certificate, key;  // both or none
    std::string client_ca;         // empty: anybody may ask
  };

  // Reads what is named; an error names the file.
  [[nodiscard]] static Result<std::unique_ptr<ServingTls>> open(Files files);
  ~ServingTls();
  ServingTls(const ServingTls&) = delete;
  ServingTls& operator=(const ServingTls&) = delete;

  // The pair to serve with from now on; only without certificate files.
  [[nodiscard]] Status use(std::string_view certificate, std::string_view key);

  void prepare(ssl_ctx_st* context);

  // Another number whenever the client CA is another; looks at the file.
  [[nodiscard]] std::uint64_t trust();

 private:
  struct Pair;
  // What tells one content of some files from another; empty: one of them isn't there.
  using Stamp = std::vector<std::int64_t>;

  explicit ServingTls(Files files);
  [[nodiscard]] static Result<std::shared_ptr<const Pair>> parse_pair(std::string_view certificate,
                                                                      std::string_view key);
  [[nodiscard]] static Stamp stamp_of(const std::vector<std::string>& files);
  [[nodiscard]] Status read_pair();
  [[nodiscard]] Status read_client_ca();
  void look_again();

  const Files files_;
  std::mutex mutex_;
  std::shared_ptr<const Pair> pair_;  // guarded by mutex_, as all below
  std::shared_ptr<x509_store_st> client_ca_;
  std::string client_ca_pem_;
  std::uint64_t trust_ = 0;
  Stamp pair_stamp_, ca_stamp_;
  std::optional<Stamp> pair_told_, ca_told_;  // what was told of that can't be used
};

}  // namespace handfast::admission
