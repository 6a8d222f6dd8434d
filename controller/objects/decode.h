#pragma once
// From a document tree to objects. Everything that is wrong is told with the field's path, and
// never guessed: a document with a wrong field is refused whole (its last good version, if the
// source has one, is the source's business). Pure; thread-safe.

#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/objects/value.h"
#include "proxy/base/result.h"

namespace handfast::objects {

struct Decoded {
  std::vector<Object> objects;
  // Kinds that Handfast doesn't read, "apps/v1 Deployment", one per document: counted, not an
  // error.
  std::vector<std::string> skipped;
  // One per document or list item that could not be decoded. `key` as far as it is known.
  struct Problem {
    ObjectKey key;
    Origin origin;
    std::string field;  // "spec.rules[0].http.paths[1].pathType"
    Error error;
    std::string remedy{};  // where the reason alone does not tell what to do
    friend bool operator==(const Problem&, const Problem&) = default;
  };
  std::vector<Problem> problems;
};

// One document; `kind: List` and `<Kind>List` are opened. An empty document yields nothing. A kind
// of ours in a version that we don't read (extensions/v1beta1 Ingress) is skipped and is a problem
// too. `file`: empty where an API server has taken it; else a field that isn't known is a problem.
[[nodiscard]] Decoded decode(const Value& document, const std::string& file);

// "networking.k8s.io/v1" of "Ingress": the version to use of a kind that decode() reads, else
// empty.
[[nodiscard]] std::string api_version(std::string_view kind);

// RFC 4648 with padding; blanks and newlines between are allowed as Kubernetes allows them.
[[nodiscard]] Result<std::string> decode_base64(std::string_view text);

}  // namespace handfast::objects
