#include "controller/kube/exec_plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <thread>
#include <utility>
#include <vector>

#include "controller/objects/fields.h"
#include "controller/objects/json_reader.h"
#include "proxy/base/check.h"
#include "proxy/base/unique_fd.h"

namespace handfast::kube {
namespace {

constexpr std::chrono::milliseconds kLookAgain{10};
constexpr std::size_t kMaxBytes = std::size_t{1} << 20;

// RFC 3339 in UTC, "2026-03-01T12:00:00Z".
std::int64_t parse_time(const std::string& text) {
  std::tm time{};
  const char* const end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  return end != nullptr && *end == 'Z' ? static_cast<std::int64_t>(::timegm(&time)) : 0;
}

std::vector<std::string> environment_of(const ExecPlugin& plugin) {
  std::vector<std::string> all;
  for (char** one = environ; *one != nullptr; ++one) all.emplace_back(*one);
  all.push_back("KUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\",\"apiVersion\":\"" +
                plugin.api_version + "\",\"spec\":{\"interactive\":false}}");
  for (const auto& [name, value] : plugin.environment) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

using Deadline = std::chrono::steady_clock::time_point;

tl::unexpected<Error> too_late() { return fail(Reason::Io, "did not end in time"); }

// What comes out of the pipe until its end; the error's detail says what stopped it.
Result<std::string> read_all(int fd, Deadline deadline) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wait{fd, POLLIN, 0};
    const int ready = left.count() > 0 ? ::poll(&wait, 1, static_cast<int>(left.count())) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return too_late();
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(size));
    if (text.size() > kMaxBytes) return fail(Reason::Io, "printed more than a MiB");
  }
}

// How it ended. A program that has closed its output may still run, for ever.
Result<int> wait_for_end(pid_t pid, Deadline deadline) {
  int status = 0;
  for (;;) {
    const pid_t ended = ::waitpid(pid, &status, WNOHANG);
    if (ended == pid) return status;
    if (ended < 0 && errno != EINTR) return fail(Reason::Io, std::strerror(errno));
    if (std::chrono::steady_clock::now() >= deadline) return too_late();
    std::this_thread::sleep_for(kLookAgain);
  }
}

void kill_and_wait(pid_t pid) {
  (void)::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

Result<ExecCredential> parse_exec_credential(std::string_view text) {
  const auto document = objects::JsonReader(text, 1).next();
  if (!document) return fail(Reason::BadObject, "did not print an ExecCredential in JSON");
  objects::Fields fields;
  const objects::Place root(*document);
  const objects::Place status = root.member("status");
  ExecCredential credential;
  if (!fields.is_map(root) || !fields.is_map(status)) {
    return fail(Reason::BadObject, "printed an ExecCredential without a status");
  }
  const objects::Place token = status.member("token");
  const objects::Place certificate = status.member("clientCertificateData");
  const objects::Place key = status.member("clientKeyData");
  const objects::Place expires = status.member("expirationTimestamp");
  credential.token = fields.text(token);
  credential.client_certificate = fields.text(certificate);
  credential.client_key = fields.text(key);
  credential.expires = parse_time(fields.text(expires));
  const bool has_pair = !credential.client_certificate.empty() && !credential.client_key.empty();
  if (!fields.good() || (credential.token.empty() && !has_pair)) {
    return fail(Reason::BadObject, "printed an ExecCredential without a token or a client pair");
  }
  return credential;
}

Result<ExecCredential> run(const ExecPlugin& plugin, std::chrono::milliseconds patience) {
  const Deadline deadline = std::chrono::steady_clock::now() + patience;
  const auto failed = [&](std::string why) {
    return fail(Reason::Io, "the exec plugin " + plugin.command + " " + std::move(why));
  };
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return failed(std::strerror(errno));
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);

  std::vector<std::string> words{plugin.command};
  words.insert(words.end(), plugin.arguments.begin(), plugin.arguments.end());
  std::vector<std::string> variables = environment_of(plugin);
  std::vector<char*> arguments = pointers_to(words);
  std::vector<char*> environment = pointers_to(variables);

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  check(::posix_spawn_file_actions_init(&actions) == 0, "no memory to start a program");
  check(::posix_spawnattr_init(&attributes) == 0, "no memory to start a program");
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, writer.get(), STDOUT_FILENO);
  // The signals that main() waits for are blocked in all of our threads, and must not be in it.
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, plugin.command.c_str(), &actions, &attributes,
                                   arguments.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return failed(std::string("can't be started: ") + std::strerror(error));

  writer.reset();
  auto text = read_all(reader.get(), deadline);
  const auto status =
      text ? wait_for_end(pid, deadline) : Result<int>{fail(std::move(text.error()))};
  if (!status) {
    kill_and_wait(pid);
    return failed(status.error().detail);
  }
  if (!WIFEXITED(*status) || WEXITSTATUS(*status) != 0) {
    return failed("failed; what it has to say is on stderr");
  }
  auto credential = parse_exec_credential(*text);
  if (!credential) return failed(credential.error().detail);
  return credential;
}

}  // namespace handfast::kube
