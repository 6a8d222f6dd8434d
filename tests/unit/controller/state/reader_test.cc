#include "controller/state/reader.h"

#include <gtest/gtest.h>

namespace handfast::state {
namespace {

using objects::ObjectKey;

TEST(Reader, KeepsBookOfWhatIsThereAndWhatIsNot) {
  ClusterState state;
  objects::Secret secret;
  secret.meta.ns = "shop";
  secret.meta.name = "tls";
  state.apply(secret);
  Reader::Book asked;
  const Reader reader{state, asked};

  EXPECT_NE(reader.find_secret("shop", "tls"), nullptr);
  EXPECT_EQ(reader.find_config_map("shop", "roots"), nullptr);
  EXPECT_EQ(reader.find_service("shop", "api"), nullptr);

  const Reader::Book expected{
      ObjectKey{"ConfigMap", "shop", "roots"},
      ObjectKey{"Secret", "shop", "tls"},
      ObjectKey{"Service", "shop", "api"},
  };
  EXPECT_EQ(asked, expected);
}

}  // namespace
}  // namespace handfast::state
