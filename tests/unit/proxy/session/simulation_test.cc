// Clients and backends that cut their bytes anywhere and close whenever they like. Whatever they
// do: an answer that looks complete is complete, and no byte of one answer stands in another.

#include <random>

#include "tests/unit/proxy/session/seeds.h"
#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::Peer;

// Bodies say whose they are: "<id>:" again and again.
std::string body_of(const std::string& id, std::size_t size) {
  std::string body;
  while (body.size() < size) body += id + ":";
  body.resize(size);
  return body;
}

class SimulationTest : public handfast::testing::SessionFixture {
 protected:
  struct SimClient {
    Peer* peer = nullptr;
    std::vector<std::string> ids;  // of the requests that were sent, in order
    std::string to_send;
    bool closed = false;
  };
  struct SimBackend {
    std::string unread;
    std::string to_send;
    bool doomed = false;
  };

  std::string make_request(const std::string& id) {
    const std::size_t size = random_() % 3000;
    const std::string body = body_of(id, size);
    const std::string head = " /" + id + " HTTP/1.1\r\nHost: shop.example\r\n";
    switch (random_() % 4) {
      case 0:
        return "POST" + head + "Content-Length: " + std::to_string(size) + "\r\n\r\n" + body;
      case 1: {
        std::string text = "POST" + head + "Transfer-Encoding: chunked\r\n\r\n";
        if (size > 0) http::append_chunk(text, body);
        http::append_last_chunk(text);
        return text;
      }
      default:
        return "GET" + head + "\r\n";
    }
  }

  std::string make_answer(const std::string& id) {
    const std::size_t size = random_() % 8 == 0 ? random_() % 200'000 : random_() % 3000;
    const std::string body = body_of(id, size);
    std::string text = random_() % 8 == 0 ? "HTTP/1.1 103 Early Hints\r\n\r\n" : "";
    text += "HTTP/1.1 200 OK\r\nX-Id: " + id + "\r\n";
    if (random_() % 2 == 0) {
      text += "Content-Length: " + std::to_string(size) + "\r\n\r\n" + body;
    } else {
      text += "Transfer-Encoding: chunked\r\n\r\n";
      if (size > 0) http::append_chunk(text, body);
      http::append_last_chunk(text);
    }
    // Now and then something that nobody asked for.
    if (random_() % 16 == 0) {
      text += "HTTP/1.1 200 OK\r\nX-Id: evil\r\nContent-Length: 4\r\n\r\nevil";
    }
    return text;
  }

  // Hands a random piece of what is left to the socket.
  void dribble(Peer& peer, std::string& text) {
    if (text.empty() || !peer.open() || random_() % 3 == 0) return;
    const std::size_t piece =
        random_() % 4 == 0 ? text.size() : std::min<std::size_t>(text.size(), 1 + random_() % 700);
    peer.send(text.substr(0, piece));
    text.erase(0, piece);
  }

  void step_client(SimClient& client) {
    dribble(*client.peer, client.to_send);
    client.peer->reading = random_() % 4 != 0;
    if (!client.closed && random_() % 400 == 0) {
      client.closed = true;
      switch (random_() % 3) {
        case 0:
          client.peer->abort();
          break;
        case 1:
          client.peer->close();
          break;
        default:
          client.peer->finish();
      }
    }
  }

  void step_backend(std::size_t index) {
    Peer& peer = *backend_.peers[index];
    if (backends_.size() <= index) backends_.resize(index + 1);
    SimBackend& state = backends_[index];
    state.unread += peer.take();
    // Answers each head as it comes; bodies of requests aren't looked at.
    for (std::size_t at = state.unread.find(" HTTP/1.1\r\n"); at != std::string::npos;
         at = state.unread.find(" HTTP/1.1\r\n")) {
      const std::size_t end = state.unread.find("\r\n\r\n", at);
      if (end == std::string::npos) break;
      const std::size_t slash = state.unread.rfind('/', at);
      state.to_send += make_answer(state.unread.substr(slash + 1, at - slash - 1));
      state.unread.erase(0, end + 4);
    }
    dribble(peer, state.to_send);
    peer.reading = random_() % 4 != 0;
    if (peer.open() && random_() % 300 == 0) {
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
  }

  // The answers of one client, read strictly: complete ones must be the right ones.
  void check_answers(const SimClient& client) {
    std::string_view rest = client.peer->received;
    std::size_t request = 0;
    while (!rest.empty()) {
      http::H1ResponseParser parser;
      http::ResponseHead head;
      const http::ParseResult parsed = parser.parse(rest, "GET", head);
      if (parsed.status == http::ParseStatus::Incomplete) return;
      ASSERT_EQ(parsed.status, http::ParseStatus::Complete) << parsed.error;
      ASSERT_TRUE(head.status < 200 || request < client.ids.size())
          << "an answer that nobody asked for";
      std::string id;
      for (const http::Header& header : head.headers.items()) {
        if (header.name == "X-Id") id = header.value;
      }
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
      if (head.status == 200) {
        ASSERT_EQ(id, client.ids[request]);
        ASSERT_TRUE(body == body_of(id, body.size())) << "bytes of another answer";
        ++complete_;
      }
      ++request;
    }
  }

  void run_seed(unsigned seed) {
    random_.seed(seed);
    std::vector<SimClient> clients(1 + random_() % 4);
    int number = 0;
    for (SimClient& client : clients) {
      client.peer = &connect();
      for (auto left = 1 + random_() % 4; left > 0; --left) {
        client.ids.push_back("s" + std::to_string(seed) + "r" + std::to_string(number++));
        client.to_send += make_request(client.ids.back());
      }
    }
    const int rounds = 40 + static_cast<int>(random_() % 100);
    int round = 0;
    driver_.until([&] {
      for (SimClient& client : clients) step_client(client);
      for (std::size_t i = 0; i < backend_.peers.size(); ++i) step_backend(i);
      if (random_() % 50 == 0) {
        serve();  // a new snapshot
        clock_.advance(std::chrono::milliseconds(random_() % 3000));
      }
      return ++round > rounds;
    });
    for (const SimClient& client : clients) check_answers(client);
    // Everything ends once the clients do.
    for (auto& client : clients_) client->close();
    for (auto& peer : backend_.peers) peer->close();
    EXPECT_TRUE(driver_.until([&] { return sessions_.empty() && pool_.total() == 0; }));
    clock_.advance(std::chrono::seconds(1));
    clients_.clear();
    backend_.peers.clear();
    backends_.clear();
    ASSERT_LE(retired_.size(), 1000u);
    retired_.clear();
  }

  std::mt19937 random_;
  std::vector<SimBackend> backends_;
  std::size_t complete_ = 0;
};

TEST_F(SimulationTest, NoAnswerIsMixedUpOrPassesForWholeOverManySeeds) {
  const Seeds seeds = seeds_from_environment(600);
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
