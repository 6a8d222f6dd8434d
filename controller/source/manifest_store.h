#pragma once
// What the files of a manifests directory say, and what of it was told; internal to
// controller/source.
//
// The store is given each listing of the directory. It reads the files that changed, remembers for
// each file the objects of its last good parse, and answers what is different for the listener:
// - an object's bad new version leaves the last good one, and so does a file that can't be read;
// - an empty file that held objects is taken for one that is about to be written;
// - in a file with a document whose object can't be told, no object is taken for gone;
// - of several files with the same object the first by name counts, and the others are told of;
//   an object that is only kept counts after those that are really written somewhere.
//
// Not thread-safe. The cost of an update follows what changed, apart from looking at each name that
// may have.

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/decode.h"
#include "controller/objects/objects.h"
#include "controller/source/file_tree.h"
#include "controller/source/source.h"

namespace handfast::source {

class ManifestStore final {
 public:
  struct Update {
    Batch batch;
    // Whether the batch tells anything that the one before did not.
    bool is_news = false;
    // Something could not be listed: worth another listing in a moment.
    bool should_retry = false;
  };

  // Returns early, with half of the work done and an update to be thrown away, on a stop.
  [[nodiscard]] Update update(const FileTree& tree, const std::stop_token& stop);
  // The same, where no other names than these can have changed.
  [[nodiscard]] Update update(const FileTree& tree, const std::set<std::string>& names,
                              const std::stop_token& stop);

  // Files that could not be read or were just being written: worth another look in a moment.
  [[nodiscard]] const std::set<std::string>& unsettled() const { return unsettled_; }
  // Could it not be read when it was last looked at, whatever was known of it before?
  [[nodiscard]] bool is_unread(const std::string& name) const { return unread_.contains(name); }

 private:
  using ObjectPtr = std::shared_ptr<const objects::Object>;

  struct Record {
    FileId id;
    bool is_settled = false;  // the id says whether the file is still what was read
    std::set<objects::ObjectKey> keys;
    std::vector<objects::Decoded::Problem> problems;
    std::size_t skipped = 0;
  };

  // A file's word on an object.
  struct Claim {
    ObjectPtr object;
    bool is_kept = false;  // of a former parse: the file has a bad version now
  };

  struct Entry {
    std::map<std::string, Claim, std::less<>> claims;  // by file
    ObjectPtr told;
  };

  // What one parse yielded.
  struct Parsed {
    std::map<objects::ObjectKey, ObjectPtr> objects;
    std::vector<objects::Decoded::Problem> problems;
    std::size_t skipped = 0;
  };

  void refresh(const std::string& name, const FoundFile& file);
  void set_findings(const std::string& name, Record& record,
                    std::vector<objects::Decoded::Problem> problems, std::size_t skipped);
  [[nodiscard]] Update tell(const FileTree& tree);
  void keep_all(const std::string& name, Record& record, Error problem);
  void forget(const std::string& name, Record& record);
  void merge(const std::string& name, Record& record, Parsed parsed);
  void settle(std::vector<Event>& events);
  void add_conflicts(std::vector<objects::Decoded::Problem>& problems) const;

  static void add_decoded(objects::Decoded decoded, Parsed& out);
  [[nodiscard]] static Parsed parse(const std::string& name, std::string_view text);
  [[nodiscard]] static const Claim* winner(const Entry& entry);

  std::map<std::string, Record, std::less<>> records_;
  std::map<objects::ObjectKey, Entry> entries_;
  std::set<objects::ObjectKey> touched_;    // since the last settle()
  std::set<objects::ObjectKey> contested_;  // with several files that write them
  std::set<std::string> unsettled_;
  std::set<std::string> unread_;
  std::set<std::string> troubled_;  // files with problems
  std::size_t skipped_ = 0;         // in all files
  std::vector<objects::Decoded::Problem> told_problems_;
  std::size_t told_skipped_ = 0;
};

}  // namespace handfast::source
