#pragma once
// What was fetched, on disk: whole or not at all, whatever is killed at whatever moment.

#include <string>
#include <string_view>

#include "controller/publish/file_system.h"
#include "proxy/base/result.h"

namespace handfast::fetch {

[[nodiscard]] Status keep_file(publish::FileSystem& files, const std::string& name,
                               std::string_view bytes);

}  // namespace handfast::fetch
