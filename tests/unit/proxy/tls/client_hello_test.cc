#include "proxy/tls/client_hello.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

namespace handfast::tls {
namespace {

using State = ClientHello::State;

std::string number(std::size_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return text;
}
std::string vector(const std::string& content, int bytes) {
  return number(content.size(), bytes) + content;
}
std::string extension(std::size_t type, const std::string& data) {
  return number(type, 2) + vector(data, 2);
}
std::string name_list(const std::string& name, char type = 0) {
  return vector(std::string(1, type) + vector(name, 2), 2);
}
std::string record(const std::string& content) {
  return std::string("\x16\x03\x01", 3) + vector(content, 2);
}
std::string message(const std::string& extensions, char type = 1) {
  const std::string body = "\x03\x03" + std::string(32, 'r') + vector(std::string(32, 's'), 1) +
                           vector("\x13\x01\x13\x02", 2) + vector(std::string(1, '\0'), 1) +
                           extensions;
  return std::string(1, type) + vector(body, 3);
}
std::string named(const std::string& name) {
  return message(vector(extension(43, "\x02\x03\x04") + extension(0, name_list(name)), 2));
}

// Every prefix of it is Incomplete or says what the whole says, and nothing that follows matters.
void expect(const std::string& bytes, State state, std::string_view name = {}) {
  bool decided = false;
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    const ClientHello part = read_client_hello(std::string_view(bytes).substr(0, n));
    if (part.state == State::Incomplete) {
      EXPECT_FALSE(decided) << n;
      continue;
    }
    decided = true;
    EXPECT_EQ(part.state, state) << n;
    EXPECT_EQ(part.server_name, name) << n;
  }
  EXPECT_EQ(decided, state != State::Incomplete);
  const ClientHello longer = read_client_hello(bytes + "\x14\x03\x03");
  if (state != State::Incomplete) {
    EXPECT_EQ(longer.state, state);
    EXPECT_EQ(longer.server_name, name);
  }
}

TEST(ClientHello, NamesTheHostInLowerCase) {
  expect(record(named("Shop.EXAMPLE")), State::Complete, "shop.example");
}

TEST(ClientHello, OfOpenSslIsRead) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  SSL_CTX_free);
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
  BIO* const in = BIO_new(BIO_s_mem());
  BIO* const out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), in, out);
  SSL_set_tlsext_host_name(ssl.get(), "shop.example");
  SSL_connect(ssl.get());
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out, &bytes);

  expect({bytes, static_cast<std::size_t>(size)}, State::Complete, "shop.example");
}

TEST(ClientHello, LiesInAnyNumberOfRecords) {
  const std::string whole = named("shop.example");
  for (const std::size_t size : {1U, 2U, 3U, 7U, 100U}) {
    std::string records;
    for (std::size_t at = 0; at < whole.size(); at += size)
      records += record(whole.substr(at, size));
    expect(records, State::Complete, "shop.example");
  }
}

TEST(ClientHello, MayNameNobody) {
  expect(record(message("")), State::Complete);
  expect(record(message(vector("", 2))), State::Complete);
  expect(record(message(vector(extension(10, "x"), 2))), State::Complete);
}

TEST(ClientHello, ThatIsNotOneIsTheLibrarysToRefuse) {
  expect("GET / HTTP/1.1", State::Other);
  expect("\x16\x02", State::Other);
  expect(std::string("\x16\x03\x01\x00\x00", 5), State::Other);
  expect(std::string("\x16\x03\x01\x40\x01", 5), State::Other);
  expect(record(message("", 2)), State::Other);
  expect(record("\x01" + vector("", 3)), State::Other);
  expect(record(message("x")), State::Other);
  expect(record(message(vector("", 2) + "x")), State::Other);
  expect(record(message(vector("\x01", 2))), State::Other);
}

TEST(ClientHello, WithAnOddServerNameIsTheLibrarysToRefuse) {
  const auto with = [](const std::string& data) {
    return record(message(vector(extension(0, data), 2)));
  };
  expect(with(""), State::Other);
  expect(with(name_list("")), State::Other);
  expect(with(name_list("a", 1)), State::Other);
  expect(with(name_list("a") + "x"), State::Other);
  expect(with(name_list(std::string(254, 'a'))), State::Other);
  const std::string twice = extension(0, name_list("a")) + extension(0, name_list("b"));
  expect(record(message(vector(twice, 2))), State::Other);
}

TEST(ClientHello, IsLookedAtUpToALimit) {
  const std::string padding = extension(21, std::string(kMaxClientHello, '\0'));
  const std::string large = message(vector(padding + extension(0, name_list("a")), 2));
  const std::string records = record(large.substr(0, 10'000)) + record(large.substr(10'000));

  EXPECT_EQ(read_client_hello(records.substr(0, 3)).state, State::Incomplete);
  EXPECT_EQ(read_client_hello(records).state, State::Other);
}

}  // namespace
}  // namespace handfast::tls
