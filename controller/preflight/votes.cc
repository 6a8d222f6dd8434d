#include "controller/preflight/votes.h"

namespace handfast::preflight {
namespace {

enum class Word : std::uint8_t { For, Against, Unreached, None };

// Words of the verifier: the backend is nobody that we would speak to.
bool is_about_peer(Reason reason) {
  switch (reason) {
    case Reason::Expired:
    case Reason::NotYetValid:
    case Reason::UntrustedIssuer:
    case Reason::ChainTooLong:
    case Reason::WrongPurpose:
    case Reason::Weak:
    case Reason::NameMismatch:
    case Reason::PinMismatch:
    case Reason::CrlMissing:
    case Reason::CrlExpired:
    case Reason::CrlNotYetValid:
    case Reason::Ocsp:
      return true;
    default:
      return false;
  }
}

Word word_of(const config::PreflightVote& vote, bool is_trust_new) {
  switch (vote.reason) {
    case Reason::Ok:
      return Word::For;
    case Reason::Revoked:
      return Word::None;
    case Reason::ConnectRefused:
    case Reason::ConnectTimeout:
    case Reason::NoEndpoints:
    case Reason::Io:
      return Word::Unreached;
    default:
      return is_about_peer(vote.reason) && !is_trust_new ? Word::None : Word::Against;
  }
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::Passed:
      return "passed";
    case Verdict::Refused:
      return "refused";
    case Verdict::Unreached:
      return "unreached";
    case Verdict::Nobody:
      break;
  }
  return "no_endpoint";
}

Judgement judge(const config::PreflightAnswer& answer, bool is_trust_new) {
  Judgement judgement;
  const auto say = [&judgement](Verdict verdict, const config::PreflightVote& vote) {
    judgement = {.verdict = verdict,
                 .is_confirmed = vote.acceptance != config::Acceptance::NotConfirmed,
                 .address = vote.address,
                 .reason = vote.reason,
                 .detail = vote.detail};
  };
  if (answer.refused != Reason::Ok) {
    say(Verdict::Refused, {.address = {}, .reason = answer.refused, .detail = answer.detail});
    return judgement;
  }
  for (const config::PreflightVote& vote : answer.votes) {
    switch (word_of(vote, is_trust_new)) {
      case Word::Against:
        say(Verdict::Refused, vote);
        return judgement;
      case Word::For: {
        const bool says_more = vote.acceptance != config::Acceptance::NotConfirmed;
        if (judgement.verdict != Verdict::Passed || (says_more && !judgement.is_confirmed)) {
          say(Verdict::Passed, vote);
        }
        break;
      }
      case Word::Unreached:
        if (judgement.verdict == Verdict::Nobody) say(Verdict::Unreached, vote);
        break;
      case Word::None:
        break;
    }
  }
  return judgement;
}

}  // namespace handfast::preflight
