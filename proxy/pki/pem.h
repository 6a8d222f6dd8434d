#pragma once
// PEM text into blocks, so that nothing that was meant to be an entry is lost.
//
// OpenSSL's readers skip what they don't recognise: a damaged BEGIN line, a block of another kind,
// UTF-16, or DER all read as "no more entries". For a list of revocations that means trusting
// everyone. So the text is split here, every BEGIN line must become a block, text outside blocks
// may be prose but must not look like a damaged entry, and OpenSSL decodes one whole block at a
// time.
//
// Pure; thread-safe. Nothing is copied: blocks are views into the input (keys stay where they are).
// Errors carry the reason that the caller gives and say entry, line and remedy, never content.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::pki {

struct PemBlock {
  std::string_view label;  // "CERTIFICATE"
  std::string_view text;   // BEGIN line to END line, both included
  std::size_t line = 0;    // of the BEGIN line, from 1
  bool encrypted = false;  // PKCS#8 or traditional encryption
};

// RFC 4648 section 4, without line breaks.
[[nodiscard]] std::string encode_base64(std::string_view bytes);

// At least one block. A UTF-8 BOM and CRLF are fine.
[[nodiscard]] Result<std::vector<PemBlock>> split_pem(std::string_view text, Reason bad);

// Every block must be a certificate that decodes whole, extensions included, with a readable
// validity. Each has its extension cache filled, so that threads may share it.
[[nodiscard]] Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem, Reason bad);
[[nodiscard]] Result<std::vector<X509Ptr>> parse_certificates(std::span<const PemBlock> blocks,
                                                              Reason bad);
[[nodiscard]] bool is_certificate(const PemBlock& block);

// Fills the extension cache of a decoded certificate, before any other thread sees it. `bad` if its
// extensions or its validity can't be read.
Status make_shareable(X509& certificate, Reason bad);

[[nodiscard]] bool has_readable_validity(const X509& certificate);

// In DER.
[[nodiscard]] std::vector<unsigned char> encode_certificate(const X509& certificate);

// The bytes of a block that isn't secret.
struct DerBytes {
  OpensslBytesPtr data;
  std::size_t size = 0;
};
[[nodiscard]] Result<DerBytes> decode_block(const PemBlock& block, Reason bad);

// A BIO that reads `text` in place.
[[nodiscard]] BioPtr read_only_bio(std::string_view text);

// "entry 2"
[[nodiscard]] std::string entry_text(std::size_t index_from_zero);

}  // namespace handfast::pki
