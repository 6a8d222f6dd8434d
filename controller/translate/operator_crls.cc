#include "controller/translate/operator_crls.h"

#include <string>

namespace handfast::translate {

OperatorCrls::OperatorCrls(const state::Reader& state, Materials& materials, Report& report)
    : materials_(materials) {
  const objects::ConfigMap* directory = state.find_crl_directory();
  if (directory == nullptr) return;
  for (const auto& [file, value] : directory->data) {
    const ItemKey key{.kind = std::string(kCrlDirectory),
                      .ns = {},
                      .name = directory->meta.name,
                      .item = ItemKind::Crl,
                      .data_key = file};
    const Item& item = materials.find(key);
    if (item.usable()) {
      usable_.push_back(key);
    } else if (item.state == Item::State::Bad) {
      ObjectReport{report, kCrlDirectory, directory->meta}.refuse(
          item.error.reason, file, clip(item.error.detail, kMaxDetailBytes) + "; it isn't used.",
          "Put a CRL there, in PEM or DER.");
    }
  }
}

void OperatorCrls::add_to(config::UpstreamTls& rules) {
  if (!rules.verify || rules.pin_only || rules.refused) return;
  add_to(rules.crl, rules.revocation);
}

void OperatorCrls::add_to(config::ClientTls& rules) { add_to(rules.crl, rules.revocation); }

void OperatorCrls::add_to(std::vector<config::FileRef>& crls, config::RevocationScope& scope) {
  if (usable_.empty()) return;
  if (files_.empty()) {
    for (const ItemKey& key : usable_) files_.push_back(materials_.use_file(key));
  }
  crls.insert(crls.end(), files_.begin(), files_.end());
  if (scope == config::RevocationScope::Off) scope = config::RevocationScope::Listed;
}

}  // namespace handfast::translate
