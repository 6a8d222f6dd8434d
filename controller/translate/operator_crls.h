#pragma once
// --crl-dir: revocation lists of the operator that hold for everybody who verifies, whatever lists
// they name themselves. Whom one of these names isn't believed; that none covers a certificate says
// nothing of it.

#include <vector>

#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/secrets.h"
#include "controller/translate/trace.h"
#include "proxy/config/model.h"

namespace handfast::translate {

class OperatorCrls {
 public:
  // Borrows all.
  OperatorCrls(const state::Reader& state, Materials& materials, Tracer& tracer);

  // Looks at all files there are if that is due, and tells of those that are no lists.
  void refresh();

  // For the unit that is worked on. Precondition: what the objects say is decided.
  void add_to(config::UpstreamTls& rules);
  void add_to(config::ClientTls& rules);

 private:
  void look(Report& findings);
  void look(const objects::ConfigMap& lists, Report& findings);
  void add_to(std::vector<config::FileRef>& crls, config::RevocationScope& scope);

  const state::Reader& state_;
  Materials& materials_;
  Tracer& tracer_;
  Unit unit_{UnitKind::Single};
  std::vector<ItemKey> usable_;
};

}  // namespace handfast::translate
