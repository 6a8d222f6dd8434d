#include "controller/translate/acme.h"

#include <algorithm>

namespace handfast::translate {
namespace {

constexpr std::string_view kBelow = "/.well-known/acme-challenge/";
constexpr std::string_view kLabel = "acme.cert-manager.io/http01-solver";
constexpr std::string_view kServices = "cm-acme-http-solver-";

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

}  // namespace

bool is_acme_solver(const objects::Meta& ingress, std::string_view path, std::string_view service) {
  if (!path.starts_with(kBelow) || !is_token(path.substr(kBelow.size()))) return false;
  const auto label = ingress.labels.find(kLabel);
  return (label != ingress.labels.end() && label->second == "true") ||
         service.starts_with(kServices);
}

}  // namespace handfast::translate
