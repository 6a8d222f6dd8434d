#include "proxy/pki/packed_identity.h"

#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/pki/pem.h"

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

X509Ptr decode(const std::vector<unsigned char>& der) {
  const unsigned char* cursor = der.data();
  X509Ptr certificate{d2i_X509(nullptr, &cursor, static_cast<long>(der.size()))};
  if (certificate == nullptr || !make_shareable(*certificate, Reason::BadCertificate)) return {};
  return certificate;
}

}  // namespace

PackedIdentity::PackedIdentity(std::vector<unsigned char> leaf,
                               std::vector<std::shared_ptr<X509>> intermediates, PackedKey key)
    : key_(std::move(key)), leaf_(std::move(leaf)), intermediates_(std::move(intermediates)) {}

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

}  // namespace handfast::pki
