#pragma once
// How to get at an API server: what a kubeconfig says, or what a pod finds in its mounts. Text to
// values, nothing is opened here.
//
// Of a kubeconfig counts what its current context names. What would weaken
// the connection is refused with a sentence, never passed over: insecure-skip-tls-verify, plain
// HTTP, passwords. Without a CA nothing is trusted; the system's roots are nobody's default.
//
// Threading: values; the functions are pure.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/objects/value.h"
#include "proxy/base/result.h"

namespace handfast::kube {

// PEM text, or the file that holds it and is read again for each connection. Both empty: none.
struct PemSource {
  std::string text;
  std::string file;
  [[nodiscard]] bool is_set() const { return !text.empty() || !file.empty(); }
  friend bool operator==(const PemSource&, const PemSource&) = default;
};

// A program that prints credentials (client.authentication.k8s.io), as cloud providers have them.
struct ExecPlugin {
  std::string command;  // a path, or a name to look for in $PATH
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string api_version;
  friend bool operator==(const ExecPlugin&, const ExecPlugin&) = default;
};

struct Access {
  std::string server;       // "https://10.0.0.1:6443", perhaps with a path
  std::string server_name;  // that its certificate must have instead of the host in `server`
  PemSource ca;
  PemSource client_certificate;
  PemSource client_key;
  std::string token;
  std::string token_file;  // read again every minute, and when the server says 401
  std::optional<ExecPlugin> exec;
  std::string ns;  // of the context, or the pod's own
  friend bool operator==(const Access&, const Access&) = default;
};

// `folder`: what paths in it are relative to. The error's detail names the field.
[[nodiscard]] Result<Access> parse_kubeconfig(const objects::Value& document,
                                              std::string_view folder);

// `host` and `port`: $KUBERNETES_SERVICE_HOST and _PORT; `folder`: where the ServiceAccount's
// volume is mounted.
[[nodiscard]] Result<Access> in_cluster(std::string_view host, std::string_view port,
                                        std::string_view folder);

// Where Kubernetes mounts it.
inline constexpr std::string_view kServiceAccountFolder =
    "/var/run/secrets/kubernetes.io/serviceaccount";

// "https://host:port/path" apart; InvalidValue for what is none.
struct ServerAddress {
  std::string host;  // of an IPv6 address without its brackets
  std::string port;
  std::string path;         // empty, or from the slash on
  bool is_address = false;  // host is an IP address
};
[[nodiscard]] Result<ServerAddress> parse_server(std::string_view server);

}  // namespace handfast::kube
