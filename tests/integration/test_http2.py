"""HTTP/2 to backends: connections that requests share, and what becomes of them when the peer says
GOAWAY, refuses, stalls, lies, is revoked or is given another certificate of ours."""

import os
import sys
import threading
import time
import unittest

import hpack
from hyperframe import frame as frames

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import apps, http2  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import is_sanitized, resident_kilobytes  # noqa: E402
from harness.waiting import eventually  # noqa: E402

MEBIBYTE = 1024 * 1024


class Http2Case(HandfastCase):
    workers = 1  # pools are each worker's: what is shared can be counted

    def setUp(self):
        super().setUp()
        self.client = self.leaf = None

    def route(self, *backends, secure=False, annotations=None):
        if secure and self.client is None:
            self.client = self.ca.client()
            self.apply_secret(self.client, self.ca, self.ca.crl())
        self.apply_ingress(*(backend.port for backend in backends),
                           protocol="HTTPS" if secure else "HTTP",
                           annotations={http2.ANNOTATION: "true", **(annotations or {})})
        self.handfast.barrier()

    def backend(self, on_stream=apps.h2, secure=False, **options):
        if secure:
            self.leaf = self.leaf or self.server()
            options.setdefault("client_ca", self.ca.cert_pem)
        return self.use(http2.Http2Backend(self.leaf if secure else None, on_stream=on_stream,
                                           **options))

    def start(self, on_stream=apps.h2, secure=False, annotations=None, **options):
        """A backend and the route to it."""
        backend = self.backend(on_stream, secure, **options)
        self.route(backend, secure=secure, annotations=annotations)
        return backend

    def at_once(self, count, path="/", method="GET", timeout=60):
        """Starts `count` requests, each on a connection of its own; join() gives the answers."""
        answers = [None] * count

        def ask(number):
            try:
                answers[number] = self.get(path, method=method, timeout=timeout)
            except Exception as error:  # noqa: B902, told with the answers
                answers[number] = error

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()

        def join():
            for thread in threads:
                thread.join()
            return answers

        return join

    def assert_all(self, answers, status=200):
        self.assertEqual([getattr(one, "status", one) for one in answers],
                         [status] * len(answers))


class Gate:
    """For handlers: streams wait here until `count` of them have come, or until opened."""

    def __init__(self, count=None):
        self.count, self.waiting = count, []
        self._open = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, stream):
        with self._lock:
            self.waiting.append(stream)
            if len(self.waiting) == self.count:
                self._open.set()
        if not self._open.wait(60):
            raise TimeoutError("the gate stayed shut")
        apps.h2_reply(stream, b"through")

    def open(self):
        self._open.set()


class Sharing(Http2Case):
    def test_requests_at_once_share_one_connection(self):
        for secure in (False, True):
            with self.subTest(secure=secure):
                self.setUp()
                gate = Gate(40)
                backend = self.start(gate, secure)

                self.assert_all(self.at_once(40)())

                self.assertEqual(backend.accepted, 1)

    def test_peers_limit_of_streams_makes_more_connections(self):
        gate = Gate()

        def on_stream(stream):
            apps.h2_reply(stream) if stream.seen.target == "/warm" else gate(stream)

        backend = self.start(on_stream, max_streams=4)
        self.wait_for(200, target="/warm")
        joins = []
        for number in range(1, 21):  # one after the other: each limit is known when it matters
            joins.append(self.at_once(1))
            eventually(lambda: len(gate.waiting) == number, "a stream")  # noqa: B023

        self.assertEqual(backend.accepted, 5)
        self.assertEqual([len(peer.unfinished()) for peer in backend.peers], [4] * 5)
        gate.open()
        for join in joins:
            self.assert_all(join())

    def test_limit_of_streams_that_is_not_known_yet_costs_no_request(self):
        gate, handshake = Gate(20), threading.Event()
        self.addCleanup(handshake.set)
        backend = self.backend(gate, secure=True, max_streams=4)
        backend.context.sni_callback = lambda *_: handshake.wait(60) and None
        self.route(backend, secure=True, annotations={"proxy-read-timeout": "3"})

        join = self.at_once(20)
        eventually(lambda: self.handfast.metrics().value("handfast_downstream_connections") >= 20,
                   "the clients")
        time.sleep(0.2)
        handshake.set()

        self.assert_all(join())

    def test_one_connecting_attempt_while_alpn_is_unknown(self):
        for alpn in (["h2", "http/1.1"], ["http/1.1"]):
            with self.subTest(alpn=alpn):
                self.setUp()
                gate = threading.Event()
                self.addCleanup(gate.set)
                backend = self.backend(secure=True, alpn=alpn, handle=apps.h1)
                backend.context.sni_callback = lambda *_: gate.wait(60) and None  # noqa: B023
                self.route(backend, secure=True)
                del backend.seen[:]

                join = self.at_once(10)
                eventually(lambda: backend.accepted >= 1, "an attempt")  # noqa: B023
                time.sleep(0.3)
                self.assertEqual(backend.accepted, 1)
                gate.set()

                self.assert_all(join())
                self.assertEqual(len(backend.seen), 10)
                if "h2" in alpn:
                    self.assertEqual(backend.accepted, 1)

    def test_slow_client_on_a_shared_connection_stalls_nobody(self):
        backend = self.start(secure=True)
        pid = self.handfast.child("handfast-proxy")
        self.assertEqual(self.get("/bytes/1").status, 200)
        before = resident_kilobytes(pid)
        slow = [self.handfast.connect(receive_buffer=4096) for _ in range(4)]
        for one in slow:
            self.addCleanup(one.close)
            one.send(f"GET /bytes/{64 * MEBIBYTE} HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
            self.assertEqual(one.head().status, 200)
        # Until the backend can send no more of these.
        sent = -1
        while sent != sum(len(peer._out) for peer in backend.peers) or sent < 0:
            sent = sum(len(peer._out) for peer in backend.peers)
            time.sleep(0.2)

        started = time.monotonic()
        for _ in range(20):
            answer = self.get(f"/bytes/{MEBIBYTE}")
            self.assertEqual(len(answer.body), MEBIBYTE)
        elapsed = time.monotonic() - started

        self.assertEqual(backend.accepted, 1)
        self.assertLess(elapsed, 15)
        if not is_sanitized():  # which keeps what is freed
            self.assertLess(resident_kilobytes(pid) - before, 12 * 1024)
        data = slow[0].take(64 * MEBIBYTE)  # and who was slow misses nothing
        self.assertEqual(apps.digest(data), apps.pattern_digest(64 * MEBIBYTE))

    def test_stream_that_answers_nothing_times_out_and_takes_nothing_more(self):
        gate = Gate()

        def on_stream(stream):
            apps.h2(stream) if stream.seen.target == "/hang" else gate(stream)

        backend = self.start(on_stream, annotations={"proxy-read-timeout": "1"})
        gate.open()
        self.wait_for(200)

        answer = self.get("/hang")

        self.assertEqual(answer.status, 504)
        hung = [seen.stream for seen in backend.seen if seen.target == "/hang"]
        self.assertEqual(len(hung), 1)
        eventually(lambda: hung[0].reset_by_peer is not None, "the reset")
        self.assertEqual(hung[0].reset_by_peer, http2.CODES.CANCEL)
        self.assertEqual(self.get().status, 200)
        # A connection that was silent all that time takes no more: it may be the one that is stuck.
        self.assertEqual(backend.accepted, 2)


class Refusals(Http2Case):
    def warm(self, backend):
        """The connection has carried requests when the test begins."""
        self.wait_for(200, target="/warm", streak=2)
        del backend.seen[:]

    def test_goaway_lets_streams_finish_and_new_requests_go_elsewhere(self):
        gate = Gate()

        def on_stream(stream):
            gate(stream) if stream.seen.target == "/slow" else apps.h2(stream)

        backend = self.start(on_stream)
        self.warm(backend)
        join = self.at_once(3, "/slow")
        eventually(lambda: len(gate.waiting) == 3, "the streams")
        first = backend.peers[0]

        first.send_goaway(2 ** 31 - 1)
        first.send_goaway(gate.waiting[-1].number)
        first.ping()
        self.assertEqual(self.get("/seen").status, 200)

        self.assertEqual(backend.accepted, 2)
        self.assertIs(backend.seen[-1].stream.peer, backend.peers[1])
        gate.open()
        self.assert_all(join())
        first.wait_lost()

    def test_requests_beyond_a_goaway_are_sent_again(self):
        # The server promises that it hasn't looked at them: even a POST is safe.
        for method in ("GET", "POST"):
            with self.subTest(method=method):
                self.setUp()
                turned_away = []

                def on_stream(stream):
                    if stream.seen.target == "/warm" or turned_away:  # noqa: B023
                        apps.h2_reply(stream, b"second")
                        return
                    turned_away.append(stream)  # noqa: B023
                    stream.peer.send_goaway(stream.number - 2)

                backend = self.start(on_stream)
                self.warm(backend)

                answer = self.get("/again", method=method)

                self.assertEqual((answer.status, answer.body), (200, b"second"))
                self.assertEqual(len(turned_away), 1)
                self.assertEqual([seen.target for seen in backend.seen], ["/again"] * 2)
                self.assertEqual(backend.accepted, 2)

    def test_refused_streams_are_sent_to_another_endpoint(self):
        good = self.backend()
        full = self.backend(max_streams=0)
        self.route(good, full)

        for method in ("GET", "POST"):
            self.assert_all([self.get(f"/{n}", method=method) for n in range(10)])

        self.assertGreater(full.accepted, 0)
        self.assertEqual(len([s for s in good.seen if s.method == "POST"]), 10)

    def test_request_that_may_have_had_an_effect_is_not_sent_again(self):
        def on_stream(stream):
            if stream.seen.target == "/warm":
                apps.h2_reply(stream)
            else:
                stream.reset(http2.CODES.INTERNAL_ERROR)

        bad, worse = self.backend(on_stream), self.backend(on_stream)
        self.route(bad, worse)
        for warm in range(2):
            with self.subTest(warm=warm):
                answer = self.get("/effect", method="POST", body=b"pay")
                self.assertEqual(answer.status, 502)
                arrived = [s for b in (bad, worse) for s in b.seen if s.target == "/effect"]
                self.assertEqual(len(arrived), warm + 1)

    def test_request_without_an_effect_is_sent_to_another_endpoint(self):
        good = self.backend()
        bad = self.backend(lambda stream: stream.reset(http2.CODES.INTERNAL_ERROR))
        self.route(good, bad)

        self.assert_all([self.get(f"/{n}") for n in range(10)])

        self.assertGreater(len(bad.seen), 0)

    def test_answer_cut_in_the_middle_is_cut_for_the_client(self):
        def on_stream(stream):
            stream.send_headers([(":status", "200")])
            stream.send(b"half of ")
            stream.reset(http2.CODES.INTERNAL_ERROR)

        self.start(on_stream)
        with self.handfast.connect() as connection:
            connection.send(f"GET /cut HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
            self.assertEqual(connection.head().status, 200)
            with self.assertRaises(EOFError):
                list(connection.chunks())

        self.assertTrue(self.handfast.last_log(self.host, "/cut")["response_cut"])


class Changes(Http2Case):
    def test_rotation_lets_streams_finish_and_uses_the_old_identity_no_more(self):
        gate = Gate()

        def on_stream(stream):
            gate(stream) if stream.seen.target == "/slow" else apps.h2(stream)

        backend = self.start(on_stream, secure=True)
        self.wait_for(200)
        join = self.at_once(5, "/slow")
        eventually(lambda: len(gate.waiting) == 5, "the streams")
        old = backend.peers[0]
        second = self.ca.client("second")

        self.apply_secret(second, self.ca, self.ca.crl())
        self.handfast.barrier()
        opened = old.opened
        answers = [self.get() for _ in range(20)]

        self.assertEqual({answer.json()["serial"] for answer in answers}, {str(second.serial)})
        self.assertEqual(old.opened, opened)  # nothing after the acknowledgement
        self.assertIsNone(old.lost)
        gate.open()
        self.assert_all(join())
        old.wait_lost()
        self.assertEqual(backend.accepted, 2)

    def test_idle_connection_of_an_old_identity_closes_at_once(self):
        backend = self.start(secure=True)
        self.wait_for(200)

        self.apply_secret(self.ca.client("second"), self.ca, self.ca.crl())

        backend.peers[0].wait_lost(10)

    def test_revocation_ends_streams_in_flight(self):
        def on_stream(stream):
            if stream.seen.target != "/slow":
                apps.h2(stream)
                return
            stream.send_headers([(":status", "200")])
            stream.send(b"begun")
            stream.wait_reset(60)

        backend = self.start(on_stream, secure=True)
        self.wait_for(200)
        begun = [self.handfast.connect() for _ in range(3)]
        for one in begun:
            self.addCleanup(one.close)
            one.send(f"GET /slow HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
            self.assertEqual(one.head().status, 200)
        closed = self.handfast.metrics().value("handfast_upstream_tls_connections_closed_total",
                                               cause="trust") or 0

        self.apply_secret(self.client, self.ca, self.ca.crl([self.leaf]))

        for one in begun:
            with self.assertRaises(EOFError):
                list(one.chunks())
        backend.peers[0].wait_lost(10)
        self.assert_refused(502, "revoked")
        self.assertEqual(self.handfast.metrics().value(
            "handfast_upstream_tls_connections_closed_total", cause="trust"), closed + 1)

    def test_refreshed_crl_keeps_the_connection(self):
        backend = self.start(secure=True)
        self.wait_for(200)

        for number in range(2, 6):
            self.apply_secret(self.client, self.ca, self.ca.crl(number=number))
            self.handfast.barrier()
            self.assertEqual(self.get().status, 200)

        self.assertEqual(backend.accepted, 1)


class Lies(Http2Case):
    """Backends that break the protocol: 502, and never something that a client could be fed."""

    def scripted(self, answer):
        """Plays a server up to the request's HEADERS, then `answer(connection, stream)`."""
        def on_connection(connection):
            connection.take(24)
            connection.send(frames.SettingsFrame(0).serialize() +
                            frames.SettingsFrame(0, flags=["ACK"]).serialize())
            while True:
                header = connection.take(9)
                frame, length = frames.Frame.parse_frame_header(memoryview(header))
                connection.take(length)
                if isinstance(frame, frames.HeadersFrame):
                    answer(connection, frame.stream_id)
                    connection.rest()
                    return

        return self.use(Backend(on_connection=on_connection))

    def heads(self, *fields, end=True):
        def answer(connection, stream):
            flags = ["END_HEADERS"] + (["END_STREAM"] if end else [])
            data = hpack.Encoder().encode([tuple(field) for field in fields])
            connection.send(frames.HeadersFrame(stream, data, flags=flags).serialize())

        return answer

    def test_bad_heads_are_bad_answers(self):
        bad = {
            "no status": [("x-a", "1")],
            "two statuses": [(":status", "200"), (":status", "200")],
            "status of two digits": [(":status", "20")],
            "status with a sign": [(":status", "+20")],
            "a request's field": [(":status", "200"), (":path", "/")],
            "late pseudo field": [("x-a", "1"), (":status", "200")],
            "upper case": [(":status", "200"), ("X-Upper", "1")],
            "connection": [(":status", "200"), ("connection", "close")],
            "transfer-encoding": [(":status", "200"), ("transfer-encoding", "chunked")],
            "line feed in a value": [(":status", "200"), ("x-a", "1\nset-cookie: a=1")],
            "colon in a name": [(":status", "200"), ("x:a", "1")],
            "two lengths": [(":status", "200"), ("content-length", "1"), ("content-length", "2")],
            "101": [(":status", "101")],
            "length of a body that isn't there": [(":status", "200"), ("content-length", "5")],
            "too large": [(":status", "200"), *((f"x-{n}", "y" * 1000) for n in range(200))],
        }
        for what, fields in bad.items():
            if what == "too large":
                continue
            with self.subTest(what=what):
                self.setUp()
                self.route(self.scripted(self.heads(*fields)))
                answer = self.get("/bad")
                self.assertEqual(answer.status, 502, answer)
                self.assertEqual(self.handfast.reason(self.host, "/bad"), "bad_response")

    def test_streams_of_frames_that_make_no_answer_end(self):
        def continuations(connection, stream):
            connection.send(frames.HeadersFrame(stream, b"").serialize())
            for _ in range(10_000):
                connection.send(frames.ContinuationFrame(stream, b"").serialize())

        def data_first(connection, stream):
            connection.send(frames.DataFrame(stream, b"hello", flags=["END_STREAM"]).serialize())

        def hints(connection, stream):
            encoder = hpack.Encoder()
            for _ in range(10_000):
                data = encoder.encode([(":status", "103")])
                connection.send(frames.HeadersFrame(stream, data,
                                                    flags=["END_HEADERS"]).serialize())

        def pings(connection, stream):
            for _ in range(100_000):
                connection.send(frames.PingFrame(0, b"12345678").serialize())

        def pushes(connection, stream):
            data = hpack.Encoder().encode([(":method", "GET"), (":path", "/")])
            connection.send(frames.PushPromiseFrame(stream, promised_stream_id=2, data=data,
                                                    flags=["END_HEADERS"]).serialize())

        def garbage(connection, _stream):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 10)

        for answer in (continuations, data_first, hints, pings, pushes, garbage):
            with self.subTest(answer=answer.__name__):
                self.setUp()
                self.route(self.scripted(answer), annotations={"proxy-read-timeout": "5"})
                got = self.get("/bad")
                self.assertEqual(got.status, 502, got)

    def test_backend_that_speaks_http1_where_http2_is_said(self):
        self.route(self.use(Backend()))

        answer = self.get("/bad")

        self.assertEqual(answer.status, 502)
        self.assertEqual(self.handfast.reason(self.host, "/bad"), "bad_response")

    def test_more_body_than_its_length_says_never_reaches_the_client_as_an_answer(self):
        def on_stream(stream):
            stream.peer.locked(lambda h2_: None)
            data = hpack.Encoder().encode([(":status", "200"), ("content-length", "3")])
            stream.peer.raw(frames.HeadersFrame(stream.number, data,
                                                flags=["END_HEADERS"]).serialize() +
                            frames.DataFrame(stream.number, b"abcdef",
                                             flags=["END_STREAM"]).serialize())

        self.start(on_stream)
        with self.handfast.connect() as connection:
            connection.send(f"GET / HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
            answer = connection.head()
            if answer.status == 200:  # the head went through before the lie was known
                self.assertTrue(len(connection.rest()) <= 3)
            else:
                self.assertEqual(answer.status, 502)


if __name__ == "__main__":
    unittest.main()
