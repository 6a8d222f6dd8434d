#pragma once
// How a function says that it failed: a value, never an exception.
//
// Result<T> is std::expected's shape (tl::expected until the compilers of both Debians have it);
// this is the only file that names the library. `detail` is a sentence for an operator: which
// object, which field, what to do. It never holds key material.

#include <ostream>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

#include "proxy/base/reason.h"

namespace handfast {

struct Error {
  Reason reason = Reason::Internal;
  std::string detail;

  friend bool operator==(const Error&, const Error&) = default;
};

inline std::ostream& operator<<(std::ostream& out, const Error& error) {
  return out << to_string(error.reason) << ": " << error.detail;
}

template <class T>
using Result = tl::expected<T, Error>;

using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> fail(Reason reason, std::string detail) {
  return tl::unexpected<Error>(Error{reason, std::move(detail)});
}

[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

// Adds where it happened on the way up: within("ca.crt", error) -> "ca.crt: <detail>".
[[nodiscard]] inline tl::unexpected<Error> within(std::string_view place, Error error) {
  std::string detail;
  detail.reserve(place.size() + 2 + error.detail.size());
  detail.append(place).append(": ").append(error.detail);
  return fail(error.reason, std::move(detail));
}

}  // namespace handfast
