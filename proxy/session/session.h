#pragma once
// A client's connection in whatever state of its life: opening, then HTTP/1.1, HTTP/2 or a relay.
//
// One object hands the connection to the next; whoever owns it sees one session in one slot all the
// time.
//
// Threading: one worker's. Ownership: the SessionOwner's; a session ends itself through it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/buffer.h"
#include "proxy/event/loop.h"
#include "proxy/net/address.h"
#include "proxy/net/proxy_protocol.h"
#include "proxy/net/stream.h"
#include "proxy/tls/tls_stream.h"

namespace handfast::session {

class Session : public event::Handler {
 public:
  // Closes at once if idle, else with the responses under way.
  virtual void drain() = 0;
  // Ends now, whatever is under way.
  virtual void cut() = 0;
  // The TLS that it lies in, or null.
  [[nodiscard]] virtual tls::TlsStream* tls() = 0;
  // Adds the hosts of what is under way on routes that ask for a client certificate: names of the
  // snapshot, which may be others than the handshake's. Views that last until the next event.
  virtual void add_guarded_hosts(std::vector<std::string_view>& /*hosts*/) const {}

  // Where the owner keeps it.
  std::size_t slot = 0;
};

// Why a client's connection was closed before it could ask anything.
enum class RefusedConnection : std::uint8_t {
  WorkerConnections,        // the worker has as many as it may
  AddressConnections,       // the client's address has
  ProxyProtocolUnexpected,  // a PROXY header from a peer that we don't believe
  ProxyProtocolBad,         // a peer that must begin with a PROXY header began with something else
  ProxyProtocolTimeout,     // or took too long
  NotTls,                   // on an HTTPS listener; a PROXY header, say
};
inline constexpr std::size_t kRefusedConnections = 6;

class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  // Takes the session out and destroys it at the end of the round.
  virtual void on_session_closed(Session& session) = 0;
  // Puts `next` in its place, and destroys `session` at the end of the round.
  virtual void on_session_replaced(Session& session, std::unique_ptr<Session> next) = 0;
  // A PROXY header told who the client is. False: it has as many connections as it may; counted.
  virtual bool admit(Session& session, const net::Address& client) = 0;
  // Counts; the session closes itself.
  virtual void on_refused(RefusedConnection why) = 0;
};

// Who the client is; views that outlive the exchange.
struct ClientFacts {
  std::string_view address;
  bool believed = false;      // its forwarding headers count: see client_origin.h
  bool tls_in_front = false;  // it dialled our public HTTPS port, where a load balancer ended TLS
  bool tls = false;
  std::string_view tls_version;
  std::string_view tls_cipher;
  std::string_view server_name;
  // What it showed, if it was asked for a certificate; else null.
  tls::ClientCertificate* certificate = nullptr;
};

// A client's connection between two sessions.
struct ClientConnection {
  std::unique_ptr<net::Stream> stream;
  tls::TlsStream* tls = nullptr;  // `stream`, if it is TLS
  std::string address;            // of the client, without port
  bool believed = false;          // as in ClientFacts
  bool tls_in_front = false;
  Buffer in;  // read already
  // Both ends, as a PROXY header tells them or as they are; the destination only if it was told.
  net::ProxyEndpoints endpoints = {};

  // Views into this. Once TLS is open, if there is any.
  [[nodiscard]] ClientFacts facts() const;
};

}  // namespace handfast::session
