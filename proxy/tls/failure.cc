#include "proxy/tls/failure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/tls1.h>

#include "proxy/pki/openssl_ptr.h"

namespace handfast::tls {
namespace {

// RFC 8446 section 6.2, and RFC 5246 section 7.2.2.
Reason name_alert(int alert, const FailureContext& context) {
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case TLS13_AD_CERTIFICATE_REQUIRED:
      return Reason::ClientCertificateRejected;
    case SSL_AD_HANDSHAKE_FAILURE:
    case SSL_AD_DECRYPT_ERROR:
      // Servers of TLS 1.2 refuse a missing or unfit client certificate with these.
      return context.certificate_requested ? Reason::ClientCertificateRejected : Reason::Protocol;
    case TLS1_AD_NO_APPLICATION_PROTOCOL:
      return Reason::Alpn;
    default:
      return context.handshake_done ? Reason::BadResponse : Reason::Protocol;
  }
}

}  // namespace

Error name_failure(int ssl_error, const FailureContext& context) {
  const unsigned long first = ERR_peek_error();
  const int code = ERR_GET_REASON(first);
  const bool from_ssl = ERR_GET_LIB(first) == ERR_LIB_SSL;
  std::string text = pki::drain_openssl_errors();

  if (from_ssl && code > SSL_AD_REASON_OFFSET) {
    return {name_alert(code - SSL_AD_REASON_OFFSET, context), "the peer's alert: " + text};
  }
  if (!context.handshake_done && !context.server_hello_seen && from_ssl &&
      (code == SSL_R_WRONG_VERSION_NUMBER || code == SSL_R_HTTP_REQUEST ||
       code == SSL_R_PACKET_LENGTH_TOO_LONG || code == SSL_R_UNEXPECTED_MESSAGE ||
       code == SSL_R_DATA_LENGTH_TOO_LONG || code == SSL_R_ENCRYPTED_LENGTH_TOO_LONG ||
       code == SSL_R_BAD_RECORD_TYPE)) {
    return {Reason::NotTls, "the peer doesn't speak TLS: " + text};
  }
  if (ssl_error == SSL_ERROR_SYSCALL || context.end_of_stream ||
      (from_ssl && code == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
    return {context.handshake_done ? Reason::BadResponse : Reason::HandshakeClosed,
            context.handshake_done ? "the peer closed the connection without close_notify"
                                   : "the peer closed the connection during the handshake"};
  }
  if (from_ssl && code == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    return {Reason::NoClientCertificate, "the client showed no certificate"};
  }
  if (from_ssl && (code == SSL_R_DH_KEY_TOO_SMALL || code == SSL_R_EE_KEY_TOO_SMALL ||
                   code == SSL_R_CA_KEY_TOO_SMALL || code == SSL_R_CA_MD_TOO_WEAK)) {
    return {Reason::Weak, text};
  }
  return {context.handshake_done ? Reason::BadResponse : Reason::Protocol, text};
}

}  // namespace handfast::tls
