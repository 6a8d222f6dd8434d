#include "proxy/session/client_access.h"

#include "proxy/base/network_set.h"

namespace handfast::session {
namespace {

// What anybody may write into a certificate of their own goes into fields for the Service.
constexpr int kMostUnknownBytes = 16 * 1024;

// Judged by these rules, as they and their CAs and CRLs are today.
void bring_up_to_date(tls::ClientCertificate& certificate,
                      const std::shared_ptr<const tls::ClientPolicy>& rules, UnixSeconds now) {
  const tls::ClientPolicy& known = *certificate.policy();
  const bool same = known.key == rules->key && known.epoch == rules->epoch;
  if (!same || certificate.outlived(now)) certificate.judge_again(rules, now);
}

// Brings the verdict up to date. False: the connection was never asked what this host asks.
bool is_asked(const route::Snapshot& snapshot, const route::HostEntry& host,
              const ClientFacts& client, UnixSeconds now) {
  tls::ClientCertificate* const certificate = client.certificate;
  if (certificate == nullptr) return false;
  const bool same_rules = certificate->policy()->key == host.client->key;
  // The rules of the very host that the handshake named have changed since.
  if (!same_rules && snapshot.find_host(client.server_name) != &host) return false;
  bring_up_to_date(*certificate, host.client, now);
  return true;
}

ClientDenial forbid(const config::Refusal& refused) {
  return {403, refused.reason, refused.detail};
}

// What the route makes of the verdict.
std::optional<ClientDenial> judge(const config::ClientAccess& access,
                                  const tls::ClientCertificate& certificate) {
  const pki::Verdict& verdict = certificate.verdict();
  if (verdict.ok()) return std::nullopt;
  // A filter asks for somebody, whatever the mode: ingress-nginx matches it against no name.
  const tls::ClientPolicy& policy = *certificate.policy();
  const bool filtered = policy.subject.has_value() || !policy.rules.names.empty();
  if (verdict.reason == Reason::NameMismatch)
    return ClientDenial{403, verdict.reason, verdict.detail};
  const bool tolerant = access.verify != config::ClientVerify::On;
  if (certificate.leaf() == nullptr) {
    if (tolerant && !filtered) return std::nullopt;
    return ClientDenial{tolerant ? 403 : 400, Reason::NoClientCertificate, verdict.detail};
  }
  const bool unknown = verdict.reason == Reason::UntrustedIssuer;
  if (unknown && access.verify == config::ClientVerify::OptionalNoCa && !filtered &&
      i2d_X509(certificate.leaf(), nullptr) <= kMostUnknownBytes) {
    return std::nullopt;
  }
  return ClientDenial{400, Reason::BadClientCertificate, verdict.detail};
}

}  // namespace

std::optional<ClientDenial> deny_client(const route::Snapshot& snapshot,
                                        const route::HostEntry& host, const config::Route& route,
                                        const ClientFacts& client, UnixSeconds now) {
  const tls::ClientPolicy* const policy = host.client.get();
  const bool usable = policy != nullptr && !policy->refused;
  if (usable && client.tls && !is_asked(snapshot, host, client, now)) {
    return ClientDenial{421, Reason::Misdirected,
                        "the connection was opened for a host with other rules for clients"};
  }
  if (!route.client) return std::nullopt;
  if (route.client->refused) return forbid(*route.client->refused);
  if (policy == nullptr) return ClientDenial{403, Reason::Internal, "the host asks for nothing"};
  if (policy->refused) return ClientDenial{403, policy->refused->reason, policy->refused->detail};
  if (!client.tls) {
    return ClientDenial{400, Reason::NoClientCertificate,
                        "the route asks for a client certificate and isn't served without TLS"};
  }
  return judge(*route.client, *client.certificate);
}

std::optional<ClientDenial> deny_client(const route::TcpEntry& port, const ClientFacts& client,
                                        UnixSeconds now) {
  if (port.client == nullptr) return std::nullopt;
  if (client.certificate == nullptr) {
    return ClientDenial{400, Reason::NoClientCertificate,
                        "the port asks for certificates since the connection was opened"};
  }
  bring_up_to_date(*client.certificate, port.client, now);
  return deny_by_verdict(*client.certificate);
}

std::optional<ClientDenial> deny_by_address(const route::SourceRules& rules,
                                            std::string_view address) {
  const auto ip = parse_ip(address);
  const bool denied = !ip || rules.denied.contains(ip);
  if (!denied && (!rules.allowed || rules.allowed->contains(ip))) return std::nullopt;
  return ClientDenial{403, Reason::ClientAddress,
                      denied ? "the client's address is in denylist-source-range"
                             : "the client's address is not in allowlist-source-range"};
}

std::optional<ClientDenial> deny_by_verdict(const tls::ClientCertificate& certificate) {
  const pki::Verdict& verdict = certificate.verdict();
  if (verdict.ok()) return std::nullopt;
  const bool shown = certificate.leaf() != nullptr;
  return ClientDenial{400, shown ? Reason::BadClientCertificate : Reason::NoClientCertificate,
                      verdict.detail};
}

http::ClientCertificateFields certificate_fields(const config::Route& route,
                                                 const ClientFacts& client) {
  if (!route.client || client.certificate == nullptr) return {};
  tls::ClientCertificate& certificate = *client.certificate;
  const bool whole = route.client->pass_certificate;
  return {.verify = certificate.verify_text(),
          .subject = certificate.subject(),
          .issuer = certificate.issuer(),
          .certificate = whole ? certificate.escaped_pem() : std::string_view(),
          .forwarded = certificate.forwarded(whole)};
}

}  // namespace handfast::session
