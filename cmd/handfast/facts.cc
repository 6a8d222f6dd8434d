#include "cmd/handfast/facts.h"

#include <algorithm>

#include "proxy/config/emit.h"

namespace handfast {
namespace {

std::string spoken(std::string_view key) {
  std::string out(key);
  std::ranges::replace(out, '_', ' ');
  return out;
}

}  // namespace

std::string one_line(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return text;
}

Facts& Facts::add(std::string key, Facts value) {
  std::get<Map>(value_).emplace_back(std::move(key), std::move(value));
  return *this;
}

Facts& Facts::add_if_any(std::string key, std::string_view text) {
  return text.empty() ? *this : add(std::move(key), text);
}

bool Facts::is_scalar() const {
  return !std::holds_alternative<List>(value_) && !std::holds_alternative<Map>(value_);
}

bool Facts::is_empty() const {
  const auto* list = std::get_if<List>(&value_);
  const auto* map = std::get_if<Map>(&value_);
  return (list != nullptr && list->empty()) || (map != nullptr && map->empty());
}

std::string Facts::scalar_text() const {
  if (const auto* text = std::get_if<std::string>(&value_)) return one_line(*text);
  if (const auto* flag = std::get_if<bool>(&value_)) return *flag ? "yes" : "no";
  return std::to_string(std::get<std::int64_t>(value_));
}

// `continues`: the line has been begun, with the "- " of a list's element.
void Facts::write_text(std::string& out, std::size_t indent, bool continues) const {
  const auto begin_line = [&out, &continues, indent] {
    if (!continues) out.append(indent, ' ');
    continues = false;
  };
  if (is_scalar()) {
    begin_line();
    out.append(scalar_text()).append("\n");
  } else if (const auto* list = std::get_if<List>(&value_)) {
    for (const Facts& one : *list) {
      begin_line();
      out.append("- ");
      one.write_text(out, indent + 2, true);
    }
  } else {
    for (const auto& [key, value] : std::get<Map>(value_)) {
      begin_line();
      out.append(spoken(key)).append(":");
      if (value.is_scalar() || value.is_empty()) {
        out.append(" ").append(value.is_scalar() ? value.scalar_text() : "none").append("\n");
      } else {
        out.append("\n");
        value.write_text(out, indent + 2, false);
      }
    }
  }
}

std::string Facts::to_text() const {
  std::string out;
  write_text(out, 0, false);
  return out;
}

void Facts::write_json(std::string& out) const {
  if (const auto* text = std::get_if<std::string>(&value_)) {
    config::append_quoted(out, *text);
  } else if (const auto* flag = std::get_if<bool>(&value_)) {
    out.append(*flag ? "true" : "false");
  } else if (const auto* number = std::get_if<std::int64_t>(&value_)) {
    out.append(std::to_string(*number));
  } else if (const auto* list = std::get_if<List>(&value_)) {
    out.push_back('[');
    for (const Facts& one : *list) {
      if (out.back() != '[') out.append(", ");
      one.write_json(out);
    }
    out.push_back(']');
  } else {
    out.push_back('{');
    for (const auto& [key, value] : std::get<Map>(value_)) {
      if (out.back() != '{') out.append(", ");
      config::append_quoted(out, key);
      out.append(": ");
      value.write_json(out);
    }
    out.push_back('}');
  }
}

std::string Facts::to_json() const {
  std::string out;
  write_json(out);
  return out;
}

}  // namespace handfast
