#include "controller/kube/access.h"

#include <gtest/gtest.h>

#include "controller/source/kubeconfig.h"

namespace handfast::kube {
namespace {

using source::parse_kubeconfig_text;

constexpr std::string_view kConfig = R"(apiVersion: v1
kind: Config
current-context: here
contexts:
- name: there
  context: {cluster: far, user: nobody}
- name: here
  context: {cluster: near, user: me, namespace: shop}
clusters:
- name: near
  cluster:
    server: https://API.example:6443/prefix
    certificate-authority-data: Q0E=
    tls-server-name: kubernetes
- name: far
  cluster: {server: "https://10.0.0.1", certificate-authority: pki/ca.crt}
users:
- name: me
  user: {client-certificate: me.crt, client-key: /abs/me.key}
- name: nobody
  user: {}
)";

std::string replaced(std::string_view from, std::string_view to) {
  std::string text(kConfig);
  text.replace(text.find(from), from.size(), to);
  return text;
}

std::string error_of(const std::string& text) {
  const auto access = parse_kubeconfig_text(text, "/etc/h");
  return access ? "none" : access.error().detail;
}

TEST(Access, ReadsWhatTheCurrentContextNames) {
  const auto access = parse_kubeconfig_text(kConfig, "/etc/h");

  ASSERT_TRUE(access.has_value()) << access.error();
  EXPECT_EQ(access->server, "https://API.example:6443/prefix");
  EXPECT_EQ(access->server_name, "kubernetes");
  EXPECT_EQ(access->ca.text, "CA");
  EXPECT_EQ(access->client_certificate.file, "/etc/h/me.crt");
  EXPECT_EQ(access->client_key.file, "/abs/me.key");
  EXPECT_EQ(access->ns, "shop");
}

TEST(Access, ReadsAnotherContextIfOneIsNamed) {
  const auto access =
      parse_kubeconfig_text(replaced("current-context: here", "current-context: there"), "/etc/h");

  ASSERT_TRUE(access.has_value()) << access.error();
  EXPECT_EQ(access->server, "https://10.0.0.1");
  EXPECT_EQ(access->ca.file, "/etc/h/pki/ca.crt");
}

TEST(Access, ReadsTokensAndPlugins) {
  const auto access = parse_kubeconfig_text(
      replaced("user: {client-certificate: me.crt, client-key: /abs/me.key}",
               "user: {tokenFile: t, token: abc, exec: {command: ./login, apiVersion: "
               "client.authentication.k8s.io/v1, args: [a, b], env: [{name: K, value: V}]}}"),
      "/etc/h");

  ASSERT_TRUE(access.has_value()) << access.error();
  EXPECT_EQ(access->token, "abc");
  EXPECT_EQ(access->token_file, "/etc/h/t");
  ASSERT_TRUE(access->exec.has_value());
  EXPECT_EQ(access->exec->command, "/etc/h/./login");
  EXPECT_EQ(access->exec->arguments, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(access->exec->environment.at(0).second, "V");
}

TEST(Access, RefusesWhatWouldWeakenTheConnection) {
  EXPECT_NE(error_of(replaced("tls-server-name: kubernetes", "insecure-skip-tls-verify: true"))
                .find("insecure-skip-tls-verify"),
            std::string::npos);
  EXPECT_NE(error_of(replaced("https://API.example:6443/prefix", "http://api"))
                .find("must begin with https://"),
            std::string::npos);
  EXPECT_NE(error_of(replaced("certificate-authority-data: Q0E=", "proxy-url: http://p"))
                .find("proxy-url"),
            std::string::npos);
  EXPECT_NE(error_of(replaced("    certificate-authority-data: Q0E=\n", ""))
                .find("roots are not trusted"),
            std::string::npos);
  EXPECT_NE(error_of(replaced("client-key: /abs/me.key", "username: a")).find("client-key"),
            std::string::npos);
}

TEST(Access, NamesWhatIsMissing) {
  EXPECT_NE(error_of(replaced("current-context: here", "current-context: gone")).find("contexts"),
            std::string::npos);
  EXPECT_NE(error_of(replaced("cluster: near", "cluster: gone")).find("clusters"),
            std::string::npos);
  EXPECT_NE(error_of(replaced("user: me", "user: gone")).find("users"), std::string::npos);
  EXPECT_NE(error_of("").find("empty"), std::string::npos);
  EXPECT_NE(error_of("[1]"), "none");
  EXPECT_NE(error_of(replaced("Q0E=", "QQ")).find("certificate-authority-data"), std::string::npos);
}

TEST(Access, KnowsWhereItIsInACluster) {
  const auto access = in_cluster("10.96.0.1", "443", "/sa");

  ASSERT_TRUE(access.has_value()) << access.error();
  EXPECT_EQ(access->server, "https://10.96.0.1:443");
  EXPECT_EQ(access->ca.file, "/sa/ca.crt");
  EXPECT_EQ(access->token_file, "/sa/token");
}

TEST(Access, PutsAnIpv6AddressOfTheServiceIntoBrackets) {
  EXPECT_EQ(in_cluster("fd00::1", "443", "/sa")->server, "https://[fd00::1]:443");
}

TEST(Access, SaysWhatToDoOutsideOfACluster) {
  EXPECT_NE(in_cluster("", "", "/sa").error().detail.find("--kubeconfig"), std::string::npos);
}

TEST(Access, TakesAServersAddressApart) {
  EXPECT_EQ(parse_server("https://A.example/x")->host, "a.example");
  EXPECT_EQ(parse_server("https://A.example/x")->port, "443");
  EXPECT_TRUE(parse_server("https://10.0.0.1:6443")->is_address);
  EXPECT_EQ(parse_server("https://[FD00::1]:6443/x")->host, "fd00::1");
  EXPECT_EQ(parse_server("https://[::1]:6443/x")->port, "6443");
  EXPECT_EQ(parse_server("https://[::1]:6443/x")->path, "/x");
  EXPECT_EQ(parse_server("https://[::1]")->port, "443");
  EXPECT_TRUE(parse_server("https://[::1]")->is_address);
  for (const char* bad :
       {"https://", "https://u@h", "https://h:0", "https://h:99999", "https://h:x", "https://h?q",
        "https://h/p?q", "h:6443", "https://[", "https://[]", "https://[::1", "https://[::1]x",
        "https://[::1]:", "https://[10.0.0.1]:443", "https://[h]:443", "https://::1:6443"}) {
    EXPECT_FALSE(parse_server(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace handfast::kube
