#include "controller/state/reader.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace handfast::state {
namespace {

using objects::ObjectKey;
using Topics = std::set<ObjectKey>;

class SetBook final : public Book {
 public:
  void on_asked(ObjectKey topic) override { topics.insert(std::move(topic)); }
  Topics topics;
};

template <class T>
T named(const char* name) {
  T object;
  object.meta.ns = "shop";
  object.meta.name = name;
  return object;
}

objects::EndpointSlice slice_of(const char* service) {
  auto slice = named<objects::EndpointSlice>("slice");
  slice.service = service;
  return slice;
}

TEST(Reader, TellsWhatIsThereAndWhatIsNot) {
  ClusterState state;
  state.apply(named<objects::Secret>("tls"));
  SetBook book;
  const Reader reader{state, book};

  EXPECT_NE(reader.find_secret("shop", "tls"), nullptr);
  EXPECT_EQ(reader.find_config_map("shop", "roots"), nullptr);
  EXPECT_EQ(reader.find_service("shop", "api"), nullptr);

  EXPECT_EQ(book.topics, (Topics{{"ConfigMap", "shop", "roots"},
                                 {"Secret", "shop", "tls"},
                                 {"Service", "shop", "api"}}));
}

TEST(Reader, AsksForWhatAChangeTouches) {
  ClusterState state;
  static_cast<void>(state.take_touched());
  state.apply(slice_of("api"));
  state.apply(named<objects::ReferenceGrant>("grant"));
  SetBook book;
  const Reader reader{state, book};

  EXPECT_EQ(reader.endpoint_slices("shop", "api").size(), 1U);
  EXPECT_EQ(reader.reference_grants("shop").size(), 1U);

  Topics touched = state.take_touched();
  for (const ObjectKey& topic : book.topics) EXPECT_TRUE(touched.contains(topic)) << topic.kind;
}

TEST(ClusterState, NothingIsNotedForWhoBegins) {
  ClusterState state;
  state.apply(slice_of("api"));

  EXPECT_TRUE(state.take_touched().empty());
  state.apply(named<objects::Secret>("tls"));
  EXPECT_EQ(state.take_touched(), (Topics{{"Secret", "shop", "tls"}}));
}

TEST(ClusterState, ASliceThatMovesTouchesBothServices) {
  ClusterState state;
  state.apply(slice_of("api"));
  static_cast<void>(state.take_touched());

  state.apply(slice_of("web"));

  EXPECT_EQ(state.take_touched(), (Topics{slices_of("shop", "api"), slices_of("shop", "web")}));
  EXPECT_TRUE(state.take_touched().empty());
}

TEST(ClusterState, WhatGoesIsTouched) {
  ClusterState state;
  state.apply(named<objects::Secret>("tls"));
  static_cast<void>(state.take_touched());

  state.remove({"Secret", "shop", "tls"});
  state.remove({"Secret", "shop", "tls"});

  EXPECT_EQ(state.take_touched(), (Topics{{"Secret", "shop", "tls"}}));
}

}  // namespace
}  // namespace handfast::state
