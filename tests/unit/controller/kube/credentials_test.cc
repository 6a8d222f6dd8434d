#include "controller/kube/credentials.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace handfast::kube {
namespace {

class PodNamespace : public testing::Test {
 protected:
  PodNamespace() { std::filesystem::create_directory(folder); }
  ~PodNamespace() override { std::filesystem::remove_all(folder); }

  void write(const std::string& text) const { std::ofstream(folder + "/namespace") << text; }

  const std::string folder = testing::TempDir() + "pod-namespace-" +
                             testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(PodNamespace, IsReadFromTheServiceAccountsVolume) {
  write("edge\n");
  EXPECT_EQ(read_pod_namespace(folder).value(), "edge");
}

TEST_F(PodNamespace, IsNotGuessedWhereTheFileHasNone) {
  EXPECT_EQ(read_pod_namespace(folder).error().reason, Reason::Io);
  for (const char* bad : {"", "\n", "../edge", "two names"}) {
    write(bad);
    EXPECT_EQ(read_pod_namespace(folder).error().reason, Reason::InvalidValue) << bad;
  }
}

}  // namespace
}  // namespace handfast::kube
