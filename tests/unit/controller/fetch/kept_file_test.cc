#include "controller/fetch/kept_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/controller/publish/faulty_file_system.h"

namespace handfast::fetch {
namespace {

using publish::testing::FaultyFileSystem;
using ::testing::ElementsAre;

TEST(KeptFile, LeavesNothingOfWhatAFullDiskCuts) {
  bool was_any = false;
  for (std::size_t operation = 0; operation < 4; ++operation) {
    FaultyFileSystem files;
    ASSERT_TRUE(files.make_directory("crls"));
    ASSERT_TRUE(keep_file(files, "crls/a", "old"));
    files.fail_at(operation, FaultyFileSystem::Fault::Error);

    if (keep_file(files, "crls/a", "new")) continue;

    was_any = true;
    EXPECT_THAT(files.files(), ElementsAre("crls/a")) << operation;
  }
  EXPECT_TRUE(was_any);
}

}  // namespace
}  // namespace handfast::fetch
