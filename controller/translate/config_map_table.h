#pragma once
// Every key of ingress-nginx's ConfigMap, and what becomes of it under --configmap.
//
// As annotation_table.h, but one word here speaks of all hosts: what says who may have them refuses
// them all, and else nothing is refused. docs/configmap.md explains each; a test holds the two
// together.

#include <span>
#include <string_view>

namespace handfast::translate {

enum class ConfigKeyClass : unsigned char {
  Implemented,
  // Says who may have what of all hosts: until it is done, nobody has.
  Restricts,
  // Protects in another way, or changes where a request goes or what it becomes: an error says
  // that it isn't done.
  Missing,
  // Harmless: a warning says that it has no effect.
  Ignored,
};

struct ConfigKeyRow {
  std::string_view name;
  ConfigKeyClass what = ConfigKeyClass::Missing;
  // The value under which it asks for nothing; "false" stands for all spellings of Go's ParseBool.
  // Empty: there is none.
  std::string_view harmless;
  std::string_view why;
};

// Sorted by name.
[[nodiscard]] std::span<const ConfigKeyRow> config_map_table();

// Null if unknown.
[[nodiscard]] const ConfigKeyRow* find_config_key(std::string_view name);

}  // namespace handfast::translate
