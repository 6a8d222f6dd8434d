#include "proxy/tls/client_auth.h"

#include <openssl/sha.h>
#include <openssl/x509_vfy.h>

#include <cstdint>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/tls/ticket_facts.h"
#include "proxy/tls/tls_stream.h"

namespace handfast::tls {
namespace {

using Identities = std::span<const std::shared_ptr<const pki::Identity>>;

// None where there are to be none: under TLS 1.3 OpenSSL would send some that nobody can take up.
void allow_tickets(SSL* ssl, bool allowed) {
  const bool any = allowed && (SSL_get_options(ssl) & SSL_OP_NO_TICKET) == 0;
  check(SSL_set_num_tickets(ssl, any ? 1 : 0) == 1, "tickets");
}

// A client that proved to be somebody gets one, and nobody else: the next time we ask again.
void allow_tickets(SSL* ssl, const ClientCertificate& client) {
  allow_tickets(ssl, client.verdict().ok());
}

// Instead of X509_verify_cert: the one verifier judges. With HTTP the handshake goes on in any
// case: the route decides what becomes of it. A TCP port has one route, and no other way to answer.
int on_client_chain(X509_STORE_CTX* context, void* argument) {
  const auto& clock = *static_cast<const Clock*>(argument);
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  ClientCertificate* client = TlsStream::of(ssl).client_certificate();
  check(client != nullptr, "only who is asked shows a certificate");
  client->show(X509_STORE_CTX_get0_cert(context), X509_STORE_CTX_get0_untrusted(context),
               clock.unix_now());
  allow_tickets(ssl, *client);
  X509_STORE_CTX_set_error(context,
                           client->verdict().ok() ? X509_V_OK : client->verdict().openssl_error);
  return client->verdict().ok() || TlsStream::of(ssl).port() == nullptr ? 1 : 0;
}

int on_make_ticket(SSL* ssl, void* /*argument*/) {
  const ClientCertificate* client = TlsStream::of(ssl).client_certificate();
  // A session that was offered and not taken up says nothing about this client.
  const bool known =
      client != nullptr && (!client->is_of_session() || SSL_session_reused(ssl) == 1);
  const std::string facts = known ? write_ticket_facts(*client) : std::string();
  return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), facts.data(), facts.size());
}

bool is_bound_to(const SSL_SESSION* session, const ClientPolicy& policy) {
  unsigned int size = 0;
  const unsigned char* context = SSL_SESSION_get0_id_context(session, &size);
  return std::string_view(reinterpret_cast<const char*>(context), size) ==
         std::string_view(reinterpret_cast<const char*>(policy.session_context.data()),
                          policy.session_context.size());
}

// Whether the session's client is somebody today; then `client` knows who.
bool takes_up(SSL_SESSION* session, ClientCertificate& client, UnixSeconds now) {
  if (!is_bound_to(session, *client.policy())) return false;
  X509* const leaf = SSL_SESSION_get0_peer(session);
  void* data = nullptr;
  std::size_t size = 0;
  if (leaf == nullptr || SSL_SESSION_get0_ticket_appdata(session, &data, &size) != 1) return false;
  const auto facts = read_ticket_facts({static_cast<const char*>(data), size});
  if (!facts) return false;
  const bool holds = facts->epoch == client.policy()->epoch &&
                     (facts->valid_until == 0 || now <= facts->valid_until);
  client.bring_back(leaf, facts->chain.get(),
                    holds ? std::optional(facts->valid_until) : std::nullopt, now);
  return client.verdict().ok();
}

SSL_TICKET_RETURN on_use_ticket(SSL* ssl, SSL_SESSION* session, const unsigned char* /*key_name*/,
                                std::size_t /*key_name_size*/, SSL_TICKET_STATUS status,
                                void* argument) {
  const auto& clock = *static_cast<const Clock*>(argument);
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  TlsStream& stream = TlsStream::of(ssl);
  if (ClientCertificate* client = stream.client_certificate(); client != nullptr) {
    if (!takes_up(session, *client, clock.unix_now())) {
      client->settle(/*resumed=*/false);
      return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    allow_tickets(ssl, *client);
  }
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

// nginx 1.22, ngx_ssl_session_id_context() of a server that asks for no certificates. It goes
// through them from the last one to the first.
void bind_as_nginx(SSL* ssl, Identities identities) {
  std::string bytes = "HTTP";
  unsigned int size = 0;
  unsigned char digest[SHA_DIGEST_LENGTH];
  for (const auto& identity : std::views::reverse(identities)) {
    const std::span<const unsigned char> sha1 = identity->leaf_sha1();
    bytes.append(reinterpret_cast<const char*>(sha1.data()), sha1.size());
  }
  check(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha1(), nullptr) == 1 &&
            SSL_set_session_id_context(ssl, digest, size) == 1,
        "session id context");
}

}  // namespace

void install_client_auth(SSL_CTX* context, const Clock& clock) {
  // OpenSSL only hands the pointer back; the callbacks read through it.
  void* const argument = const_cast<Clock*>(&clock);
  SSL_CTX_set_cert_verify_callback(context, on_client_chain, argument);
  check(SSL_CTX_set_session_ticket_cb(context, on_make_ticket, on_use_ticket, argument) == 1,
        "ticket callbacks");
}

void ask_client(SSL* ssl, std::shared_ptr<const ClientPolicy> policy, Identities identities) {
  TlsStream& stream = TlsStream::of(ssl);
  if (policy == nullptr || policy->refused) {
    stream.set_client_certificate(nullptr);
    SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
    allow_tickets(ssl, true);
    bind_as_nginx(ssl, identities);
    return;
  }
  const int demand = stream.port() != nullptr ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
  SSL_set_verify(ssl, SSL_VERIFY_PEER | demand, nullptr);
  check(SSL_set_session_id_context(ssl, policy->session_context.data(),
                                   static_cast<unsigned>(policy->session_context.size())) == 1,
        "session id context");
  // Even if none are named: a second ClientHello may come with another name.
  STACK_OF(X509_NAME)* const names = policy->announced == nullptr
                                         ? sk_X509_NAME_new_null()
                                         : SSL_dup_CA_list(policy->announced.get());
  check(names != nullptr);
  SSL_set_client_CA_list(ssl, names);  // owns it now
  auto client = std::make_unique<ClientCertificate>(std::move(policy));
  allow_tickets(ssl, *client);
  stream.set_client_certificate(std::move(client));
}

}  // namespace handfast::tls
