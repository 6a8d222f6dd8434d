#pragma once
// A file system in memory that knows which of its changes are durable, and can fail or lose power
// at any one of its operations.
//
// A power loss keeps what was synced and any part of the rest: each later change by itself is there
// or not, and the content of a file that was written and not synced is whole, cut or empty.

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "controller/publish/file_system.h"

namespace handfast::publish::testing {

class FaultyFileSystem final : public FileSystem {
 public:
  enum class Fault { None, Error, PowerLoss };

  // The operation that changes or syncs something, counted from now, at which the fault happens.
  void fail_at(std::size_t operation, Fault fault) {
    fault_ = fault;
    left_ = operation;
    happened_ = false;
  }
  [[nodiscard]] bool fault_happened() const { return happened_; }

  // What a machine finds that starts after the power loss; `seed` picks what survived. 0: nothing
  // but what was synced; 1: all names, but no content.
  [[nodiscard]] FaultyFileSystem after_power_loss(unsigned seed) const {
    FaultyFileSystem survivor;
    survivor.tree_ = durable_;
    std::minstd_rand random{seed};
    for (const Change& change : unsynced_) {
      if (seed == 0) continue;
      if (seed > 1 && random() % 2 == 0) continue;
      Change torn = change;
      if (torn.kind == Kind::Write) {
        const auto cut = seed == 1 ? 0 : random() % 3;
        torn.text.resize(cut == 0 ? 0 : cut == 1 ? torn.text.size() / 2 : torn.text.size());
      }
      (void)apply(survivor.tree_, torn);
    }
    survivor.durable_ = survivor.tree_;
    return survivor;
  }

  // Every file and link, by path.
  [[nodiscard]] std::set<std::string> files() const {
    std::set<std::string> paths;
    for (const auto& [path, node] : tree_) {
      if (node.kind != Node::Kind::Directory) paths.insert(path);
    }
    return paths;
  }

  Status make_directory(const std::string& path) override {
    if (tree_.count(path) != 0) return {};
    return change({Kind::MakeDirectory, path, "", ""});
  }
  Status write_file(const std::string& path, std::string_view bytes) override {
    if (strikes()) {
      // A full disk leaves a part.
      if (fault_ == Fault::Error) {
        record({Kind::Write, path, "", std::string(bytes.substr(0, bytes.size() / 2))});
      }
      return failed(path);
    }
    return record({Kind::Write, path, "", std::string(bytes)});
  }
  // A copy: what one name says never changes.
  Status link(const std::string& file, const std::string& path) override {
    const auto found = tree_.find(file);
    if (found == tree_.end()) return failed(path);
    return write_file(path, found->second.text);
  }
  Status make_symlink(const std::string& target, const std::string& path) override {
    return change({Kind::Link, path, "", target});
  }
  Status rename(const std::string& from, const std::string& to) override {
    return change({Kind::Rename, from, to, ""});
  }
  Status remove_file(const std::string& path) override {
    if (tree_.count(path) == 0) return {};
    return change({Kind::Remove, path, "", ""});
  }
  Status remove_directory(const std::string& path) override {
    if (tree_.count(path) == 0) return {};
    return change({Kind::Remove, path, "", ""});
  }
  Status sync_all() override {
    if (strikes()) return failed("syncfs");
    durable_ = tree_;
    unsynced_.clear();
    return {};
  }
  Status sync_directory(const std::string& path) override {
    if (strikes()) return failed(path);
    std::vector<Change> rest;
    for (const Change& change : unsynced_) {
      const bool here =
          parent(change.path) == path || (change.kind == Kind::Rename && parent(change.to) == path);
      if (!here) {
        rest.push_back(change);
        continue;
      }
      if (change.kind == Kind::Rename && durable_.count(change.path) == 0) {
        // The name is durable; what it names was never synced.
        const auto node = tree_.find(change.to);
        if (node == tree_.end()) continue;
        Node survivor = node->second;
        if (survivor.kind == Node::Kind::File) survivor.text.clear();
        durable_[change.to] = survivor;
      } else {
        (void)apply(durable_, change);
      }
    }
    unsynced_ = std::move(rest);
    return {};
  }

  Result<std::optional<std::vector<Entry>>> list(const std::string& path) override {
    if (dead_) return fail(Reason::Io, "no power");
    if (tree_.count(path) == 0) return std::nullopt;
    std::vector<Entry> entries;
    for (const auto& [child, node] : tree_) {
      if (parent(child) == path) {
        entries.push_back({child.substr(path.size() + 1), node.kind == Node::Kind::Directory});
      }
    }
    return entries;
  }
  Result<std::optional<std::string>> read_file(const std::string& path) override {
    return read(path, Node::Kind::File);
  }
  Result<std::optional<std::string>> read_symlink(const std::string& path) override {
    return read(path, Node::Kind::Link);
  }

 private:
  struct Node {
    enum class Kind { Directory, File, Link };
    Kind kind = Kind::Directory;
    std::string text;
  };
  using Tree = std::map<std::string, Node>;

  enum class Kind { MakeDirectory, Write, Link, Rename, Remove };
  struct Change {
    Kind kind;
    std::string path, to, text;
  };

  static std::string parent(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
  }

  static bool has_children(const Tree& tree, const std::string& path) {
    const auto next = tree.upper_bound(path + "/");
    return next != tree.end() && next->first.starts_with(path + "/");
  }

  // False if the change can't be made: its parent isn't there, say.
  static bool apply(Tree& tree, const Change& change) {
    const std::string& target = change.kind == Kind::Rename ? change.to : change.path;
    if (parent(target) != "." && tree.count(parent(target)) == 0) return false;
    switch (change.kind) {
      case Kind::MakeDirectory:
        tree.emplace(change.path, Node{});
        return true;
      case Kind::Write:
        return tree.emplace(change.path, Node{Node::Kind::File, change.text}).second;
      case Kind::Link:
        return tree.emplace(change.path, Node{Node::Kind::Link, change.text}).second;
      case Kind::Remove:
        if (has_children(tree, change.path)) return false;
        return tree.erase(change.path) == 1;
      case Kind::Rename:
        break;
    }
    const auto source = tree.find(change.path);
    if (source == tree.end() || has_children(tree, change.to)) return false;
    Tree moved;
    const std::string prefix = change.path + "/";
    for (auto node = source; node != tree.end();) {
      if (node->first == change.path || node->first.starts_with(prefix)) {
        moved.emplace(change.to + node->first.substr(change.path.size()), std::move(node->second));
        node = tree.erase(node);
      } else if (node->first > prefix && !node->first.starts_with(change.path)) {
        break;
      } else {
        ++node;
      }
    }
    for (auto& [path, node] : moved) tree.insert_or_assign(path, std::move(node));
    return true;
  }

  bool strikes() {
    if (dead_) return true;
    if (fault_ == Fault::None || happened_) return false;
    if (left_-- > 0) return false;
    happened_ = true;
    dead_ = fault_ == Fault::PowerLoss;
    return true;
  }

  static Status failed(const std::string& path) {
    return fail(Reason::Io, path + ": no space left on device");
  }

  Status change(Change change) {
    if (strikes()) return failed(change.path);
    return record(std::move(change));
  }

  Status record(Change change) {
    if (!apply(tree_, change)) return fail(Reason::Io, change.path + ": can't be changed");
    unsynced_.push_back(std::move(change));
    return {};
  }

  Result<std::optional<std::string>> read(const std::string& path, Node::Kind kind) const {
    if (dead_) return fail(Reason::Io, "no power");
    const auto found = tree_.find(path);
    if (found == tree_.end() || found->second.kind != kind) return std::nullopt;
    return found->second.text;
  }

  Tree tree_;
  Tree durable_;
  std::vector<Change> unsynced_;
  Fault fault_ = Fault::None;
  std::size_t left_ = 0;
  bool happened_ = false;
  bool dead_ = false;
};

}  // namespace handfast::publish::testing
