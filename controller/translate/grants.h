#pragma once
// Whether an object may refer to one of another namespace (ReferenceGrant of Gateway API).

#include <string_view>

#include "controller/state/reader.h"

namespace handfast::translate {

struct GrantFrom {
  std::string_view group;
  std::string_view kind;
  std::string_view ns;
};

// Of the core group.
struct GrantTo {
  std::string_view kind;
  std::string_view ns;
  std::string_view name;
};

[[nodiscard]] bool is_granted(const state::Reader& state, const GrantFrom& from, const GrantTo& to);

}  // namespace handfast::translate
