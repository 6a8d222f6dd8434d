#include "proxy/pki/pem.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/pki/asn1_text.h"

namespace handfast::pki {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";
constexpr std::string_view kDashes = "-----";

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_base64(char c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=';
}

std::string_view without_trailing_space(std::string_view line) {
  while (!line.empty() && is_space(line.back())) line.remove_suffix(1);
  return line;
}

// The label of a well-formed BEGIN or END line.
std::optional<std::string_view> label_of(std::string_view line, std::string_view opening) {
  if (!line.starts_with(opening)) return std::nullopt;
  line.remove_prefix(opening.size());
  if (!line.ends_with(kDashes)) return std::nullopt;
  line.remove_suffix(kDashes.size());
  const bool clean = !line.empty() && line.front() != ' ' && line.back() != ' ' &&
                     std::all_of(line.begin(), line.end(), [](char c) {
                       return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ';
                     });
  if (!clean) return std::nullopt;
  return line;
}

// `word` in any case, at the start of a run of letters.
bool has_word_start(std::string_view line, std::string_view word) {
  for (std::size_t i = 0; i + word.size() <= line.size(); ++i) {
    if (i > 0 && is_letter(line[i - 1])) continue;
    const bool same =
        std::equal(word.begin(), word.end(), line.begin() + static_cast<std::ptrdiff_t>(i),
                   [](char w, char c) { return w == (is_letter(c) ? (c & ~0x20) : c); });
    if (same) return true;
  }
  return false;
}

bool all_dashes(std::string_view line) {
  return !line.empty() && std::all_of(line.begin(), line.end(), [](char c) { return c == '-'; });
}

// Prose between blocks is fine; what was once a BEGIN line, an END line or the inside of a block
// isn't.
bool looks_like_a_damaged_entry(std::string_view line) {
  while (!line.empty() && is_space(line.front())) line.remove_prefix(1);
  if (line.empty()) return false;
  if (all_dashes(line)) return line.size() == kDashes.size() || line.size() == kDashes.size() - 1;
  if (line.starts_with("----") || line.ends_with("----")) return true;
  if (line.find("--") != std::string_view::npos &&
      (has_word_start(line, "BEGIN") || has_word_start(line, "END"))) {
    return true;
  }
  if (line.starts_with("BEGIN ") || line.starts_with("END ")) return true;
  // 64 and 76 are the usual widths of base64 lines; no prose has a word of 60 letters.
  return line.size() >= 60 && std::all_of(line.begin(), line.end(), is_base64);
}

std::string at(std::size_t entry, std::size_t line) {
  return entry_text(entry) + " (line " + std::to_string(line) + "): ";
}

// What the bytes are, if they can't be PEM text at all.
std::optional<std::string> not_text(std::string_view text) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    return "is UTF-16 text: save it as ASCII or UTF-8";
  }
  const std::string_view blank = " \t\r\n\v\f";
  if (text.find_first_not_of(blank) == std::string_view::npos) return "is empty";
  if (text.size() >= 2 && text[0] == '\x30' && (static_cast<unsigned char>(text[1]) & 0x80) != 0) {
    return "is binary (DER), not PEM text: convert it with openssl, -inform DER -outform PEM";
  }
  if (text.find('\0') != std::string_view::npos) {
    return "holds NUL bytes: it is UTF-16 or binary, not PEM text";
  }
  return std::nullopt;
}

class Splitter {
 public:
  Splitter(std::string_view text, Reason bad) : text_(text), bad_(bad) {}

  Result<std::vector<PemBlock>> run() {
    while (position_ < text_.size()) {
      const std::size_t start = position_;
      const std::string_view line = next_line();
      const Status status = open_ ? inside(line, start) : outside(line, start);
      if (!status) return fail(status.error());
    }
    if (open_) return torn();
    if (blocks_.empty()) {
      return fail(bad_, "holds no PEM block: expected a line -----BEGIN …----- and what follows");
    }
    return std::move(blocks_);
  }

 private:
  std::string_view next_line() {
    const std::size_t end = std::min(text_.find('\n', position_), text_.size());
    const std::string_view line = text_.substr(position_, end - position_);
    position_ = std::min(end + 1, text_.size());
    ++line_number_;
    return without_trailing_space(line);
  }

  Status outside(std::string_view line, std::size_t start) {
    if (const auto label = label_of(line, kBegin)) {
      current_ = PemBlock{*label, {}, line_number_, *label == "ENCRYPTED PRIVATE KEY"};
      start_ = start;
      open_ = true;
      return {};
    }
    // A bundle that ends in the middle of "-----BEGIN".
    const bool cut = position_ == text_.size() && text_.back() == '-' && all_dashes(line);
    if (cut || looks_like_a_damaged_entry(line)) {
      return fail(bad_, at(blocks_.size(), line_number_) +
                            "looks like a damaged BEGIN or END line, or data outside of a block");
    }
    return {};
  }

  Status inside(std::string_view line, std::size_t start) {
    if (line.starts_with(kDashes)) {
      const auto label = label_of(line, kEnd);
      if (!label || *label != current_.label) return torn();
      current_.text = text_.substr(start_, start + line.size() - start_);
      blocks_.push_back(current_);
      open_ = false;
      return {};
    }
    if (line.starts_with("Proc-Type:") && line.find("ENCRYPTED") != std::string_view::npos) {
      current_.encrypted = true;
    }
    return {};
  }

  tl::unexpected<Error> torn() const {
    return fail(bad_, at(blocks_.size(), current_.line) +
                          "has no matching END line: the file is cut off or damaged");
  }

  std::string_view text_;
  Reason bad_;
  std::size_t position_ = 0;
  std::size_t line_number_ = 0;
  std::size_t start_ = 0;
  bool open_ = false;
  PemBlock current_;
  std::vector<PemBlock> blocks_;
};

std::string wrong_kind(std::string_view label) {
  std::string text = "is a " + std::string(label) + ", not a certificate";
  if (label.find("PRIVATE KEY") != std::string_view::npos) {
    text += ": a private key must not lie here, take it out";
  }
  return text;
}

Result<X509Ptr> decode_certificate(const PemBlock& block, Reason bad) {
  auto der = decode_block(block, bad);
  if (!der) return fail(std::move(der.error()));
  const unsigned char* cursor = der->data.get();
  X509Ptr certificate{d2i_X509(nullptr, &cursor, static_cast<long>(der->size))};
  if (!certificate) return fail(bad, "is not a certificate: " + drain_openssl_errors());
  if (cursor != der->data.get() + der->size) {
    return fail(bad, "holds bytes after the certificate");
  }
  if (Status usable = make_shareable(*certificate, bad); !usable) return fail(usable.error());
  return certificate;
}

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

Result<std::vector<PemBlock>> split_pem(std::string_view text, Reason bad) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (auto why = not_text(text)) return fail(bad, std::move(*why));
  if (text.size() > static_cast<std::size_t>(INT_MAX)) return fail(bad, "is larger than 2 GiB");
  return Splitter(text, bad).run();
}

BioPtr read_only_bio(std::string_view text) {
  BioPtr bio{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
  check(bio != nullptr);
  return bio;
}

std::string entry_text(std::size_t index_from_zero) {
  return "entry " + std::to_string(index_from_zero + 1);
}

Result<DerBytes> decode_block(const PemBlock& block, Reason bad) {
  const CleanErrorQueue clean;
  const BioPtr bio = read_only_bio(block.text);
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  const int ok = PEM_read_bio(bio.get(), &name, &header, &data, &size);
  const bool has_header = header != nullptr && header[0] != '\0';
  OPENSSL_free(name);
  OPENSSL_free(header);
  DerBytes bytes{OpensslBytesPtr{data}, static_cast<std::size_t>(size)};
  if (ok != 1 || data == nullptr || size <= 0) {
    return fail(bad, "can't be decoded: " + drain_openssl_errors());
  }
  if (has_header) return fail(bad, "has PEM headers, which mean nothing here");
  return bytes;
}

Status make_shareable(X509& certificate, Reason bad) {
  if (X509_check_purpose(&certificate, -1, 0) != 1) {
    return fail(bad, "has extensions that can't be read " + drain_openssl_errors());
  }
  if (!has_readable_validity(certificate)) return fail(bad, "has a validity that can't be read");
  return {};
}

bool has_readable_validity(const X509& certificate) {
  return to_unix(X509_get0_notBefore(&certificate)) && to_unix(X509_get0_notAfter(&certificate));
}

std::vector<unsigned char> encode_certificate(const X509& certificate) {
  const int size = i2d_X509(&certificate, nullptr);
  check(size > 0, "a certificate that was decoded can be encoded");
  std::vector<unsigned char> der(static_cast<std::size_t>(size));
  unsigned char* cursor = der.data();
  i2d_X509(&certificate, &cursor);
  return der;
}

bool is_certificate(const PemBlock& block) {
  return block.label == "CERTIFICATE" || block.label == "X509 CERTIFICATE";
}

Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem, Reason bad) {
  auto blocks = split_pem(pem, bad);
  if (!blocks) return fail(std::move(blocks.error()));
  return parse_certificates(*blocks, bad);
}

Result<std::vector<X509Ptr>> parse_certificates(std::span<const PemBlock> blocks, Reason bad) {
  const CleanErrorQueue clean;
  std::vector<X509Ptr> certificates;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (!is_certificate(blocks[i])) {
      return within(entry_text(i), Error{bad, wrong_kind(blocks[i].label)});
    }
    auto certificate = decode_certificate(blocks[i], bad);
    if (!certificate) return within(entry_text(i), std::move(certificate.error()));
    certificates.push_back(std::move(*certificate));
  }
  return certificates;
}

}  // namespace handfast::pki
