// HTTP/2 clients and backends that cut their bytes anywhere, read when they like, reset streams,
// say goodbye and close. Whatever they do: what looks complete is complete and belongs to who gets
// it, a request with effect arrives once, each exchange ends once, and nothing is left in the end.

#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "proxy/http/h2_codec.h"
#include "tests/unit/proxy/session/seeds.h"
#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::Peer;
using handfast::testing::route_to;
using handfast::testing::SnapshotMaker;
using http::H2Codec;
using http::H2Error;
using http::H2StreamId;
using http::Header;

// Bodies say whose they are: "<id>:" again and again.
std::string body_of(const std::string& id, std::size_t size) {
  std::string body;
  while (body.size() < size) body += id + ":";
  body.resize(size);
  return body;
}

// A message as it comes in or goes out on one stream.
struct Message {
  std::string id;
  bool post = false;
  int status = 0;
  std::size_t promised = 0;  // bytes of body that its sender meant
  bool promises = false;
  std::string body;
  bool ended = false;
  std::size_t owed = 0;   // received, not consumed
  std::string to_send;    // of the body
  bool sends = false;     // its head is out, its end isn't
  bool answered = false;  // backend: the head is out
  bool closed = false;
};

// One end of a connection: a codec over a peer that is fed and drawn in random pieces.
class SimEnd : public H2Codec::Events {
 public:
  SimEnd(Peer& its_peer, H2Codec::Role role, std::mt19937& random)
      : peer(its_peer), codec(role, *this, {}), random_(random) {}

  void step() {
    if (!peer.open()) return;
    if (const std::string bytes = peer.take(); !bytes.empty() && !broken) {
      broken = !codec.feed(bytes);
    }
    for (auto& [stream, message] : messages) {
      if (message.owed > 0 && random_() % 3 == 0) {
        codec.consume(stream, std::exchange(message.owed, 0));
      }
      send_some(stream, message);
    }
    Buffer out(buffers_);
    codec.produce(out, 1 + random_() % 60'000);
    to_send_.append(out.view());
    if (to_send_.empty() || random_() % 4 == 0) return;
    const std::size_t piece =
        random_() % 2 == 0 ? to_send_.size() : 1 + random_() % to_send_.size();
    peer.send(to_send_.substr(0, piece));
    to_send_.erase(0, piece);
  }

  void on_h2_request(H2StreamId, const http::RequestHead&) override {}
  void on_h2_bad_request(H2StreamId, int, std::string_view what) override {
    ADD_FAILURE() << "the proxy's request: " << what;
  }
  void on_h2_response(H2StreamId, const http::ResponseHead&) override {}
  void on_h2_data(H2StreamId stream, std::string_view payload) override {
    Message& message = messages[stream];
    message.body.append(payload);
    message.owed += payload.size();
  }
  void on_h2_end(H2StreamId stream, const http::HeaderList&) override {
    Message& message = messages[stream];
    EXPECT_FALSE(std::exchange(message.ended, true));
    if (message.promises) {
      EXPECT_EQ(message.body.size(), message.promised) << message.id << " passes for whole";
    }
    if (message.promises || message.post) {
      EXPECT_TRUE(message.body == body_of(message.id, message.body.size()))
          << "bytes that aren't of " << message.id;
    }
  }
  void on_h2_closed(H2StreamId stream, H2Error) override {
    messages[stream].closed = true;
    messages[stream].sends = false;
  }
  void on_h2_drained(H2StreamId) override {}
  void on_h2_goaway(H2StreamId, H2Error) override { leaving = true; }

  Peer& peer;
  H2Codec codec;
  std::map<H2StreamId, Message> messages;
  bool broken = false;
  bool leaving = false;

 protected:
  void read_promise(Message& message, const http::HeaderList& headers) {
    for (const Header& header : headers.items()) {
      if (header.name == "x-id") message.id = header.value;
      if (header.name != "x-size") continue;
      message.promised = std::stoul(std::string(header.value));
      message.promises = true;
    }
  }
  void send_some(H2StreamId stream, Message& message) {
    if (!message.sends || random_() % 3 == 0 || codec.queued(stream) > 100'000) return;
    const std::size_t piece = std::min<std::size_t>(message.to_send.size(), random_() % 20'000);
    codec.send_body(stream, message.to_send.substr(0, piece));
    message.to_send.erase(0, piece);
    if (!message.to_send.empty()) return;
    const std::array trailers = {Header{"x-trailer", "1"}};
    random_() % 4 == 0 ? codec.send_end(stream, trailers) : codec.send_end(stream, {});
    message.sends = false;
  }

  BufferPool buffers_;
  std::mt19937& random_;
  std::string to_send_;
};

class SimClient final : public SimEnd {
 public:
  SimClient(Peer& its_peer, std::mt19937& random)
      : SimEnd(its_peer, H2Codec::Role::Client, random) {}

  void ask(const std::string& id) {
    if (leaving || broken || codec.free_streams() == 0) return;
    const bool post = random_() % 2 == 0;
    const std::size_t size = post ? random_() % (random_() % 4 == 0 ? 200'000 : 3000) : 0;
    const std::string text = std::to_string(size);
    std::vector<Header> fields = {{"x-id", id}, {"x-size", text}};
    if (post && random_() % 2 == 0) fields.push_back({"content-length", text});
    if (random_() % 4 == 0) fields.push_back({"te", "trailers"});
    for (auto crumbs = random_() % 4; crumbs > 0; --crumbs) fields.push_back({"cookie", id});
    const std::string target = "/" + id;
    http::RequestHead head;
    head.method = post ? "POST" : "GET";
    head.target = target;
    head.authority = "shop.example";
    const auto stream = codec.send_request(head, "http", fields, !post);
    if (!stream) return;
    Message& message = messages[*stream];
    message.id = id;
    message.to_send = body_of(id, size);
    message.sends = post;
  }
  void on_h2_response(H2StreamId stream, const http::ResponseHead& head) override {
    if (head.status < 200) return;
    Message& message = messages[stream];
    EXPECT_EQ(message.status, 0) << "answered twice";
    message.status = head.status;
    if (head.status != 200) return;
    const std::string asked = message.id;
    read_promise(message, head.headers);
    EXPECT_EQ(message.id, asked) << "the answer of another";
  }
};

class SimBackend final : public SimEnd {
 public:
  SimBackend(Peer& its_peer, std::mt19937& random, std::map<std::string, int>& arrived)
      : SimEnd(its_peer, H2Codec::Role::Server, random), arrived_(arrived) {}

  void on_h2_request(H2StreamId stream, const http::RequestHead& head) override {
    Message& message = messages[stream];
    message.post = head.method == "POST";
    read_promise(message, head.headers);
    EXPECT_EQ(head.target, "/" + message.id);
    if (message.post && random_() % 16 == 0) {
      codec.reset(stream, H2Error::RefusedStream);
      message.answered = true;
      return;
    }
    if (message.post) {
      EXPECT_EQ(++arrived_[message.id], 1) << message.id << " with effect, twice";
    }
  }

  void answer_some() {
    for (auto& [stream, message] : messages) {
      if (message.answered || message.closed || random_() % 4 != 0) continue;
      if (message.id.empty()) continue;
      message.answered = true;
      const auto fate = random_() % 24;
      if (fate == 0) {
        codec.reset(stream, H2Error::Internal);
        continue;
      }
      for (auto early = fate == 1 ? 12 : random_() % 3; early > 0; --early) {
        codec.send_head(stream, 103, {}, false);
      }
      const std::size_t size = fate == 2 ? 0 : random_() % (fate < 6 ? 300'000 : 3000);
      const std::string text = std::to_string(size);
      std::vector<Header> fields = {{"x-id", message.id}, {"x-size", text}};
      if (random_() % 2 == 0) fields.push_back({"content-length", text});
      const bool end = size == 0 && random_() % 2 == 0;
      codec.send_head(stream, 200, fields, end);
      message.to_send = body_of(message.id, size);
      message.sends = !end;
    }
  }
  void reset_one() {
    for (auto& [stream, message] : messages) {
      if (message.closed || !message.sends || random_() % 4 != 0) continue;
      codec.reset(stream, H2Error::Internal);
      message.sends = false;
      return;
    }
  }

 private:
  std::map<std::string, int>& arrived_;
};

class H2SimulationTest : public handfast::testing::SessionFixture {
 protected:
  void serve_h2(config::Http2 http2) {
    config::Route route = route_to("/", "shop/orders:80");
    route.http2 = http2;
    route.request_buffering = random_() % 4 == 0;
    route.response_buffering = random_() % 4 == 0;
    route.max_temp_bytes = random_() % 2 == 0 ? 0 : 150'000;
    publish(SnapshotMaker()
                .host(handfast::testing::host_with("shop.example", {route}))
                .service("shop/orders:80", {backend_.address()}));
    ++published_;
  }

  void end_somehow(Peer& peer) {
    switch (random_() % 3) {
      case 0:
        peer.abort();
        break;
      case 1:
        peer.close();
        break;
      default:
        peer.finish();
    }
  }

  std::string next_id() { return "s" + std::to_string(seed_) + "r" + std::to_string(++ids_); }

  void step_client(SimClient& client) {
    if (random_() % 6 == 0) client.ask(next_id());
    if (random_() % 40 == 0 && !client.messages.empty()) {
      const auto one =
          std::next(client.messages.begin(), static_cast<long>(random_() % client.messages.size()));
      client.codec.reset(one->first, H2Error::Cancel);
      one->second.sends = false;
    }
    if (random_() % 100 == 0) client.codec.send_ping();
    client.peer.reading = random_() % 4 != 0;
    client.step();
    if (client.peer.open() && random_() % 400 == 0) end_somehow(client.peer);
  }

  void step_backend(SimBackend& backend) {
    backend.peer.reading = random_() % 4 != 0;
    backend.answer_some();
    if (random_() % 60 == 0) backend.reset_one();
    if (random_() % 200 == 0) backend.codec.send_goaway(true);
    backend.step();
    if (backend.peer.open() && random_() % 200 == 0) end_somehow(backend.peer);
  }

  // An HTTP/1.1 client that asks all at once, for the streams of its requests to meet.
  struct Pipeliner {
    Peer* peer = nullptr;
    std::vector<std::string> ids;
  };
  void add_pipeliner() {
    Pipeliner& one = pipeliners_.emplace_back();
    one.peer = &connect();
    for (auto left = 1 + random_() % 5; left > 0; --left) {
      one.ids.push_back(next_id());
      one.peer->send("GET /" + one.ids.back() +
                     " HTTP/1.1\r\nHost: shop.example\r\nx-id: " + one.ids.back() + "\r\n\r\n");
    }
  }
  // Read strictly: complete answers must be the right ones.
  void check_answers(const Pipeliner& client) {
    std::string_view rest = client.peer->received;
    for (std::size_t request = 0; !rest.empty();) {
      http::ResponseHead head;
      const http::ParseResult parsed = http::H1ResponseParser().parse(rest, "GET", head);
      if (parsed.status == http::ParseStatus::Incomplete) return;
      ASSERT_EQ(parsed.status, http::ParseStatus::Complete) << parsed.error;
      ASSERT_TRUE(head.status < 200 || request < client.ids.size());
      rest.remove_prefix(parsed.consumed);
      if (head.status < 200) continue;
      http::BodyDecoder decoder(head.framing, head.content_length);
      std::string body;
      while (!decoder.done()) {
        const auto step = decoder.decode(rest);
        ASSERT_EQ(step.error, "");
        body += step.payload;
        rest.remove_prefix(step.consumed);
        if (step.consumed == 0) return;  // cut: the client can tell
      }
      const std::string& id = client.ids[request++];
      if (head.status != 200) continue;
      ASSERT_TRUE(body == body_of(id, body.size())) << "bytes that aren't of " << id;
      for (const Header& header : head.headers.items()) {
        if (header.name != "x-size") continue;
        EXPECT_EQ(header.value, std::to_string(body.size()));
      }
      ++complete_;
    }
  }

  // An HTTP/1.1 backend in its simplest form: answers each head, of bodies it takes no notice.
  void step_http1(Peer& peer, std::string& unread) {
    unread += peer.take();
    for (std::size_t at = unread.find(" HTTP/1.1\r\n"); at != std::string::npos;
         at = unread.find(" HTTP/1.1\r\n")) {
      const std::size_t end = unread.find("\r\n\r\n", at);
      if (end == std::string::npos) break;
      const std::size_t slash = unread.rfind('/', at);
      const std::string id = unread.substr(slash + 1, at - slash - 1);
      const std::size_t size = random_() % (random_() % 4 == 0 ? 200'000 : 3000);
      std::string text =
          "HTTP/1.1 200 OK\r\nX-Id: " + id + "\r\nX-Size: " + std::to_string(size) + "\r\n";
      if (random_() % 2 == 0) {
        text += "Content-Length: " + std::to_string(size) + "\r\n\r\n" + body_of(id, size);
      } else {
        text += "Transfer-Encoding: chunked\r\n\r\n";
        if (size > 0) http::append_chunk(text, body_of(id, size));
        http::append_last_chunk(text);
      }
      peer.send(random_() % 8 == 0 ? text.substr(0, random_() % text.size()) : text);
      unread.erase(0, end + 4);
    }
    peer.reading = random_() % 4 != 0;
    if (peer.open() && random_() % 100 == 0) end_somehow(peer);
  }

  void step_all(bool http2) {
    for (auto& client : clients) step_client(*client);
    for (Pipeliner& one : pipeliners_) {
      one.peer->reading = random_() % 4 != 0;
      if (one.peer->open() && random_() % 400 == 0) end_somehow(*one.peer);
    }
    if (random_() % 30 == 0) add_pipeliner();
    for (std::size_t i = 0; i < backend_.peers.size(); ++i) {
      if (backends.size() <= i) {
        backends.push_back(std::make_unique<SimBackend>(*backend_.peers[i], random_, arrived_));
        unread_.emplace_back();
      }
      http2 ? step_backend(*backends[i]) : step_http1(*backend_.peers[i], unread_[i]);
    }
    if (random_() % 50 == 0) {
      serve_h2(http2 ? config::Http2::Require : config::Http2::Off);
      clock_.advance(std::chrono::milliseconds(random_() % 3000));
    }
    if (random_() % 300 == 0) clock_.advance(std::chrono::seconds(61));
    if (random_() % 300 == 0 && !sessions_.empty()) sessions_.front()->drain();
  }

  void run_seed(unsigned seed) {
    seed_ = seed;
    random_.seed(seed);
    const bool http2 = random_() % 4 != 0;
    context_.limits.keep_alive_requests = random_() % 4 == 0 ? 5 : 0;
    serve_h2(http2 ? config::Http2::Require : config::Http2::Off);
    for (auto left = 1 + random_() % 3; left > 0; --left) {
      clients.push_back(std::make_unique<SimClient>(connect(), random_));
    }
    const int rounds = 40 + static_cast<int>(random_() % 160);
    int round = 0;
    driver_.until([&] {
      step_all(http2);
      return ++round > rounds;
    });
    finish();
  }

  // Everything ends once the clients do.
  void finish() {
    for (const auto& client : clients) {
      for (const auto& [stream, message] : client->messages) {
        complete_ += message.ended && message.status == 200 ? 1 : 0;
      }
    }
    for (const Pipeliner& one : pipeliners_) check_answers(one);
    for (auto& client : clients_) client->close();
    driver_.settle(5);
    EXPECT_TRUE(driver_.until([this] {
      for (auto& peer : backend_.peers) peer->close();  // those of new attempts, too
      return sessions_.empty();
    }));
    clock_.advance(std::chrono::seconds(1));
    EXPECT_TRUE(driver_.until([this] { return pool_.total() == 0; }));
    EXPECT_EQ(pool_.idle(), 0u);
    serve_h2(config::Http2::Off);
    EXPECT_EQ(retired_.size(), published_) << "an exchange holds its snapshot";
    balancer_.check_invariants();
    std::set<std::string> targets;
    for (const auto& record : seen_) {
      EXPECT_TRUE(targets.insert(record.target).second) << record.target << " on record twice";
    }
    clients.clear();
    pipeliners_.clear();
    backends.clear();
    unread_.clear();
    clients_.clear();
    backend_.peers.clear();
    seen_.clear();
    arrived_.clear();
    retired_.clear();
    published_ = 0;
  }

  std::mt19937 random_;
  unsigned seed_ = 0;
  int ids_ = 0;
  std::size_t published_ = 0;  // each but the newest must be retired in the end
  std::size_t complete_ = 0;
  std::map<std::string, int> arrived_;  // requests with effect, by id
  std::vector<std::unique_ptr<SimClient>> clients;
  std::vector<Pipeliner> pipeliners_;
  std::vector<std::unique_ptr<SimBackend>> backends;
  std::vector<std::string> unread_;
};

TEST_F(H2SimulationTest, NothingIsMixedUpRepeatedOrLeftOverManySeeds) {
  const Seeds seeds = seeds_from_environment(100);
  for (unsigned seed = seeds.first; seed <= seeds.last; ++seed) {
    SCOPED_TRACE("HANDFAST_SEED=" + std::to_string(seed));
    run_seed(seed);
    if (HasFailure()) return;
  }
  if (seeds.many()) {
    EXPECT_GT(complete_, 300u) << "the simulation must get something done";
  }
}

}  // namespace
}  // namespace handfast::session
