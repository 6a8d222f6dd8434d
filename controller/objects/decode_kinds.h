#pragma once
// One reader per kind, internal to controller/objects: decode.cc has read `meta` already. Each
// reads what it can and tells `fields` the first thing that is wrong; its result counts only if
// fields.good() afterwards. The rules are those of kube-apiserver's validation of the same kind.

#include "controller/objects/fields.h"
#include "controller/objects/objects.h"

namespace handfast::objects {

[[nodiscard]] Object decode_ingress(const Place& root, Meta meta, Fields& fields);
[[nodiscard]] Object decode_ingress_class(const Place& root, Meta meta, Fields& fields);
[[nodiscard]] Object decode_secret(const Place& root, Meta meta, Fields& fields);
[[nodiscard]] Object decode_config_map(const Place& root, Meta meta, Fields& fields);
[[nodiscard]] Object decode_service(const Place& root, Meta meta, Fields& fields);
[[nodiscard]] Object decode_endpoint_slice(const Place& root, Meta meta, Fields& fields);
[[nodiscard]] Object decode_reference_grant(const Place& root, Meta meta, Fields& fields);
[[nodiscard]] Object decode_cluster_trust_bundle(const Place& root, Meta meta, Fields& fields);
// Of a policy the targets count even if fields.good() is false afterwards.
[[nodiscard]] Object decode_upstream_tls_policy(const Place& root, Meta meta, Fields& fields);
[[nodiscard]] Object decode_backend_tls_policy(const Place& root, Meta meta, Fields& fields);

}  // namespace handfast::objects
