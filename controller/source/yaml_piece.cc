#include "controller/source/yaml_piece.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <exception>
#include <istream>
#include <span>
#include <streambuf>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "controller/source/yaml_reader.h"

namespace handfast::source {
namespace {

using objects::Value;

// What can begin or end a token beside a plain scalar.
constexpr std::array<std::uint8_t, 256> kIsMark = [] {
  std::array<std::uint8_t, 256> table{};
  for (const char c : std::string_view("[]{},:?&*!\"'")) table[static_cast<unsigned char>(c)] = 1;
  return table;
}();

// Feeds the parser in small steps and can end the text at any of them: the only way to stop
// yaml-cpp without throwing through it.
class StoppableText final : public std::streambuf {
 public:
  explicit StoppableText(std::string_view text) : rest_(text) {}

  void stop() { rest_ = {}; }
  // The parser told of something: what it holds back is none of what was fed before.
  void on_progress() { marks_ = 0; }
  [[nodiscard]] bool is_over_limit() const { return is_over_limit_; }

 protected:
  int_type underflow() override {
    is_over_limit_ = is_over_limit_ || marks_ > kMaxQueuedMarks;
    if (is_over_limit_) stop();
    const std::size_t count = std::min(rest_.size(), step_.size());
    if (count == 0) return traits_type::eof();
    std::ranges::copy(rest_.substr(0, count), step_.begin());
    rest_.remove_prefix(count);
    for (std::size_t n = 0; n < count; ++n) {
      marks_ += kIsMark[static_cast<unsigned char>(step_[n])];
    }
    setg(step_.data(), step_.data(), step_.data() + count);
    return traits_type::to_int_type(step_[0]);
  }

 private:
  std::string_view rest_;
  std::array<char, 1024> step_{};
  std::size_t marks_ = 0;
  bool is_over_limit_ = false;
};

// What a value costs to repeat.
struct Extent {
  std::size_t height = 1;
  std::size_t nodes = 1;
  std::size_t bytes = 0;

  void add_child(const Extent& child) {
    height = std::max(height, child.height + 1);
    nodes += child.nodes;
    bytes += child.bytes;
  }
};

// Builds the tree. After the first problem it ignores what the parser tells.
class Builder final : public YAML::EventHandler {
 public:
  Builder(StoppableText& text, int first_line, AliasBudget& budget)
      : text_(text), first_line_(first_line), budget_(budget) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) refuse(mark, "something follows the end of the document");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!begin(mark)) return;
    put(mark, anchor, make(mark, Value::Kind::Null), {});
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    if (!begin(mark)) return;
    Value value = make(mark, Value::Kind::Scalar);
    value.scalar = text;
    if (tag == "!" || tag == "tag:yaml.org,2002:str") {
      value.quoted = true;
    } else if (tag != "?" && !tag.empty() && tag != "tag:yaml.org,2002:int" &&
               tag != "tag:yaml.org,2002:float" && tag != "tag:yaml.org,2002:bool" &&
               tag != "tag:yaml.org,2002:null") {
      return refuse(mark, "the tag " + tag.substr(0, 80) + " is not supported");
    }
    Extent extent;
    extent.bytes = text.size();
    put(mark, anchor, std::move(value), extent);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!begin(mark)) return;
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) return refuse(mark, "an alias inside the value that it names");
    const Extent& extent = found->second.extent;
    if (frames_.size() + extent.height > kMaxDepth) return refuse(mark, "is nested too deeply");
    if (!spend(mark, extent)) return;
    put(mark, 0, found->second.value, extent);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, Value::Kind::List, "tag:yaml.org,2002:seq");
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, Value::Kind::Map, "tag:yaml.org,2002:map");
  }
  void OnMapEnd() override { close(); }

  void refuse(const YAML::Mark& mark, std::string why) {
    text_.stop();
    if (!out_.problem.empty()) return;
    out_.problem_line = first_line_ + std::max(mark.line, 0);
    out_.problem_column = std::max(mark.column, 0) + 1;
    out_.problem = std::move(why);
  }

  [[nodiscard]] YamlPiece take() { return std::move(out_); }

 private:
  struct Anchored {
    Value value;
    Extent extent;
  };

  // A list or map that is not closed yet.
  struct Frame {
    Value value;
    YAML::Mark mark;
    YAML::anchor_t anchor = 0;
    Extent extent;
    // Of maps:
    bool has_key = false;
    bool key_is_merge = false;
    std::string key;
    int key_line = 0;
    std::unordered_set<std::string> keys;
    std::vector<Value> merges;
  };

  [[nodiscard]] Value make(const YAML::Mark& mark, Value::Kind kind) const {
    Value value;
    value.kind = kind;
    value.line = first_line_ + std::max(mark.line, 0);
    return value;
  }

  // Whether the next value may be taken.
  bool begin(const YAML::Mark& mark) {
    text_.on_progress();
    if (!out_.problem.empty()) return false;
    if (frames_.size() >= kMaxDepth) {
      refuse(mark, "is nested too deeply");
    } else if (++nodes_ > kMaxNodes) {
      refuse(mark, "holds too many values");
    }
    return out_.problem.empty();
  }

  bool spend(const YAML::Mark& mark, const Extent& extent) {
    if (extent.nodes > budget_.nodes || extent.bytes > budget_.bytes) {
      refuse(mark, "anchors and aliases repeat too much");
      return false;
    }
    budget_.nodes -= extent.nodes;
    budget_.bytes -= extent.bytes;
    return true;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Value::Kind kind,
            std::string_view plain_tag) {
    if (!begin(mark)) return;
    if (tag != "?" && tag != "!" && !tag.empty() && tag != plain_tag) {
      return refuse(mark, "the tag " + tag.substr(0, 80) + " is not supported");
    }
    Frame frame;
    frame.value = make(mark, kind);
    frame.mark = mark;
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }

  void close() {
    if (!out_.problem.empty() || frames_.empty()) return;
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    if (!merge(frame)) return;
    put(frame.mark, frame.anchor, std::move(frame.value), frame.extent);
  }

  // `<<: *base` or a list of such: what the map doesn't say itself, the first one that says it
  // wins.
  bool merge(Frame& frame) {
    for (Value& source : frame.merges) {
      const bool is_list = source.kind == Value::Kind::List;
      for (Value& base : is_list ? std::span<Value>(source.list) : std::span<Value>(&source, 1)) {
        if (base.kind != Value::Kind::Map) {
          refuse(frame.mark, "<< must be given a map");
          return false;
        }
        for (auto& entry : base.map) {
          if (frame.keys.insert(entry.first).second) frame.value.map.push_back(std::move(entry));
        }
      }
    }
    return true;
  }

  // A value is whole: keeps it for aliases, and gives it to what it stands in.
  void put(const YAML::Mark& mark, YAML::anchor_t anchor, Value value, const Extent& extent) {
    if (anchor != 0) {
      if (!spend(mark, extent)) return;
      anchors_[anchor] = Anchored{value, extent};
    }
    if (frames_.empty()) {
      out_.root = std::move(value);
      return;
    }
    Frame& frame = frames_.back();
    frame.extent.add_child(extent);
    if (frame.value.kind == Value::Kind::List) {
      frame.value.list.push_back(std::move(value));
    } else if (!frame.has_key) {
      put_key(mark, frame, std::move(value));
    } else {
      frame.has_key = false;
      // yaml-cpp gives nothing the place of what comes next.
      if (value.is_null()) value.line = frame.key_line;
      if (frame.key_is_merge) {
        frame.merges.push_back(std::move(value));
      } else {
        frame.value.map.emplace_back(std::move(frame.key), std::move(value));
      }
    }
  }

  void put_key(const YAML::Mark& mark, Frame& frame, Value key) {
    if (key.kind != Value::Kind::Scalar) return refuse(mark, "a key must be a string");
    frame.has_key = true;
    frame.key_is_merge = !key.quoted && key.scalar == "<<";
    if (!frame.key_is_merge && !frame.keys.insert(key.scalar).second) {
      return refuse(mark, "the key " + key.scalar.substr(0, 80) + " is there twice");
    }
    frame.key = std::move(key.scalar);
    frame.key_line = key.line;
  }

  StoppableText& text_;
  int first_line_;
  AliasBudget& budget_;
  int documents_ = 0;
  std::size_t nodes_ = 0;
  std::vector<Frame> frames_;
  std::unordered_map<YAML::anchor_t, Anchored> anchors_;
  YamlPiece out_;
};

}  // namespace

YamlPiece read_yaml_piece(std::string_view text, int first_line, AliasBudget& budget) {
  StoppableText buffer(text);
  Builder builder(buffer, first_line, budget);
  try {
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    // The second call finds what stands behind the document, which must be nothing.
    for (int n = 0; n < 2 && parser.HandleNextDocument(builder); ++n) {
    }
  } catch (const YAML::Exception& error) {
    builder.refuse(error.mark, buffer.is_over_limit() ? "holds too many values at one place"
                                                      : "is not YAML: " + error.msg);
  } catch (const std::exception& error) {
    builder.refuse(YAML::Mark(), std::string("is not YAML: ") + error.what());
  }
  if (buffer.is_over_limit()) builder.refuse(YAML::Mark(), "holds too many values at one place");
  return builder.take();
}

}  // namespace handfast::source
