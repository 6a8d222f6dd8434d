#pragma once
// Certificates of clients in a handshake of ours: asking, judging, and taking sessions up.
//
// Everything is decided in the ClientHello callback, before OpenSSL decides about resumption, and
// never in the servername callback, which runs after (CVE-2025-23419: a ticket of host A opened
// host B). A session is bound to what its host asked for: by its id context, and once more by what
// its ticket tells, since a ticket brings back a client's certificate that nobody has judged today.
// What it tells is the epoch under which the certificate was judged, how long that holds, and the
// intermediates, so that it can be judged again: a certificate that was revoked since, or a
// verdict that has run out, makes the handshake a full one.
//
// For HTTP a handshake without a good certificate succeeds, since the route comes after it; at a
// TCP port that asks for certificates it fails with an alert.
//
// Threading: the worker's that owns the SSL; called by OpenSSL, but for the first two.

#include <openssl/ssl.h>

#include <memory>
#include <span>

#include "proxy/base/clock.h"
#include "proxy/pki/identity.h"
#include "proxy/tls/client_policy.h"

namespace handfast::tls {

// Registers the callbacks below. `clock` must outlive the context.
void install_client_auth(SSL_CTX* context, const Clock& clock);

// In the ClientHello callback, perhaps twice (after a HelloRetryRequest): asks for a certificate if
// the host has a policy that can be used, and binds sessions to it. Without one, sessions are bound
// to `identities` just as nginx does it, so that both can take up each other's under one ticket
// key.
void ask_client(SSL* ssl, std::shared_ptr<const ClientPolicy> policy,
                std::span<const std::shared_ptr<const pki::Identity>> identities);

}  // namespace handfast::tls
