#include "controller/translate/auth_values.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace handfast::translate {
namespace {

TEST(AuthUrl, IsTakenApart) {
  const auto url = parse_auth_url("https://Proxy.Auth.svc:4180/check?u=$request_uri");
  ASSERT_TRUE(url.has_value()) << url.error();
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "proxy.auth.svc");
  EXPECT_EQ(url->port, 4180);
  EXPECT_EQ(url->target, "/check?u=$request_uri");

  EXPECT_EQ(parse_auth_url("http://id.example")->port, 80);
  EXPECT_EQ(parse_auth_url("https://id.example")->port, 443);
  EXPECT_EQ(parse_auth_url("https://id.example.?a=b")->target, "/?a=b");
  EXPECT_EQ(parse_auth_url("https://id.example.")->host, "id.example");
  EXPECT_EQ(parse_auth_url("https://[2001:db8::1]:8443/")->host, "2001:db8::1");
  EXPECT_EQ(parse_auth_url("https://192.0.2.7/")->host, "192.0.2.7");
}

TEST(AuthUrl, IsRefusedWhereAnythingIsDoubtful) {
  for (const std::string_view url : {"",
                                     "https://",
                                     "https:///x",
                                     "ftp://id.example/",
                                     "//id.example/",
                                     "id.example/",
                                     "HTTPS://id.example/",
                                     "https://$host/",
                                     "https://id.$host/",
                                     "https://id.example:$port/",
                                     "https://a@id.example/",
                                     "https://a:b@id.example/",
                                     "https://id.example:0/",
                                     "https://id.example:65536/",
                                     "https://id.example:/",
                                     "https://id.example:8o/",
                                     "https://id.example/#x",
                                     "https://id.example/a b",
                                     "https://id.example/\r\nX: y",
                                     "https://id.example/\x80",
                                     "https://id.example/$1",
                                     "https://id.example/$hostname",
                                     "https://proxy/",
                                     "https://localhost/",
                                     "https://127.0.0.1/",
                                     "https://[::1]/",
                                     "https://127.1/",
                                     "https://0x7f.1/",
                                     "https://[id.example]/",
                                     "https://[2001:db8::1/",
                                     "https://id..example/",
                                     "https://id.example\\@evil.example/"}) {
    EXPECT_FALSE(parse_auth_url(url).has_value()) << url;
  }
  EXPECT_FALSE(parse_auth_url("https://id.example/" + std::string(1100, 'x')).has_value());
}

TEST(ClusterHost, IsAServiceOfANamespaceAndNothingElse) {
  const auto split = [](std::string_view host) {
    const ClusterHost found = split_cluster_host(host, "cluster.local");
    return found.service + "/" + found.ns;
  };
  EXPECT_EQ(split("proxy.auth.svc"), "proxy/auth");
  EXPECT_EQ(split("proxy.auth.svc.cluster.local"), "proxy/auth");
  for (const std::string_view host : {"proxy.auth", "proxy.auth.svc.example", "proxy.svc", "svc",
                                      "pod.proxy.auth.svc", "id.example", ".svc"}) {
    EXPECT_EQ(split(host), "/") << host;
  }
}

TEST(Signin, GetsWhereTheClientWantedToGo) {
  const std::string back = "=$scheme://$http_host$escaped_request_uri";
  EXPECT_EQ(parse_signin("https://id.example", "rd"), "https://id.example?rd" + back);
  EXPECT_EQ(parse_signin("https://$host/a?b=c", "to"), "https://$host/a?b=c&to" + back);
  EXPECT_EQ(parse_signin("https://id.example/?rd=$request_uri", "rd"),
            "https://id.example/?rd=$request_uri");
  EXPECT_EQ(parse_signin("https://id.example/?rd=", "rd"), "https://id.example/?rd=&rd" + back);
  for (const std::string_view url :
       {"/start", "id.example", "https://$http_x/", "https://$cookie_a.example/", "javascript:1",
        "https://id.example/\nSet-Cookie: a=b", "https://id.example/$document_root",
        "https://a@id.example/"}) {
    EXPECT_FALSE(parse_signin(url, "rd").has_value()) << url;
  }
  EXPECT_TRUE(parse_signin_parameter("back-to").has_value());
  for (const std::string_view name : {"", "a&b", "a=b", "a b", "$host"}) {
    EXPECT_FALSE(parse_signin_parameter(name).has_value()) << name;
  }
}

TEST(AuthMethod, IsOneOfAFew) {
  EXPECT_EQ(parse_auth_method("POST"), "POST");
  for (const std::string_view method : {"", "get", "CONNECT", "TRACE", "GET;", "GET /"}) {
    EXPECT_FALSE(parse_auth_method(method).has_value()) << method;
  }
}

TEST(AuthHeaders, AreNamesThatNobodyElseAsserts) {
  EXPECT_EQ(parse_auth_headers("X-User,  Authorization ,, X-User"),
            (std::vector<std::string>{"X-User", "Authorization"}));
  EXPECT_EQ(parse_auth_headers(""), std::vector<std::string>{});
  for (const std::string_view name :
       {"Host", "Content-Length", "content_length", "Connection", "Transfer-Encoding", "Te",
        "X-Real-IP", "x.real.ip", "X-Forwarded-For", "ssl-client-verify", "X User",
        "X-User:", "X-Us\r\ner"}) {
    EXPECT_FALSE(parse_auth_headers(name).has_value()) << name;
  }
}

TEST(CacheDurations, AreNginxs) {
  using Rules = std::vector<config::AuthCacheRule>;
  EXPECT_EQ(parse_cache_durations("200 202 401 5m"), (Rules{{{200, 202, 401}, 300}}));
  EXPECT_EQ(parse_cache_durations("401 200 1h, any 10s"), (Rules{{{200, 401}, 3600}, {{}, 10}}));
  EXPECT_EQ(parse_cache_durations("30"), (Rules{{{200}, 30}}));
  EXPECT_EQ(parse_cache_durations("200"), (Rules{{{200}, 200}}));  // a time
  EXPECT_EQ(parse_cache_durations("2d"), (Rules{{{200}, 172800}}));
  for (const std::string_view value :
       {"", "200 0", "200 0s", "200 5y", "99 5m", "600 5m", "2000 5m", "200 -5m", "5m 200",
        "200 5m,", ",", "200 999999999999d", "200 100w", "all 5m", "200 5 m"}) {
    EXPECT_FALSE(parse_cache_durations(value).has_value()) << value;
  }
}

}  // namespace
}  // namespace handfast::translate
