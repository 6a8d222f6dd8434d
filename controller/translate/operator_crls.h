#pragma once
// --crl-dir: revocation lists of the operator that hold for everybody who verifies, whatever lists
// they name themselves. Whom one of these names isn't believed; that none covers a certificate says
// nothing of it.

#include <vector>

#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/secrets.h"
#include "proxy/config/model.h"

namespace handfast::translate {

class OperatorCrls {
 public:
  // Looks at all files there are, and tells of those that are no lists.
  OperatorCrls(const state::Reader& state, Materials& materials, Report& report);

  // Precondition: what the objects say is decided.
  void add_to(config::UpstreamTls& rules);
  void add_to(config::ClientTls& rules);

 private:
  void add_to(std::vector<config::FileRef>& crls, config::RevocationScope& scope);

  Materials& materials_;
  std::vector<ItemKey> usable_;
  std::vector<config::FileRef> files_;  // once somebody needs them
};

}  // namespace handfast::translate
