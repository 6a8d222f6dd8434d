// The floor of `./dev bench`: a relay that parses nothing and only moves bytes between a client and
// a backend over mutual TLS, one backend connection for each client connection. What a proxy costs
// above it is the price of being one. A client that ends leaves its backend connection to the next,
// as pools do: a hundred handshakes would be most of a short measurement.
//
// One thread, level-triggered epoll, one read and one write a message: the four system calls that
// nobody can avoid, and the fifth, epoll_wait, shared by what is ready together. Errors end the
// connection, and those at the start the program.
//
//   floor LISTEN_PORT BACKEND_PORT CA CLIENT_CERT CLIENT_KEY [FRONT_CERT FRONT_KEY]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

void require(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "floor: %s\n", what);
  ERR_print_errors_fp(stderr);
  std::exit(1);
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

struct Pair;

// One end of a pair; without an SSL it is plain TCP.
struct End {
  Pair* pair = nullptr;
  int fd = -1;
  SSL* ssl = nullptr;
  std::string unsent;
};

struct Pair {
  std::array<End, 2> ends;  // client, backend
  bool waits = false;       // for an answer: the client spoke last
};

enum class Moved { Some, Nothing, Over };

class Relay {
 public:
  Relay(int port, int backend_port, SSL_CTX* client, SSL_CTX* front)
      : backend_port_(backend_port), client_(client), front_(front), epoll_(::epoll_create1(0)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int one = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const sockaddr_in address = loopback(port);
    require(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                ::listen(listener_, 4096) == 0,
            "can't listen");
    watch(EPOLL_CTL_ADD, listener_, nullptr, EPOLLIN);
  }

  void run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        auto* end = static_cast<End*>(events[static_cast<std::size_t>(i)].data.ptr);
        end == nullptr ? accept_one() : serve(*end);
      }
      closed_.clear();  // only now: a later event of this round may have named one of them
    }
  }

 private:
  void watch(int operation, int fd, End* end, std::uint32_t what) const {
    epoll_event event{};
    event.events = what;
    event.data.ptr = end;
    ::epoll_ctl(epoll_, operation, fd, &event);
  }

  void accept_one() {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
    if (fd < 0) return;
    if (!parked_.empty()) {
      Pair& pair = *parked_.back();
      parked_.pop_back();
      take_client(pair, fd);
      return;
    }
    const int backend = ::socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = loopback(backend_port_);
    // Blocking until its handshake is done: connections are opened before the measurement begins.
    require(::connect(backend, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
            "can't reach the backend");
    auto* pair = new Pair;
    open(*pair, 1, backend, client_);
    require(SSL_connect(pair->ends[1].ssl) == 1, "handshake with the backend");
    BIO_socket_nbio(backend, 1);
    watch(EPOLL_CTL_ADD, backend, &pair->ends[1], EPOLLIN);
    take_client(*pair, fd);
  }

  void take_client(Pair& pair, int fd) {
    open(pair, 0, fd, front_);
    if (front_ != nullptr) SSL_set_accept_state(pair.ends[0].ssl);
    watch(EPOLL_CTL_ADD, fd, &pair.ends[0], EPOLLIN);
  }

  static void open(Pair& pair, std::size_t side, int fd, SSL_CTX* context) {
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    End& end = pair.ends[side];
    end.pair = &pair;
    end.fd = fd;
    if (context == nullptr) return;
    end.ssl = SSL_new(context);
    SSL_set_fd(end.ssl, fd);
    SSL_set_read_ahead(end.ssl, 1);
  }

  static End& other(End& end) { return end.pair->ends[&end == &end.pair->ends[0] ? 1 : 0]; }

  void serve(End& end) {
    if (end.fd < 0) return;
    if (!end.unsent.empty()) {
      if (send(end, std::string()) == Moved::Over) return close(end);
      if (end.unsent.empty()) pump(other(end));  // it stopped, perhaps with bytes read ahead
    }
    if (end.fd >= 0) pump(end);
  }

  void pump(End& end) {
    End& to = other(end);
    // Bytes that OpenSSL has read ahead raise no event: they are asked for until there are none.
    do {
      if (!to.unsent.empty()) return;
      std::size_t got = 0;
      const Moved read = receive(end, got);
      if (read == Moved::Over) return close(end);
      if (read == Moved::Nothing) return;
      if (to.fd < 0) return close(end);  // parked, and nobody asked
      end.pair->waits = &end == &end.pair->ends[0];
      if (send(to, std::string(bytes_.data(), got)) == Moved::Over) return close(end);
    } while (end.ssl != nullptr && SSL_has_pending(end.ssl) == 1);
  }

  Moved receive(End& end, std::size_t& got) {
    if (end.ssl == nullptr) {
      const ssize_t result = ::recv(end.fd, bytes_.data(), bytes_.size(), 0);
      if (result < 0) return errno == EAGAIN ? Moved::Nothing : Moved::Over;
      got = static_cast<std::size_t>(result);
      return got == 0 ? Moved::Over : Moved::Some;
    }
    ERR_clear_error();
    if (SSL_read_ex(end.ssl, bytes_.data(), bytes_.size(), &got) == 1) return Moved::Some;
    return SSL_get_error(end.ssl, 0) == SSL_ERROR_WANT_READ ? Moved::Nothing : Moved::Over;
  }

  // Sends what waited, or the bytes, and keeps what the socket doesn't take.
  Moved send(End& end, std::string bytes) {
    const bool waited = !end.unsent.empty();
    if (waited) bytes = std::move(end.unsent);
    end.unsent.clear();
    std::size_t sent = 0;
    if (end.ssl == nullptr) {
      const ssize_t result = ::send(end.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (result < 0 && errno != EAGAIN) return Moved::Over;
      sent = result < 0 ? 0 : static_cast<std::size_t>(result);
    } else {
      ERR_clear_error();
      if (SSL_write_ex(end.ssl, bytes.data(), bytes.size(), &sent) != 1) {
        if (SSL_get_error(end.ssl, 0) != SSL_ERROR_WANT_WRITE) return Moved::Over;
        sent = 0;
      }
    }
    if (sent < bytes.size()) end.unsent = bytes.substr(sent);
    const bool waits = !end.unsent.empty();
    if (waited != waits) {
      watch(EPOLL_CTL_MOD, end.fd, &end, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
      // Stops the sender while its bytes wait here, and lets it go on after.
      End& from = other(end);
      watch(EPOLL_CTL_MOD, from.fd, &from, waits ? 0U : std::uint32_t{EPOLLIN});
    }
    return Moved::Some;
  }

  void close(End& end) {
    Pair& pair = *end.pair;
    const bool parks =
        &end == &pair.ends[0] && !pair.waits && pair.ends[1].unsent.empty() && end.unsent.empty();
    std::erase(parked_, &pair);
    for (End& one : pair.ends) {
      if (one.fd < 0 || (parks && &one != &end)) continue;
      SSL_free(std::exchange(one.ssl, nullptr));
      ::close(std::exchange(one.fd, -1));
    }
    parks ? parked_.push_back(&pair) : static_cast<void>(closed_.emplace_back(&pair));
  }

  const int backend_port_;
  SSL_CTX* const client_;
  SSL_CTX* const front_;
  const int epoll_;
  int listener_ = -1;
  std::array<char, 16384> bytes_;
  std::vector<std::unique_ptr<Pair>> closed_;
  std::vector<Pair*> parked_;  // without a client
};

SSL_CTX* make_context(const SSL_METHOD* method, const char* certificate, const char* key) {
  SSL_CTX* context = SSL_CTX_new(method);
  require(context != nullptr && SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
              SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1,
          "can't use the certificate");
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_ENABLE_PARTIAL_WRITE);
  return context;
}

}  // namespace

int main(int argc, char** argv) {
  require(argc == 6 || argc == 8, "wrong arguments");
  std::signal(SIGPIPE, SIG_IGN);
  SSL_CTX* client = make_context(TLS_client_method(), argv[4], argv[5]);
  require(SSL_CTX_load_verify_locations(client, argv[3], nullptr) == 1, "can't read the CA");
  SSL_CTX_set_verify(client, SSL_VERIFY_PEER, nullptr);
  SSL_CTX* front = argc == 8 ? make_context(TLS_server_method(), argv[6], argv[7]) : nullptr;
  Relay(std::atoi(argv[1]), std::atoi(argv[2]), client, front).run();
}
