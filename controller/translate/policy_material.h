#pragma once
// What a policy refers to: its client certificate, CAs and CRLs, found, permitted and judged.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/secrets.h"
#include "controller/translate/trace.h"
#include "proxy/config/model.h"

namespace handfast::translate {

class PolicyMaterial {
 public:
  struct Context {
    const state::Reader& state;
    Materials& materials;
    Tracer& tracer;
    const objects::Meta& policy;
    std::string_view group;  // of the policy's kind, for grants
    std::string_view kind;
  };

  // Borrows all.
  PolicyMaterial(const Context& context, config::UpstreamTls& rules, ObjectReport& report)
      : context_(context), rules_(rules), report_(report) {}

  void add_identity(const objects::UpstreamTlsPolicy& policy);
  void add_trust(const objects::PolicyValidation& validation);
  void add_revocation(const objects::PolicyRevocation& revocation);

 private:
  // The item, unless it lies in another namespace that doesn't allow it.
  [[nodiscard]] std::optional<ItemKey> locate(const objects::MaterialRef& ref, ItemKind item,
                                              const std::string& field);
  [[nodiscard]] bool may_refer(const objects::MaterialRef& ref) const;
  // Answers whether they are there.
  [[nodiscard]] bool add_passphrases(const objects::MaterialRef& ref, ItemKey& key);
  void add_ca(const objects::MaterialRef& ref, const std::string& field);
  void tell_partly(const ItemKey& key, const std::vector<std::string>& entries, Reason reason,
                   const std::string& field, std::string remedy);
  [[nodiscard]] ItemKey find_crl_key(const objects::MaterialRef& ref, ItemKey key) const;
  // The first of them, with the parts of it that follow.
  [[nodiscard]] ItemKey join_parts(std::vector<ItemKey> keys) const;
  void add_crl(const ItemKey& key, bool may_be_unavailable, const std::string& field);
  void tell_kept(const ItemKey& key, const Item& item, const std::string& field);
  void tell_doubts(const Item& item, std::int64_t warning_s, const std::string& field);

  const Context context_;
  config::UpstreamTls& rules_;
  ObjectReport& report_;
  std::size_t trust_bytes_ = 0;
};

}  // namespace handfast::translate
