#include "controller/translate/item_findings.h"

namespace handfast::translate {

std::string object_text(const ItemKey& key) {
  return key.kind + ' ' + (key.ns.empty() ? "" : key.ns + '/') + key.name;
}

config::Refusal refuse_bad(const ItemKey& key, const Item& item, const std::string& field,
                           ObjectReport& report) {
  return report.refuse(item.error.reason, field,
                       object_text(key) + ": " + clip(item.error.detail, kMaxDetailBytes) + '.',
                       "Correct the " + key.kind + '.');
}

void warn_if_gone(const Materials& materials, const ItemKey& key, Reason reason,
                  const std::string& field, std::string_view what, ObjectReport& report) {
  if (!materials.was_there(key)) return;
  report.warn(reason, field, object_text(key) + " lost its " + std::string{what},
              "Put it back, if that wasn't meant.");
}

}  // namespace handfast::translate
