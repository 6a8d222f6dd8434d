#include "controller/publish/replacement.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <utility>
#include <vector>

#include "proxy/config/text.h"

namespace handfast::publish {
namespace {

// A word about a peer or a request can't be why a shard is refused.
config::Refusal refusal_of(const config::Rejection& rejection) {
  config::Refusal refusal{rejection.reason, rejection.detail};
  if (refusal.reason == Reason::Ok) refusal.reason = Reason::Internal;
  if (!rejection.field.empty()) refusal.detail = rejection.field + ": " + refusal.detail;
  return refusal;
}

bool is_about(const config::Rejection& rejection, std::string_view field) {
  return rejection.field.starts_with(field);
}

// The sources of the files: what an item is, apart from its content.
bool has_same_sources(const std::vector<config::FileRef>& a,
                      const std::vector<config::FileRef>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].source != b[i].source) return false;
  }
  return true;
}

std::optional<config::Shard> last_good_policy(const config::UpstreamTls& rejected,
                                              const config::UpstreamTls& last_good,
                                              const config::Rejection& rejection) {
  if (last_good.refused) return std::nullopt;
  config::UpstreamTls mixed = rejected;
  if (is_about(rejection, "identity") && rejected.identity && last_good.identity &&
      rejected.identity->source == last_good.identity->source) {
    mixed.identity = last_good.identity;
  } else if (is_about(rejection, "crl") && has_same_sources(rejected.crl, last_good.crl)) {
    mixed.crl = last_good.crl;
  } else if (is_about(rejection, "ca") && has_same_sources(rejected.ca, last_good.ca)) {
    mixed.ca = last_good.ca;
  }
  if (mixed == rejected) return std::nullopt;
  return mixed;
}

// What was good before, if it is of the same sources. False: there is nothing of the kind.
bool take_back(config::ClientTls& client, const std::optional<config::ClientTls>& last_good,
               const config::Rejection& rejection) {
  if (!last_good || !has_same_sources(client.ca, last_good->ca) ||
      !has_same_sources(client.crl, last_good->crl)) {
    return false;
  }
  const config::ClientTls before = client;
  if (is_about(rejection, "client.ca")) client.ca = last_good->ca;
  if (is_about(rejection, "client.crl")) client.crl = last_good->crl;
  return client != before;
}

// The route stays what it is: an older one may have led elsewhere, or without TLS.
std::optional<config::Shard> last_good_port(const config::TcpPort& rejected,
                                            const config::TcpPort& last_good,
                                            const config::Rejection& rejection) {
  if (rejected.client && is_about(rejection, "client.")) {
    config::TcpPort mixed = rejected;
    if (!take_back(*mixed.client, last_good.client, rejection)) return std::nullopt;
    return mixed;
  }
  if (!is_about(rejection, "certificate") || !rejected.certificate || !last_good.certificate ||
      rejected.certificate->source != last_good.certificate->source ||
      rejected.certificate == last_good.certificate) {
    return std::nullopt;
  }
  config::TcpPort mixed = rejected;
  mixed.certificate = last_good.certificate;
  return mixed;
}

std::vector<config::KeyPairRef> certificates_of(const config::VirtualHost& host) {
  std::vector<config::KeyPairRef> pairs = host.more_certificates;
  if (host.certificate) pairs.insert(pairs.begin(), *host.certificate);
  return pairs;
}

// The one that was rejected goes back to its last good form, or is left out; what is left serves.
config::Shard host_without_certificate(const config::VirtualHost& rejected,
                                       const config::VirtualHost* last_good,
                                       const config::Rejection& rejection) {
  config::VirtualHost host = rejected;
  std::vector<config::KeyPairRef> pairs = certificates_of(host);
  const auto is_bad = [&](const config::KeyPairRef& pair) {
    return rejection.file.empty() || pair.certificate == rejection.file;
  };
  for (auto pair = pairs.begin(); pair != pairs.end();) {
    if (!is_bad(*pair)) {
      ++pair;
      continue;
    }
    const auto before =
        last_good == nullptr ? std::vector<config::KeyPairRef>{} : certificates_of(*last_good);
    const auto good = std::ranges::find(before, pair->source, &config::KeyPairRef::source);
    if (good != before.end() && *good != *pair) {
      *pair++ = *good;
    } else {
      pair = pairs.erase(pair);
    }
  }
  host.certificate.reset();
  if (pairs.empty()) {
    host.certificate_problem = refusal_of(rejection);
  } else {
    host.certificate = pairs.front();
    pairs.erase(pairs.begin());
  }
  host.more_certificates = std::move(pairs);
  return host;
}

// Its other routes are served; those that ask for a certificate let nobody in, unless what was good
// before is of the same sources.
config::Shard host_without_client(const config::VirtualHost& rejected,
                                  const config::VirtualHost* last_good,
                                  const config::Rejection& rejection) {
  config::VirtualHost host = rejected;
  if (last_good != nullptr && take_back(*host.client, last_good->client, rejection)) return host;
  host.client.reset();
  for (config::Route& route : host.routes) {
    if (route.client && !route.client->refused) route.client->refused = refusal_of(rejection);
  }
  return host;
}

// What is bad by itself goes back by itself: a list of ciphers holds up no rotation of keys.
config::Shard front_without(const config::Front& rejected, const config::Front* last_good,
                            const config::Rejection& rejection) {
  static const config::Front kDefault;
  config::Front front = rejected;
  const auto take_back = [&](auto member) {
    const bool other = last_good != nullptr && last_good->*member != rejected.*member;
    front.*member = (other ? *last_good : kDefault).*member;
  };
  if (is_about(rejection, "ciphers")) {
    take_back(&config::Front::ciphers);
  } else if (is_about(rejection, "groups")) {
    take_back(&config::Front::groups);
  } else {
    take_back(&config::Front::ticket_keys);
  }
  return front;
}

}  // namespace

config::Shard refused(const config::Shard& shard, const config::Refusal& refusal) {
  config::Shard answer = shard;
  if (auto* host = std::get_if<config::VirtualHost>(&answer)) {
    for (config::Route& route : host->routes) route.refused = refusal;
    if (host->passthrough) host->passthrough->refused = refusal;
    host->client.reset();
    if (host->certificate) {
      host->certificate.reset();
      host->more_certificates.clear();
      host->certificate_problem = refusal;
    }
  } else if (auto* service = std::get_if<config::Service>(&answer)) {
    service->endpoints.clear();
    service->refused = refusal;
  } else if (auto* tls = std::get_if<config::UpstreamTls>(&answer)) {
    tls->identity.reset();
    tls->ca.clear();
    tls->crl.clear();
    tls->candidate.reset();
    tls->revocation = config::RevocationScope::Off;
    tls->refused = refusal;
  } else if (auto* tcp = std::get_if<config::TcpPort>(&answer)) {
    if (std::exchange(tcp->client, std::nullopt)) tcp->client_refused = refusal;
    tcp->certificate.reset();
    tcp->route.refused = refusal;
  } else if (auto* front = std::get_if<config::Front>(&answer)) {
    front->ticket_keys.clear();
    front->ciphers.clear();
    front->groups.clear();
  }
  return answer;
}

config::Shard closed(const config::Rejection& rejection) {
  const config::Refusal refusal = refusal_of(rejection);
  const std::string_view whole = rejection.shard;
  const std::string_view kind = whole.substr(0, whole.find('/'));
  const std::string_view name = whole.substr(std::min(kind.size() + 1, whole.size()));
  if (kind == "host") {
    config::VirtualHost host;
    host.host = name;
    host.routes.emplace_back().path = "/";
    host.routes.back().refused = refusal;
    return host;
  }
  if (kind == "service") {
    config::Service service;
    service.name = name;
    service.refused = refusal;
    return service;
  }
  if (kind == "tls") {
    config::UpstreamTls tls;
    tls.name = name;
    tls.versions = {config::TlsVersion::Tls13};
    tls.refused = refusal;
    return tls;
  }
  if (kind == "tcp") {
    config::TcpPort tcp;
    std::from_chars(name.data(), name.data() + name.size(), tcp.port);
    tcp.route.refused = refusal;
    return tcp;
  }
  config::Front front;
  front.versions = {config::TlsVersion::Tls13};
  return front;
}

config::Shard replacement_for(const config::Shard& rejected,
                              const std::optional<config::Shard>& last_good,
                              const config::Rejection& rejection) {
  const bool comparable =
      last_good && last_good->index() == rejected.index() && *last_good != rejected;
  std::optional<config::Shard> answer;
  if (const auto* host = std::get_if<config::VirtualHost>(&rejected);
      host != nullptr && host->certificate &&
      (is_about(rejection, "certificate") || is_about(rejection, "more_certificates"))) {
    answer = host_without_certificate(
        *host, comparable ? std::get_if<config::VirtualHost>(&*last_good) : nullptr, rejection);
  } else if (host != nullptr && host->client && is_about(rejection, "client.")) {
    answer = host_without_client(
        *host, comparable ? std::get_if<config::VirtualHost>(&*last_good) : nullptr, rejection);
  } else if (const auto* tls = std::get_if<config::UpstreamTls>(&rejected);
             tls != nullptr && comparable) {
    answer = last_good_policy(*tls, std::get<config::UpstreamTls>(*last_good), rejection);
  } else if (const auto* tcp = std::get_if<config::TcpPort>(&rejected); tcp != nullptr) {
    if (comparable) answer = last_good_port(*tcp, std::get<config::TcpPort>(*last_good), rejection);
  } else if (const auto* front = std::get_if<config::Front>(&rejected); front != nullptr) {
    answer = front_without(*front, comparable ? std::get_if<config::Front>(&*last_good) : nullptr,
                           rejection);
  } else if (std::holds_alternative<config::Service>(rejected) && comparable) {
    answer = last_good;
  }
  if (answer && config::validate(*answer)) return *answer;
  return refused(rejected, refusal_of(rejection));
}

}  // namespace handfast::publish
