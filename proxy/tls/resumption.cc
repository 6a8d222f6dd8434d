#include "proxy/tls/resumption.h"

#include <algorithm>
#include <utility>

#include "proxy/tls/tls_stream.h"

namespace handfast::tls {
namespace {

// RFC 8446 section 4.6.1: whatever the server says.
constexpr UnixSeconds kLongestTicket = 7 * 24 * 3600;

bool reusable(const SSL_SESSION* session) {
  return SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION;
}

void lower(UnixSeconds& earliest, UnixSeconds time) {
  if (time != 0 && time < earliest) earliest = time;
}

}  // namespace

Resumption::Resumption(SessionStore& store, const Clock& clock, std::string key)
    : store_(store), clock_(clock), key_(std::move(key)) {}

bool Resumption::holds(StoredSession& stored, const UpstreamPolicy& policy) const {
  const UnixSeconds now = clock_.unix_now();
  if (stored.epoch == policy.epoch) return stored.valid_until == 0 || now <= stored.valid_until;
  const pki::Verdict verdict = policy.judge(SSL_SESSION_get0_peer(stored.session.get()),
                                            stored.chain.get(), stored.stapled.get(), now);
  if (!verdict.ok()) return false;
  stored.epoch = policy.epoch;
  stored.valid_until = verdict.valid_until;
  stored.would_refuse = verdict.would_refuse;
  return true;
}

void Resumption::offer(SSL* ssl, const UpstreamPolicy& policy) {
  auto stored = store_.take(key_, clock_.unix_now());
  if (!stored || !holds(*stored, policy)) return;
  if (SSL_set_session(ssl, stored->session.get()) != 1) return;
  if (reusable(stored->session.get())) store_.put(key_, stored->copy());
  offered_ = std::move(*stored);
}

void Resumption::on_open(TlsStream& stream) {
  SSL* ssl = stream.ssl();
  const SSL_SESSION* tried = offered_.session.get();
  if (stream.resumed()) restore(stream);
  if (tried != nullptr && SSL_get0_session(ssl) != tried) {
    store_.forget(key_, tried);  // replaced, or the peer doesn't know it any more
  }
  if (SSL_version(ssl) == TLS1_2_VERSION && SSL_get0_session(ssl) != tried) {
    keep(stream, SslSessionPtr(SSL_get1_session(ssl)));
  }
  // What isn't in the store any more needs no memory for as long as the connection lives.
  offered_.chain.reset();
  if (SSL_version(ssl) != TLS1_2_VERSION || SSL_get0_session(ssl) != tried) {
    offered_.session.reset();
  }
}

void Resumption::on_ticket(const TlsStream& stream, SslSessionPtr session) {
  keep(stream, std::move(session));
}

// What the verifier would have told, and the callback for a certificate request.
void Resumption::restore(TlsStream& stream) const {
  pki::Verdict verdict;
  verdict.valid_until = offered_.valid_until;
  verdict.would_refuse = offered_.would_refuse;
  stream.set_stapled(offered_.stapled);
  stream.set_verdict(std::move(verdict), pki::X509Ptr(SSL_get1_peer_certificate(stream.ssl())));
  if (offered_.certificate_requested) stream.note_certificate_request();
}

UnixSeconds Resumption::use_until(const TlsStream& stream, const SSL_SESSION& session) const {
  auto lifetime = static_cast<UnixSeconds>(SSL_SESSION_get_timeout(&session));
  lower(lifetime, static_cast<UnixSeconds>(SSL_SESSION_get_ticket_lifetime_hint(&session)));
  UnixSeconds until = clock_.unix_now() + std::min(lifetime, kLongestTicket);
  const pki::Identity* identity = stream.policy()->identity.get();
  if (identity != nullptr) lower(until, identity->info().not_after);
  // Under TLS 1.2 the secret of the first handshake lives on in whatever replaces its session.
  if (stream.resumed() && reusable(&session)) lower(until, offered_.use_until);
  return until;
}

void Resumption::keep(const TlsStream& stream, SslSessionPtr session) {
  SSL* ssl = stream.ssl();
  if (!stream.verdict().ok() || SSL_SESSION_is_resumable(session.get()) != 1) return;
  // RFC 7627 section 5.3: without the extended master secret, who resumes may not be who we
  // verified.
  if (reusable(session.get()) && SSL_get_extms_support(ssl) != 1) return;
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  const UnixSeconds until = use_until(stream, *session);
  if (until <= clock_.unix_now()) return;
  kept_[next_kept_++ % kept_.size()] = session.get();
  store_.put(key_,
             {.session = std::move(session),
              .chain = pki::X509StackPtr(chain == nullptr ? nullptr : X509_chain_up_ref(chain)),
              .epoch = stream.policy()->epoch,
              .valid_until = stream.verdict().valid_until,
              .use_until = until,
              .stapled = stream.stapled(),
              .would_refuse = stream.verdict().would_refuse,
              .certificate_requested = stream.certificate_requested()});
}

void Resumption::on_failed() {
  if (offered_.session != nullptr) store_.forget(key_, offered_.session.get());
  for (const SSL_SESSION* session : kept_) {
    if (session != nullptr) store_.forget(key_, session);
  }
}

}  // namespace handfast::tls
