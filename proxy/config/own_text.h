#pragma once
// The part of YAML that serialize() writes, read without a library for the whole of it: block maps
// and lists two columns further in for each level, one value a line, texts in double quotes. A
// hundred times as fast, which is what tens of thousands of shards take at a start.
//
// It reads what is surely in that form, to the same tree as parse_document() would, and nothing
// else: what isn't may still be YAML that a person wrote.
//
// Pure; thread-safe.

#include <optional>
#include <string_view>

#include "proxy/config/document.h"

namespace handfast::config {

// Nothing: it is not in that form.
[[nodiscard]] std::optional<Node> try_read_own(std::string_view text);

}  // namespace handfast::config
