#pragma once
// The files of page/, as the build puts them into the binary.

#include <string_view>

namespace handfast::server {

extern const std::string_view kStatusHtml;
extern const std::string_view kStatusCss;
extern const std::string_view kStatusJs;

}  // namespace handfast::server
