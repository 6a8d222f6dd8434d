"""Endurance: thousands of idle connections, peers that are slow at everything, and peers that reset
at every state of a connection. Afterwards descriptors and memory are what they were before."""

import contextlib
import os
import resource
import socket
import ssl
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from h2.exceptions import StreamClosedError  # noqa: E402
from hyperframe import frame as frames  # noqa: E402

from harness import apps, clients, http2, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import is_sanitized, resident_kilobytes, settled_descriptors  # noqa: E402
from harness.waiting import NeverHappened, eventually  # noqa: E402

IDLE = 10_000
UPGRADE = ("GET /tunnel HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
SWITCHING = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
BODY = b"x" * 50_000  # within the windows: who sends it never waits
FRONTS = {"http": None, "https": True}


def reset(sock):
    """Closes with RST, whatever was sent or read."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def hello(context=None, server=False):
    """What a TLS client says first, or a server's answer to it."""
    def start(context, **options):
        read, write = ssl.MemoryBIO(), ssl.MemoryBIO()
        return context.wrap_bio(read, write, **options), read, write

    client, _, said = start(clients.any_client_context(), server_hostname="web.test")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    if not server:
        return said.read()
    other, heard, answer = start(context, server_side=True)
    heard.write(said.read())
    with contextlib.suppress(ssl.SSLWantReadError):
        other.do_handshake()
    return answer.read()


def serve(connection, request):
    """apps.h1, and a tunnel that echoes."""
    if request.target != "/tunnel":
        apps.h1(connection, request)
        return
    connection.send(SWITCHING)
    while connection.fill():
        data, connection.buffer = connection.buffer, b""
        connection.send(data)
    raise EOFError


class EnduranceCase(HandfastCase):
    flags = ("--upstream-keepalive-timeout", "1s", "--access-log", "off")
    at_rest = None  # descriptors without any connection
    ROUNDS = 8  # answers that nobody takes still took 4 MiB more in the third, nothing by the tenth

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.leaf = cls.ca.server("mtls.shop.svc", "h2.shop.svc", "script.shop.svc",
                                 "script-mtls.shop.svc")
        trust = {"client_ca": cls.ca.cert_pem}
        cls.backends = {"web": Backend(handle=serve), "mtls": Backend(cls.leaf, handle=serve,
                                                                      **trust),
                        "h2": http2.Http2Backend(cls.leaf, on_stream=apps.h2, **trust)}
        client = cls.ca.client()
        cls.handfast.apply("client", manifests.secret(
            "client", tls_crt=client.chain_pem, tls_key=client.key_pem, ca_crt=cls.ca.cert_pem))
        for name, backend in cls.backends.items():
            cls.route(name, backend)
        cls.handfast.barrier()
        cls.pid = cls.handfast.child("handfast-proxy")

    @classmethod
    def tearDownClass(cls):
        for backend in cls.backends.values():
            backend.close()
        super().tearDownClass()

    @classmethod
    def route(cls, name, backend):
        annotations = {}
        if name not in ("web", "script"):
            annotations = {"backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/client"}
        if name == "h2":
            annotations[http2.ANNOTATION] = "true"
        cls.handfast.apply(f"route-{name}", manifests.service(name, backend.port),
                           manifests.ingress(name, f"{name}.test", annotations=annotations))

    def rounds(self, kilobytes):
        """What each round does leaves no descriptor, a proxy that serves, and by the last at most so
        much memory: pools and the allocator keep some of what the first ones freed, and the workers'
        shares differ from round to round, but what leaks is there after each."""
        if self.at_rest is None:
            for name in self.backends:
                self.handfast.wait_for(f"{name}.test", 200)
            type(self).at_rest = settled_descriptors(self.pid)
        for last in (False,) * (self.ROUNDS - 1) + (True,):
            memory = resident_kilobytes(self.pid)
            yield
            self.assertEqual(settled_descriptors(self.pid, self.at_rest), self.at_rest,
                             "descriptors")
            for name in self.backends:
                self.assertEqual(self.handfast.get(f"{name}.test").status, 200)
            if is_sanitized():  # which keeps what is freed
                return
            try:
                eventually(lambda: resident_kilobytes(self.pid) - memory < kilobytes,
                           f"{memory} KiB and little more", patience=10)
                return
            except NeverHappened:
                if last:
                    raise

    def post(self, host, path="/"):
        """The status of the answer, or "cut"."""
        try:
            return self.handfast.get(host, path, "POST", body=BODY).status
        except (EOFError, OSError):
            return "cut"

    def post_over_h2(self, peer, host, path="/"):
        stream = peer.request(host, path, "POST", [("content-length", str(len(BODY)))], end=False)
        with contextlib.suppress(http2.StreamReset, StreamClosedError):
            stream.send(BODY, end=True)
        try:
            return stream.response().status
        except http2.StreamReset:
            return "cut"


class Idle(EnduranceCase):
    # The first are to be there still when the last has come, however slow the machine is.
    flags = (*EnduranceCase.flags, "--client-header-timeout", "15m", "--keep-alive", "15m")

    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < IDLE + 1000:
            self.skipTest(f"the hard limit of descriptors is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def hold(self, stack):
        """A tenth HTTPS, half of that HTTP/2; a tenth h2c; the rest HTTP/1.1, half of that after a
        request."""
        def keep(sock):
            return stack.enter_context(contextlib.closing(sock))

        over_h1, over_h2 = clients.any_client_context(), clients.any_client_context()
        over_h2.set_alpn_protocols(["h2"])
        settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.SettingsFrame(0).serialize()
        for number in range(IDLE // 10):
            context = over_h2 if number % 2 else over_h1
            sock = keep(context.wrap_socket(socket.create_connection(self.handfast.https, 30),
                                            server_hostname="web.test"))
            if number % 2:
                sock.sendall(settings)
            keep(socket.create_connection(self.handfast.http, 30)).sendall(settings)
            for turn in range(8):
                sock = keep(socket.create_connection(self.handfast.http, 30))
                if turn % 2:
                    sock.sendall(b"GET /bytes/9 HTTP/1.1\r\nHost: nobody.test\r\n\r\n")
                    self.assertTrue(sock.recv(4096).startswith(b"HTTP/1.1 404"))

    def test_10000_of_them_cost_little_and_leave_nothing(self):
        open_before = self.handfast.metrics().value("handfast_downstream_connections")
        empty = resident_kilobytes(self.pid)

        # A tenth is TLS, whose objects grew with OpenSSL 3.5. What leaked 200 bytes a connection
        # would be there after each.
        for _ in self.rounds(2 * 1024):
            with contextlib.ExitStack() as stack:
                self.hold(stack)
                eventually(lambda: self.handfast.metrics().value(
                    "handfast_downstream_connections") >= IDLE + open_before, "all of them")
                self.assertEqual(self.handfast.get("web.test").status, 200)
                full = resident_kilobytes(self.pid)
                print(f"\n{(full - empty) / IDLE * 1024:.0f} bytes a connection", file=sys.stderr)
                if not is_sanitized():
                    self.assertLess((full - empty) * 1024, IDLE * 12 * 1024)


class Slow(EnduranceCase):
    """Clients that never get on; each limit is two seconds, the one of handshakes ten."""

    flags = (*EnduranceCase.flags, "--client-header-timeout", "2s", "--client-body-timeout", "2s",
             "--client-send-timeout", "2s", "--keep-alive", "2s")
    COUNT = 40

    def connect(self, tls=None, **options):
        connection = self.handfast.connect(tls=tls, server_name="web.test" if tls else None,
                                           timeout=60, **options)
        self.addCleanup(connection.close)
        return connection

    def frames(self, host, tls=None, settings=None):
        client = http2.Frames(self.handfast, host, tls, settings)
        self.addCleanup(client.raw.close)
        return client

    def drip(self, connections, bytes_, enough):
        """Sends a byte to each now and then, as long as any takes it."""
        alive = list(connections)
        deadline = time.monotonic() + enough
        while alive and time.monotonic() < deadline:
            for connection in list(alive):
                try:
                    connection.send(bytes_)
                except OSError:
                    alive.remove(connection)
            time.sleep(0.2)
        self.assertEqual(alive, [])

    def test_heads_that_drip_are_answered_408(self):
        for _ in self.rounds(4 * 1024):
            slow = [self.connect(tls) for tls in FRONTS.values() for _ in range(self.COUNT)]
            for connection in slow:
                connection.send("GET / HTTP/1.1\r\nHost: web.test\r\nX-Slow: ")
            answers = []

            def hear():
                for connection in slow:
                    answers.append(connection.response().status)
                    connection.close()

            thread = threading.Thread(target=hear)
            thread.start()
            self.drip(slow, b"a", 20)
            thread.join()
            self.assertEqual(answers, [408] * len(slow))

    def test_http2_that_stops_before_a_head_is_whole_is_closed(self):
        settings = frames.SettingsFrame(0).serialize()
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        head = frames.HeadersFrame(1, data=b"\x82" * 40).serialize()
        beginnings = (preface[:1], preface[:-1], preface, preface + settings[:5],
                      preface + settings, preface + settings + head,
                      preface + settings + head[:20])
        for _ in self.rounds(4 * 1024):
            slow = [self.connect() for _ in range(self.COUNT) for _ in beginnings]
            for number, connection in enumerate(slow):
                connection.send(beginnings[number % len(beginnings)])
            for connection in slow:
                connection.rest()
                connection.close()

    def test_continuations_that_drip_end_with_the_limit_of_heads(self):
        for _ in self.rounds(4 * 1024):
            slow = [self.frames("web.test") for _ in range(self.COUNT)]
            for client in slow:
                client.send(frames.HeadersFrame(1, client.block()))
            begun = time.monotonic()
            self.drip([client.raw for client in slow],
                      frames.ContinuationFrame(1, b"").serialize(), 20)
            self.assertLess(time.monotonic() - begun, 15)

    def test_handshakes_that_stop_are_closed(self):
        first = hello()
        for _ in self.rounds(4 * 1024):
            slow = [clients.RawConnection(self.handfast.https, timeout=60)
                    for _ in range(self.COUNT * 4)]
            for number, connection in enumerate(slow):
                connection.send(first[:(0, 1, len(first) // 2, len(first))[number % 4]])
            for connection in slow:
                connection.rest()
                connection.close()

    def test_bodies_that_stop_are_answered_408_and_those_that_drip_arrive(self):
        for _ in self.rounds(4 * 1024):
            hosts = [f"{name}.test" for name in self.backends]
            slow = []
            for _ in range(self.COUNT):
                for host in hosts:
                    connection = self.connect()
                    connection.send(f"POST /digest HTTP/1.1\r\nHost: {host}\r\n"
                                    "Content-Length: 10\r\n\r\n1234")
                    slow.append(connection)
            peer = http2.connect(self.handfast)
            streams = [peer.request(host, "/digest", "POST", end=False)
                       for host in hosts for _ in range(self.COUNT)]
            dripping = [peer.request(host, "/digest", "POST", end=False) for host in hosts[:2]]
            for stream in streams:
                stream.send(b"1234")
            for _ in range(8):
                for stream in dripping:
                    stream.send(b"x")
                time.sleep(0.5)

            for stream in dripping:
                stream.end()
                self.assertEqual(stream.response().body.decode(), f"8 {apps.digest(b'x' * 8)}")
            self.assertEqual({one.response().status for one in slow}, {408})
            self.assertEqual({one.response().status for one in streams}, {408})
            peer.close()
            for connection in slow:
                connection.close()

    def test_answers_that_nobody_takes_are_cut(self):
        shut = {frames.SettingsFrame.INITIAL_WINDOW_SIZE: 0}  # no stream's window ever opens
        for _ in self.rounds(4 * 1024):
            slow, streams = [], []
            for host in (f"{name}.test" for name in self.backends):
                for tls in FRONTS.values():
                    for _ in range(4):
                        connection = self.connect(tls, receive_buffer=4096)
                        connection.send(f"GET /stream/100000000 HTTP/1.1\r\nHost: {host}\r\n\r\n")
                        slow.append(connection)
                    client = self.frames(host, tls, shut)
                    for _ in range(20):
                        client.send(client.headers("END_STREAM", path="/stream/100000000"))
                    streams.append(client)
            for client in streams:
                for _ in range(20):
                    self.assertIsNotNone(client.read_until(frames.RstStreamFrame))
                client.raw.close()
            # Not looked at before: who reads lets the answer go on.
            eventually(lambda: self.handfast.metrics().value("handfast_requests_in_flight") == 0,
                       "every answer is cut")
            for connection in slow:
                with self.assertRaises((EOFError, OSError)):
                    connection.response()
                connection.close()


class ResetsByClients(EnduranceCase):
    COUNT = 10

    def raw(self, tls):
        return self.handfast.connect(tls=tls, server_name="web.test" if tls else None)

    def until_seen(self, host, target, step):
        backend = self.backends[host.partition(".")[0]]
        before = sum(one.target == target for one in list(backend.seen))
        step()
        eventually(lambda: sum(one.target == target for one in list(backend.seen)) > before,
                   f"{target} at {host}")

    # Each leaves a connection in some state, as a socket.

    def connected(self, _host, _tls):
        return self.raw(None).sock

    def in_client_hello(self, _host, _tls):
        connection = clients.RawConnection(self.handfast.https)
        first = hello()
        connection.send(first[:len(first) // 2])
        return connection.sock

    def after_client_hello(self, _host, _tls):
        connection = clients.RawConnection(self.handfast.https)
        connection.send(hello())
        return connection.sock

    def shaken_hands(self, _host, tls):
        return self.raw(tls).sock

    def in_head(self, host, tls):
        connection = self.raw(tls)
        connection.send(f"GET / HTTP/1.1\r\nHost: {host}\r\nX-")
        return connection.sock

    def in_body(self, host, tls):
        connection = self.raw(tls)
        self.until_seen(host, "/in-body", lambda: connection.send(
            f"POST /in-body HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n" +
            "x" * 50_000))
        return connection.sock

    def waiting(self, host, tls):
        connection = self.raw(tls)
        self.until_seen(host, "/hang", lambda: connection.send(
            f"GET /hang HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        return connection.sock

    def in_answer(self, host, tls):
        connection = self.raw(tls)
        connection.send(f"GET /bytes/50000000 HTTP/1.1\r\nHost: {host}\r\n\r\n")
        connection.take(100_000)
        return connection.sock

    def answered(self, host, tls):
        connection = self.raw(tls)
        self.assertEqual(connection.request(host, "/bytes/10").status, 200)
        return connection.sock

    def in_tunnel(self, host, tls):
        connection = self.raw(tls)
        if host == "h2.test":  # upgrades go over HTTP/1.1, which that backend doesn't speak
            return connection.sock
        connection.send(UPGRADE.format(host=host))
        self.assertEqual(connection.head().status, 101)
        connection.send(b"ping")
        self.assertEqual(connection.take(4), b"ping")
        return connection.sock

    def frames(self, host, tls):
        return http2.Frames(self.handfast, host, tls)

    def h2_settings(self, host, tls):
        return self.frames(host, tls).raw.sock

    def h2_in_head(self, host, tls):
        client = self.frames(host, tls)
        client.send(frames.HeadersFrame(1, client.block()))
        return client.raw.sock

    def h2_in_body(self, host, tls):
        client = self.frames(host, tls)
        self.until_seen(host, "/in-body", lambda: client.send(
            client.headers(path="/in-body", method="POST"), frames.DataFrame(1, b"x" * 10_000)))
        return client.raw.sock

    def h2_waiting(self, host, tls):
        client = self.frames(host, tls)
        self.until_seen(host, "/hang", lambda: client.send(
            *(client.headers("END_STREAM", path="/hang") for _ in range(10))))
        return client.raw.sock

    def h2_in_answer(self, host, tls):
        client = self.frames(host, tls)
        for _ in range(4):
            client.send(client.headers("END_STREAM", path="/bytes/50000000"))
        self.assertIsNotNone(client.read_until(frames.DataFrame))
        return client.raw.sock

    def h2_answered(self, host, tls):
        client = self.frames(host, tls)
        client.send(client.headers("END_STREAM", path="/bytes/10"))
        while "END_STREAM" not in client.read_until(frames.DataFrame).flags:
            pass
        return client.raw.sock

    def leave(self, state):
        for host in (f"{name}.test" for name in self.backends):
            for tls in FRONTS.values():
                held = [getattr(self, state)(host, tls) for _ in range(self.COUNT)]
                for sock in held:
                    reset(sock)
        eventually(lambda: self.handfast.metrics().value(
            "handfast_downstream_connections") == 0, "no connection")

    STATES = ("connected", "in_client_hello", "after_client_hello", "shaken_hands", "in_head",
              "in_body", "waiting", "in_answer", "answered", "in_tunnel", "h2_settings",
              "h2_in_head", "h2_in_body", "h2_waiting", "h2_in_answer", "h2_answered")

    def test_at_every_state_they_leave_nothing(self):
        for state in self.STATES:
            with self.subTest(state):
                for _ in self.rounds(4 * 1024):
                    self.leave(state)


class ResetsByBackends(EnduranceCase):
    COUNT = 10

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.state = None
        cls.scripts = {"script": Backend(on_accept=cls.play),
                       "script-mtls": Backend(cls.leaf, client_ca=cls.ca.cert_pem,
                                              on_accept=cls.play_tls)}
        for name, backend in cls.scripts.items():
            cls.route(name, backend)
        cls.handfast.barrier()

    @classmethod
    def tearDownClass(cls):
        for backend in cls.scripts.values():
            backend.close()
        super().tearDownClass()

    @classmethod
    def play_tls(cls, sock):
        if cls.state == "after_client_hello":
            sock.recv(65536)
        elif cls.state == "in_server_hello":
            sock.recv(65536)
            sock.sendall(hello(cls.scripts["script-mtls"].context, server=True)[:60])
        elif cls.state != "accepted":
            sock = cls.scripts["script-mtls"].context.wrap_socket(sock, server_side=True)
            if cls.state != "shaken_hands":
                cls.play(sock)
                return
        time.sleep(0.01)
        reset(sock)

    @classmethod
    def play(cls, sock):
        """Goes as far as the state says, then resets."""
        connection = clients.RawConnection.__new__(clients.RawConnection)
        connection.sock, connection.buffer = sock, b""
        state = cls.state
        if state in ("accepted", "after_client_hello", "in_server_hello", "shaken_hands"):
            reset(sock)
            return
        if state == "in_head":
            sock.recv(20)
        else:
            while connection.line():
                pass
            if state == "in_body":
                connection.take(1000)
            elif state != "in_tunnel":
                connection.take(len(BODY))
        sock.sendall({"in_answers_head": b"HTTP/1.1 200 OK\r\nContent-Le",
                      "in_answer": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun",
                      "in_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\na",
                      "answered": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                      "in_tunnel": SWITCHING + b"hello"}.get(state, b""))
        time.sleep(0.01)  # what was sent arrives before the reset
        reset(sock)

    STATES = ("accepted", "after_client_hello", "in_server_hello", "shaken_hands", "in_head",
              "in_body", "waiting", "in_answers_head", "in_answer", "in_chunk", "answered",
              "in_tunnel")

    def tunnel(self, host):
        with self.handfast.connect() as connection:
            connection.send(UPGRADE.format(host=host))
            status = connection.head().status
            connection.rest()
            return status

    def test_at_every_state_they_leave_nothing(self):
        for state in self.STATES:
            type(self).state = state
            # Who is sent out before the reset of an answered one is known isn't sent twice.
            expected = {"answered": {200, 502}, "in_tunnel": {101}, "in_answer": {"cut"},
                        "in_chunk": {"cut"}}.get(state, {502, 503})
            with self.subTest(state):
                for _ in self.rounds(4 * 1024):
                    for host in ("script.test", "script-mtls.test"):
                        self.assertLessEqual(self.seen(state, host), expected, host)

    def seen(self, state, host):
        if state == "in_tunnel":
            return {self.tunnel(host) for _ in range(self.COUNT)}
        with http2.connect(self.handfast) as peer:
            return {status for _ in range(self.COUNT)
                    for status in (self.post(host), self.post_over_h2(peer, host))}


class ResetsByHttp2Backends(EnduranceCase):
    COUNT = 10

    def play(self, stream):
        """apps.h2, but for a target that names a state."""
        state = stream.seen.target[1:]
        if state not in self.STATES:
            apps.h2(stream)
            return
        if state == "in_body":
            stream.read()
        elif state != "in_head":
            stream.body()
        if state in ("in_answer", "answered"):
            stream.send_headers([(":status", "200"), ("content-length", "5")])
            stream.send(b"hello" if state == "answered" else b"he", end=state == "answered")
            time.sleep(0.01)
        stream.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.peer.close()

    STATES = ("in_head", "in_body", "waiting", "in_answer", "answered")

    def test_at_every_state_they_leave_nothing(self):
        self.backends["h2"]._on_stream = self.play
        for state in self.STATES:
            # A busy machine may send the head of an answer and not the rest before the reset.
            expected = {"answered": {200, 502, "cut"},
                        "in_answer": {"cut"}}.get(state, {502, 503})
            with self.subTest(state):
                for _ in self.rounds(4 * 1024):
                    seen = set()
                    with http2.connect(self.handfast) as peer:
                        for _ in range(self.COUNT):
                            seen |= {self.post("h2.test", f"/{state}"),
                                     self.post_over_h2(peer, "h2.test", f"/{state}")}
                    self.assertLessEqual(seen, expected)


if __name__ == "__main__":
    unittest.main()
