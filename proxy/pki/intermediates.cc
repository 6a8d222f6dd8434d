#include "proxy/pki/intermediates.h"

#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "proxy/pki/pem.h"
#include "proxy/pki/pins.h"

namespace handfast::pki {
namespace {

// By the sha256 of their DER.
class Intermediates {
 public:
  static Intermediates& of_process() {
    static auto& all = *new Intermediates;  // what is shared may outlive main()
    return all;
  }

  std::shared_ptr<X509> share(X509& certificate) {
    const Sha256 digest = sha256_of(encode_certificate(certificate));
    std::shared_ptr<X509> oldest;  // freed without the lock, which it takes
    const std::lock_guard lock{mutex_};
    std::weak_ptr<X509>& known = known_[digest];
    if (auto same = known.lock()) return same;
    X509_up_ref(&certificate);
    std::shared_ptr<X509> shared{&certificate, [this, digest](X509* last) { drop(digest, last); }};
    known = shared;
    kept_.push_back(shared);
    if (kept_.size() > kMostKeptIntermediates) {
      oldest = std::move(kept_.front());
      kept_.pop_front();
    }
    return shared;
  }

  std::shared_ptr<X509> find(const Sha256& digest) {
    const std::lock_guard lock{mutex_};
    const auto found = known_.find(digest);
    return found == known_.end() ? nullptr : found->second.lock();
  }

  std::size_t size() {
    const std::lock_guard lock{mutex_};
    return known_.size();
  }

 private:
  void drop(const Sha256& digest, X509* last) {
    {
      const std::lock_guard lock{mutex_};
      const auto found = known_.find(digest);
      // Another thread may have brought it anew.
      if (found != known_.end() && found->second.expired()) known_.erase(found);
    }
    X509_free(last);
  }

  std::mutex mutex_;
  std::map<Sha256, std::weak_ptr<X509>> known_;  // guarded by mutex_, as below
  std::deque<std::shared_ptr<X509>> kept_;       // the last that came, the oldest first
};

}  // namespace

std::shared_ptr<X509> share_intermediate(X509& certificate) {
  return Intermediates::of_process().share(certificate);
}

std::shared_ptr<X509> find_intermediate(std::span<const unsigned char> der) {
  return Intermediates::of_process().find(sha256_of(der));
}

std::size_t count_intermediates() { return Intermediates::of_process().size(); }

}  // namespace handfast::pki
