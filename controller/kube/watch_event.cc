#include "controller/kube/watch_event.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <variant>

#include "controller/objects/json_reader.h"
#include "controller/objects/names.h"

namespace handfast::kube {
namespace {

using objects::JsonReader;
using objects::Value;

constexpr std::size_t kMostMessage = 500;

Result<Value> read(std::string_view text) {
  JsonReader reader(text, 1, JsonReader::Keep::WithoutManagedFields);
  auto value = reader.next();
  if (!value) return within("the API server's answer", value.error());
  if (value->kind != Value::Kind::Map || reader.has_more()) {
    return fail(Reason::BadObject, "the API server's answer is no JSON object");
  }
  return value;
}

std::string text_at(const Value& map, std::string_view name) {
  const Value* const found = map.find(name);
  return found != nullptr && found->kind == Value::Kind::Scalar ? found->scalar : std::string();
}

Value* find(Value& map, std::string_view name) {
  const auto found = std::ranges::find(map.map, name, &std::pair<std::string, Value>::first);
  return found == map.map.end() ? nullptr : &found->second;
}

void set_if_absent(Value& map, std::string_view name, std::string text) {
  if (map.find(name) != nullptr) return;
  Value value;
  value.kind = Value::Kind::Scalar;
  value.quoted = true;
  value.scalar = std::move(text);
  map.map.emplace_back(name, std::move(value));
}

// Nothing for what has no name: no server sends that.
std::optional<Item> to_item(Value document, const Resource& resource, std::size_t version) {
  if (document.kind != Value::Kind::Map) return std::nullopt;
  const Value* const metadata = document.find("metadata");
  if (metadata == nullptr || metadata->kind != Value::Kind::Map) return std::nullopt;
  Item item;
  item.key.kind = std::string(resource.kind);
  if (resource.is_namespaced) item.key.ns = text_at(*metadata, "namespace");
  item.key.name = text_at(*metadata, "name");
  item.resource_version = text_at(*metadata, "resourceVersion");
  if (item.key.name.empty() || item.key.ns.empty() == resource.is_namespaced) return std::nullopt;
  set_if_absent(document, "kind", item.key.kind);
  set_if_absent(document, "apiVersion", resource.api_version(version));
  item.document = std::move(document);
  return item;
}

tl::unexpected<Error> nameless() {
  return fail(Reason::BadObject, "the API server sent an object without a name");
}

void read_status(const Value& status, WatchEvent& event) {
  event.message = text_at(status, "message");
  const std::string code = text_at(status, "code");
  (void)std::from_chars(code.data(), code.data() + code.size(), event.code);
}

void read_bookmark(const Value& object, WatchEvent& event) {
  const Value* const metadata = object.find("metadata");
  if (metadata == nullptr) return;
  event.item.resource_version = text_at(*metadata, "resourceVersion");
  const Value* const annotations = metadata->find("annotations");
  event.ends_initial_events =
      annotations != nullptr && text_at(*annotations, "k8s.io/initial-events-end") == "true";
}

}  // namespace

std::uint64_t version_number(std::string_view resource_version) {
  std::uint64_t number = 0;
  const char* const end = resource_version.data() + resource_version.size();
  const auto [stop, error] = std::from_chars(resource_version.data(), end, number);
  return error == std::errc{} && stop == end ? number : 0;
}

Result<ListPage> parse_list(std::string_view body, const Resource& resource, std::size_t version) {
  auto value = read(body);
  if (!value) return fail(std::move(value.error()));
  ListPage page;
  if (const Value* const metadata = value->find("metadata")) {
    page.resource_version = text_at(*metadata, "resourceVersion");
    page.next = text_at(*metadata, "continue");
  }
  if (page.resource_version.empty()) {
    return fail(Reason::BadObject, "the API server's list has no resourceVersion");
  }
  Value* const items = find(*value, "items");
  if (items == nullptr) return page;
  page.items.reserve(items->list.size());
  for (Value& document : items->list) {
    auto item = to_item(std::move(document), resource, version);
    if (!item) return nameless();
    page.items.push_back(std::move(*item));
  }
  return page;
}

Result<WatchEvent> parse_watch_event(std::string_view line, const Resource& resource,
                                     std::size_t version) {
  auto value = read(line);
  if (!value) return fail(std::move(value.error()));
  const std::string type = text_at(*value, "type");
  Value* const object = find(*value, "object");
  if (object == nullptr || object->kind != Value::Kind::Map) {
    return fail(Reason::BadObject, "the API server sent an event without an object");
  }
  WatchEvent event;
  if (type == "BOOKMARK") {
    event.type = WatchEvent::Type::Bookmark;
    read_bookmark(*object, event);
    return event;
  }
  if (type == "ERROR") {
    event.type = WatchEvent::Type::Error;
    read_status(*object, event);
    return event;
  }
  if (type == "DELETED") {
    event.type = WatchEvent::Type::Deleted;
  } else if (type != "ADDED" && type != "MODIFIED") {
    return fail(Reason::BadObject, "the API server sent an event of an unknown type");
  }
  auto item = to_item(std::move(*object), resource, version);
  if (!item) return nameless();
  event.item = std::move(*item);
  return event;
}

Result<Item> parse_object(std::string_view body, const Resource& resource, std::size_t version) {
  auto value = read(body);
  if (!value) return fail(std::move(value.error()));
  auto item = to_item(std::move(*value), resource, version);
  if (!item) return nameless();
  return std::move(*item);
}

objects::Decoded decode(const Item& item) {
  objects::Decoded decoded = objects::decode(item.document, {});
  // Asked for one kind, a server sends no other; what says so is believed to be neither.
  std::erase_if(decoded.objects,
                [&](const objects::Object& object) { return objects::key(object) != item.key; });
  for (objects::Object& object : decoded.objects) {
    std::visit(
        [](auto& one) {
          one.meta.origin = {};
          one.meta.annotations.erase("kubectl.kubernetes.io/last-applied-configuration");
        },
        object);
  }
  for (objects::Decoded::Problem& problem : decoded.problems) {
    problem.origin = {};
    problem.key = item.key;
  }
  return decoded;
}

std::vector<std::string> parse_group_versions(std::string_view body) {
  std::vector<std::string> versions;
  const auto group = read(body);
  const Value* const list = group ? group->find("versions") : nullptr;
  if (list == nullptr) return versions;
  for (const Value& one : list->list) {
    std::string version = text_at(one, "version");
    if (objects::is_dns_label(version)) versions.push_back(std::move(version));
  }
  return versions;
}

bool lists_resource(std::string_view body, std::string_view plural) {
  const auto version = read(body);
  const Value* const list = version ? version->find("resources") : nullptr;
  return list != nullptr && std::ranges::any_of(list->list, [&](const Value& one) {
           return text_at(one, "name") == plural;
         });
}

std::string message_of(std::string_view body) {
  if (const auto value = JsonReader(body, 1).next(); value && value->find("message") != nullptr) {
    return text_at(*value, "message");
  }
  const std::size_t end = std::min({body.find_first_of("\r\n"), body.size(), kMostMessage});
  return std::string(body.substr(0, end));
}

}  // namespace handfast::kube
