#pragma once
// The process log: one JSON line per event on stderr, a constant message and key/value pairs.
//
//   log(LogLevel::Warning, "certificate kept at last good", {{"object", "shop/tls"}, {"reason",
//   "bad_ca"}});
//
// Threading: any thread; a line is one write(2). Not for event loops' hot paths: a peer's mistake
// is a metric and an access-log field, never a line here. Values are escaped; never pass key
// material.

#include <cstddef>
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
// The same, written to where there is room for json_escaped_room(text.size()); returns its end.
char* write_json_escaped(char* to, std::string_view text);
[[nodiscard]] constexpr std::size_t json_escaped_room(std::size_t size) { return 6 * size + 8; }

}  // namespace handfast
