#pragma once
// What is said about the auth server to ask, and where it stands: the auth-* annotations of an
// Ingress, or the global-auth-* keys of the operator's ConfigMap. Both are known by the names of
// the annotations, so that everything else reads them alike.

#include <map>
#include <string>
#include <string_view>

#include "controller/objects/objects.h"
#include "controller/translate/annotations.h"
#include "controller/translate/findings.h"
#include "controller/translate/operator_rules.h"

namespace handfast::translate {

struct AuthSetting {
  std::string value;    // trimmed
  std::string field;    // "metadata.annotations[…/auth-url]", "data[global-auth-url]"
  std::string problem;  // not empty: there is a value that could not be decoded
};

// Who asks, as findings and ReferenceGrants call it, and what to write where.
struct AuthWords {
  std::string_view group;  // of whose namespace asks
  std::string_view kind;
  std::string_view grant_from;  // the two, for people
  std::string_view url;         // "auth-url"
  std::string_view remove;      // "remove the annotation"
  std::string_view tls_name;    // in the names of TLS policies, before the Service
  std::string_view no_ca_remedy;
  FloorWords floor;            // by the Secret
  FloorWords floor_of_policy;  // by a policy of the Service
};

class AuthSettings {
 public:
  explicit AuthSettings(const Annotations& annotations);
  // An empty value counts as absent, which is told.
  AuthSettings(const objects::ConfigMap& map, ObjectReport& report);

  // By the annotation's name, "auth-url"; null: it isn't said.
  [[nodiscard]] const AuthSetting* find(std::string_view name) const;
  [[nodiscard]] const AuthWords& words() const { return *words_; }

 private:
  std::map<std::string, AuthSetting, std::less<>> said_;
  const AuthWords* words_;
};

}  // namespace handfast::translate
