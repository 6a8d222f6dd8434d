#include "controller/source/kubeconfig.h"

#include <optional>
#include <utility>

#include "controller/source/file_tree.h"
#include "controller/source/yaml_reader.h"

namespace handfast::source {

Result<kube::Access> parse_kubeconfig_text(std::string_view text, const std::string& folder) {
  std::optional<Result<kube::Access>> access;
  read_documents(text, [&](Result<objects::Value> document, int /*line*/) {
    if (access) return;  // kubectl reads the first one, too
    access =
        document ? kube::parse_kubeconfig(*document, folder) : fail(std::move(document.error()));
  });
  if (!access) return fail(Reason::BadYaml, "is empty");
  return std::move(*access);
}

Result<kube::Access> load_kubeconfig(const std::string& path) {
  const ReadFile file = read_file(path);
  if (!file.text) return within(path, file.text.error());
  const std::size_t slash = path.rfind('/');
  auto access = parse_kubeconfig_text(
      *file.text, slash == std::string::npos ? std::string(".") : path.substr(0, slash));
  if (!access) return within(path, access.error());
  return access;
}

}  // namespace handfast::source
