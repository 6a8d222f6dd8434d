#pragma once
// Who the client of a request really is, when proxies in front of us say so in forwarding headers.
//
// Believed only of peers in configured networks (design invariant 11), and only in the plain
// spelling of each name. X-Forwarded-For is walked from its right end, where the nearest proxy
// wrote, to the first hop that is not of those networks: that is the client; what lies left of it,
// anybody may have written. A hop that is no address ends the walk at the hop before. Of the other
// headers the last value counts, which the nearest proxy wrote, and only if it means something.
//
// A pure function of a request's fields; called for peers that are believed only.

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/network_set.h"
#include "proxy/http/message.h"
#include "proxy/net/address.h"

namespace handfast::session {

// Whom we believe about the client; by default nobody.
struct ClientTrust {
  NetworkSet proxy_protocol;  // must begin each connection with a PROXY header
  NetworkSet forwarded;       // whose forwarding headers count
  // Backends get the whole X-Forwarded-For with the peer behind it, not the client's address alone.
  bool full_forwarded_for = false;
};

struct ClientOrigin {
  std::string address;             // without a port
  std::string forwarded_for;       // X-Forwarded-For for the backend
  std::string original_for;        // X-Original-Forwarded-For: the lines that came, as one
  std::string_view original_host;  // X-Original-Forwarded-Host: the value that came
  // What the peer told of the client's request; empty or 0: nothing that counts.
  std::string_view scheme;  // "http" or "https"
  std::string_view host;    // an authority: perhaps with a port
  std::uint16_t port = 0;
};

// Into an object that is used again: its strings keep their memory. The views are of `headers`.
void read_client_origin(const http::HeaderList& headers, const net::Address& peer,
                        const ClientTrust& trust, ClientOrigin& origin);

}  // namespace handfast::session
