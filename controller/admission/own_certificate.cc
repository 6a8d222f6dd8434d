#include "controller/admission/own_certificate.h"

#include <utility>

namespace handfast::admission {
namespace {

constexpr UnixSeconds kDay = 86'400;
constexpr UnixSeconds kLife = 21 * kDay;
constexpr UnixSeconds kRenewAfter = 14 * kDay;
// Watches of API servers are told within a second; a slow one gets more.
constexpr UnixSeconds kHeard = 60;

Result<SelfSigned> make_one(const std::vector<std::string>& names, UnixSeconds now) {
  return make_self_signed(
      {.names = names, .not_before = now - kDay, .not_after = now + kLife, .with_crl = false});
}

UnixSeconds renewal_of(const SelfSigned& one) { return one.not_after - kLife + kRenewAfter; }

}  // namespace

Result<OwnCertificate> OwnCertificate::make(std::vector<std::string> names, UnixSeconds now) {
  auto first = make_one(names, now);
  if (!first) return fail(std::move(first.error()));
  OwnCertificate made;
  made.names_ = std::move(names);
  made.serving_ = std::move(*first);
  return made;
}

std::vector<std::string> OwnCertificate::wanted() const {
  std::vector<std::string> out{serving_.certificate};
  if (next_) out.push_back(next_->certificate);
  return out;
}

std::vector<std::string> OwnCertificate::unwanted() const {
  return previous_.empty() ? std::vector<std::string>{} : std::vector<std::string>{previous_};
}

void OwnCertificate::on_written(UnixSeconds now) {
  previous_.clear();
  if (next_ && !announced_) announced_ = now;
}

Result<bool> OwnCertificate::advance(UnixSeconds now) {
  if (next_ && announced_ && now >= *announced_ + kHeard) {
    previous_ = std::exchange(serving_, *std::exchange(next_, std::nullopt)).certificate;
    announced_.reset();
    return true;
  }
  if (!next_ && now >= renewal_of(serving_)) {
    auto next = make_one(names_, now);
    if (!next) return fail(std::move(next.error()));
    next_ = std::move(*next);
  }
  return false;
}

UnixSeconds OwnCertificate::due() const {
  if (announced_) return *announced_ + kHeard;
  return renewal_of(serving_);
}

std::vector<std::string> names_of_service(const std::string& ns, const std::string& name,
                                          const std::string& cluster_domain) {
  const std::string full = name + '.' + ns;
  return {full + ".svc", full, full + ".svc." + cluster_domain};
}

}  // namespace handfast::admission
