#pragma once
// The process log: one JSON line per event on stderr, a constant message and key/value pairs.
//
//   log(LogLevel::Warning, "certificate kept at last good", {{"object", "shop/tls"}, {"reason",
//   "bad_ca"}});
//
// Threading: any thread; a line is one write(2). Not for event loops' hot paths: a peer's mistake
// is a metric and an access-log field, never a line here. Values are escaped; never pass key
// material.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace handfast {

enum class LogLevel { Debug, Info, Warning, Error };

using LogField = std::pair<std::string_view, std::string_view>;

// Lines below `level` are dropped. Default: Info. Set once, at start.
void set_log_level(LogLevel level);

void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

// Appends `text` as the inside of a JSON string (no quotes). Bytes that are not UTF-8 become
// \ufffd.
void append_json_escaped(std::string& out, std::string_view text);

}  // namespace handfast
