#include "proxy/config/pack.h"

#include "proxy/config/model.h"

namespace handfast::config {
namespace {

// serialize() never makes a line of it: texts of users are quoted, and on one line.
constexpr std::string_view kMark = "---\n";

// The document at the front, which ends at a mark of its own line, or at the end.
std::string_view take_document(std::string_view& text) {
  std::size_t end = text.find(kMark);
  while (end != std::string_view::npos && end != 0 && text[end - 1] != '\n') {
    end = text.find(kMark, end + 1);
  }
  const std::string_view document = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + kMark.size());
  return document;
}

}  // namespace

Pack split_pack(std::string_view text) {
  Pack pack;
  pack.bucket = take_document(text);
  while (!text.empty()) {
    const std::string_view shard = take_document(text);
    pack.shards.emplace(sha256_hex(shard), shard);
  }
  return pack;
}

void append_to_pack(std::string& pack, std::string_view text) { pack.append(kMark).append(text); }

}  // namespace handfast::config
