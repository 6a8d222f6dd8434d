"""HTTP/1.1 as it should be: bodies of every size and framing, connections kept alive on both sides,
pipelining, answers without a body, slow peers, and the headers that a backend may rely on."""

import hashlib
import http.client
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, manifests  # noqa: E402
from harness.backends import Backend, closed_port  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import is_sanitized, resident_kilobytes  # noqa: E402
from harness.waiting import eventually  # noqa: E402

SIZES = (0, 1, 1023, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 64 * 1024, 1024 * 1024 + 7)
LARGE = 32 * 1024 * 1024


def pattern(size):
    block = random.Random(size).randbytes(min(size, 65536))
    return (block * (size // max(len(block), 1) + 1))[:size]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def serve_sizes(connection, request):
    """POST: answers the digest of the body. GET /FRAMING/SIZE: answers that body, so framed."""
    body = connection.read_body(request)
    if request.method == "POST":
        connection.reply(f"{len(body)} {digest(body)}")
        return
    framing, size = re.match(r"/([a-z]+)/(\d+)", request.target).groups()
    data = pattern(int(size))
    if framing == "length":
        connection.reply(data)
    elif framing == "chunked":
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        rest, step = data, 1
        while rest:
            piece, rest = rest[:step], rest[step:]
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            step = min(step * 3, 200_000)
        connection.send(b"0\r\nX-Trailer: 1\r\n\r\n")
    else:
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + data)
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.settimeout(5)
            try:
                connection.sock.unwrap()  # close_notify: this is the end
            except OSError:
                pass
        connection.close()
        raise EOFError


class HttpCase(HandfastCase):
    """Plain and TLS listeners, to plain and TLS backends: one route of each kind."""

    handle = staticmethod(serve_sizes)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.plain = Backend(handle=cls.handle)
        cls.secure = Backend(cls.ca.server("secure.shop.svc"), client_ca=cls.ca.cert_pem,
                             handle=cls.handle)
        client = cls.ca.client()
        cls.handfast.apply(
            "routes", manifests.service("plain", cls.plain.port),
            manifests.service("secure", cls.secure.port),
            manifests.secret("secure-tls", tls_crt=client.cert_pem, tls_key=client.key_pem,
                             ca_crt=cls.ca.cert_pem),
            manifests.ingress("plain", "plain.test"),
            manifests.ingress("secure", "secure.test", annotations={
                "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/secure-tls"}))
        cls.handfast.wait_for("plain.test", 200, target="/length/1")
        cls.handfast.wait_for("secure.test", 200, target="/length/1")

    @classmethod
    def tearDownClass(cls):
        cls.plain.close()
        cls.secure.close()
        super().tearDownClass()

    PAIRS = (("plain.test", None), ("secure.test", None), ("plain.test", True),
             ("secure.test", True))

    def each_pair(self, check):
        for host, tls in self.PAIRS:
            with self.subTest(host=host, front="https" if tls else "http"):
                check(host, tls)


class Bodies(HttpCase):
    def test_requests_with_a_length_arrive_whole(self):
        def check(host, tls):
            with self.handfast.connect(tls=tls, server_name=host) as connection:
                for size in SIZES:
                    data = pattern(size)
                    answer = connection.request(host, "/", "POST", body=data)
                    self.assertEqual(answer.body.decode(), f"{size} {digest(data)}")

        self.each_pair(check)

    def test_requests_in_chunks_arrive_whole(self):
        def check(host, tls):
            with self.handfast.connect(tls=tls, server_name=host) as connection:
                for size in SIZES:
                    data = pattern(size)
                    connection.send(f"POST / HTTP/1.1\r\nHost: {host}\r\n"
                                    "Transfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n")
                    rest, step = data, 1
                    while rest:
                        piece, rest = rest[:step], rest[step:]
                        connection.send(b"%X;ext=\"a b\"\r\n%s\r\n" % (len(piece), piece))
                        step = min(step * 3, 100_000)
                    connection.send(b"00\r\nX-End: 1\r\n\r\n")
                    answer = connection.response("POST")
                    self.assertEqual(answer.body.decode(), f"{size} {digest(data)}")

        self.each_pair(check)

    def test_responses_of_every_framing_arrive_whole(self):
        def check(host, tls):
            for framing in ("length", "chunked", "close"):
                for size in SIZES:
                    answer = self.handfast.get(host, f"/{framing}/{size}", tls=tls)
                    self.assertEqual(len(answer.body), size, framing)
                    self.assertEqual(digest(answer.body), digest(pattern(size)))

        self.each_pair(check)

    def test_32_mib_pass_both_ways(self):
        data = pattern(LARGE)
        for host, tls in (self.PAIRS[0], self.PAIRS[3]):
            with self.subTest(host=host):
                answer = self.handfast.get(host, method="POST", body=data, tls=tls, timeout=120)
                self.assertEqual(answer.body.decode(), f"{LARGE} {digest(data)}")
                for framing in ("length", "chunked"):
                    answer = self.handfast.get(host, f"/{framing}/{LARGE}", tls=tls, timeout=120)
                    self.assertEqual(digest(answer.body), digest(data))

    def test_curl_uploads_and_downloads(self):
        address = f"http://{self.handfast.http[0]}:{self.handfast.http[1]}"
        data = pattern(3_000_000)
        for arguments in (["--data-binary", "@-"], ["-T", "-", "-X", "POST"],
                          ["-T", "-", "-X", "POST", "-H", "Expect: 100-continue"]):
            done = subprocess.run(["curl", "-s", "-S", "-m", "30", "-H", "Host: secure.test",
                                   *arguments, address + "/"], input=data, capture_output=True)
            self.assertEqual(done.stdout.decode(), f"{len(data)} {digest(data)}", done.stderr)
        done = subprocess.run(["curl", "-s", "-S", "-m", "30", "-H", "Host: secure.test",
                               address + "/chunked/3000000"], capture_output=True)
        self.assertEqual(digest(done.stdout), digest(data))

    def test_many_clients_at_once(self):
        problems = []

        def work(seed):
            chance = random.Random(seed)
            host, tls = self.PAIRS[seed % 4]
            try:
                with self.handfast.connect(tls=tls, server_name=host) as connection:
                    for _ in range(12):
                        size = chance.choice(SIZES)
                        data = pattern(size)
                        answer = connection.request(host, "/", "POST", body=data)
                        assert answer.body.decode() == f"{size} {digest(data)}"
                        answer = connection.request(host, f"/chunked/{size}")
                        assert answer.body == data
            except Exception as error:  # noqa: B902, a thread's failure is the test's
                problems.append(f"{host} {tls}: {error!r}")

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual(problems, [])


class KeepAlive(HttpCase):
    def test_a_connection_serves_many_requests_and_so_does_the_backends(self):
        def check(host, tls):
            backend = self.plain if host == "plain.test" else self.secure
            before = backend.accepted
            with self.handfast.connect(tls=tls, server_name=host) as connection:
                for _ in range(100):
                    self.assertEqual(connection.request(host, "/length/10").status, 200)
            self.assertLessEqual(backend.accepted - before, 1)

        self.each_pair(check)

    def test_connection_close_of_the_client_is_honoured(self):
        with self.handfast.connect() as connection:
            answer = connection.request("plain.test", "/length/5",
                                        headers=[("Connection", "close")])
            self.assertEqual(answer.header("connection"), "close")
            self.assertTrue(connection.is_closed())

    def test_connection_close_of_the_backend_is_not_the_clients(self):
        def close(connection, request):
            connection.reply("bye", close=True)
            connection.close()
            raise EOFError

        backend = self.use(Backend(handle=close))
        self.apply_ingress(backend.port, protocol=None)
        self.wait_for(200)

        with self.handfast.connect() as connection:
            for _ in range(10):
                answer = connection.request(self.host)
                self.assertEqual(answer.body, b"bye")
                self.assertNotEqual((answer.header("connection") or "").lower(), "close")

    def test_backend_that_closes_after_each_answer_without_a_word(self):
        def close(connection, request):
            connection.reply("bye")
            connection.close()
            raise EOFError

        backend = self.use(Backend(handle=close))
        self.apply_ingress(backend.port, protocol=None)
        self.wait_for(200)

        with self.handfast.connect() as connection:
            statuses = [connection.request(self.host).status for _ in range(50)]
        self.assertEqual(set(statuses), {200})

    def test_pipelined_requests_are_answered_in_order(self):
        def check(host, tls):
            with self.handfast.connect(tls=tls, server_name=host) as connection:
                sizes = [SIZES[i % 6] for i in range(30)]
                connection.send("".join(f"GET /length/{size} HTTP/1.1\r\nHost: {host}\r\n\r\n"
                                        for size in sizes))
                for size in sizes:
                    self.assertEqual(connection.response().body, pattern(size))

        self.each_pair(check)

    def test_pipelined_bodies_do_not_run_together(self):
        data = pattern(5000)
        one = (f"POST / HTTP/1.1\r\nHost: plain.test\r\nContent-Length: {len(data)}\r\n"
               "\r\n").encode() + data
        two = (b"POST / HTTP/1.1\r\nHost: plain.test\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"1388\r\n" + data + b"\r\n0\r\n\r\n")
        with self.handfast.connect() as connection:
            connection.send((one + two) * 10)
            for _ in range(20):
                self.assertEqual(connection.response("POST").body.decode(),
                                 f"{len(data)} {digest(data)}")

    def test_requests_cut_at_every_byte_are_understood(self):
        request = b"POST / HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 3\r\n\r\nabc"
        with self.handfast.connect() as connection:
            for cut in range(1, len(request)):
                connection.send(request[:cut])
                connection.send(request[cut:])
                self.assertEqual(connection.response("POST").status, 200)

    def test_client_that_closes_its_sending_side_still_gets_its_answer(self):
        with self.handfast.connect() as connection:
            connection.send("GET /length/70000 HTTP/1.1\r\nHost: plain.test\r\n\r\n")
            connection.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(connection.response().body, pattern(70000))


class Shapes(HandfastCase):
    """Answers without a body, informational ones, HTTP/1.0, and how ends are told."""

    def serve(self, handle, leaf=None):
        backend = self.use(Backend(leaf, handle=handle))
        if leaf:
            self.apply_secret(None, self.ca)
        self.apply_ingress(backend.port, protocol="HTTPS" if leaf else None)
        self.handfast.barrier()
        return backend

    def test_head_204_and_304_have_no_body(self):
        def answer(connection, request):
            if request.target == "/204":
                connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            elif request.target == "/304":
                connection.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n"
                                b"Content-Length: 50\r\n\r\n")
            elif request.method == "HEAD":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
            else:
                connection.reply("x" * 50)

        self.serve(answer)
        with self.handfast.connect() as connection:
            for _ in range(5):
                head = connection.request(self.host, "/", "HEAD")
                self.assertEqual((head.status, head.header("content-length")), (200, "50"))
                self.assertEqual(connection.request(self.host, "/204").status, 204)
                not_modified = connection.request(self.host, "/304")
                self.assertEqual((not_modified.status, not_modified.header("etag")), (304, '"x"'))
                self.assertEqual(connection.request(self.host, "/").body, b"x" * 50)

    def test_204_has_no_framing_fields(self):
        self.serve(lambda connection, _: connection.send(b"HTTP/1.1 204 No Content\r\n\r\n"))

        answer = self.get()

        self.assertIsNone(answer.header("content-length"))
        self.assertIsNone(answer.header("transfer-encoding"))

    def test_expect_continue_is_answered_before_the_body_is_sent(self):
        def careful(connection, request):
            if request.header("expect"):
                connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.reply(str(len(connection.read_body(request))))

        self.serve(careful)
        with self.handfast.connect() as connection:
            connection.send(f"POST / HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 5\r\n"
                            "Expect: 100-continue\r\n\r\n")
            self.assertEqual(connection.head().status, 100)
            connection.send("12345")
            self.assertEqual(connection.response("POST").body, b"5")

    def test_expect_continue_may_be_answered_with_a_refusal(self):
        def refuse(connection, request):
            connection.reply("no", status="403 Forbidden", close=True)
            connection.close()
            raise EOFError

        self.serve(refuse)
        with self.handfast.connect() as connection:
            connection.send(f"POST / HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 500000\r\n"
                            "Expect: 100-continue\r\n\r\n")
            self.assertEqual(connection.response("POST").status, 403)

    def test_early_hints_do_not_disturb_the_answer(self):
        def hints(connection, request):
            for _ in range(3):
                connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            connection.reply("end")

        self.serve(hints)

        for _ in range(3):
            self.assertEqual(self.get().body, b"end")

    def test_answer_before_the_body_is_read_arrives(self):
        def early(connection, request):
            connection.reply("too large", status="413 Content Too Large", close=True)
            connection.close()
            raise EOFError

        self.serve(early)

        answer = self.get(method="POST", body=b"x" * 4_000_000)

        self.assertEqual(answer.status, 413)

    def test_http_1_0_client_gets_no_chunks_and_a_close(self):
        def chunks(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                            b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")

        self.serve(chunks)
        with self.handfast.connect() as connection:
            connection.send(f"GET / HTTP/1.0\r\nHost: {self.host}\r\n\r\n")
            answer = connection.head()
            self.assertEqual(answer.status, 200)
            self.assertIsNone(answer.header("transfer-encoding"))
            self.assertEqual(connection.rest(), b"abcdefg")

    def test_http_1_0_client_may_keep_its_connection(self):
        self.serve(lambda connection, request: connection.reply("abc"))
        with self.handfast.connect() as connection:
            for _ in range(5):
                connection.send(f"GET / HTTP/1.0\r\nHost: {self.host}\r\n"
                                "Connection: keep-alive\r\n\r\n")
                answer = connection.response()
                self.assertEqual(answer.header("connection", "").lower(), "keep-alive")
                self.assertEqual(answer.body, b"abc")

    def test_absolute_form_is_served_and_goes_out_in_origin_form(self):
        backend = self.serve(lambda connection, request: connection.reply("abc"))
        with self.handfast.connect() as connection:
            answer = connection.request(self.host, f"http://{self.host}/a/b?c")

        self.assertEqual(answer.status, 200)
        self.assertEqual(backend.seen[-1].target, "/a/b?c")

    def test_targets_pass_as_they_came(self):
        backend = self.serve(lambda connection, request: connection.reply("abc"))
        targets = ["/a%2Fb?x=%20y", "/a//b", "/;p=1", "/?", "/?a=b?c=/../d", "/%41~!$&'()*+,=:@",
                   "/a/./b"]
        for target in targets:
            self.assertEqual(self.get(target).status, 200, target)

        self.assertEqual([request.target for request in backend.seen], targets)

    def test_cut_answers_never_pass_for_whole_ones(self):
        def cut(connection, request):
            kind = request.target[1:]
            if kind == "length":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            elif kind == "chunked":
                connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                b"3\r\nabc\r\n")
            else:
                connection.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
            connection.close()  # over TLS: without close_notify
            raise EOFError

        self.serve(cut, leaf=self.server())
        for kind in ("length", "chunked", "close"):
            with self.subTest(kind), self.handfast.connect() as connection:
                with self.assertRaises(EOFError):
                    connection.request(self.host, f"/{kind}")

    def test_client_that_goes_away_ends_the_backends_work(self):
        gone = threading.Event()

        def endless(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                while True:
                    connection.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
                    time.sleep(0.005)
            except OSError:
                gone.set()
                raise

        self.serve(endless)
        with self.handfast.connect() as connection:
            connection.send(f"GET /endless HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
            connection.take(5000)

        self.assertTrue(gone.wait(10))
        # The head had been sent: what is logged is that status or the 499 of a client that left.
        self.assertIn(self.handfast.last_log(self.host, "/endless")["status"], (200, 499))


class Flow(HandfastCase):
    """Slow peers: what the proxy holds for them is bounded."""

    def test_slow_reader_stops_the_backend_and_costs_little_memory(self):
        sent = []

        def flood(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n")
            block = b"x" * 65536
            while True:
                connection.send(block)
                sent.append(len(block))

        for leaf in (None, self.server()):
            with self.subTest(tls=leaf is not None):
                sent.clear()
                backend = self.use(Backend(leaf, handle=flood))
                self.apply_secret(None, self.ca)
                self.apply_ingress(backend.port, protocol="HTTPS" if leaf else None)
                self.handfast.barrier()
                pid = self.handfast.child("handfast-proxy")
                before = resident_kilobytes(pid)
                readers = [self.handfast.connect(receive_buffer=65536) for _ in range(8)]
                for reader in readers:
                    self.addCleanup(reader.close)
                    reader.send(f"GET / HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
                    reader.take(1000)
                self.assert_settles(sent)

                if not is_sanitized():
                    self.assertLess(resident_kilobytes(pid) - before, 24 * 1024)
                # Kernel buffers of two sockets each, and what the proxy holds.
                self.assertLess(sum(sent), 8 * 16_000_000)
                readers[0].take(2_000_000)  # and it goes on as the reader does

    def test_pipelined_requests_that_we_answer_cost_little_memory(self):
        pid = self.handfast.child("handfast-proxy")
        self.handfast.barrier()
        before = resident_kilobytes(pid)
        block, sent = b"GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n" * 2000, []

        def flood(connection):
            try:
                while sum(sent) < 60_000_000:
                    connection.send(block)
                    sent.append(len(block))
            except OSError:
                pass  # closed by the test

        connection = self.handfast.connect(receive_buffer=65536, timeout=120)
        thread = threading.Thread(target=flood, args=(connection,))
        thread.start()
        self.assert_settles(sent)

        self.assertLess(sum(sent), 60_000_000)
        if not is_sanitized():
            self.assertLess(resident_kilobytes(pid) - before, 16 * 1024)
        connection.sock.shutdown(socket.SHUT_RDWR)
        thread.join()
        connection.close()

    def test_slow_backend_stops_the_client_and_costs_little_memory(self):
        release = threading.Event()

        def lazy(connection, request):
            release.wait(60)
            connection.reply(str(len(connection.read_body(request))))

        backend = self.use(Backend(handle=lazy))
        self.apply_ingress(backend.port, protocol=None)
        self.handfast.barrier()
        pid = self.handfast.child("handfast-proxy")
        before = resident_kilobytes(pid)
        total, sent = 100_000_000, []

        def upload(connection):
            connection.send(f"POST / HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {total}\r\n"
                            "\r\n")
            left = total
            while left:
                block = b"y" * min(left, 65536)
                connection.send(block)
                sent.append(len(block))
                left -= len(block)

        with self.handfast.connect(timeout=120) as connection:
            thread = threading.Thread(target=upload, args=(connection,))
            thread.start()
            self.assert_settles(sent)
            self.assertLess(sum(sent), 32_000_000)
            if not is_sanitized():
                self.assertLess(resident_kilobytes(pid) - before, 16 * 1024)
            release.set()
            thread.join()
            self.assertEqual(connection.response("POST").body.decode(), str(total))

    def assert_settles(self, sent):
        """No more is sent for half a second."""
        def check():
            before = sum(sent)
            time.sleep(0.5)
            return before > 0 and sum(sent) == before

        eventually(check, "the sender to stop", patience=60)


FORWARDED = ("X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port",
             "X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme", "X-Original-Forwarded-For",
             "X-Original-URI", "X-Original-Forwarded-Host", "Forwarded",
             "X-Forwarded-Client-Cert", "ssl-client-cert", "ssl-client-verify",
             "ssl-client-subject-dn", "ssl-client-issuer-dn")


class Headers(HandfastCase):
    def setUp(self):
        super().setUp()
        self.backend = self.use(Backend())
        self.apply_ingress(self.backend.port, protocol=None)
        self.wait_for(200)

    def sent(self, headers, tls=None, target="/"):
        """The headers that the backend got for a request with these."""
        with self.handfast.connect(tls=tls, server_name=self.host) as connection:
            self.assertEqual(connection.request(self.host, target, headers=headers).status, 200)
        return self.backend.seen[-1]

    def expected(self, tls):
        scheme, port = ("https", "443") if tls else ("http", "80")
        return {"X-Real-IP": "127.0.0.1", "X-Forwarded-For": "127.0.0.1",
                "X-Forwarded-Host": self.host, "X-Forwarded-Port": port,
                "X-Forwarded-Proto": scheme, "X-Forwarded-Scheme": scheme, "X-Scheme": scheme}

    def test_ours_are_set_on_both_listeners(self):
        for tls in (None, True):
            seen = self.sent([], tls)
            for name, value in self.expected(tls).items():
                self.assertEqual(seen.all(name), [value], name)
            self.assertEqual(seen.all("Host"), [self.host])
            self.assertRegex(seen.header("X-Request-ID"), "^[0-9a-f]{32}$")

    def test_forged_ones_are_stripped_in_every_spelling(self):
        for tls in (None, True):
            for name in FORWARDED:
                for spelling in {name, name.lower(), name.upper(), name.replace("-", "_"),
                                 name.replace("-", "."), name.replace("-", "_", 1),
                                 name.lower().replace("-", "_")}:
                    with self.subTest(spelling=spelling, tls=tls):
                        seen = self.sent([(spelling, "forged-value"), ("X-Kept", "yes")], tls)
                        values = [value for _, value in seen.headers]
                        self.assertNotIn("forged-value", values)
                        self.assertEqual(seen.header("X-Kept"), "yes")
                        for ours, value in self.expected(tls).items():
                            self.assertEqual(seen.all(ours), [value])

    def test_connection_cannot_remove_ours(self):
        for tls in (None, True):
            names = list(self.expected(tls)) + ["X-Request-ID", "Host"]
            seen = self.sent([("Connection", ", ".join(names)), ("Connection", "x-real-ip")], tls)
            for name, value in self.expected(tls).items():
                self.assertEqual(seen.all(name), [value], name)
            self.assertEqual(len(seen.all("X-Request-ID")), 1)
            self.assertEqual(seen.all("Host"), [self.host])

    def test_connection_cannot_remove_the_framing(self):
        with self.handfast.connect() as connection:
            connection.send(f"POST /framed HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 5\r\n"
                            "Connection: content-length\r\n\r\nhello")
            answer = connection.response("POST")
        if answer.status == 200:
            self.assertEqual(self.backend.seen[-1].body, b"hello")
        else:
            self.assertEqual(answer.status, 400)

    def test_hop_by_hop_fields_stay_behind(self):
        seen = self.sent([("Connection", "close, X-Private"), ("X-Private", "1"),
                          ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"),
                          ("TE", "trailers"), ("Trailer", "X"), ("Upgrade", "h2c"),
                          ("Proxy-Authorization", "Basic x"), ("Proxy", "http://evil"),
                          ("X-Public", "1")])

        for name in ("X-Private", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade",
                     "Proxy"):
            self.assertEqual(seen.all(name), [], name)
        self.assertEqual(seen.header("X-Public"), "1")

    def test_other_fields_pass_in_order_with_their_bytes(self):
        fields = [("X-A", "1"), ("x-b", "2"), ("X-A", "3"), ("Cookie", "a=b; c=d"),
                  ("Accept", "*/*;q=0.1"), ("X-Bytes", "caf\xe9"), ("X-Empty", ""),
                  ("X-Long", "z" * 4000)]
        seen = self.sent(fields)

        self.assertEqual([pair for pair in seen.headers if pair in fields], fields)

    def test_host_keeps_its_port(self):
        with self.handfast.connect() as connection:
            self.assertEqual(connection.request(f"{self.host}:8080").status, 200)

        self.assertEqual(self.backend.seen[-1].all("Host"), [f"{self.host}:8080"])

    def test_host_is_matched_in_any_case(self):
        self.assertEqual(self.handfast.get(self.host.upper()).status, 200)
        self.assertEqual(self.handfast.get(self.host + ".").status, 200)

    def test_response_fields_pass_without_hop_by_hop_ones(self):
        def answer(connection, request):
            connection.reply("x", headers=[
                ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Connection", "X-Gone"),
                ("X-Gone", "1"), ("Keep-Alive", "timeout=1"), ("X-Stays", "1"),
                ("Server", "theirs")])

        backend = self.use(Backend(handle=answer))
        self.apply_ingress(backend.port, protocol=None)
        self.wait_for(200, text="x")

        response = self.get()

        self.assertEqual(response.all("Set-Cookie"), ["a=1", "b=2"])
        self.assertEqual(response.header("X-Stays"), "1")
        self.assertEqual(response.header("Server"), "theirs")
        self.assertEqual(response.all("X-Gone") + response.all("Keep-Alive"), [])
        self.assertEqual(len(response.all("Date")), 1)


class Errors(HandfastCase):
    def test_no_such_host_or_path_answers_404(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None, path="/only")
        self.wait_for(200, target="/only")

        self.assertEqual(self.get("/other").status, 404)
        self.assertEqual(self.handfast.reason(self.host, "/other"), "no_route")
        self.assertEqual(self.handfast.get("unknown.test").status, 404)

    def test_refused_connection_answers_502(self):
        sock, port = closed_port()
        self.addCleanup(sock.close)
        self.apply_ingress(port, protocol=None)

        self.assert_refused(502, "connect_refused")

    def test_refusing_endpoint_is_passed_over_for_another(self):
        sock, port = closed_port()
        self.addCleanup(sock.close)
        backend = self.use(Backend())
        self.apply_ingress(port, backend.port, protocol=None)
        self.handfast.barrier()

        for method, body in (("GET", None), ("POST", b"once")) * 10:
            self.assertEqual(self.get(method=method, body=body).status, 200)

    def test_connection_that_nobody_accepts_answers_504(self):
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(full.close)
        for _ in range(4):
            filler = socket.socket()
            self.addCleanup(filler.close)
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        self.apply_ingress(full.getsockname()[1], protocol=None)
        self.handfast.barrier()

        self.assertEqual(self.get("/late", timeout=60).status, 504)
        self.assertEqual(self.handfast.reason(self.host, "/late"), "connect_timeout")

    def test_backend_that_closes_before_it_answers_gets_502(self):
        def close(connection, request):
            connection.close()
            raise EOFError

        backend = self.use(Backend(handle=close))
        self.apply_ingress(backend.port, protocol=None)

        self.assert_refused(502, "bad_response")

    def test_post_is_never_sent_twice(self):
        def close(connection, request):
            connection.read_body(request)
            connection.close()
            raise EOFError

        first, second = self.use(Backend(handle=close)), self.use(Backend(handle=close))
        self.apply_ingress(first.port, second.port, protocol=None)
        self.handfast.barrier()

        self.assertEqual(self.get("/once", method="POST", body=b"pay").status, 502)
        seen = [request for backend in (first, second) for request in backend.seen
                if request.target == "/once"]
        self.assertEqual(len(seen), 1)

    def test_client_by_another_hand_is_served(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None)
        self.wait_for(200)

        connection = http.client.HTTPConnection(*self.handfast.http, timeout=10)
        for size in (0, 10, 100_000):
            connection.request("PUT", "/x", body=b"z" * size, headers={"Host": self.host})
            answer = connection.getresponse()
            self.assertEqual(answer.status, 200)
            self.assertIn(f'"body_bytes": {size}', answer.read().decode())
        connection.close()
        self.assertEqual(clients.std_request(self.handfast.http, self.host).status, 200)


if __name__ == "__main__":
    unittest.main()
