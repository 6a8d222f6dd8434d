// The load of the handshake rows of `./dev bench`: each thread opens a TLS connection, sends one
// request, reads the answer to its end and closes, again and again; no session is ever resumed.
// wrk can't serve here: it resumes. Prints one JSON line: requests, errors, p99 in milliseconds.
//
//   connects PORT HOST PATH THREADS SECONDS
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Tally {
  std::vector<double> milliseconds;
  long errors = 0;
};

// True: a whole answer of status 200 came over the new connection.
bool ask(SSL* ssl, const std::string& request) {
  if (SSL_connect(ssl) != 1) return false;
  if (SSL_write(ssl, request.data(), static_cast<int>(request.size())) <= 0) return false;
  std::array<char, 16384> bytes;
  std::string head;
  for (;;) {
    std::size_t got = 0;
    if (SSL_read_ex(ssl, bytes.data(), bytes.size(), &got) != 1) break;
    if (head.size() < 12) head.append(bytes.data(), got);
  }
  return head.compare(0, 12, "HTTP/1.1 200") == 0;
}

bool connect_and_ask(SSL_CTX* context, int port, const std::string& request) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const int one = 1;
  const timeval patience{5, 0};
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  bool answered = false;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    ERR_clear_error();
    SSL* ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    answered = ask(ssl, request);
    SSL_free(ssl);
  }
  ::close(fd);
  return answered;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  std::signal(SIGPIPE, SIG_IGN);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  const int port = std::atoi(argv[1]);
  const std::string request = "GET " + std::string(argv[3]) + " HTTP/1.1\r\nHost: " + argv[2] +
                              "\r\nConnection: close\r\n\r\n";
  const auto count = static_cast<std::size_t>(std::atoi(argv[4]));
  const auto end = Clock::now() + std::chrono::milliseconds(std::lround(std::atof(argv[5]) * 1000));

  std::vector<Tally> tallies(count);
  std::vector<std::thread> threads;
  for (Tally& tally : tallies) {
    threads.emplace_back([&tally, context, port, &request, end] {
      while (Clock::now() < end) {
        const auto begun = Clock::now();
        if (connect_and_ask(context, port, request)) {
          const std::chrono::duration<double, std::milli> taken = Clock::now() - begun;
          tally.milliseconds.push_back(taken.count());
        } else {
          ++tally.errors;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  std::vector<double> all;
  long errors = 0;
  for (const Tally& tally : tallies) {
    all.insert(all.end(), tally.milliseconds.begin(), tally.milliseconds.end());
    errors += tally.errors;
  }
  std::ranges::sort(all);
  const double p99 = all.empty() ? 0 : all[std::min(all.size() - 1, all.size() * 99 / 100)];
  std::printf("{\"requests\": %zu, \"errors\": %ld, \"p99\": %.3f}\n", all.size(), errors, p99);
}
