#include "proxy/tls/session_store.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace handfast::tls {
namespace {

constexpr UnixSeconds kNow = 1'767'225'600;

StoredSession make_session(unsigned char number, UnixSeconds use_until = kNow + 3600) {
  StoredSession stored;
  stored.session.reset(SSL_SESSION_new());
  SSL_SESSION_set1_id(stored.session.get(), &number, 1);  // without an id it isn't resumable
  stored.epoch = "epoch-1";
  stored.use_until = use_until;
  return stored;
}

int number_of(const std::optional<StoredSession>& stored) {
  if (!stored) return -1;
  unsigned int length = 0;
  return SSL_SESSION_get_id(stored->session.get(), &length)[0];
}

TEST(SessionStoreTest, HandsEachSessionOutOnceTheNewestFirst) {
  SessionStore store;
  store.put("a", make_session(1));
  store.put("a", make_session(2));

  EXPECT_EQ(number_of(store.take("a", kNow)), 2);
  EXPECT_EQ(number_of(store.take("a", kNow)), 1);
  EXPECT_EQ(number_of(store.take("a", kNow)), -1);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(SessionStoreTest, KeepsKeysApart) {
  SessionStore store;
  store.put("a", make_session(1));

  EXPECT_EQ(number_of(store.take("b", kNow)), -1);
  EXPECT_EQ(number_of(store.take("a", kNow)), 1);
}

TEST(SessionStoreTest, KeepsNoMoreThanTheNewestOfAKey) {
  SessionStore store;
  for (unsigned char i = 1; i <= 100; ++i) store.put("a", make_session(i));

  EXPECT_EQ(store.size(), SessionStore::kPerKey);
  EXPECT_EQ(number_of(store.take("a", kNow)), 100);
  EXPECT_EQ(number_of(store.take("a", kNow)), 99);
}

TEST(SessionStoreTest, DropsWhatIsOutOfTimeOrNotResumable) {
  SessionStore store;
  store.put("a", make_session(1));
  store.put("a", make_session(2, kNow));
  EXPECT_EQ(number_of(store.take("a", kNow)), 1);

  StoredSession empty = make_session(3);
  empty.session.reset(SSL_SESSION_new());
  store.put("a", std::move(empty));
  EXPECT_EQ(number_of(store.take("a", kNow)), -1);
  EXPECT_EQ(store.size(), 0u);
}

TEST(SessionStoreTest, DropsWhatIsUseless) {
  SessionStore store;
  store.put("a", make_session(1));
  store.put("a", make_session(2, kNow));
  store.put("a", make_session(3));
  store.put("b", make_session(4));
  store.put("b", make_session(5));

  store.drop_if([](std::string_view key, const StoredSession& stored) {
    return key == "b" || stored.use_until <= kNow;
  });

  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(number_of(store.take("b", kNow)), -1);
  EXPECT_EQ(number_of(store.take("a", kNow)), 3);
  EXPECT_EQ(number_of(store.take("a", kNow)), 1);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(SessionStoreTest, ForgetsTheOneThatItIsTold) {
  SessionStore store;
  StoredSession one = make_session(1);
  const SSL_SESSION* first = one.session.get();
  store.put("a", std::move(one));
  store.put("a", make_session(2));
  store.forget("b", first);
  store.forget("a", nullptr);
  EXPECT_EQ(store.size(), 2u);

  store.forget("a", first);
  EXPECT_EQ(number_of(store.take("a", kNow)), 2);
  EXPECT_EQ(store.size(), 0u);
}

TEST(SessionStoreTest, DropsTheLeastRecentlyUsedBeyondItsBytes) {
  SessionStore store(256 << 10);
  const std::string key(100, 'k');
  for (int i = 0; i < 1000; ++i) {
    store.put(key + std::to_string(i), make_session(1));
    auto favourite = store.take("favourite", kNow);
    store.put("favourite", favourite ? std::move(*favourite) : make_session(9));
  }

  EXPECT_LE(store.bytes(), 256u << 10);
  EXPECT_GT(store.size(), 50u);
  EXPECT_EQ(number_of(store.take("favourite", kNow)), 9);
  EXPECT_EQ(number_of(store.take(key + "0", kNow)), -1);
  EXPECT_EQ(number_of(store.take(key + "999", kNow)), 1);
}

TEST(SessionStoreTest, KeepsNothingThatIsLargerThanItself) {
  SessionStore store(0);
  store.put("a", make_session(1));

  EXPECT_EQ(store.size(), 0u);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(SessionStoreTest, ServesSeveralThreads) {
  SessionStore store;
  const StoredSession shared = make_session(1);
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([&store, &shared] {
      for (int i = 0; i < 2000; ++i) {
        const std::string key = "key-" + std::to_string(i % 7);
        store.put(key, shared.copy());
        auto taken = store.take(key, kNow);
        if (taken && i % 3 == 0) store.put(key, std::move(*taken));
        store.forget(key, shared.session.get());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  while (store.size() > 0) {
    for (int i = 0; i < 7; ++i) (void)store.take("key-" + std::to_string(i), kNow);
  }
  EXPECT_EQ(store.bytes(), 0u);
}

}  // namespace
}  // namespace handfast::tls
