#include "proxy/server/access_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <future>
#include <set>

#include "proxy/config/document.h"

namespace handfast::server {
namespace {

struct Pipe {
  Pipe() {
    int fds[2];
    check(::pipe2(fds, O_CLOEXEC) == 0, "pipe");
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
  static void check(bool holds, const char* what) {
    if (!holds) ADD_FAILURE() << what;
  }
  // Until its last writer has closed.
  std::string read_all() const {
    std::string text;
    char space[65536];
    for (;;) {
      const ssize_t got = ::read(read.get(), space, sizeof space);
      if (got <= 0) return text;
      text.append(space, static_cast<std::size_t>(got));
    }
  }
  UniqueFd read;
  UniqueFd write;
};

session::ExchangeRecord record_of(std::string_view target) {
  session::ExchangeRecord record;
  record.unix_milliseconds = 1'764'000'000'123;
  record.duration = std::chrono::microseconds(1'500);
  record.method = "GET";
  record.host = "shop.example";
  record.target = target;
  record.status = 200;
  return record;
}

std::string line_of(const session::ExchangeRecord& record) {
  // As large as what is written into: a line that is longer would be found by the sanitizer.
  const auto space = std::make_unique<char[]>(kMaxLogLine);
  return {space.get(), write_record(space.get(), record)};
}

TEST(LogRing, GivesBackWhatWasAppendedAcrossItsEnd) {
  LogRing ring;
  std::string expected;
  std::string taken;
  for (int i = 0; i < 5000; ++i) {
    const std::string line = "line " + std::to_string(i) + std::string(500, 'x') + "\n";
    expected += line;
    ASSERT_TRUE(ring.append(line));
    if (i % 7 == 0) ring.take(taken);
  }
  ring.take(taken);

  EXPECT_TRUE(taken == expected);
}

TEST(LogRing, TakesALineWholeOrNotAtAll) {
  LogRing ring;
  const std::string line(1000, 'x');
  std::size_t fitted = 0;
  while (ring.append(line)) ++fitted;
  std::string taken;
  ring.take(taken);

  EXPECT_EQ(fitted, LogRing::kSize / 1000);
  EXPECT_EQ(taken.size(), fitted * 1000);
  EXPECT_FALSE(ring.append(std::string(LogRing::kSize + 1, 'x')));
}

TEST(WriteRecord, WritesOneLineOfJsonWithEveryFieldEscaped) {
  std::string hostile = "/a\"b\\c\n\t\x01\x7f\xff\xfe</script>";
  session::ExchangeRecord record = record_of(hostile);
  record.user_agent = "\"}\n{\"status\":500";
  record.referer = std::string_view("a\0b", 3);
  config::Route route;
  route.ingress_namespace = "shop";
  route.ingress = "web";
  record.route = &route;
  record.reason = Reason::Revoked;
  record.detail = "CN=\"x\"";
  const std::string line = line_of(record);

  ASSERT_TRUE(line.ends_with("}\n"));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto parsed = config::parse_document(line);
  ASSERT_TRUE(parsed) << parsed.error() << line;
  std::map<std::string, std::string> fields;
  for (const auto& [key, value] : parsed->map) fields[key] = value.scalar;
  EXPECT_EQ(fields["user_agent"], "\"}\n{\"status\":500");
  EXPECT_EQ(fields["status"], "200");
  EXPECT_EQ(fields["upstream_tls_error"], "revoked");
  EXPECT_EQ(fields["duration"], "0.001500");
  EXPECT_EQ(fields["time"], "2025-11-24T16:00:00.123Z");
}

TEST(WriteRecord, CutsATargetThatIsTooLong) {
  const std::string line = line_of(record_of(std::string(100'000, 'x')));

  EXPECT_LT(line.size(), 4096u);
}

TEST(WriteRecord, HasRoomForTheLongestLineThereCanBe) {
  const std::string text(100'000, '\x01');
  session::ExchangeRecord record = record_of(text);
  for (std::string_view session::ExchangeRecord::* const field :
       {&session::ExchangeRecord::client_address, &session::ExchangeRecord::scheme,
        &session::ExchangeRecord::method, &session::ExchangeRecord::host,
        &session::ExchangeRecord::user_agent, &session::ExchangeRecord::referer,
        &session::ExchangeRecord::request_id, &session::ExchangeRecord::downstream_tls_version,
        &session::ExchangeRecord::downstream_tls_cipher, &session::ExchangeRecord::server_name,
        &session::ExchangeRecord::upstream_address, &session::ExchangeRecord::upstream_tls_version,
        &session::ExchangeRecord::upstream_tls_cipher,
        &session::ExchangeRecord::upstream_peer_subject,
        &session::ExchangeRecord::upstream_peer_serial,
        &session::ExchangeRecord::upstream_client_subject,
        &session::ExchangeRecord::upstream_client_serial, &session::ExchangeRecord::detail}) {
    record.*field = text;
  }
  config::Route route;
  route.ingress_namespace = route.ingress = route.service = text;
  record.route = &route;
  record.duration = std::chrono::microseconds::max();
  record.request_body_bytes = record.response_body_bytes = ~std::uint64_t{0};
  record.response_cut = record.upstream_reused = record.upstream_certificate_requested = true;
  record.upstream_tries = 100;
  record.reason = Reason::ClientCertificateNotRequested;

  EXPECT_LT(line_of(record).size(), kMaxLogLine);
}

TEST(AccessLog, WritesEveryLineOfEveryWorkerWhole) {
  constexpr std::size_t kWorkers = 4;
  constexpr int kLines = 3000;
  Pipe pipe;
  auto text = std::async(std::launch::async, [&] { return pipe.read_all(); });
  std::uint64_t dropped = 0;
  {
    AccessLog log(kWorkers, std::move(pipe.write));
    std::vector<std::thread> workers;
    for (std::size_t w = 0; w < kWorkers; ++w) {
      workers.emplace_back([&, w] {
        for (int i = 0; i < kLines; ++i) {
          const std::string target = "/" + std::to_string(w) + "-" + std::to_string(i);
          log.append(w, record_of(target));
          if (i % 100 == 0) std::this_thread::yield();
        }
      });
    }
    for (auto& worker : workers) worker.join();
    dropped = log.dropped();
  }
  const std::string all = text.get();
  std::set<std::string> targets;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = all.find('\n', begin);
    ASSERT_NE(end, std::string::npos);
    const std::string line = all.substr(begin, end - begin);
    ASSERT_TRUE(line.starts_with("{\"time\":") && line.ends_with("}")) << line;
    const std::size_t target = line.find("\"target\":\"") + 10;
    targets.insert(line.substr(target, line.find('"', target) - target));
    begin = end + 1;
  }

  EXPECT_EQ(targets.size() + dropped, kWorkers * kLines);
}

// The reader of the log stands still: workers go on, lines are dropped and counted, and the end
// comes in time.
TEST(AccessLog, ABlockedReaderStopsNobody) {
  Pipe pipe;
  auto log = std::make_unique<AccessLog>(1, std::move(pipe.write));
  for (int i = 0; i < 20'000; ++i) log->append(0, record_of("/a"));
  EXPECT_GT(log->dropped(), 0u);

  auto ended = std::async(std::launch::async, [&] { log.reset(); });
  const bool in_time = ended.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
  if (!in_time) pipe.read_all();

  EXPECT_TRUE(in_time);
}

TEST(AccessLog, AReaderThatIsGoneIsNoTrouble) {
  ::signal(SIGPIPE, SIG_IGN);  // as the program does
  Pipe pipe;
  pipe.read.reset();
  AccessLog log(1, std::move(pipe.write));
  for (int i = 0; i < 1000; ++i) log.append(0, record_of("/a"));
}

TEST(AccessLog, IsOffWithoutADescriptor) {
  AccessLog log(1, UniqueFd());
  log.append(0, record_of("/a"));

  EXPECT_EQ(log.dropped(), 0u);
}

}  // namespace
}  // namespace handfast::server
