"""WebSocket through the tunnel: client and server by two implementations that aren't ours, in every
pairing of plain and TLS, and what becomes of a tunnel when everything around it changes."""

import asyncio
import os
import random
import socket
import ssl
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from wsproto import events, extensions  # noqa: E402

from harness import clients, manifests, websocket  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import Handfast, is_sanitized, resident_kilobytes  # noqa: E402
from harness.waiting import eventually  # noqa: E402

# Around the places where the form of a frame's length changes, and around our buffers.
SIZES = (0, 1, 125, 126, 127, 16 * 1024 - 1, 16 * 1024, 65535, 65536, 1024 * 1024 + 3)
LARGE = 16 * 1024 * 1024

HANDSHAKE = ("GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
SWITCHING = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def payload(size, kind=bytes):
    data = random.Random(size).randbytes(size)
    return data if kind is bytes else data.hex()[:size]


def accept_blindly(then):
    """For Backend(on_connection=…): accepts the upgrade of a request, then runs `then`."""
    def on_connection(connection):
        request = connection.read_request()
        if request is None:
            return
        connection.request = request
        connection.send(SWITCHING)
        then(connection)

    return on_connection


def echo_bytes(connection):
    while True:
        if not connection.buffer and not connection.fill():
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.unwrap()
            return
        data, connection.buffer = connection.buffer, b""
        connection.send(data)


class WebSocketCase(HandfastCase):
    def route(self, backend, *, secure=False, annotations=None):
        """Leads this test's host to a backend; `secure`: over TLS with a certificate of ours."""
        if secure:
            self.client = self.ca.client()
            self.apply_secret(self.client, self.ca, self.ca.crl())
        self.apply_ingress(backend.port, protocol="HTTPS" if secure else "HTTP",
                           annotations=annotations)
        self.handfast.barrier()

    def scripted(self, on_connection, secure=False, **options):
        """A backend whose connections the test plays, and the route to it."""
        leaf = self.server() if secure else None
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem if secure else None,
                                   on_connection=on_connection, **options))
        self.route(backend, secure=secure)
        return backend

    def open_tunnel(self, tls=None, host=None):
        """A raw connection behind a 101."""
        host = host or self.host
        connection = self.handfast.connect(tls=tls, server_name=host)
        self.addCleanup(connection.close)
        connection.send(HANDSHAKE.format(path="/tunnel", host=host))
        head = connection.head()
        self.assertEqual(head.status, 101, head)
        return connection

    def assert_echo(self, connection, data=b"still here"):
        connection.send(data)
        self.assertEqual(connection.take(len(data)), data)


class Echo(WebSocketCase):
    """Routes to a plain and to an mTLS server; clients over HTTP and HTTPS."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.servers = {
            "plain.test": websocket.EchoServer(),
            "secure.test": websocket.EchoServer(cls.ca.server("secure.shop.svc"),
                                                client_ca=cls.ca.cert_pem),
            "wire.test": Backend(on_connection=websocket.wire_echo),
            "wire-secure.test": Backend(cls.ca.server("wire-secure.shop.svc"),
                                        client_ca=cls.ca.cert_pem,
                                        on_connection=websocket.wire_echo),
        }
        client = cls.ca.client()
        objects = [manifests.secret("client-tls", tls_crt=client.cert_pem, tls_key=client.key_pem,
                                    ca_crt=cls.ca.cert_pem)]
        for host, server in cls.servers.items():
            name = host.partition(".")[0]
            annotations = {}
            if "secure" in name:
                annotations = {"backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/client-tls"}
            objects += [manifests.service(name, server.port),
                        manifests.ingress(name, host, annotations=annotations)]
        cls.handfast.apply("routes", *objects)
        cls.handfast.barrier()

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers.values():
            server.close()
        super().tearDownClass()

    def each(self, check, hosts=None):
        for host in hosts or self.servers:
            for tls in (None, True):
                with self.subTest(host=host, front="https" if tls else "http"):
                    check(host, tls)

    def test_text_binary_ping_and_close_pass_both_ways(self):
        async def talk(host, tls):
            async with websocket.connect(self.handfast, host, tls) as socket_:
                for kind in (str, bytes):
                    for size in SIZES:
                        message = payload(size, kind)
                        await socket_.send(message)
                        self.assertEqual(await socket_.recv(), message)
                await asyncio.wait_for(await socket_.ping(b"marco"), 20)
                await socket_.close(4001, "enough said")
            self.assertEqual((socket_.close_code, socket_.close_reason), (4001, "enough said"))

        self.each(lambda host, tls: asyncio.run(talk(host, tls)))

        for host in ("plain.test", "secure.test"):
            eventually(lambda: (4001, "enough said") in self.servers[host].closes,  # noqa: B023
                       f"the close at {host}")

    def test_large_messages_pass_whole_both_ways_at_once(self):
        async def talk(host, tls):
            data = payload(LARGE)
            async with websocket.connect(self.handfast, host, tls, compression=None) as socket_:
                answer, _ = await asyncio.gather(socket_.recv(), socket_.send(data))
                self.assertEqual(answer, data)

        self.each(lambda host, tls: asyncio.run(talk(host, tls)), ("plain.test", "secure.test"))

    def test_frames_of_one_byte_and_written_byte_by_byte(self):
        def talk(host, tls):
            wire = websocket.wire_client(self.handfast, host, tls, step=1)
            text = "Grüße, 世界: " + "x" * 40
            # Each character in a frame of its own, each byte of those in a segment of its own.
            for at, letter in enumerate(text):
                wire.send(events.TextMessage(letter, message_finished=at == len(text) - 1))
                if at == 10:
                    wire.send(events.Ping(b"between"))
            got = ""
            for event in wire.events():
                if isinstance(event, events.Pong):
                    self.assertEqual(event.payload, b"between")
                    continue
                got += event.data
                if event.message_finished:
                    break
            self.assertEqual(got, text)
            wire.send(events.CloseConnection(1000, "bye"))
            closed = wire.next(events.CloseConnection)
            self.assertEqual((closed.code, closed.reason), (1000, "bye"))
            wire.sock.close()

        self.each(talk)

    def test_frames_cut_in_two_at_every_byte(self):
        def talk(host, tls):
            wire = websocket.wire_client(self.handfast, host, tls)
            for size in (0, 20, 130):
                cut = 1
                while True:
                    frame = wire.protocol.send(events.BytesMessage(payload(size)))
                    wire.sock.sendall(frame[:cut])
                    wire.sock.sendall(frame[cut:])
                    self.assertEqual(wire.message()[0], payload(size))
                    if cut == len(frame):
                        break
                    cut += 1
            wire.sock.close()

        self.each(talk, ("wire.test", "secure.test"))

    def test_handshakes_cut_in_two_at_every_byte(self):
        request = HANDSHAKE.format(path="/", host="plain.test").encode()
        for cut in range(1, len(request)):
            with self.handfast.connect() as connection:
                connection.send(request[:cut])
                connection.send(request[cut:])
                self.assertEqual(connection.head().status, 101, cut)

    def test_many_tunnels_at_once(self):
        async def talk(number):
            host, tls = list(self.servers)[number % 4], number % 8 >= 4 or None
            async with websocket.connect(self.handfast, host, tls) as socket_:
                for turn in range(5):
                    message = f"{number} {turn} " * 50
                    await socket_.send(message)
                    self.assertEqual(await socket_.recv(), message)

        async def all_of_them():
            await asyncio.gather(*(talk(number) for number in range(64)))

        asyncio.run(all_of_them())


class Handshake(WebSocketCase):
    def test_its_headers_pass_untouched_in_both_directions(self):
        requests = []

        def on_connection(connection):
            wire = websocket.wire_server(connection, subprotocol="b",
                                         extra_headers=[(b"x-from", b"backend")])
            requests.append(wire.request)
            wire.sock.recv(1)

        self.scripted(on_connection)

        wire = websocket.wire_client(
            self.handfast, self.host, path="/chat?room=1", subprotocols=["a", "b"],
            extensions=[extensions.PerMessageDeflate()],
            extra_headers=[(b"origin", b"https://app.test"), (b"cookie", b"session=1")])

        request = eventually(lambda: requests, "the handshake at the backend")[0]
        self.assertEqual((request.host, request.target), (self.host, "/chat?room=1"))
        self.assertEqual(request.subprotocols, ["a", "b"])
        self.assertEqual([e.partition(";")[0] for e in request.extensions], ["permessage-deflate"])
        got = dict(request.extra_headers)
        self.assertEqual((got[b"origin"], got[b"cookie"]), (b"https://app.test", b"session=1"))
        self.assertEqual(got[b"x-forwarded-for"], b"127.0.0.1")
        self.assertEqual(wire.accepted.subprotocol, "b")
        self.assertIn((b"x-from", b"backend"), wire.accepted.extra_headers)
        wire.sock.close()

    def test_subprotocols_and_extensions_are_negotiated_by_the_ends(self):
        self.route(self.use(websocket.EchoServer(subprotocols=["chat.v2", "chat.v1"])))

        async def talk():
            async with websocket.connect(self.handfast, self.host,
                                         subprotocols=["chat.v1", "other"]) as socket_:
                self.assertEqual(socket_.subprotocol, "chat.v1")
                answer = websocket.headers_of(socket_, "response")
                self.assertIn("permessage-deflate", answer["Sec-WebSocket-Extensions"])
                message = "compress me " * 10_000
                await socket_.send(message)
                self.assertEqual(await socket_.recv(), message)

        asyncio.run(talk())

    def test_backend_that_refuses_is_passed_on_and_connections_live_on(self):
        def handle(connection, request):
            if request.header("upgrade") is None:
                connection.reply("plain")
                return
            status = request.target.lstrip("/")
            connection.reply(f"no: {status}", status=f"{status} Refused")

        for secure in (False, True):
            with self.subTest(secure=secure):
                self.setUp()
                backend = self.scripted(None, secure=secure, handle=handle)
                with self.handfast.connect() as connection:
                    for status in (403, 200, 426, 500):
                        connection.send(HANDSHAKE.format(path=f"/{status}", host=self.host))
                        answer = connection.response()
                        self.assertEqual((answer.status, answer.body),
                                         (status, f"no: {status}".encode()))
                        self.assertEqual(connection.request(self.host).body, b"plain")
                self.assertEqual(len(backend.connections), 1)  # pooled all along

    def test_what_follows_a_refused_handshake_is_the_next_request(self):
        # Whoever took it for bytes of the tunnel would let requests past the rules.
        def handle(connection, request):
            connection.reply(request.target, status="403 No" if request.header("upgrade") else
                             "200 OK")

        self.scripted(None, handle=handle)
        with self.handfast.connect() as connection:
            connection.send(HANDSHAKE.format(path="/first", host=self.host) +
                            f"GET /second HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
            first, second = connection.response(), connection.response()

        self.assertEqual((first.status, first.body), (403, b"/first"))
        self.assertEqual((second.status, second.body), (200, b"/second"))
        self.handfast.last_log(self.host, "/second", status=200)

    def test_bytes_right_behind_either_half_of_the_handshake_arrive(self):
        def on_connection(connection):
            connection.read_request()
            connection.send(SWITCHING + b"from the backend")
            got = connection.take(len("from the client"))
            connection.send(b"got " + got)

        self.scripted(on_connection)
        with self.handfast.connect(timeout=3) as connection:
            connection.send(HANDSHAKE.format(path="/", host=self.host) + "from the client")
            self.assertEqual(connection.head().status, 101)
            expected = b"from the backendgot from the client"
            self.assertEqual(connection.take(len(expected)), expected)

    def test_upgrades_that_would_hide_requests_are_not_passed_on(self):
        backend = self.scripted(None)
        for protocol in ("h2c", "H2C", "TLS/1.2", "HTTP/2.0"):
            with self.subTest(protocol=protocol):
                answer = self.get(headers=[
                    ("Upgrade", protocol), ("Connection", "Upgrade, HTTP2-Settings"),
                    ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")])

                self.assertEqual(answer.status, 200)
                seen = backend.seen[-1]
                self.assertEqual((seen.all("upgrade"), seen.all("http2-settings")), ([], []))
                self.assertNotIn("upgrade", ",".join(seen.all("connection")).lower())

    def test_101_that_nobody_asked_for_is_a_bad_answer(self):
        def on_connection(connection):
            if connection.read_request() is not None:
                connection.send(SWITCHING)
                echo_bytes(connection)

        self.scripted(on_connection)

        answer = self.get("/unasked")

        self.assertEqual(answer.status, 502)
        self.assertEqual(self.handfast.reason(self.host, "/unasked"), "bad_response")

    def test_old_clients_cannot_ask_for_an_upgrade(self):
        backend = self.scripted(None)
        with self.handfast.connect() as connection:
            connection.send(f"GET / HTTP/1.0\r\nHost: {self.host}\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\n\r\n")
            self.assertEqual(connection.response().status, 200)

        self.assertEqual(backend.seen[-1].all("upgrade"), [])

    def test_upgrade_without_connection_is_hop_by_hop_and_stays_here(self):
        backend = self.scripted(None)

        answer = self.get(headers=[("Upgrade", "websocket")])

        self.assertEqual(answer.status, 200)
        self.assertEqual(backend.seen[-1].all("upgrade"), [])

    def test_backend_that_may_speak_http2_is_asked_over_http1(self):
        offered = []

        def on_connection(connection):
            offered.append(connection.sock.selected_alpn_protocol())
            accept_blindly(echo_bytes)(connection)

        backend = self.use(Backend(self.server(), client_ca=self.ca.cert_pem,
                                   alpn=["h2", "http/1.1"], on_connection=on_connection))
        self.route(backend, secure=True, annotations={manifests.OWN + "upstream-http2": "true"})

        tunnel = self.open_tunnel()

        self.assert_echo(tunnel)
        self.assertNotIn("h2", offered)
        self.assertEqual(len(offered), 1)


class Tunnel(WebSocketCase):
    def test_access_log_tells_of_the_tunnel_when_it_is_over(self):
        self.scripted(accept_blindly(echo_bytes), secure=True)
        tunnel = self.open_tunnel()
        self.assert_echo(tunnel, b"x" * 1000)
        self.assertEqual(self.handfast.access_log(self.host), [])

        tunnel.close()

        line = self.handfast.last_log(self.host, "/tunnel")
        self.assertEqual((line["status"], line["upstream_status"], line["method"]),
                         (101, 101, "GET"))
        self.assertEqual((line["request_bytes"], line["response_bytes"]), (1000, 1000))
        self.assertEqual(line["upstream_client_serial"].lower().lstrip("0"),
                         f"{self.client.serial:x}")
        self.assertNotIn("response_cut", {k for k, v in line.items() if v})
        requests = self.handfast.metrics().value("handfast_requests_total", host=self.host,
                                                 status="101")
        self.assertEqual(requests, 1)

    def test_connection_of_a_tunnel_serves_nothing_else_afterwards(self):
        backend = self.scripted(accept_blindly(echo_bytes))
        for ended_by in ("client", "backend"):
            with self.subTest(ended_by=ended_by):
                before = backend.accepted
                tunnel = self.open_tunnel()
                self.assert_echo(tunnel)
                if ended_by == "client":
                    tunnel.close()
                else:
                    backend.connections[-1].sock.shutdown(socket.SHUT_RDWR)
                    self.assertTrue(tunnel.is_closed())
                eventually(lambda: backend.open_connections() == 0, "the backend's end")

                self.assert_echo(self.open_tunnel())
                self.assertEqual(backend.accepted, before + 2)
                backend.connections[-1].sock.shutdown(socket.SHUT_RDWR)
                eventually(lambda: backend.open_connections() == 0, "the backend's end")

    def test_half_close_by_the_client_lets_the_backend_finish(self):
        heard = []

        def then(connection):
            heard.append(connection.rest())
            connection.send(b"answer to " + heard[-1])

        self.scripted(accept_blindly(then))
        tunnel = self.open_tunnel()
        tunnel.send(b"the question")
        tunnel.sock.shutdown(socket.SHUT_WR)

        self.assertEqual(tunnel.rest(), b"answer to the question")
        self.assertEqual(heard, [b"the question"])

    def test_half_close_by_the_backend_lets_the_client_finish(self):
        heard = []

        def then(connection):
            connection.send(b"nothing more from here")
            connection.sock.shutdown(socket.SHUT_WR)
            heard.append(connection.rest())

        self.scripted(accept_blindly(then))
        tunnel = self.open_tunnel()

        self.assertEqual(tunnel.rest(), b"nothing more from here")
        tunnel.send(b"but from here")
        tunnel.sock.shutdown(socket.SHUT_WR)
        eventually(lambda: heard == [b"but from here"], "what the client still said", patience=3)

    def test_half_close_passes_over_tls_on_both_sides(self):
        def then(connection):
            # close_notify came: Python's end can still write.
            connection.send(b"answer to " + connection.rest())
            connection.sock.unwrap()

        self.scripted(accept_blindly(then), secure=True)
        with socket.create_connection(self.handfast.https, timeout=20) as raw:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = clients.any_client_context().wrap_bio(incoming, outgoing,
                                                        server_hostname=self.host)
            answer = b""

            def drive(step):
                """Runs one step of TLS, feeding it; None: its peer has ended."""
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        raw.sendall(outgoing.read())
                        data = raw.recv(65536)
                        incoming.write(data) if data else incoming.write_eof()
                    except ssl.SSLZeroReturnError:
                        return None
                    finally:
                        raw.sendall(outgoing.read())

            drive(tls.do_handshake)
            drive(lambda: tls.write(HANDSHAKE.format(path="/", host=self.host).encode()))
            while b"\r\n\r\n" not in answer:
                answer += drive(lambda: tls.read(65536))
            drive(lambda: tls.write(b"the question"))
            try:
                tls.unwrap()  # close_notify; the peer's isn't here yet
            except ssl.SSLWantReadError:
                pass
            raw.sendall(outgoing.read())
            answer = answer.partition(b"\r\n\r\n")[2]
            while True:
                more = drive(lambda: tls.read(65536))
                if not more:
                    break
                answer += more

        self.assertEqual(answer, b"answer to the question")

    def test_end_of_one_side_without_a_word_ends_the_other(self):
        backend = self.scripted(accept_blindly(echo_bytes))
        for how in ("reset", "close"):
            with self.subTest(how=how):
                tunnel = self.open_tunnel()
                self.assert_echo(tunnel)
                if how == "reset":
                    tunnel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                tunnel.close()
                eventually(lambda: backend.open_connections() == 0, "the backend's end")

    def test_silence_of_both_ends_a_tunnel_and_either_voice_keeps_it(self):
        speak = threading.Event()

        def then(connection):
            if connection.request.header("x-talker") is None:
                echo_bytes(connection)
            while not speak.wait(0.3):
                connection.send(b".")

        backend = self.use(Backend(on_connection=accept_blindly(then)))
        self.route(backend, annotations={"proxy-read-timeout": "1"})
        self.addCleanup(speak.set)

        started = time.monotonic()
        silent = self.open_tunnel()
        talking = self.open_tunnel()
        listening = self.handfast.connect()
        self.addCleanup(listening.close)
        listening.send(HANDSHAKE.format(path="/", host=self.host).replace(
            "\r\n\r\n", "\r\nX-Talker: backend\r\n\r\n"))
        self.assertEqual(listening.head().status, 101)
        closed = threading.Thread(target=lambda: self.assertTrue(silent.is_closed(20)))
        closed.start()
        while time.monotonic() - started < 3:  # three times the limit
            self.assert_echo(talking)
            self.assertTrue(listening.fill())
            time.sleep(0.2)
        closed.join()

        self.assertTrue(silent.is_closed(0.1))
        self.assert_echo(talking)

    def test_slow_reader_costs_no_memory_and_slows_its_sender(self):
        sent = [0]

        def then(connection):
            connection.sock.settimeout(60)
            block = b"x" * 65536
            while sent[0] < 64 * 1024 * 1024:
                connection.send(block)
                sent[0] += len(block)

        self.scripted(accept_blindly(then))
        pid = self.handfast.child("handfast-proxy")
        tunnel = self.open_tunnel()
        before = resident_kilobytes(pid)
        at = -1
        while at != sent[0]:  # until the backend can send no more
            at = sent[0]
            time.sleep(0.3)

        self.assertLess(sent[0], 32 * 1024 * 1024)
        if not is_sanitized():  # which keeps what is freed
            self.assertLess(resident_kilobytes(pid) - before, 16 * 1024)
        received = 0
        while received < 64 * 1024 * 1024:
            self.assertTrue(tunnel.fill())
            received += len(tunnel.buffer)
            tunnel.buffer = b""


class Changes(WebSocketCase):
    def test_tunnels_survive_reloads_of_everything_around_them(self):
        self.scripted(accept_blindly(echo_bytes), secure=True)
        tunnels = [self.open_tunnel(tls) for tls in (None, True) for _ in range(4)]

        for turn in range(10):
            self.apply_secret(self.ca.client(f"handfast-{turn}"), self.ca, self.ca.crl())
            self.apply("other", manifests.ingress(f"{self.name}-other", f"other-{turn}.test"))
            self.handfast.barrier()
            for tunnel in tunnels:
                self.assert_echo(tunnel)

        self.delete("ingress")
        self.delete("secret")
        self.handfast.barrier()
        for tunnel in tunnels:
            self.assert_echo(tunnel)

    def test_new_tunnel_after_a_rotation_shows_the_new_certificate(self):
        backend = self.scripted(accept_blindly(echo_bytes), secure=True)
        old = self.open_tunnel()
        second = self.ca.client("second")

        self.apply_secret(second, self.ca, self.ca.crl())
        self.handfast.barrier()
        new = self.open_tunnel()

        self.assertEqual([c.client_serial for c in backend.connections],
                         [self.client.serial, second.serial])
        self.assert_echo(old)
        self.assert_echo(new)

    def test_revocation_of_the_backend_ends_open_tunnels(self):
        backend = self.scripted(accept_blindly(echo_bytes), secure=True)
        leaf = backend.leaf = self.ca.server(f"{self.name}.shop.svc")
        backend.show(leaf)
        tunnels = [self.open_tunnel(tls) for tls in (None, True)]

        self.apply_secret(self.client, self.ca, self.ca.crl([leaf]))

        for tunnel in tunnels:
            self.assertTrue(tunnel.is_closed(10))
        line = self.handfast.last_log(self.host, "/tunnel")
        self.assertEqual((line["status"], line["upstream_tls_error"]), (101, "revoked"))

    def test_drain_waits_for_tunnels_as_long_as_it_may(self):
        handfast = Handfast("--drain-timeout", "2s")
        self.addCleanup(handfast.close)
        backend = self.use(Backend(on_connection=accept_blindly(echo_bytes)))
        handfast.apply("all", manifests.ingress_class(), manifests.ingress(self.name, self.host),
                       manifests.service(self.name, backend.port))
        handfast.barrier()
        with handfast.connect() as tunnel:
            tunnel.send(HANDSHAKE.format(path="/", host=self.host))
            self.assertEqual(tunnel.head().status, 101)
            started = time.monotonic()

            handfast.proxy.signal(15)

            while time.monotonic() - started < 1:
                self.assert_echo(tunnel)
                time.sleep(0.1)
            self.assertTrue(tunnel.is_closed(20))
        self.assertGreaterEqual(time.monotonic() - started, 1.9)
        self.assertEqual(handfast.proxy.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
