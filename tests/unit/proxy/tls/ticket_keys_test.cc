#include "proxy/tls/ticket_keys.h"

#include <gtest/gtest.h>

#include <string>

namespace handfast::tls {
namespace {

bool loads(std::vector<std::string> files) {
  return TicketKeyRing::load(std::move(files)).has_value();
}

TEST(TicketKeyRing, TakesKeysOfBothSizesRawAndInLinesOfHex) {
  EXPECT_TRUE(loads({std::string(48, 'x')}));
  EXPECT_TRUE(loads({std::string(80, 'x'), std::string(48, 'y')}));
  EXPECT_TRUE(loads({std::string(160, 'a') + "\n" + std::string(96, '0') + "\n"}));
  EXPECT_TRUE(loads({std::string(160, 'a')}));
}

TEST(TicketKeyRing, RefusesWhatIsNoKey) {
  EXPECT_FALSE(loads({}));
  EXPECT_FALSE(loads({""}));
  for (const std::size_t size : {1U, 47U, 49U, 79U, 81U, 95U, 97U, 161U, 4000U}) {
    EXPECT_FALSE(loads({std::string(size, 'a')})) << size;
  }
  EXPECT_FALSE(loads({std::string(96, 'g')}));
  for (const std::size_t size : {48U, 80U}) {  // the text of a key of half the size
    EXPECT_FALSE(loads({std::string(size, 'a')})) << size;
  }
  EXPECT_FALSE(loads({std::string(96, 'a') + "\n\n" + std::string(96, 'a')}));
  EXPECT_FALSE(loads(std::vector<std::string>(17, std::string(80, 'x'))));
}

TEST(TicketKeyRing, NamesTheBadOneByItsPlaceAndShowsNothingOfIt) {
  const auto ring = TicketKeyRing::load({std::string(80, 'x'), "secret-but-short"});

  ASSERT_FALSE(ring);
  EXPECT_EQ(ring.error().reason, Reason::BadKey);
  EXPECT_NE(ring.error().detail.find("key 2"), std::string::npos) << ring.error();
  EXPECT_EQ(ring.error().detail.find("secret"), std::string::npos) << ring.error();
}

}  // namespace
}  // namespace handfast::tls
