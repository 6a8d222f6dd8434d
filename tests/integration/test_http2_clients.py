"""HTTP/2 with clients, frame by frame: which version is spoken, what is no request, limits, many
streams on one connection, the drain, and floods that must be met by an answer and cost nothing."""

import os
import socket
import sys
import threading
import time
import unittest

from hyperframe import frame as frames

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import apps, clients, http2, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import Handfast, is_sanitized, resident_kilobytes  # noqa: E402
from harness.waiting import eventually  # noqa: E402

MEBIBYTE = 1024 * 1024
CODES = http2.CODES


def cpu_milliseconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


class ClientCase(HandfastCase):
    workers = 1

    def serve(self, handle=apps.h1, **options):
        backend = self.use(Backend(handle=handle))
        self.apply_ingress(backend.port, protocol="HTTP", **options)
        self.handfast.barrier()
        return backend

    def connect(self, tls=None, **options):
        peer = http2.connect(self.handfast, self.host, tls, **options)
        self.addCleanup(peer.close)
        return peer

    def frames(self, **options):
        client = http2.Frames(self.handfast, self.host, **options)
        self.addCleanup(client.raw.close)
        return client


class Versions(ClientCase):
    def test_alpn_decides_and_http2_is_preferred(self):
        self.serve()
        for offered, chosen in ((["h2"], "h2"), (["http/1.1"], "http/1.1"),
                                (["http/1.1", "h2"], "h2"), (["h2", "http/1.1"], "h2"),
                                ([], None)):
            with self.subTest(offered=offered):
                context = clients.any_client_context()
                if offered:
                    context.set_alpn_protocols(offered)
                with self.handfast.connect(tls=context, server_name=self.host) as connection:
                    self.assertEqual(connection.sock.selected_alpn_protocol(), chosen)
                    if chosen != "h2":
                        self.assertEqual(connection.request(self.host).status, 200)

    def test_preface_on_the_plain_port_cut_at_every_byte(self):
        self.serve()
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.SettingsFrame(0).serialize()
        for cut in range(1, len(preface)):
            with self.handfast.connect() as connection:
                connection.send(preface[:cut])
                connection.send(preface[cut:])
                header = connection.take(9)
                self.assertEqual(header[3], 4, cut)  # SETTINGS

    def test_a_request_in_single_bytes(self):
        backend = self.serve()
        client = self.frames()
        request = client.headers("END_STREAM", path="/bytewise").serialize()
        for byte in request:
            client.send_bytes(bytes([byte]))

        self.assertIsNotNone(client.read_until(frames.HeadersFrame))
        self.assertEqual(backend.seen[-1].target, "/bytewise")

    def test_access_log_tells_the_version(self):
        self.serve()
        self.connect().fetch(self.host, "/v2")
        self.assertEqual(self.handfast.last_log(self.host, "/v2")["protocol"], "HTTP/2.0")

    def test_h2c_upgrade_is_not_taken(self):
        backend = self.serve()
        answer = self.get(headers=[("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"),
                                   ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")])

        self.assertEqual((answer.status, answer.version), (200, "HTTP/1.1"))
        self.assertEqual(backend.seen[-1].all("upgrade"), [])


class Streams(ClientCase):
    def test_many_streams_at_once_on_one_connection(self):
        waiting, gate = [], threading.Event()

        def handle(connection, request):
            waiting.append(request)
            if len(waiting) >= 100:
                gate.set()
            gate.wait(30)
            connection.reply(request.target)

        self.serve(handle)
        for tls in (None, True):
            with self.subTest(tls=tls):
                waiting.clear()
                gate.clear()
                peer = self.connect(tls)
                streams = [peer.request(self.host, f"/{n}") for n in range(100)]
                for number, stream in enumerate(streams):
                    self.assertEqual(stream.response().body, f"/{number}".encode())

    def test_limit_of_streams_is_told_and_kept(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def handle(connection, request):
            if request.target == "/held":
                gate.wait(30)
            connection.reply("ok")

        self.serve(handle)
        peer = self.connect()
        self.assertEqual(peer.fetch(self.host).status, 200)
        limit = peer.remote_settings[http2.SETTINGS.MAX_CONCURRENT_STREAMS]
        self.assertEqual(limit, 128)
        client = self.frames()
        client.send(*(client.headers("END_STREAM", path="/held") for _ in range(limit)))
        client.send(client.headers("END_STREAM", path="/one-too-many"))

        refused = client.read_until(frames.RstStreamFrame)

        self.assertEqual((refused.stream_id, refused.error_code),
                         (2 * limit + 1, CODES.REFUSED_STREAM))
        gate.set()
        self.assertIsNotNone(client.read_until(frames.HeadersFrame))

    def test_stream_that_nobody_reads_stalls_no_other(self):
        self.serve()
        pid = self.handfast.child("handfast-proxy")
        for tls in (None, True):
            with self.subTest(tls=tls):
                peer = self.connect(tls, window=64 * MEBIBYTE)
                self.assertEqual(peer.fetch(self.host, "/bytes/1").status, 200)
                before = resident_kilobytes(pid)
                stalled = [peer.request(self.host, f"/bytes/{32 * MEBIBYTE}") for _ in range(20)]
                for stream in stalled:
                    self.assertEqual(stream.head().status, 200)

                for _ in range(10):
                    answer = peer.fetch(self.host, f"/bytes/{MEBIBYTE}")
                    self.assertEqual(len(answer.body), MEBIBYTE)

                if not is_sanitized():  # which keeps what is freed
                    self.assertLess(resident_kilobytes(pid) - before, 8 * 1024)
                self.assertEqual(stalled[0].digest(),
                                 (32 * MEBIBYTE, apps.pattern_digest(32 * MEBIBYTE)))
                peer.close()

    def test_request_body_that_its_backend_does_not_take_stalls_no_other(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def handle(connection, request):
            if request.target == "/stuck":
                gate.wait(30)
            apps.h1(connection, request)

        self.serve(handle)
        peer = self.connect()
        stuck = peer.request(self.host, "/stuck", "POST", end=False)
        sender = threading.Thread(target=lambda: stuck.send(apps.pattern(20 * MEBIBYTE), end=True))
        sender.start()

        for _ in range(5):
            data = apps.pattern(MEBIBYTE)
            answer = peer.fetch(self.host, "/digest", "POST", body=data)
            self.assertEqual(answer.body.decode(), f"{MEBIBYTE} {apps.digest(data)}")
        self.assertTrue(sender.is_alive())

        gate.set()
        self.assertEqual(stuck.response().status, 200)
        sender.join()

    def test_reset_of_one_stream_is_felt_by_its_backend_alone(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def handle(connection, request):
            if request.target == "/held":
                gate.wait(30)
            apps.h1(connection, request)

        backend = self.serve(handle)
        peer = self.connect()
        hung, held = peer.request(self.host, "/hang"), peer.request(self.host, "/held")
        eventually(lambda: len(backend.seen) >= 2, "both")
        connection = next(s.connection for s in backend.seen if s.target == "/hang")

        hung.reset()

        eventually(lambda: connection.sock.fileno() == -1, "the end of the backend's connection")
        gate.set()
        self.assertEqual(held.response().status, 200)
        self.handfast.last_log(self.host, "/hang", status=499)

    def test_backends_connection_headers_stay_behind(self):
        def handle(connection, _request):
            connection.send(b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
                            b"Keep-Alive: timeout=5\r\nX-End: 2\r\nContent-Length: 2\r\n\r\nok")
            raise EOFError

        self.serve(handle)
        answer = self.connect().fetch(self.host)

        names = [name for name, _ in answer.headers]
        self.assertEqual(answer.body, b"ok")
        self.assertIn("x-end", names)
        for name in ("connection", "keep-alive", "x-hop", "transfer-encoding"):
            self.assertNotIn(name, names)

    def test_pieces_of_a_cookie_are_one_for_an_http1_backend(self):
        backend = self.serve()
        self.connect().fetch(self.host, headers=[("cookie", "a=1"), ("x-a", "b"),
                                                 ("cookie", "c=2")])

        self.assertEqual(backend.seen[-1].all("cookie"), ["a=1; c=2"])

    def test_long_connection_with_a_ping_each_time_goes_on(self):
        self.serve()
        peer = self.connect()
        for number in range(300):
            self.assertEqual(peer.fetch(self.host).status, 200)
            peer.ping()
            if number % 3 == 0:
                stream = peer.request(self.host, "/bytes/5000000")  # more than its window
                stream.head()
                stream.reset()

        self.assertIsNone(peer.goaway)


class NoRequests(ClientCase):
    """What a client may not send: its stream ends, and the backend never hears of it."""

    def setUp(self):
        super().setUp()
        self.backend = self.serve()

    def outcome(self, client, number):
        """('status', N) or ('reset', code) of a stream; None: the connection ended."""
        while True:
            frame = client.read()
            if frame is None:
                return None
            if frame.stream_id != number:
                continue
            if isinstance(frame, frames.HeadersFrame):
                return ("status", dict(client.decoder.decode(frame.data, raw=True))[b":status"])
            if isinstance(frame, frames.RstStreamFrame):
                return ("reset", frame.error_code)

    def send(self, fields, body=None):
        import hpack
        client = self.frames()
        client.decoder = hpack.Decoder()
        fields = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields]
        flags = ["END_HEADERS"] + ([] if body is not None else ["END_STREAM"])
        client.send(frames.HeadersFrame(1, client.hpack.encode(fields), flags=flags))
        if body is not None:
            client.send(frames.DataFrame(1, body, flags=["END_STREAM"]))
        return self.outcome(client, 1)

    def fields(self, *more, **changed):
        """A good head; `path=None` leaves :path out."""
        pseudo = {"method": "GET", "scheme": "http", "authority": self.host, "path": "/"}
        pseudo.update(changed)
        return [(f":{k}", v) for k, v in pseudo.items() if v is not None] + list(more)

    def test_control(self):
        self.assertEqual(self.send(self.fields(("x-a", "1"))), ("status", b"200"))

    def test_malformed_messages_are_reset(self):
        f = self.fields
        bad = {
            "upper case": f(("X-Upper", "1")),
            "connection": f(("connection", "close")),
            "keep-alive": f(("keep-alive", "1")),
            "proxy-connection": f(("proxy-connection", "close")),
            "transfer-encoding": f(("transfer-encoding", "chunked")),
            "upgrade": f(("upgrade", "websocket")),
            "te": f(("te", "gzip")),
            "no method": f(method=None),
            "no path": f(path=None),
            "no scheme": f(scheme=None),
            "empty path": f(path=""),
            "two paths": f() + [(":path", "/b")],
            "late pseudo field": [("x-a", "1"), *f()],
            "unknown pseudo field": [*f(), (":protocolx", "1")],
            "a response's": [*f(), (":status", "200")],
            "line feed": f(("x-a", "1\nX-Forwarded-For: 1.2.3.4")),
            "carriage return": f(("x-a", "1\r2")),
            "zero": f(("x-a", "1\0002")),
            "blank in a name": f(("x a", "1")),
            "colon in a name": f(("x:a", "1")),
            "empty name": f(("", "1")),
            "length of no body": f(("content-length", "5")),
        }
        for what, fields in bad.items():
            with self.subTest(what=what):
                before = len(self.backend.seen)
                self.assertIn(self.send(fields), (("reset", CODES.PROTOCOL_ERROR),
                                                  ("status", b"400"), None))
                self.assertEqual(len(self.backend.seen), before)
        # Where the head came before the lie was known, the request isn't whole at the backend.
        for length, body in (("5", b"123"), ("2", b"123")):
            with self.subTest(length=length):
                before = [s for s in self.backend.seen if s.body is not None]
                fields = f(("content-length", length), method="POST")
                self.assertEqual(self.send(fields, body), ("reset", CODES.PROTOCOL_ERROR))
                self.assertEqual([s for s in self.backend.seen if s.body is not None], before)

    def test_what_could_be_read_in_two_ways_is_answered_400(self):
        f = self.fields
        bad = {
            "host differs": f(("host", "other.test")),
            "path with a space": f(path="/a b"),
            "absolute target": f(path="http://other.test/"),
            "fragment": f(path="/a#b"),
            "relative": f(path="a"),
            "user in the authority": f(authority=f"me@{self.host}"),
            "two lengths": f(("content-length", "1"), ("content-length", "2"), method="POST"),
            "signed length": f(("content-length", "+1"), method="POST"),
            "connect": f(method="CONNECT"),
            "method": f(method="GE T"),
        }
        for what, fields in bad.items():
            with self.subTest(what=what):
                before = len(self.backend.seen)
                self.assertIn(self.send(fields), (("status", b"400"), ("status", b"501"),
                                                  ("reset", CODES.PROTOCOL_ERROR)))
                self.assertEqual(len(self.backend.seen), before)

    def test_limits_of_heads_are_answered_and_the_connection_lives_on(self):
        peer = self.connect()
        for expected, path, headers in (
                (431, "/", [("x-large", "y" * 33_000)]),
                (431, "/", [(f"x-{n}", "y" * 400) for n in range(90)]),
                (431, "/", [(f"x-{n}", "y") for n in range(120)]),
                (414, "/" + "p" * 9000, []),
                (200, "/" + "p" * 8000, [("x-large", "y" * 16_000)])):
            with self.subTest(expected=expected, path=len(path), headers=len(headers)):
                before = len(self.backend.seen)
                self.assertEqual(peer.fetch(self.host, path, headers=headers).status, expected)
                self.assertEqual(len(self.backend.seen) - before, int(expected == 200))
        self.assertIsNone(peer.goaway)


class Drain(ClientCase):
    def test_sigterm_says_goaway_and_lets_streams_finish(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def handle(connection, request):
            if request.target == "/held":
                gate.wait(30)
            apps.h1(connection, request)

        backend = self.use(Backend(handle=handle))
        handfast = Handfast()
        self.addCleanup(handfast.close)
        handfast.apply("all", manifests.ingress_class(), manifests.ingress(self.name, self.host),
                       manifests.service(self.name, backend.port))
        handfast.barrier()
        peers = [http2.connect(handfast, self.host, tls) for tls in (None, True)]
        idle = http2.connect(handfast, self.host)
        for peer in (*peers, idle):
            self.addCleanup(peer.close)
        self.assertEqual(idle.fetch(self.host).status, 200)
        held = [peer.request(self.host, "/held") for peer in peers]
        eventually(lambda: sum(s.target == "/held" for s in backend.seen) == 2, "the streams")

        handfast.proxy.signal(15)

        for peer in (*peers, idle):
            peer.wait(lambda: peer.goaway, 10, "a GOAWAY")  # noqa: B023
            self.assertEqual(peer.goaway[1], CODES.NO_ERROR)
        idle.wait_lost(10)
        gate.set()
        for stream in held:
            self.assertEqual(stream.response().status, 200)
        for peer in peers:
            peer.wait_lost(10)
        self.assertEqual(handfast.proxy.wait(30), 0)

    def test_first_goaway_names_no_last_stream_so_that_nothing_is_lost(self):
        backend = self.use(Backend(handle=apps.h1))
        handfast = Handfast()
        self.addCleanup(handfast.close)
        handfast.apply("all", manifests.ingress_class(), manifests.ingress(self.name, self.host),
                       manifests.service(self.name, backend.port))
        handfast.barrier()
        client = http2.Frames(handfast, self.host)
        self.addCleanup(client.raw.close)
        client.send(client.headers("END_STREAM"))
        self.assertIsNotNone(client.read_until(frames.HeadersFrame))

        handfast.proxy.signal(15)
        notice = client.read_until(frames.GoAwayFrame)
        client.send(client.headers("END_STREAM", path="/crossed"))  # it hadn't heard yet
        answer = client.read_until(frames.HeadersFrame)

        self.assertEqual(notice.last_stream_id, 2 ** 31 - 1)
        self.assertEqual(answer.stream_id, 3)
        self.assertEqual(backend.seen[-1].target, "/crossed")


class Floods(ClientCase):
    """10,000 frames each: an answer comes, it is counted, the backend is spared, and it costs
    neither memory nor time."""

    FRAMES = 10_000

    def setUp(self):
        super().setUp()
        self.backend = self.serve()
        self.pid = self.handfast.child("handfast-proxy")
        self.get()  # what is allocated once is
        self.frames().send(frames.PingFrame(0, b"12345678"))

    def counted(self, kind):
        return self.handfast.metrics().value("handfast_http2_floods_total", kind=kind) or 0

    def assert_met(self, kind, make, first=(), **options):
        """`make(client)` gives a frame of the flood."""
        counted = self.counted(kind)
        client = self.frames(**options)
        client.send(*(one(client) for one in first))
        memory, cpu = resident_kilobytes(self.pid), cpu_milliseconds(self.pid)

        code = client.flood(lambda: make(client), self.FRAMES)

        cpu = cpu_milliseconds(self.pid) - cpu
        self.assertEqual(code, CODES.ENHANCE_YOUR_CALM)
        eventually(lambda: self.counted(kind) == counted + 1, "the counter")
        if not is_sanitized():
            self.assertLess(resident_kilobytes(self.pid) - memory, 3 * 1024)
            self.assertLess(cpu, 300)
        self.assertEqual(self.get().status, 200)
        return client

    def test_rapid_reset(self):
        def make(client):
            headers = client.headers("END_STREAM")
            reset = frames.RstStreamFrame(headers.stream_id, error_code=CODES.CANCEL)
            return headers.serialize() + reset.serialize()

        before = len(self.backend.seen)
        self.assert_met("resets", make)
        self.assertLessEqual(len(self.backend.seen) - before, 1000)

    def test_resets_that_the_client_makes_us_send(self):
        # CVE-2025-8671: a window that overflows is an error of its stream, which we have to reset.
        def make(client):
            request = client.headers("END_STREAM", path="/hang")
            overflow = frames.WindowUpdateFrame(request.stream_id, window_increment=2 ** 31 - 1)
            return request.serialize() + overflow.serialize()

        before = len(self.backend.seen)
        self.assert_met("resets", make)
        self.assertLessEqual(len(self.backend.seen) - before, 1000)

    def test_malformed_requests(self):
        def make(client):
            return client.headers("END_STREAM", extra=[("connection", "close")]).serialize()

        before = len(self.backend.seen)
        self.assert_met("resets", make)
        self.assertEqual(len(self.backend.seen), before + 1)  # the last look

    def test_continuations(self):
        frame = frames.ContinuationFrame(1, b"").serialize()
        started = self.frames()
        started.send(frames.HeadersFrame(1, started.block()))
        started.send(*(frames.ContinuationFrame(1, b"") for _ in range(16)))
        started.send(frames.PingFrame(0, b"12345678"))  # not allowed here, so no flood is the cause
        self.assertEqual(started.read_until(frames.GoAwayFrame).error_code, CODES.PROTOCOL_ERROR)

        self.assert_met("continuations", lambda _: frame,
                        first=[lambda client: frames.HeadersFrame(1, client.block())])

    def test_continuations_with_fields_that_never_end(self):
        def make(client):
            data = client.hpack.encode([("x-more", "y" * 50)])
            return frames.ContinuationFrame(1, data).serialize()

        self.assert_met("continuations", make,
                        first=[lambda client: frames.HeadersFrame(1, client.block())])

    def test_control_frames(self):
        kinds = {
            "ping": frames.PingFrame(0, b"12345678"),
            "settings": frames.SettingsFrame(0, settings={4: 65535}),
            "empty settings": frames.SettingsFrame(0),
            "priority": frames.PriorityFrame(1, depends_on=0, stream_weight=5),
            "window update": frames.WindowUpdateFrame(0, window_increment=1),
        }
        floods = {what: frame.serialize() for what, frame in kinds.items()}
        floods["unknown"] = b"\x00\x00\x01\xf0\x00" + bytes(4) + b"x"
        for what, data in floods.items():
            with self.subTest(what=what):
                self.assert_met("control", lambda _: data)  # noqa: B023

    def test_empty_data(self):
        data = frames.DataFrame(1, b"").serialize()
        self.assert_met("empty_frames", lambda _: data, first=[
            lambda client: client.headers(path="/digest", method="POST")])

    def test_a_head_that_unpacks_to_much_more(self):
        # One large field in the table, then a byte for each repetition.
        client = self.frames()
        counted = self.counted("headers")
        block = client.block() + client.hpack.encode([("x-bomb", "y" * 3900)])
        reference = client.hpack.encode([("x-bomb", "y" * 3900)])
        self.assertLess(len(reference), 3)
        memory = resident_kilobytes(self.pid)

        client.send(frames.HeadersFrame(1, block + reference * 10_000,
                                        flags=["END_HEADERS", "END_STREAM"]))
        goaway = client.read_until(frames.GoAwayFrame)

        self.assertEqual(goaway.error_code, CODES.ENHANCE_YOUR_CALM)
        eventually(lambda: self.counted("headers") == counted + 1, "the counter")
        if not is_sanitized():
            self.assertLess(resident_kilobytes(self.pid) - memory, 3 * 1024)

    def test_answers_that_nobody_reads(self):
        # PINGs, each in a read of its own so that none is too many, and their answers unread.
        client = self.frames()
        client.raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ping = frames.PingFrame(0, b"12345678").serialize()
        memory = resident_kilobytes(self.pid)
        client.raw.sock.settimeout(2)
        sent = 0
        try:
            while sent < 50_000:
                client.send_bytes(ping)
                sent += 1
        except OSError:
            pass  # cut off, or not read any more: both will do

        if not is_sanitized():
            self.assertLess(resident_kilobytes(self.pid) - memory, 3 * 1024)
        self.assertEqual(self.get().status, 200)

    def test_silence_in_the_middle_of_things_holds_nothing_up(self):
        head = self.frames()
        head.send(frames.HeadersFrame(1, head.block()))  # no CONTINUATION follows
        half = self.frames()
        half.send_bytes(half.headers("END_STREAM").serialize()[:5])
        started = time.monotonic()

        for _ in range(10):
            self.assertEqual(self.get().status, 200)

        self.assertLess(time.monotonic() - started, 5)


if __name__ == "__main__":
    unittest.main()
