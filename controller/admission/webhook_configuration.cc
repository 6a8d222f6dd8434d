#include "controller/admission/webhook_configuration.h"

#include <openssl/evp.h>

#include <cstddef>
#include <utility>

#include "controller/admission/ca_bundle.h"
#include "controller/objects/decode.h"
#include "controller/objects/json_reader.h"
#include "proxy/base/log.h"
#include "proxy/pki/pem.h"

namespace handfast::admission {
namespace {

using objects::Value;

std::string_view text_of(const Value* value) {
  return value == nullptr || value->kind != Value::Kind::Scalar ? std::string_view{}
                                                                : std::string_view{value->scalar};
}

const Value* find(const Value* value, std::string_view member) {
  return value == nullptr ? nullptr : value->find(member);
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  append_json_escaped(out, text);
  return out += '"';
}

}  // namespace

Result<BundlePatch> patch_bundles(std::string_view configuration,
                                  const std::vector<std::string>& wanted,
                                  const std::vector<std::string>& unwanted, UnixSeconds now) {
  objects::JsonReader reader{configuration, 1, objects::JsonReader::Keep::WithoutManagedFields};
  const auto document = reader.next();
  if (!document) return fail(document.error());
  BundlePatch patch;
  patch.resource_version = text_of(find(find(&*document, "metadata"), "resourceVersion"));
  const Value* webhooks = find(&*document, "webhooks");
  if (text_of(find(&*document, "kind")) != "ValidatingWebhookConfiguration" ||
      patch.resource_version.empty()) {
    return fail(Reason::BadObject, "it is no ValidatingWebhookConfiguration");
  }
  std::string changes;
  const std::size_t count = webhooks == nullptr ? 0 : webhooks->list.size();
  for (std::size_t i = 0; i < count; ++i) {
    const Value* client = find(&webhooks->list[i], "clientConfig");
    // A bundle that can't be read is as good as none.
    const std::string before =
        objects::decode_base64(text_of(find(client, "caBundle"))).value_or(std::string{});
    const auto after = update_bundle(before, wanted, unwanted, now);
    if (client == nullptr || client->kind != Value::Kind::Map || !after) continue;
    changes += R"(,{"op":"add","path":"/webhooks/)" + std::to_string(i) +
               R"(/clientConfig/caBundle","value":)" + json_string(pki::encode_base64(*after)) +
               '}';
  }
  if (!changes.empty()) {
    patch.json = R"([{"op":"replace","path":"/metadata/resourceVersion","value":)" +
                 json_string(patch.resource_version) + '}' + changes + ']';
  }
  return patch;
}

}  // namespace handfast::admission
