#include "controller/translate/trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace handfast::translate {
namespace {

using objects::ObjectKey;

const ObjectKey kSecret{"Secret", "shop", "tls"};
const ObjectKey kService{"Service", "shop", "api"};

class TracerTest : public ::testing::Test {
 protected:
  // Works on a unit that asks for these.
  void work(Unit& unit, const std::vector<ObjectKey>& topics) {
    Tracer::Scope scope{tracer_, unit};
    for (const ObjectKey& topic : topics) tracer_.on_asked(topic);
  }
  bool is_dirty(UnitKind kind) { return !tracer_.take_dirty(kind).empty(); }

  Tracer tracer_{1000};
  Unit host_{UnitKind::Host};
  Unit item_{UnitKind::Item};
};

TEST_F(TracerTest, ATouchedTopicMarksThoseWhoAskedForItNow) {
  work(host_, {kSecret});
  work(item_, {kSecret, kService});
  work(host_, {kService});

  tracer_.touch(kSecret);

  EXPECT_FALSE(is_dirty(UnitKind::Host));
  EXPECT_TRUE(is_dirty(UnitKind::Item));
}

TEST_F(TracerTest, WhoReliesOnAnotherRestsOnWhatThatRestsOn) {
  {
    Tracer::Scope outer{tracer_, host_};
    work(item_, {kSecret});
    tracer_.on_relied(item_.trace);
  }

  tracer_.touch(kSecret);

  EXPECT_TRUE(is_dirty(UnitKind::Host));
}

TEST_F(TracerTest, AnAnswerHoldsUntilATimeThatWasAskedForComesOrGoes) {
  {
    Tracer::Scope scope{tracer_, host_};
    EXPECT_TRUE(tracer_.has_come(900));
    EXPECT_FALSE(tracer_.has_come(1100));
  }

  tracer_.set_now(1099);
  EXPECT_FALSE(is_dirty(UnitKind::Host));
  tracer_.set_now(1100);
  EXPECT_TRUE(is_dirty(UnitKind::Host));

  host_.is_dirty = false;
  tracer_.set_now(899);
  EXPECT_TRUE(is_dirty(UnitKind::Host));
}

TEST_F(TracerTest, TheTimeItselfIsAnAnswerForThisSecondAlone) {
  {
    Tracer::Scope scope{tracer_, host_};
    EXPECT_EQ(tracer_.now_exactly(), 1000);
  }

  tracer_.set_now(1001);

  EXPECT_TRUE(is_dirty(UnitKind::Host));
}

TEST_F(TracerTest, CountsHowASharedUnitIsUsed) {
  {
    Tracer::Scope scope{tracer_, host_};
    tracer_.on_used(item_, 1);
    tracer_.on_used(item_, 1);
    tracer_.on_used(item_, 2);
  }
  EXPECT_EQ(item_.used[1], 1U);
  EXPECT_EQ(item_.used[2], 1U);
  static_cast<void>(tracer_.take_touched());

  work(host_, {});

  EXPECT_EQ(item_.used[1], 0U);
  const auto touched = tracer_.take_touched();
  EXPECT_NE(std::ranges::find(touched, &item_), touched.end());
}

TEST_F(TracerTest, TellsWhichSecretsAreAskedForSinceAndNoLonger) {
  work(host_, {kSecret, kService});
  EXPECT_EQ(tracer_.take_references().added, std::vector{kSecret});
  EXPECT_EQ(tracer_.references().size(), 1U);

  work(item_, {kSecret});
  work(host_, {});
  EXPECT_TRUE(tracer_.take_references().gone.empty());

  tracer_.forget(item_);
  EXPECT_EQ(tracer_.take_references().gone, std::vector{kSecret});
  EXPECT_TRUE(tracer_.references().empty());
}

}  // namespace
}  // namespace handfast::translate
