#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "proxy/pki/asn1_text.h"
#include "proxy/pki/crl_index.h"
#include "proxy/pki/pem.h"
#include "proxy/pki/trust.h"

namespace handfast::pki {
namespace {

using Indexes = std::vector<std::unique_ptr<const CrlIndex>>;

std::span<const unsigned char> bytes_of(std::string_view text) {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

// A PEM text can't begin with '0' and a byte above 127.
bool is_der(std::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x30' &&
         (static_cast<unsigned char>(bytes[1]) & 0x80) != 0;
}

Result<Indexes> load_all(std::string_view pem_or_der) {
  Indexes indexes;
  if (is_der(pem_or_der)) {
    auto index = CrlIndex::load(bytes_of(pem_or_der));
    if (!index) return within(entry_text(0), std::move(index.error()));
    indexes.push_back(std::move(*index));
    return indexes;
  }
  const auto blocks = split_pem(pem_or_der, Reason::BadCrl);
  if (!blocks) return fail(blocks.error());
  for (std::size_t i = 0; i < blocks->size(); ++i) {
    const PemBlock& block = (*blocks)[i];
    if (block.label != "X509 CRL") {
      return fail(Reason::BadCrl, entry_text(i) + ": is a " + std::string(block.label) +
                                      ", not a revocation list (X509 CRL): take it out of ca.crl");
    }
    const auto der = decode_block(block, Reason::BadCrl);
    if (!der) return within(entry_text(i), der.error());
    auto index = CrlIndex::load({der->data.get(), der->size});
    if (!index) return within(entry_text(i), std::move(index.error()));
    indexes.push_back(std::move(*index));
  }
  return indexes;
}

std::string reason_text(const Revocation& entry) {
  static constexpr std::array<const char*, 11> kReasons{
      "unspecified",        "keyCompromise", "cACompromise",
      "affiliationChanged", "superseded",    "cessationOfOperation",
      "certificateHold",    "unused (7)",    "",
      "privilegeWithdrawn", "aACompromise"};
  if (entry.reason < 0) return {};
  return std::string(" (") + kReasons[static_cast<std::size_t>(entry.reason)] + ")";
}

std::string list_text(const CrlSet::Info& info) {
  std::string text = "the CRL ";
  if (!info.number.empty()) text += "number " + printable(info.number, 64) + " ";
  return text + "of " + printable(info.issuer);
}

// A list that speaks about the certificate, by its issuer's signature.
struct Candidate {
  const CrlIndex* list = nullptr;
  CrlIndex::Scope scope = CrlIndex::Scope::None;
  CrlIndex::Date date = CrlIndex::Date::Current;
  const Revocation* entry = nullptr;

  [[nodiscard]] bool vouches() const {
    return scope == CrlIndex::Scope::Full && date == CrlIndex::Date::Current;
  }
};

struct Candidates {
  std::vector<Candidate> all;
  const CrlIndex* newest = nullptr;  // of those that vouch
  std::string why_not;               // why a list of that issuer isn't among them
};

CrlSet::Coverage revoked(const Candidate& candidate) {
  return {CrlSet::Answer::Revoked, 0,
          "was revoked " + rfc3339(candidate.entry->date) + reason_text(*candidate.entry) + " by " +
              list_text(candidate.list->info())};
}

CrlSet::Coverage judge(const Candidates& found, const X509& issuer) {
  using Answer = CrlSet::Answer;
  const Candidate* expired = nullptr;
  const Candidate* early = nullptr;
  UnixSeconds until = found.newest != nullptr ? found.newest->info().next_update : 0;
  for (const Candidate& candidate : found.all) {
    // A list from the future neither vouches nor condemns.
    if (candidate.date == CrlIndex::Date::NotYetValid) {
      if (candidate.scope == CrlIndex::Scope::Full) early = &candidate;
      // From then on the answer may be another.
      const UnixSeconds before = candidate.list->info().this_update - 1;
      if (until == 0 || before < until) until = before;
      continue;
    }
    const bool superseded = found.newest != nullptr && found.newest->newer_than(*candidate.list);
    if (candidate.entry != nullptr && !superseded) return revoked(candidate);
    if (candidate.scope == CrlIndex::Scope::Full && candidate.date == CrlIndex::Date::Expired) {
      expired = &candidate;
    }
  }
  if (found.newest != nullptr) return {Answer::Good, until, {}};
  if (expired != nullptr) {
    return {Answer::Expired, until,
            "can't be judged: " + list_text(expired->list->info()) + " expired " +
                rfc3339(expired->list->info().next_update) + ": publish a fresh one"};
  }
  if (early != nullptr) {
    return {Answer::NotYetValid, until,
            "can't be judged: " + list_text(early->list->info()) + " is valid only from " +
                rfc3339(early->list->info().this_update)};
  }
  std::string detail =
      "no CRL covers it: add the CRL of " + printable(name_text(X509_get_subject_name(&issuer)));
  if (!found.why_not.empty()) detail += " (" + found.why_not + ")";
  return {Answer::NotCovered, until, std::move(detail)};
}

void consider(const CrlIndex& list, const X509& certificate, const X509& issuer, UnixSeconds now,
              Candidates& found) {
  std::string why;
  const CrlIndex::Scope scope = list.scope_for(certificate, issuer, why);
  if (scope != CrlIndex::Scope::Full && !why.empty()) found.why_not = why;
  if (scope == CrlIndex::Scope::None) return;
  if (!list.signed_by(issuer)) {
    found.why_not = "the CRL of that name isn't signed by this issuer's key";
    return;
  }
  found.all.push_back({&list, scope, list.date_at(now), list.find(certificate)});
  if (found.all.back().vouches() && (found.newest == nullptr || list.newer_than(*found.newest))) {
    found.newest = &list;
  }
}

}  // namespace

struct CrlSet::Impl {
  Indexes lists;
};

Result<std::shared_ptr<const CrlSet>> CrlSet::load(std::string_view pem_or_der) {
  auto lists = load_all(pem_or_der);
  if (!lists) return within("ca.crl", std::move(lists.error()));
  auto impl = std::make_unique<Impl>();
  impl->lists = std::move(*lists);
  return std::shared_ptr<const CrlSet>(new CrlSet(std::move(impl)));
}

CrlSet::CrlSet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  for (const auto& list : impl_->lists) info_.push_back(list->info());
}

CrlSet::~CrlSet() = default;

UnixSeconds CrlSet::earliest_next_update() const noexcept {
  UnixSeconds earliest = 0;
  for (const Info& info : info_) {
    if (info.next_update != 0 && (earliest == 0 || info.next_update < earliest)) {
      earliest = info.next_update;
    }
  }
  return earliest;
}

UnixSeconds CrlSet::due_at() const noexcept {
  UnixSeconds first = 0;
  for (const Info& info : info_) {
    if (info.next_update == 0) continue;
    const UnixSeconds due = info.next_update - (info.next_update - info.this_update) / 4;
    if (first == 0 || due < first) first = due;
  }
  return first;
}

void CrlSet::meet(std::span<const X509Ptr> authorities) const {
  const CleanErrorQueue clean;
  for (const auto& list : impl_->lists) {
    for (const X509Ptr& authority : authorities) {
      if (list->is_of(*authority)) static_cast<void>(list->signed_by(*authority));
    }
  }
}

bool CrlSet::is_signed_by(std::span<const X509Ptr> authorities) const {
  const CleanErrorQueue clean;
  return std::ranges::all_of(impl_->lists, [authorities](const auto& list) {
    return std::ranges::any_of(authorities, [&list](const X509Ptr& authority) {
      return list->is_of(*authority) && list->signed_by(*authority);
    });
  });
}

CrlSet::Coverage CrlSet::check(std::span<const std::shared_ptr<const CrlSet>> sets,
                               const X509& certificate, const X509& issuer, UnixSeconds now) {
  const CleanErrorQueue clean;
  Candidates found;
  for (const auto& set : sets) {
    if (set == nullptr) continue;
    for (const auto& list : set->impl_->lists) consider(*list, certificate, issuer, now, found);
  }
  return judge(found, issuer);
}

CrlSet::Answer CrlSet::check(const X509& certificate, const X509& issuer, UnixSeconds now) const {
  // Shares nothing: the set outlives the call.
  const std::shared_ptr<const CrlSet> self(std::shared_ptr<const CrlSet>(), this);
  return check(std::span(&self, 1), certificate, issuer, now).answer;
}

}  // namespace handfast::pki
