#pragma once
// Which of the names that matter to the proxy a header name is.
//
// A name counts as Protected also when it only looks like one of ours to a backend that turns names
// into variables: letter case is ignored and every character but letters and digits counts as '-'
// (X_Forwarded_For, X.Forwarded.For, X!Forwarded!For: CGI-style servers see HTTP_X_FORWARDED_FOR in
// all of them). So do such aliases of the framing and hop-by-hop names (Content_Length), which the
// proxy itself must not obey and a backend must not see.

#include <string_view>

#include "proxy/http/message.h"

namespace handfast::http {

// `name` in any case; empty: Other.
[[nodiscard]] HeaderId identify_header(std::string_view name);

// The two halves of it, for who has looked at the bytes of the name already: a token without and
// one with characters of kOddNameChar.
[[nodiscard]] HeaderId identify_plain_header(std::string_view name);
[[nodiscard]] HeaderId identify_aliased_header(std::string_view name);

}  // namespace handfast::http
