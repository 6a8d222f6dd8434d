#pragma once
// What an object that names an item of material is told if the item can't be used.

#include <string>
#include <string_view>

#include "controller/translate/findings.h"
#include "controller/translate/secrets.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// Of a client certificate of ours whose extendedKeyUsage leaves clientAuth out.
inline constexpr std::string_view kNotForClients =
    "The certificate's extendedKeyUsage has no clientAuth: backends may refuse it.";
inline constexpr std::string_view kIssueForClients =
    "Have it issued with clientAuth (cert-manager: usages, \"client auth\").";

// "Secret shop/orders-tls".
[[nodiscard]] std::string object_text(const ItemKey& key);

// The refusal for an item that is there and bad.
[[nodiscard]] config::Refusal refuse_bad(const ItemKey& key, const Item& item,
                                         const std::string& field, ObjectReport& report);

// The item was in use and isn't there any more: "…lost its <what>".
void warn_if_gone(const Materials& materials, const ItemKey& key, Reason reason,
                  const std::string& field, std::string_view what, ObjectReport& report);

}  // namespace handfast::translate
