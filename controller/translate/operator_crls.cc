#include "controller/translate/operator_crls.h"

#include <string>

namespace handfast::translate {

OperatorCrls::OperatorCrls(const state::Reader& state, Materials& materials, Tracer& tracer)
    : state_(state), materials_(materials), tracer_(tracer) {
  tracer_.mark(unit_);
}

void OperatorCrls::refresh() {
  if (!unit_.is_dirty) return;
  Tracer::Scope scope{tracer_, unit_};
  usable_.clear();
  look(scope.findings());
}

void OperatorCrls::look(Report& findings) {
  for (const auto name : {objects::kCrlDirectoryName, objects::kFetchedCrlsName}) {
    const objects::ConfigMap* lists = state_.find_operator_crls(name);
    if (lists != nullptr) look(*lists, findings);
  }
}

void OperatorCrls::look(const objects::ConfigMap& lists, Report& findings) {
  for (const auto& [file, value] : lists.data) {
    const ItemKey key{.kind = std::string(kCrlDirectory),
                      .ns = {},
                      .name = lists.meta.name,
                      .item = ItemKind::Crl,
                      .data_key = file};
    const Item& item = materials_.find(key);
    if (item.usable()) {
      usable_.push_back(key);
    } else if (item.state == Item::State::Bad) {
      ObjectReport{findings, kCrlDirectory, lists.meta}.refuse(
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
  refresh();
  tracer_.on_relied(unit_.trace);
  if (usable_.empty()) return;
  for (const ItemKey& key : usable_) crls.push_back(materials_.use_file(key));
  if (scope == config::RevocationScope::Off) scope = config::RevocationScope::Listed;
}

}  // namespace handfast::translate
