// ReferenceGrant and ClusterTrustBundle: what a policy may refer to.

#include <utility>

#include "controller/objects/decode_kinds.h"
#include "controller/objects/names.h"

namespace handfast::objects {

Object decode_reference_grant(const Place& root, Meta meta, Fields& fields) {
  ReferenceGrant grant;
  grant.meta = std::move(meta);
  fields.only_written(root, {"apiVersion", "kind", "metadata", "spec"});
  const Place spec = root.member("spec");
  if (!fields.is_map(spec)) fields.refuse(spec, "is missing");
  const Place from = spec.member("from");
  const Place to = spec.member("to");
  const std::size_t from_count = fields.items(from);
  for (std::size_t n = 0; n < from_count && fields.good(); ++n) {
    const Place item = from.item(n);
    (void)fields.only(item, {"group", "kind", "namespace"});
    grant.from.push_back({.group = fields.text(item.member("group")),
                          .kind = fields.text(item.member("kind")),
                          .ns = fields.text(item.member("namespace"))});
    if (grant.from.back().kind.empty() || !is_dns_label(grant.from.back().ns)) {
      fields.refuse(item, "needs a kind and a namespace");
    }
  }
  const std::size_t to_count = fields.items(to);
  for (std::size_t n = 0; n < to_count && fields.good(); ++n) {
    const Place item = to.item(n);
    (void)fields.only(item, {"group", "kind", "name"});  // a misspelt name would be every object
    const Place name = item.member("name");
    grant.to.push_back({.group = fields.text(item.member("group")),
                        .kind = fields.text(item.member("kind")),
                        .name = fields.text(name)});
    if (grant.to.back().kind.empty()) fields.refuse(item, "needs a kind");
    // An empty name would mean every object.
    if (!name.absent() && grant.to.back().name.empty()) fields.refuse(name, "is empty");
  }
  if (from_count == 0 || to_count == 0) fields.refuse(spec, "needs from and to");
  return grant;
}

Object decode_cluster_trust_bundle(const Place& root, Meta meta, Fields& fields) {
  ClusterTrustBundle bundle;
  bundle.meta = std::move(meta);
  fields.only_written(root, {"apiVersion", "kind", "metadata", "spec"});
  const Place spec = root.member("spec");
  if (!fields.is_map(spec)) fields.refuse(spec, "is missing");
  bundle.trust_bundle.bytes = fields.required_text(spec.member("trustBundle"));
  return bundle;
}

}  // namespace handfast::objects
