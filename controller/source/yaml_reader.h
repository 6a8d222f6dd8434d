#pragma once
// From the text of a manifest file to its documents.
//
// The text is cut at the lines that begin with `---`, as kubectl cuts it, and each piece is parsed
// by itself: what is wrong in one document hurts no other. A piece that begins with '{' is read as
// JSON (one value or several), and as YAML only if it is none.
//
// Whatever the text, reading ends soon and within bounded memory; what is refused, and why:
// - bytes that are not UTF-8, and control characters: yaml-cpp replaces the former without a word
// and
//   takes one of the latter for the end of the text;
// - nesting deeper than kMaxDepth, aliases expanded (yaml-cpp and our trees recurse);
// - more than kMaxNodes values in a document; more than kMaxAliasNodes values or kMaxAliasBytes
// bytes
//   that aliases repeat, over the whole text (a "billion laughs");
// - more than kMaxQueuedMarks punctuation marks without a complete value: yaml-cpp queues the
// tokens of
//   a whole flow collection before it tells of the first;
// - two equal keys in a map, keys that are not scalars, tags but those of plain types.
//
// `<<` merges maps as Kubernetes' own YAML reader does. Thread-safe.

#include <cstddef>
#include <functional>
#include <string_view>

#include "controller/objects/value.h"
#include "proxy/base/result.h"

namespace handfast::source {

using objects::kMaxDepth;
using objects::kMaxNodes;
inline constexpr std::size_t kMaxAliasNodes = 200'000;
inline constexpr std::size_t kMaxAliasBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxQueuedMarks = 500'000;

// A document, or why it can't be read: the detail begins with "LINE:COLUMN: ". `line` is where the
// document begins, or where the error is.
using DocumentSink = std::function<void(Result<objects::Value> document, int line)>;

// Calls `sink` once for each document, in order; empty ones are left out.
void read_documents(std::string_view text, const DocumentSink& sink);

}  // namespace handfast::source
