#pragma once
// What the API server sends about collections: pages of a list, and the events of a watch, a line
// each. From bytes to values; pure.
//
// Objects are cut out but not decoded yet, so that what nobody wants costs no more than reading its
// name. Of a list, the server leaves out kind and apiVersion of each item; they are put back.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controller/kube/resource.h"
#include "controller/objects/decode.h"
#include "controller/objects/value.h"
#include "proxy/base/result.h"

namespace handfast::kube {

// The order in which things happened, or 0 where the server's word for it is no number.
[[nodiscard]] std::uint64_t version_number(std::string_view resource_version);

struct Item {
  objects::ObjectKey key;
  std::string resource_version;
  objects::Value document;
};

struct ListPage {
  std::string resource_version;
  std::string next;  // "continue"; empty: the last page
  std::vector<Item> items;
};

struct WatchEvent {
  enum class Type : std::uint8_t { Changed, Deleted, Bookmark, Error };
  Type type = Type::Changed;
  Item item;  // of a bookmark the version alone
  // A bookmark: the objects that were there when the watch began have all been sent.
  bool ends_initial_events = false;
  int code = 0;         // of an error
  std::string message;  // of an error
};

[[nodiscard]] Result<ListPage> parse_list(std::string_view body, const Resource& resource,
                                          std::size_t version);
[[nodiscard]] Result<WatchEvent> parse_watch_event(std::string_view line, const Resource& resource,
                                                   std::size_t version);
// One object, as a GET answers it.
[[nodiscard]] Result<Item> parse_object(std::string_view body, const Resource& resource,
                                        std::size_t version);

// As objects::decode(), without a place in a file, and without what kubectl keeps for itself in an
// annotation: it repeats the whole object, a Secret's data included.
[[nodiscard]] objects::Decoded decode(const Item& item);

// Discovery: the versions of a group ("v1", "v1alpha3"), and whether a version of it has a kind.
// Nothing of what can't be read.
[[nodiscard]] std::vector<std::string> parse_group_versions(std::string_view body);
[[nodiscard]] bool lists_resource(std::string_view body, std::string_view plural);

// What a Status object says, or the beginning of a body that is none.
[[nodiscard]] std::string message_of(std::string_view body);

}  // namespace handfast::kube
