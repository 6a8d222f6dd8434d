#include "proxy/server/server.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <future>
#include <thread>

#include "tests/unit/proxy/server/state_directory.h"

namespace handfast::server {
namespace {

ServerOptions options_for(const handfast::testing::StateDirectory& state) {
  ServerOptions options;
  options.state_directory = state.path();
  options.control_path = state.path() + "/control";
  options.http = {net::Address::from_ip("127.0.0.1", 0).value()};
  options.workers = 2;
  options.access_log = "off";
  return options;
}

void block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

TEST(Server, SaysWhichPortIsTaken) {
  const handfast::testing::StateDirectory state;
  const auto busy = net::open_unix_listener(state.path() + "/control");
  ASSERT_TRUE(busy);
  const auto server = Server::create(options_for(state));

  ASSERT_FALSE(server);
  EXPECT_NE(server.error().detail.find("/control"), std::string::npos);
}

// SIGTERM while a generation is being loaded: the loader must not wait for workers that are gone.
TEST(Server, EndsThoughAGenerationIsBeingLoaded) {
  block_signals();
  handfast::testing::StateDirectory state;
  config::VirtualHost large;
  large.host = "shop.example";
  for (int i = 0; i < 10'000; ++i) {
    config::Route route;
    route.path = "/" + std::to_string(i);
    route.service = "shop/orders:80";
    large.routes.push_back(route);
  }
  state.write(1, {large});
  state.make_current(1);
  auto server = Server::create(options_for(state));
  ASSERT_TRUE(server) << server.error();
  ::kill(::getpid(), SIGTERM);  // is found as soon as it runs

  std::promise<int> code;
  std::future<int> ended = code.get_future();
  std::thread runner([&] {
    const int result = (*server)->run();
    server->reset();
    code.set_value(result);
  });
  if (ended.wait_for(std::chrono::seconds(30)) != std::future_status::ready) {
    FAIL() << "it hangs";
  }
  runner.join();

  EXPECT_EQ(ended.get(), 0);
}

}  // namespace
}  // namespace handfast::server
