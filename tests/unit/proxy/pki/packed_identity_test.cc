#include "proxy/pki/packed_identity.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proxy/pki/identity.h"
#include "proxy/pki/intermediates.h"
#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::KeyType;
using testing::TestAuthority;
using testing::TestCertificate;

class PackedIdentityTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const Identity> load(const TestCertificate& leaf) {
    auto identity = Identity::load(leaf.chain_pem(), leaf.key_pem());
    EXPECT_TRUE(identity) << identity.error();
    return *identity;
  }

  // As many as may be open, and so many more, opened one after the other.
  static std::vector<std::shared_ptr<const Identity>> load_many(const TestCertificate& leaf,
                                                                std::size_t more) {
    std::vector<std::shared_ptr<const Identity>> many;
    for (std::size_t n = 0; n < PackedIdentity::kMostOpen + more; ++n) {
      many.push_back(load(leaf));
      static_cast<void>(many.back()->open());
    }
    return many;
  }

  static void expect_is(const OpenIdentity& open, const TestCertificate& leaf) {
    EXPECT_EQ(X509_cmp(open.leaf.get(), leaf.x509()), 0);
    EXPECT_EQ(EVP_PKEY_eq(open.key.get(), leaf.key()), 1);
    EXPECT_EQ(sk_X509_num(open.intermediates.get()), 1);
  }

  static std::shared_ptr<X509> find(const std::string& der) {
    return find_intermediate({reinterpret_cast<const unsigned char*>(der.data()), der.size()});
  }

  TestAuthority root_{"root"};
  TestAuthority issuing_ = root_.intermediate("issuing");
};

TEST_F(PackedIdentityTest, OpensEveryKindOfKeyAsItWas) {
  const auto crowd = load_many(issuing_.issue("crowd.svc"), 0);
  for (const KeyType type : {KeyType::P256, KeyType::P384, KeyType::Rsa2048, KeyType::Ed25519}) {
    const auto leaf = issuing_.issue("a.svc", {.key = type});
    const auto identity = load(leaf);
    const auto open = identity->open();

    ASSERT_NE(open, nullptr);
    expect_is(*open, leaf);
    EXPECT_TRUE(identity->is_leaf(*leaf.x509()));
    EXPECT_FALSE(identity->is_leaf(*crowd.front()->open()->leaf));
  }
}

TEST_F(PackedIdentityTest, OpensAgainWhatOpensslTakesAndItsDecodersDoNot) {
  const auto crowd = load_many(issuing_.issue("crowd.svc"), 0);
  const auto leaf = issuing_.issue("a.svc");
  const std::string with_more = testing::pem_block("PRIVATE KEY", leaf.key_der() + "\n\n");
  const std::string otherwise_called = testing::pem_block("EC PRIVATE KEY", leaf.key_der());
  for (const std::string& key : {with_more, otherwise_called}) {
    const auto identity = Identity::load(leaf.chain_pem(), key);
    ASSERT_TRUE(identity) << identity.error();
    const auto open = (*identity)->open();

    ASSERT_NE(open, nullptr);
    expect_is(*open, leaf);
  }
}

TEST_F(PackedIdentityTest, KeepsAsManyOpenAsWereUsedLast) {
  const auto leaf = issuing_.issue("a.svc");
  const auto many = load_many(leaf, 2);
  EXPECT_EQ(PackedIdentity::count_open(), PackedIdentity::kMostOpen);

  const OpenIdentity* const first = many.front()->open().get();
  const auto held = many.back()->open();
  expect_is(*held, leaf);
  EXPECT_EQ(PackedIdentity::count_open(), PackedIdentity::kMostOpen);
  EXPECT_EQ(many.front()->open().get(), first);
  EXPECT_EQ(many.back()->open(), held);

  for (const auto& each : many) static_cast<void>(each->open());
  EXPECT_NE(many.front()->open(), nullptr);
  expect_is(*held, leaf);
  EXPECT_EQ(PackedIdentity::count_open(), PackedIdentity::kMostOpen);
}

// So a long chain doesn't cost its length again with each opening.
TEST_F(PackedIdentityTest, IntermediatesStayOpenOnceForAllWhoSendThem) {
  const TestAuthority lower = issuing_.intermediate("lower");
  const auto many = load_many(issuing_.issue("a.svc"), 2);
  const auto longer = load(lower.issue("b.svc"));
  const auto first = many.front()->open();
  const auto opened = many.back()->open();
  const auto third = longer->open();

  EXPECT_EQ(sk_X509_value(opened->intermediates.get(), 0),
            sk_X509_value(first->intermediates.get(), 0));
  EXPECT_EQ(find(issuing_.certificate().cert_der()).get(),
            sk_X509_value(first->intermediates.get(), 0));
  EXPECT_EQ(find(lower.certificate().cert_der()).get(),
            sk_X509_value(third->intermediates.get(), 0));
  ASSERT_EQ(sk_X509_num(third->intermediates.get()), 2);
  EXPECT_EQ(X509_cmp(sk_X509_value(third->intermediates.get(), 0), lower.certificate().x509()), 0);
  EXPECT_EQ(sk_X509_value(third->intermediates.get(), 1),
            sk_X509_value(first->intermediates.get(), 0));
}

TEST_F(PackedIdentityTest, OfTheIntermediatesThatNobodySendsTheLastAreKept) {
  const auto held = load(issuing_.issue("a.svc"));
  std::string first;
  for (std::size_t n = 0; n <= kMostKeptIntermediates; ++n) {
    const TestAuthority lower = root_.intermediate("lower");
    static_cast<void>(load(lower.issue("a.svc")));
    if (n == 0) first = lower.certificate().cert_der();
  }

  EXPECT_EQ(count_intermediates(), kMostKeptIntermediates + 1);
  EXPECT_EQ(find(first), nullptr);
  EXPECT_NE(find(issuing_.certificate().cert_der()), nullptr);
}

TEST_F(PackedIdentityTest, ManyThreadsOpenAndDropThem) {
  const auto leaf = issuing_.issue("a.svc");
  const auto crowd = load_many(leaf, 2);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const auto open = (i % 2 == 0 ? load(leaf) : crowd.back())->open();
        wrong += open != nullptr && sk_X509_num(open->intermediates.get()) == 1 ? 0 : 1;
        static_cast<void>(crowd[static_cast<std::size_t>(i)]->open());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(wrong, 0);
  EXPECT_LE(PackedIdentity::count_open(), PackedIdentity::kMostOpen);
}

TEST_F(PackedIdentityTest, WhatIsGoneIsNotOpen) {
  static_cast<void>(load_many(issuing_.issue("a.svc"), 2));

  EXPECT_EQ(PackedIdentity::count_open(), 0U);
}

}  // namespace
}  // namespace handfast::pki
