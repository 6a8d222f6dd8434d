#include "proxy/pki/packed_identity.h"

#include <iterator>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/pki/pem.h"
#include "proxy/pki/pins.h"

namespace handfast::pki {
namespace {

// The open ones, the last used first.
class OpenIdentities {
 public:
  using Shared = std::shared_ptr<const OpenIdentity>;

  static OpenIdentities& of_process() {
    static auto& all = *new OpenIdentities;  // what is open may outlive main()
    return all;
  }

  // Null: it isn't open.
  Shared find(const PackedIdentity* of) {
    const std::lock_guard lock{mutex_};
    const auto found = places_.find(of);
    if (found == places_.end()) return nullptr;
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return found->second->second;
  }

  void put_if_room(const PackedIdentity* of, Shared open) {
    const std::lock_guard lock{mutex_};
    if (by_use_.size() >= PackedIdentity::kMostOpen) return;
    by_use_.emplace_back(of, std::move(open));
    places_.emplace(of, std::prev(by_use_.end()));
  }

  void put(const PackedIdentity* of, Shared open) {
    Shared closed;  // freed without the lock
    const std::lock_guard lock{mutex_};
    if (places_.contains(of)) return;  // another thread was first
    if (by_use_.size() >= PackedIdentity::kMostOpen) {
      closed = std::move(by_use_.back().second);
      places_.erase(by_use_.back().first);
      by_use_.pop_back();
    }
    by_use_.emplace_front(of, std::move(open));
    places_.emplace(of, by_use_.begin());
  }

  void forget(const PackedIdentity* of) {
    Shared closed;
    const std::lock_guard lock{mutex_};
    const auto found = places_.find(of);
    if (found == places_.end()) return;
    closed = std::move(found->second->second);
    by_use_.erase(found->second);
    places_.erase(found);
  }

  std::size_t size() {
    const std::lock_guard lock{mutex_};
    return by_use_.size();
  }

 private:
  using ByUse = std::list<std::pair<const PackedIdentity*, Shared>>;

  std::mutex mutex_;
  ByUse by_use_;  // guarded by mutex_, as all below
  std::unordered_map<const PackedIdentity*, ByUse::iterator> places_;
};

// Each intermediate once, by the sha256 of its DER.
class Intermediates {
 public:
  static Intermediates& of_process() {
    static auto& all = *new Intermediates;  // as above
    return all;
  }

  std::shared_ptr<X509> share(X509& certificate) {
    const Digest digest = certificate_sha256(certificate);
    const std::lock_guard lock{mutex_};
    std::weak_ptr<X509>& known = known_[digest];
    if (auto same = known.lock()) return same;
    X509_up_ref(&certificate);
    std::shared_ptr<X509> shared{&certificate, [this, digest](X509* last) { drop(digest, last); }};
    known = shared;
    return shared;
  }

  std::size_t size() {
    const std::lock_guard lock{mutex_};
    return known_.size();
  }

 private:
  using Digest = decltype(certificate_sha256(std::declval<const X509&>()));

  void drop(const Digest& digest, X509* last) {
    {
      const std::lock_guard lock{mutex_};
      const auto found = known_.find(digest);
      // Another thread may have brought it anew.
      if (found != known_.end() && found->second.expired()) known_.erase(found);
    }
    X509_free(last);
  }

  std::mutex mutex_;
  std::map<Digest, std::weak_ptr<X509>> known_;  // guarded by mutex_
};

std::vector<unsigned char> encode(const X509& certificate) {
  const int size = i2d_X509(&certificate, nullptr);
  check(size > 0, "a certificate that was decoded can be encoded");
  std::vector<unsigned char> der(static_cast<std::size_t>(size));
  unsigned char* cursor = der.data();
  i2d_X509(&certificate, &cursor);
  return der;
}

X509Ptr decode(const std::vector<unsigned char>& der) {
  const unsigned char* cursor = der.data();
  X509Ptr certificate{d2i_X509(nullptr, &cursor, static_cast<long>(der.size()))};
  if (certificate == nullptr || !make_shareable(*certificate, Reason::BadCertificate)) return {};
  return certificate;
}

}  // namespace

PackedIdentity::PackedIdentity(OpenIdentity open, PackedKey key)
    : key_(std::move(key)), leaf_(encode(*open.leaf)) {
  const int count = sk_X509_num(open.intermediates.get());
  for (int i = 0; i < count; ++i) {
    X509& each = *sk_X509_value(open.intermediates.get(), i);
    intermediates_.push_back(Intermediates::of_process().share(each));
  }
  open.intermediates = intermediates();
  OpenIdentities::of_process().put_if_room(this,
                                           std::make_shared<const OpenIdentity>(std::move(open)));
}

PackedIdentity::~PackedIdentity() { OpenIdentities::of_process().forget(this); }

std::shared_ptr<const OpenIdentity> PackedIdentity::open() const {
  OpenIdentities& all = OpenIdentities::of_process();
  if (auto known = all.find(this)) return known;
  auto made = unpack();
  if (made != nullptr) all.put(this, made);
  return made;
}

std::shared_ptr<const OpenIdentity> PackedIdentity::unpack() const {
  const CleanErrorQueue clean;
  auto made = std::make_shared<OpenIdentity>();
  made->leaf = decode(leaf_);
  made->key = key_.open();
  if (made->leaf == nullptr || made->key == nullptr) return nullptr;
  made->intermediates = intermediates();
  return made;
}

X509StackPtr PackedIdentity::intermediates() const {
  X509StackPtr stack{sk_X509_new_null()};
  check(stack != nullptr);
  for (const auto& each : intermediates_) {
    X509_up_ref(each.get());
    check(sk_X509_push(stack.get(), each.get()) > 0);
  }
  return stack;
}

std::size_t PackedIdentity::count_open() { return OpenIdentities::of_process().size(); }

std::size_t PackedIdentity::count_intermediates() { return Intermediates::of_process().size(); }

}  // namespace handfast::pki
