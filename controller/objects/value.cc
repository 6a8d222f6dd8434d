#include "controller/objects/value.h"

namespace handfast::objects {

const Value* Value::find(std::string_view key) const {
  for (const auto& [name, value] : map) {
    if (name == key) return &value;
  }
  return nullptr;
}

}  // namespace handfast::objects
