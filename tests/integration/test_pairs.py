"""HTTP/1.1 and HTTP/2 on either side, each pair with a plain and an mTLS backend, for clients over
HTTP and HTTPS: what passes through must be the same whatever carries it."""

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import apps, http2, manifests  # noqa: E402
from harness.backends import Backend, Nginx  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import is_sanitized, resident_kilobytes  # noqa: E402
from harness.waiting import eventually  # noqa: E402

SIZES = (0, 1, 65535, 65536, 65537, 1024 * 1024)
HUGE_MIB = int(os.environ.get("HANDFAST_HUGE_MIB", "100"))  # `./dev soak` takes 1,024
HUGE = HUGE_MIB * 1024 * 1024


class OverH1:
    """A client of HTTP/1.1: one connection, one request after the other."""

    curl = {None: ["--http1.1"], True: ["--http1.1", "-k"]}

    def __init__(self, front, host, tls):
        self.host = host
        self.raw = front.connect(tls=tls, server_name=host)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    def begin_and_vanish(self, path, when):
        """Sends a request, waits, and is gone; an orderly end would still read the response."""
        self.raw.send(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
        when()
        self.raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.raw.close()

    def fetch(self, path="/", method="GET", headers=(), body=None):
        return self.raw.request(self.host, path, method, headers, body)

    def fetch_trailers(self, path):
        """The response's body and trailers."""
        self.raw.send(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nTE: trailers\r\n"
                      "Connection: TE\r\n\r\n")
        self.raw.head()
        seen = type("Seen", (), {"all": lambda *_: ["chunked"]})()
        body = b"".join(apps.h1_body(self.raw, seen))
        return body, seen.trailers

    def send_with_trailers(self, path, body, trailers):
        self.raw.send(f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nTransfer-Encoding: chunked\r\n"
                      "\r\n")
        self.raw.send(b"%x\r\n%s\r\n0\r\n" % (len(body), body))
        self.raw.send("".join(f"{k}: {v}\r\n" for k, v in trailers) + "\r\n")
        return self.raw.response("POST")

    def hints(self, path):
        """The heads of 1xx, and the final response."""
        self.raw.send(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
        early = []
        while True:
            head = self.raw.head()
            if head.status >= 200:
                head.body = self.raw.body(head)
                return early, head
            early.append(head)

    def expect(self, path, body):
        """Sends the body only after 100; the response."""
        self.raw.send(f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nExpect: 100-continue\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n")
        head = self.raw.head()
        if head.status != 100:
            raise ValueError(head)
        self.raw.send(body)
        return self.raw.response("POST")

    def begin(self, path, length):
        """A request whose body is begun only; its response."""
        self.raw.send(f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {length}\r\n"
                      "\r\nfirst bytes")
        return self.raw.response("POST")

    def echo(self, path, pieces):
        """Sends piece after piece, each after the echo of the one before."""
        self.raw.send(f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nTransfer-Encoding: chunked\r\n"
                      "\r\n")
        head, got = None, b""
        for piece in pieces:
            self.raw.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            head = head or self.raw.head()
            heard = b""
            while len(heard) < len(piece):
                heard += self.raw.take(int(self.raw.line(), 16))
                self.raw.line()
            got += heard
        self.raw.send(b"0\r\n\r\n")
        if self.raw.line() != b"0" or self.raw.line():
            raise ValueError("not the end")
        return got


class OverH2:
    """A client of HTTP/2: one connection, ALPN or prior knowledge."""

    curl = {None: ["--http2-prior-knowledge"], True: ["--http2", "-k"]}

    def __init__(self, front, host, tls):
        self.host = host
        self.peer = http2.connect(front, host, tls)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.peer.close()

    def begin_and_vanish(self, path, when):
        self.peer.request(self.host, path)
        when()
        self.peer.close()

    def fetch(self, path="/", method="GET", headers=(), body=None):
        return self.peer.fetch(self.host, path, method, [(k.lower(), v) for k, v in headers], body)

    def fetch_trailers(self, path):
        response = self.peer.fetch(self.host, path, headers=[("te", "trailers")])
        return response.body, response.trailers

    def send_with_trailers(self, path, body, trailers):
        stream = self.peer.request(self.host, path, "POST", end=False)
        stream.send(body)
        stream.end(trailers)
        return stream.response()

    def hints(self, path):
        stream = self.peer.request(self.host, path)
        response = stream.response()
        early = [stream.heads[i] for i in range(len(stream.heads) - 1)]
        heads = []
        for fields in early:
            heads.append(type(response)(int(fields[0][1]), "", "HTTP/2", fields[1:], b""))
        return heads, response

    def expect(self, path, body):
        stream = self.peer.request(self.host, path, "POST", [
            ("expect", "100-continue"), ("content-length", str(len(body)))], end=False)
        head = stream.head(final=False)
        if head.status != 100:
            raise ValueError(head)
        stream.send(body, end=True)
        return stream.response()

    def begin(self, path, length):
        stream = self.peer.request(self.host, path, "POST", [("content-length", str(length))],
                                   end=False)
        stream.send(b"first bytes")
        return stream.response()

    def echo(self, path, pieces):
        stream = self.peer.request(self.host, path, "POST", end=False)
        got = b""
        for piece in pieces:
            stream.send(piece)
            heard = b""
            while len(heard) < len(piece):
                heard += stream.read()
            got += heard
        stream.end()
        if stream.read():
            raise ValueError("not the end")
        return got


class Pair:
    """The cases; a subclass says what is spoken on the two sides."""

    client = None  # OverH1 or OverH2
    back = None    # "h1" or "h2"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        secure = cls.ca.server("secure.shop.svc")
        if cls.back == "h1":
            cls.backends = {"plain.test": Backend(handle=apps.h1), "secure.test": Backend(
                secure, client_ca=cls.ca.cert_pem, handle=apps.h1)}
        else:
            cls.backends = {"plain.test": http2.Http2Backend(on_stream=apps.h2),
                            "secure.test": http2.Http2Backend(
                                secure, client_ca=cls.ca.cert_pem, on_stream=apps.h2)}
        http2_too = {http2.ANNOTATION: "true"} if cls.back == "h2" else {}
        client = cls.ca.client()
        cls.handfast.apply(
            "routes",
            manifests.service("plain", cls.backends["plain.test"].port),
            manifests.service("secure", cls.backends["secure.test"].port),
            manifests.secret("secure-tls", tls_crt=client.cert_pem, tls_key=client.key_pem,
                             ca_crt=cls.ca.cert_pem),
            manifests.ingress("plain", "plain.test", annotations=http2_too),
            manifests.ingress("secure", "secure.test", annotations={
                "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/secure-tls", **http2_too}))
        cls.handfast.barrier()

    @classmethod
    def tearDownClass(cls):
        for backend in cls.backends.values():
            backend.close()
        super().tearDownClass()

    def each(self, check):
        """For each backend and front: `check(client, host)` with an open client."""
        for host in self.backends:
            for tls in (None, True):
                with self.subTest(host=host, front="https" if tls else "http"):
                    with self.client(self.handfast, host, tls) as client:
                        check(client, host)

    def test_requests_and_responses_of_every_size_arrive_whole(self):
        def check(client, _host):
            for size in SIZES:
                data = apps.pattern(size)
                answer = client.fetch("/digest", "POST", body=data)
                self.assertEqual(answer.body.decode(), f"{size} {apps.digest(data)}")
                for form in ("bytes", "stream"):
                    answer = client.fetch(f"/{form}/{size}")
                    self.assertEqual((answer.status, len(answer.body)), (200, size))
                    self.assertEqual(apps.digest(answer.body), apps.digest(data))

        self.each(check)

    def test_what_the_backend_gets_is_the_request(self):
        def check(client, host):
            seen = client.fetch("/seen/a%2Fb?q=1&q=2", "DELETE", [
                ("X-Custom", "Grüße"), ("Cookie", "a=1; b=2"), ("X-Twice", "1"),
                ("X-Twice", "2")]).json()
            self.assertEqual((seen["method"], seen["target"], seen["authority"]),
                             ("DELETE", "/seen/a%2Fb?q=1&q=2", host))
            got = [(name.lower(), value) for name, value in seen["headers"]]
            self.assertIn(("cookie", "a=1; b=2"), got)
            self.assertEqual([v for k, v in got if k == "x-twice"], ["1", "2"])
            self.assertEqual([v for k, v in got if k == "x-forwarded-for"], ["127.0.0.1"])
            self.assertIn("x-request-id", dict(got))
            for hop in ("connection", "keep-alive", "proxy-connection", "upgrade"):
                if hop != "connection" or self.back == "h2":
                    self.assertNotIn(hop, dict(got))
            if self.back == "h2":  # some servers insist on it; the client's is in X-Forwarded-Proto
                secure = self.backends[host].context is not None
                self.assertEqual(seen["scheme"], "https" if secure else "http")

        self.each(check)

    def test_curl_moves_a_huge_body_both_ways_and_memory_stays(self):
        pid = self.handfast.child("handfast-proxy")
        before = resident_kilobytes(pid)
        expected = apps.pattern_digest(HUGE)
        most = [0]
        done = threading.Event()

        def watch():
            while not done.wait(0.05):
                most[0] = max(most[0], resident_kilobytes(pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.monotonic()
        try:
            with tempfile.NamedTemporaryFile() as file:
                for piece in apps.pattern_pieces(HUGE):
                    file.write(piece)
                file.flush()
                self.assertEqual(self.curl("secure.test", True, "/digest", "-X", "POST", "-T",
                                           file.name)[1], f"{HUGE} {expected}".encode())
            up = time.monotonic()
            count, body = self.curl("secure.test", None, f"/stream/{HUGE}", keep=False)
            self.assertEqual((count, body), (HUGE, expected))
        finally:
            done.set()
            watcher.join()
        print(f"\n| {type(self).__name__}, mTLS | {HUGE_MIB:,} MiB | {up - began:.0f} s up, "
              f"{time.monotonic() - up:.0f} s down | {max(most[0] - before, 0):,} KiB more |",
              file=sys.stderr)
        if not is_sanitized():  # which keeps what is freed
            self.assertLess(most[0] - before, 24 * 1024)

    def curl(self, host, tls, path, *arguments, keep=True):
        """(length, body), or (length, sha256) where `keep` is false."""
        address = self.handfast.https if tls else self.handfast.http
        scheme = "https" if tls else "http"
        command = ["curl", "-s", "-S", "-m", str(90 + HUGE_MIB), *self.client.curl[tls], "--connect-to",
                   f"::127.0.0.1:{address[1]}", *arguments, f"{scheme}://{host}{path}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            count, sha, kept = 0, hashlib.sha256(), []
            for piece in iter(lambda: child.stdout.read(1 << 20), b""):
                count += len(piece)
                kept.append(piece) if keep else sha.update(piece)
        self.assertEqual(child.returncode, 0, command)
        return count, b"".join(kept) if keep else sha.hexdigest()

    def test_curl_agrees_about_the_version(self):
        for tls in (None, True):
            _, version = self.curl("plain.test", tls, "/seen", "-o", "/dev/null", "-w",
                                   "%{http_version} %{http_code}")
            self.assertEqual(version, b"1.1 200" if self.client is OverH1 else b"2 200")

    def test_trailers_pass_both_ways(self):
        def check(client, _host):
            body, trailers = client.fetch_trailers("/trailers")
            self.assertEqual((body, [tuple(one) for one in trailers]), (b"body", apps.TRAILERS))
            answer = client.send_with_trailers("/trailers", b"hello", apps.TRAILERS)
            self.assertEqual([tuple(one) for one in answer.json()], apps.TRAILERS)

        self.each(check)

    def test_answers_without_a_body(self):
        def check(client, _host):
            answer = client.fetch("/bytes/12345", "HEAD")
            self.assertEqual((answer.status, answer.header("content-length"), answer.body),
                             (200, "12345", b""))
            for status in (204, 304):
                answer = client.fetch(f"/status/{status}")
                self.assertEqual((answer.status, answer.header("etag"), answer.body),
                                 (status, '"1"', b""))
            for status in (201, 404, 418, 503):
                answer = client.fetch(f"/status/{status}")
                self.assertEqual((answer.status, answer.body), (status, str(status).encode()))

        self.each(check)

    def test_early_hints_pass(self):
        def check(client, _host):
            early, answer = client.hints("/hints")
            self.assertEqual([(head.status, head.header("link")) for head in early],
                             [(103, "</a>"), (103, "</b>")])
            self.assertEqual((answer.status, answer.body), (200, b"hinted"))

        self.each(check)

    def test_expectations_reach_the_backend(self):
        def check(client, _host):
            data = apps.pattern(100_000)
            answer = client.expect("/digest", data)
            self.assertEqual(answer.body.decode(), f"{len(data)} {apps.digest(data)}")

        self.each(check)

    def test_early_answer_arrives_while_the_request_still_streams(self):
        def check(client, _host):
            answer = client.begin("/early", 1_000_000)
            self.assertEqual((answer.status, answer.body), (413, b"no more"))

        self.each(check)

    def test_both_directions_stream_at_once(self):
        def check(client, _host):
            pieces = [apps.pattern(size) for size in (1, 10, 1000, 5000)]
            self.assertEqual(client.echo("/echo", pieces), b"".join(pieces))

        self.each(check)

    def test_many_requests_at_once(self):
        problems = []

        def work(number):
            host = list(self.backends)[number % 2]
            try:
                with self.client(self.handfast, host, True if number % 4 > 1 else None) as client:
                    for size in (number * 1000, 70_000, 0, 1):
                        data = apps.pattern(size)
                        answer = client.fetch("/digest", "POST", body=data)
                        assert answer.body.decode() == f"{size} {apps.digest(data)}", answer
                        assert client.fetch(f"/stream/{size}").body == data
            except Exception as error:  # noqa: B902, a thread's failure is the test's
                problems.append(f"{number}: {error!r}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual(problems, [])

    def test_client_that_goes_away_is_gone_for_the_backend(self):
        for host, backend in self.backends.items():
            with self.subTest(host=host):
                with self.client(self.handfast, host, None) as client:
                    client.begin_and_vanish("/hang", lambda: eventually(
                        lambda: backend.seen and backend.seen[-1].target == "/hang",  # noqa: B023
                        "the request"))
                seen = backend.seen[-1]
                if self.back == "h2":
                    self.assertEqual(seen.stream.wait_reset(), http2.CODES.CANCEL)
                    self.assertIsNone(seen.stream.peer.lost)  # the others' connection lives on
                else:
                    eventually(lambda: seen.connection.sock.fileno() == -1,  # noqa: B023
                               "the connection's end")
                self.handfast.last_log(host, "/hang", status=499)


class H1ToH1(Pair, HandfastCase):
    client, back = OverH1, "h1"


class H1ToH2(Pair, HandfastCase):
    client, back = OverH1, "h2"


class H2ToH1(Pair, HandfastCase):
    client, back = OverH2, "h1"


class H2ToH2(Pair, HandfastCase):
    client, back = OverH2, "h2"


class ToNginx(HandfastCase):
    """The same by a backend in C: nginx over HTTP/2, plain and with our certificate demanded."""

    def test_nginx_over_http2_sees_our_certificate(self):
        client = self.ca.client("handfast-h2")
        nginx = self.use(Nginx(self.server(), client_ca=self.ca.cert_pem, http2=True, location=(
            'return 200 "proto=$server_protocol serial=$ssl_client_serial uri=$request_uri";')))
        self.apply_secret(client, self.ca, self.ca.crl())
        self.apply_ingress(nginx.port, annotations={http2.ANNOTATION: "true"})

        answer = self.wait_for(200, text="proto=HTTP/2.0")

        serial = dict(part.split("=", 1) for part in answer.body.decode().split())["serial"]
        self.assertEqual(int(serial, 16), client.serial)

    def test_nginx_over_h2c(self):
        nginx = self.use(Nginx(None, http2=True,
                               location='return 200 "$server_protocol $request_uri";'))
        self.apply_ingress(nginx.port, protocol="HTTP", annotations={http2.ANNOTATION: "true"})

        answer = self.wait_for(200, target="/a?b=c")

        self.assertEqual(answer.body, b"HTTP/2.0 /a?b=c")


if __name__ == "__main__":
    unittest.main()
