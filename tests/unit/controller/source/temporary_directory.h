#pragma once
// A directory of manifests that is deleted with the object.

#include <stdlib.h>  // mkdtemp

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace handfast::source {

class TemporaryDirectory final {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "handfast-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const {
    return path_ / name;
  }

  // Writes in place, making the folders on the way.
  void write(std::string_view name, std::string_view text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  std::filesystem::path path_;
};

// A ConfigMap default/<name> whose entry `value` is that.
inline std::string config_map(std::string_view name, std::string_view value = "") {
  std::string text = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ";
  text.append(name).append("\ndata:\n  value: \"").append(value).append("\"\n");
  return text;
}

}  // namespace handfast::source
