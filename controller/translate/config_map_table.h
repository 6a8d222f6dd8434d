#pragma once
// Every key of ingress-nginx's ConfigMap, and what becomes of it under --configmap.
//
// As annotation_table.h, but nothing is refused: the ConfigMap speaks of all hosts, and one word in
// it must not close them. docs/configmap.md explains each; a test holds the two together.

#include <span>
#include <string_view>

namespace handfast::translate {

enum class ConfigKeyClass : unsigned char {
  Implemented,
  // Restricts access, protects, or changes where a request goes or what it becomes: an error says
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
