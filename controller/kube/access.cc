#include "controller/kube/access.h"

#include <algorithm>
#include <charconv>
#include <cstddef>

#include "controller/objects/decode.h"
#include "controller/objects/fields.h"
#include "controller/objects/names.h"

namespace handfast::kube {
namespace {

using objects::Fields;
using objects::Place;

std::string absolute(std::string path, std::string_view folder) {
  if (path.empty() || path.front() == '/' || folder.empty()) return path;
  return std::string(folder) + "/" + path;
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && port > 0 && port < 65536;
}

// An entry of clusters, users or contexts: {name: …, <member>: {…}}.
class Named {
 public:
  Named(const Place& list, std::string_view member, const std::string& name, Fields& fields)
      : member_(member) {
    const std::size_t count = fields.items(list);
    for (std::size_t n = 0; n < count && fields.good(); ++n) {
      const Place item = list.item(n);
      if (!fields.is_map(item)) continue;
      const Place own_name = item.member("name");
      if (fields.text(own_name) != name) continue;
      index_ = n;
      return;
    }
    if (fields.good()) fields.refuse(list, "has no entry that is called " + name);
  }

  // Calls `read` with the entry's content, while the places on the way to it live.
  template <class Read>
  void with(const Place& list, Fields& fields, const Read& read) const {
    if (!fields.good()) return;
    const Place item = list.item(index_);
    const Place content = item.member(member_);
    if (!fields.is_map(content)) {
      fields.refuse(content, "is missing");
      return;
    }
    read(content);
  }

 private:
  std::string_view member_;
  std::size_t index_ = 0;
};

// FIELD-data is base64 of the PEM, FIELD a file; the data wins, as for kubectl.
PemSource read_pem(const Place& map, std::string_view field, std::string_view folder,
                   Fields& fields) {
  PemSource source;
  const std::string data_name = std::string(field) + "-data";
  const Place data = map.member(data_name);
  if (const std::string text = fields.text(data); !text.empty()) {
    auto bytes = objects::decode_base64(text);
    if (!bytes) {
      fields.refuse(data, bytes.error().detail);
    } else {
      source.text = std::move(*bytes);
    }
    return source;
  }
  const Place file = map.member(field);
  source.file = absolute(fields.text(file), folder);
  return source;
}

void refuse_if_set(const Place& map, std::string_view name, std::string_view why, Fields& fields) {
  const Place place = map.member(name);
  if (!place.absent()) fields.refuse(place, std::string(why), Reason::Unsupported);
}

void read_cluster(const Place& cluster, std::string_view folder, Access& access, Fields& fields) {
  const Place server = cluster.member("server");
  access.server = fields.required_text(server);
  if (fields.good()) {
    if (const auto parsed = parse_server(access.server); !parsed) {
      fields.refuse(server, parsed.error().detail, parsed.error().reason);
    }
  }
  const Place skip = cluster.member("insecure-skip-tls-verify");
  if (fields.boolean(skip, false)) {
    fields.refuse(skip, "is not supported: name the CA by certificate-authority",
                  Reason::Unsupported);
  }
  refuse_if_set(cluster, "proxy-url", "is not supported", fields);
  const Place name = cluster.member("tls-server-name");
  access.server_name = fields.text(name);
  access.ca = read_pem(cluster, "certificate-authority", folder, fields);
  if (fields.good() && !access.ca.is_set()) {
    fields.refuse(cluster,
                  "has no certificate-authority; the system's roots are not trusted instead");
  }
}

void read_exec(const Place& exec, std::string_view folder, Access& access, Fields& fields) {
  if (!fields.is_map(exec)) return;
  ExecPlugin plugin;
  const Place command = exec.member("command");
  plugin.command = fields.required_text(command);
  if (plugin.command.find('/') != std::string::npos) {
    plugin.command = absolute(plugin.command, folder);
  }
  const Place version = exec.member("apiVersion");
  plugin.api_version = fields.required_text(version);
  if (fields.good() && plugin.api_version != "client.authentication.k8s.io/v1" &&
      plugin.api_version != "client.authentication.k8s.io/v1beta1") {
    fields.refuse(version, "must be client.authentication.k8s.io/v1 or v1beta1");
  }
  const Place arguments = exec.member("args");
  const std::size_t argument_count = fields.items(arguments);
  for (std::size_t n = 0; n < argument_count; ++n) {
    const Place argument = arguments.item(n);
    plugin.arguments.push_back(fields.text(argument));
  }
  const Place environment = exec.member("env");
  const std::size_t variable_count = fields.items(environment);
  for (std::size_t n = 0; n < variable_count; ++n) {
    const Place variable = environment.item(n);
    if (!fields.is_map(variable)) continue;
    const Place name = variable.member("name");
    const Place value = variable.member("value");
    plugin.environment.emplace_back(fields.required_text(name), fields.text(value));
  }
  access.exec = std::move(plugin);
}

void read_user(const Place& user, std::string_view folder, Access& access, Fields& fields) {
  access.client_certificate = read_pem(user, "client-certificate", folder, fields);
  access.client_key = read_pem(user, "client-key", folder, fields);
  if (fields.good() && access.client_certificate.is_set() != access.client_key.is_set()) {
    fields.refuse(user, "has a client-certificate without its client-key, or the other way round");
  }
  const Place token = user.member("token");
  access.token = fields.text(token);
  const Place file = user.member("tokenFile");
  access.token_file = absolute(fields.text(file), folder);
  const Place exec = user.member("exec");
  read_exec(exec, folder, access, fields);
  refuse_if_set(user, "username", "is not supported: API servers take no passwords", fields);
  refuse_if_set(user, "password", "is not supported: API servers take no passwords", fields);
  refuse_if_set(user, "auth-provider", "is no more: use exec", fields);
  refuse_if_set(user, "as", "is not supported", fields);
}

}  // namespace

Result<ServerAddress> parse_server(std::string_view server) {
  constexpr std::string_view kScheme = "https://";
  if (!server.starts_with(kScheme)) {
    return fail(Reason::InvalidValue, "must begin with https://");
  }
  std::string_view rest = server.substr(kScheme.size());
  const std::string_view path = rest.substr(std::min(rest.find('/'), rest.size()));
  rest = rest.substr(0, rest.size() - path.size());
  if (path.find_first_of("?# ") != std::string_view::npos ||
      rest.find_first_of("@?# \\") != std::string_view::npos) {
    return fail(Reason::InvalidValue, "must be https://HOST:PORT, perhaps with a path");
  }
  ServerAddress address;
  address.path = std::string(path);
  const bool is_v6 = rest.starts_with('[');
  const std::size_t host_end = is_v6 ? rest.find(']') : rest.find(':');
  address.host = std::string(rest.substr(is_v6 ? 1 : 0, host_end - (is_v6 ? 1 : 0)));
  rest.remove_prefix(std::min(host_end, rest.size()));
  if (is_v6 && !rest.empty()) rest.remove_prefix(1);
  if ((is_v6 && host_end == std::string_view::npos) || (!rest.empty() && rest.front() != ':')) {
    return fail(Reason::InvalidValue, "must be https://HOST:PORT, perhaps with a path");
  }
  address.port = rest.empty() ? "443" : std::string(rest.substr(1));
  address.is_address = is_v6 ? objects::is_ipv6(address.host) : objects::is_ipv4(address.host);
  std::string lower = address.host;
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (!address.is_address && (is_v6 || !objects::is_dns_subdomain(lower))) {
    return fail(Reason::InvalidValue, "has no host name or address");
  }
  if (!is_port(address.port)) return fail(Reason::InvalidValue, "has a port that is none");
  address.host = std::move(lower);
  return address;
}

Result<Access> parse_kubeconfig(const objects::Value& document, std::string_view folder) {
  Access access;
  Fields fields;
  const Place root(document);
  std::string cluster_name;
  std::string user_name;
  if (!fields.is_map(root)) fields.refuse(root, "is no kubeconfig: not a map");

  const Place current = root.member("current-context");
  const std::string name = fields.text(current);
  if (fields.good() && name.empty()) fields.refuse(current, "is missing: name a context");

  const Place contexts = root.member("contexts");
  const Place clusters = root.member("clusters");
  const Place users = root.member("users");
  if (fields.good()) {
    Named(contexts, "context", name, fields).with(contexts, fields, [&](const Place& content) {
      const Place cluster = content.member("cluster");
      const Place user = content.member("user");
      const Place ns = content.member("namespace");
      cluster_name = fields.required_text(cluster);
      user_name = fields.text(user);
      access.ns = fields.text(ns);
    });
  }
  if (fields.good()) {
    Named(clusters, "cluster", cluster_name, fields)
        .with(clusters, fields,
              [&](const Place& content) { read_cluster(content, folder, access, fields); });
  }
  if (fields.good() && !user_name.empty()) {
    Named(users, "user", user_name, fields).with(users, fields, [&](const Place& content) {
      read_user(content, folder, access, fields);
    });
  }
  if (!fields.good()) {
    const Fields::Failure& failure = fields.failure();
    return failure.field.empty() ? fail(failure.error) : within(failure.field, failure.error);
  }
  return access;
}

Result<Access> in_cluster(std::string_view host, std::string_view port, std::string_view folder) {
  if (host.empty() || port.empty()) {
    return fail(
        Reason::InvalidValue,
        "not in a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set; give --kubeconfig "
        "or --manifests");
  }
  const bool is_v6 = host.find(':') != std::string_view::npos;
  Access access;
  access.server = "https://";
  access.server.append(is_v6 ? "[" : "").append(host).append(is_v6 ? "]:" : ":").append(port);
  if (const auto parsed = parse_server(access.server); !parsed) {
    return within("KUBERNETES_SERVICE_HOST", parsed.error());
  }
  const std::string base(folder);
  access.ca.file = base + "/ca.crt";
  access.token_file = base + "/token";
  return access;
}

}  // namespace handfast::kube
