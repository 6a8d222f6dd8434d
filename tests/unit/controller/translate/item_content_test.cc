#include "controller/translate/item_content.h"

#include <gtest/gtest.h>

#include <string>

#include "controller/objects/objects.h"
#include "controller/state/cluster_state.h"
#include "proxy/pki/identity.h"
#include "tests/support/test_authority.h"

namespace handfast::translate {
namespace {

const ItemKey kPair{"Secret", "shop", "orders", ItemKind::KeyPair};

std::map<std::string, std::string> publish(const std::string& certificate, const std::string& key) {
  state::ClusterState state;
  objects::Secret secret;
  secret.meta.ns = "shop";
  secret.meta.name = "orders";
  secret.data["tls.crt"].bytes = certificate;
  secret.data["tls.key"].bytes = key;
  state.apply(secret);
  state::NoBook book;
  return published_files(kPair, read_content(state::Reader{state, book}, kPair));
}

// What is good as two files is good as one.
TEST(PublishedFiles, ChainAndKeyAreOneFileWhateverTheirEnds) {
  const testing::TestAuthority root{"root"};
  const auto leaf = root.issue("orders.shop.svc");
  std::string unended = leaf.cert_pem();
  unended.pop_back();
  std::string with_returns;
  for (const char c : leaf.cert_pem()) with_returns += c == '\n' ? "\r\n" : std::string(1, c);

  for (const std::string& certificate :
       {leaf.cert_pem(), unended, with_returns, "\xef\xbb\xbf" + unended, unended + "\n# ours"}) {
    for (const std::string& key :
         {leaf.key_pem(), "\xef\xbb\xbf" + leaf.key_pem(), "ours:\n" + leaf.key_pem()}) {
      ASSERT_TRUE(pki::Identity::load(certificate, key)) << certificate << key;

      const auto files = publish(certificate, key);

      ASSERT_EQ(files.size(), 1U);
      ASSERT_EQ(files.begin()->first, "tls.pem");
      const auto identity = pki::Identity::load_pem(files.begin()->second);
      EXPECT_TRUE(identity) << identity.error() << files.begin()->second;
    }
  }
}

}  // namespace
}  // namespace handfast::translate
