#include "controller/reconcile/controller.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>

#include "tests/unit/controller/reconcile/reconcile_fixture.h"

namespace handfast::reconcile {
namespace {

using testing::app_yaml;
using testing::batch_of;

class ControllerTest : public testing::ReconcileFixture {
 protected:
  ControllerTest() {
    proxy_.on_load = [this](std::uint64_t generation) {
      std::unique_lock lock{mutex_};
      asked_for_ = generation;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !is_held_; });
    };
  }
  ~ControllerTest() override { end(); }

  void start() {
    thread_ = std::thread{[this] { controller_.run(); }};
  }
  // What run() did is visible afterwards.
  void end() {
    hold(false);
    controller_.stop();
    if (thread_.joinable()) thread_.join();
  }
  // Lets the proxy keep the controller waiting for its answer.
  void hold(bool held) {
    const std::lock_guard lock{mutex_};
    is_held_ = held;
    changed_.notify_all();
  }
  void await_load(std::uint64_t generation) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return asked_for_ >= generation; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t asked_for_ = 0;
  bool is_held_ = false;
  Controller controller_{reconciler_};
  std::thread thread_;
};

TEST_F(ControllerTest, WorksWhenABatchComes) {
  start();
  controller_.on_batch(batch_of(app_yaml("orders")));
  await_load(1);
  end();

  EXPECT_EQ(current(), 1u);
}

TEST_F(ControllerTest, MakesOneGenerationOfWhatQueuesUpDuringARound) {
  hold(true);
  start();
  controller_.on_batch(batch_of(app_yaml("orders")));
  await_load(1);
  controller_.on_batch(batch_of(app_yaml("pay")));
  controller_.on_batch(batch_of(app_yaml("stock")));
  controller_.on_batch(testing::batch_without({"Ingress", "shop", "pay"}));
  hold(false);
  await_load(2);
  end();

  EXPECT_EQ(writer_.newest(), 2u);
  const auto seen = publish::testing::read_current(files_).value();
  EXPECT_EQ(seen.shards.count("host/orders.example"), 1u);
  EXPECT_EQ(seen.shards.count("host/stock.example"), 1u);
  EXPECT_EQ(seen.shards.count("host/pay.example"), 0u);
}

TEST_F(ControllerTest, AFullStateStaysOneThoughALaterBatchOfTheQueueIsNone) {
  controller_.on_batch(batch_of(app_yaml("orders")));
  source::Batch problems;
  problems.synced = false;
  controller_.on_batch(std::move(problems));
  start();
  await_load(1);
  end();

  EXPECT_EQ(current(), 1u);
}

TEST_F(ControllerTest, EndsWithoutAnythingToDo) {
  start();
  end();
  EXPECT_TRUE(asked().empty());
}

TEST_F(ControllerTest, FinishesTheRoundThatIsUnderWayWhenItIsStopped) {
  hold(true);
  start();
  controller_.on_batch(batch_of(app_yaml("orders")));
  await_load(1);
  controller_.on_batch(batch_of(app_yaml("pay")));
  controller_.stop();
  end();

  EXPECT_EQ(current(), 1u);
  EXPECT_EQ(writer_.newest(), 1u);
}

}  // namespace
}  // namespace handfast::reconcile
