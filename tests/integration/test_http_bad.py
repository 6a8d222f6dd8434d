"""HTTP/1.1 as it should not be: requests that two parsers could read differently, and backends that
lie. A bad request is refused, its connection closed, and nothing of it or after it reaches the
backend; a bad response is a 502 or a visible cut, and never poisons the next one."""

import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.clients import RawConnection  # noqa: E402
from harness.case import HandfastCase  # noqa: E402

CRLF = b"\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: %s\r\n\r\n"


def request(*lines, body=b"", method=b"GET", target=b"/bad"):
    """A request with these field lines; %s stands for the host."""
    head = b"%s %s HTTP/1.1\r\n" % (method, target)
    return head + b"".join(line + CRLF for line in (b"Host: %s",) + lines) + CRLF + body


def post(*lines, body=b""):
    return request(*lines, body=body, method=b"POST")


CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: 5"

# What is refused with 400, whatever else the RFCs would allow.
BAD = {
    # --- framing ---
    "length and chunked": post(LENGTH, CHUNKED, body=b"0\r\n\r\n"),
    "chunked and length": post(CHUNKED, LENGTH, body=b"0\r\n\r\n"),
    "two lengths that differ": post(LENGTH, b"Content-Length: 6", body=b"hello!"),
    "two lengths that agree": post(LENGTH, LENGTH, body=b"hello"),
    "a list of lengths": post(b"Content-Length: 5, 5", body=b"hello"),
    "length with a sign": post(b"Content-Length: +5", body=b"hello"),
    "negative length": post(b"Content-Length: -5", body=b"hello"),
    "length in hex": post(b"Content-Length: 0x5", body=b"hello"),
    "length with a fraction": post(b"Content-Length: 5.0", body=b"hello"),
    "empty length": post(b"Content-Length: ", body=b"hello"),
    "length with a word": post(b"Content-Length: 5 5", body=b"hello"),
    "length that overflows": post(b"Content-Length: 18446744073709551621", body=b"hello"),
    "length of a GET that differs": request(LENGTH, b"content-length: 0", body=b"hello"),
    "chunked on two lines": post(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "chunked after a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "chunked and identity on two lines": post(CHUNKED, b"Transfer-Encoding: identity",
                                              body=b"0\r\n\r\n"),
    "chunked in HTTP/1.0": b"POST /bad HTTP/1.0\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"0\r\n\r\n",
    # --- fields ---
    "blank before the colon": request(b"X-A : 1"),
    "tab before the colon": request(b"X-A\t: 1"),
    "transfer-encoding with a blank": post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "folded line": request(b"X-A: 1", b" 2"),
    "folded with a tab": request(b"X-A: 1", b"\t2"),
    "folded transfer-encoding": post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"),
    "first field after a blank": b"GET /bad HTTP/1.1\r\n Host: %s\r\n\r\n",
    "no colon": request(b"X-A"),
    "empty name": request(b": 1"),
    "NUL in a value": request(b"X-A: a\0b"),
    "NUL in a name": request(b"X-\0A: 1"),
    "control in a value": request(b"X-A: a\x01b"),
    "DEL in a value": request(b"X-A: a\x7fb"),
    "bare CR in a value": request(b"X-A: a\rX-B: b"),
    "bare LF in a value": request(b"X-A: a\nX-B: b"),
    "bare LF ends": b"GET /bad HTTP/1.1\nHost: %s\n\n",
    "CR before CRLF": request(b"X-A: a\r"),
    "separator in a name": request(b"X(A): 1"),
    "blank in a name": request(b"X A: 1"),
    "non-ASCII name": request(b"X-\xe4: 1"),
    # --- Host ---
    "no Host": b"GET /bad HTTP/1.1\r\nX-A: 1\r\n\r\n",
    "two Hosts": request(b"Host: other.test"),
    "the same Host twice": request(b"Host: %s"),
    "Host with a blank": b"GET /bad HTTP/1.1\r\nHost: %s evil\r\n\r\n",
    "Host with a slash": b"GET /bad HTTP/1.1\r\nHost: %s/evil\r\n\r\n",
    "Host with a user": b"GET /bad HTTP/1.1\r\nHost: user@%s\r\n\r\n",
    "Host list": b"GET /bad HTTP/1.1\r\nHost: %s, evil.test\r\n\r\n",
    "Host with a bad port": b"GET /bad HTTP/1.1\r\nHost: %s:http\r\n\r\n",
    "authority that is not Host": b"GET http://other.test/bad HTTP/1.1\r\nHost: %s\r\n\r\n",
    # --- the request line ---
    "no version": b"GET /bad\r\nHost: %s\r\n\r\n",
    "version in lower case": b"GET /bad http/1.1\r\nHost: %s\r\n\r\n",
    "version with a word": b"GET /bad HTTP/1.x\r\nHost: %s\r\n\r\n",
    "version with too many digits": b"GET /bad HTTP/1.10\r\nHost: %s\r\n\r\n",
    "blank after the version": b"GET /bad HTTP/1.1 \r\nHost: %s\r\n\r\n",
    "two blanks": b"GET  /bad HTTP/1.1\r\nHost: %s\r\n\r\n",
    "tabs": b"GET\t/bad\tHTTP/1.1\r\nHost: %s\r\n\r\n",
    "blank in the target": b"GET /bad /x HTTP/1.1\r\nHost: %s\r\n\r\n",
    "blank before the method": b" GET /bad HTTP/1.1\r\nHost: %s\r\n\r\n",
    "method that is no token": b"G@T /bad HTTP/1.1\r\nHost: %s\r\n\r\n",
    "empty method": b" /bad HTTP/1.1\r\nHost: %s\r\n\r\n",
    "target without a slash": b"GET bad HTTP/1.1\r\nHost: %s\r\n\r\n",
    "asterisk for GET": b"GET * HTTP/1.1\r\nHost: %s\r\n\r\n",
    "fragment": b"GET /bad#x HTTP/1.1\r\nHost: %s\r\n\r\n",
    "NUL in the target": b"GET /bad\0 HTTP/1.1\r\nHost: %s\r\n\r\n",
    "control in the target": b"GET /bad\x01 HTTP/1.1\r\nHost: %s\r\n\r\n",
    "other scheme": b"GET ftp://%s/bad HTTP/1.1\r\nHost: %s\r\n\r\n",
    "absolute form without a host": b"GET http:///bad HTTP/1.1\r\nHost: %s\r\n\r\n",
    "garbage": b"\x00\x01\x02\x03\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 64 + b"\r\n\r\n",
}

# A body whose chunks are damaged: refused, or if the head had gone on already, cut.
BAD_CHUNKS = {
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "size with a word": b"5g\r\nhello\r\n0\r\n\r\n",
    "size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "size that overflows": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "blank before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR after the size": b"5\rhello\r\n0\r\n\r\n",
    "bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "data longer than its size": b"5\r\nhelloo\r\n0\r\n\r\n",
    "bare LF at the end": b"5\r\nhello\r\n0\n\n",
    "extension of 5 KiB": b"5;a=" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    "LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a\0\r\nhello\r\n0\r\n\r\n",
    "bad trailer": b"5\r\nhello\r\n0\r\nX : 1\r\n\r\n",
    "folded trailer": b"5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n",
}


class Requests(HandfastCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backend = Backend()

    @classmethod
    def tearDownClass(cls):
        cls.backend.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.apply_ingress(self.backend.port, protocol=None)
        self.wait_for(200)

    def filled(self, data):
        return data.replace(b"%s", self.host.encode())

    def send(self, data, tls=None, then=SMUGGLED):
        """The answer to `data` with a good request right behind it, and whether the connection is
        closed after the answer, whatever was sent."""
        with self.handfast.connect(tls=tls, server_name=self.host, timeout=15) as connection:
            connection.send(self.filled(data + then))
            try:
                answer = connection.response()
            except EOFError:
                answer = None  # closed without a word
            return answer, connection.is_closed()

    def assert_nothing_came(self, since):
        targets = [one.target for one in self.backend.seen[since:]]
        self.assertEqual(targets, [])

    def check(self, data, statuses, tls):
        since = len(self.backend.seen)
        answer, closed = self.send(data, tls)
        self.assertIsNotNone(answer, "closed without an answer")
        self.assertIn(answer.status, statuses)
        self.assertEqual((answer.header("connection") or "").lower(), "close")
        self.assertTrue(closed, "left open")
        self.assert_nothing_came(since)

    def check_each(self, table, statuses):
        for name, data in table.items():
            for tls in (None, True):
                with self.subTest(name, tls=bool(tls)):
                    self.check(data, statuses, tls)

    def test_premise_a_good_request_and_the_one_behind_it_are_served(self):
        since = len(self.backend.seen)
        with self.handfast.connect() as connection:
            connection.send(self.filled(request(target=b"/good") + SMUGGLED))
            self.assertEqual([connection.response().status for _ in range(2)], [200, 200])
        self.assertEqual([one.target for one in self.backend.seen[since:]],
                         ["/good", "/smuggled"])

    def test_bad_requests_answer_400_and_close(self):
        self.check_each(BAD, (400,))

    def test_codings_and_versions_that_nobody_knows_are_refused(self):
        self.check_each({
            "chunked not last": post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
            "something like chunked": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
            "chunked with a parameter": post(b"Transfer-Encoding: chunked;a=b", body=b"0\r\n\r\n"),
            "quoted chunked": post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
            "identity": post(b"Transfer-Encoding: identity", body=b"hello"),
            "chunked twice": post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
            "empty transfer-encoding": post(b"Transfer-Encoding: ", body=b"hello"),
            "gzip": post(b"Transfer-Encoding: gzip", body=b"hello"),
            "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
            "HTTP/2.0": b"GET /bad HTTP/2.0\r\nHost: %s\r\n\r\n",
            "HTTP/3.0": b"GET /bad HTTP/3.0\r\nHost: %s\r\n\r\n",
            "HTTP/0.9": b"GET /bad HTTP/0.9\r\nHost: %s\r\n\r\n",
            "CONNECT": b"CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n",
            "CONNECT to a path": b"CONNECT /bad HTTP/1.1\r\nHost: %s\r\n\r\n",
        }, (400, 405, 501, 505))

    def test_damaged_chunks_never_complete_a_request(self):
        for name, data in BAD_CHUNKS.items():
            for tls in (None, True):
                with self.subTest(name, tls=bool(tls)):
                    since = len(self.backend.seen)
                    answer, closed = self.send(post(CHUNKED, body=data), tls)
                    if answer is not None:
                        self.assertEqual(answer.status, 400)
                    self.assertTrue(closed)
                    # The head may have gone on; a whole body, or what followed, never.
                    for one in self.backend.seen[since:]:
                        self.assertNotEqual(one.target, "/smuggled")
                        self.assertIsNone(one.body)

    def test_head_that_is_too_large_answers_431_and_closes(self):
        self.check_each({
            "one field": request(b"X-A: " + b"a" * 70_000),
            "many fields": request(*[b"X-%d: 1" % i for i in range(300)]),
            "endless field": b"GET /bad HTTP/1.1\r\nHost: %s\r\nX-A: " + b"a" * 200_000,
            "long name": request(b"X" * 70_000 + b": 1"),
        }, (431,))

    def test_target_that_is_too_long_answers_414_and_closes(self):
        self.check_each({"64 KiB": request(target=b"/" + b"a" * 70_000),
                         "endless": b"GET /" + b"a" * 200_000}, (414,))

    def test_blank_lines_before_a_request_are_skipped(self):
        with self.handfast.connect() as connection:
            connection.send(self.filled(b"\r\n" + request()))
            self.assertEqual(connection.response().status, 200)

    def test_dots_do_not_lead_out_of_a_route(self):
        inner, outer = self.use(Backend()), self.use(Backend())
        self.apply("ingress", manifests.ingress(self.name, self.host, paths=[
            ("/open", "Prefix", f"{self.name}-open", 443),
            ("/", "Prefix", f"{self.name}-rest", 443)]),
            manifests.service(f"{self.name}-open", inner.port),
            manifests.service(f"{self.name}-rest", outer.port))
        self.wait_for(200, target="/open")
        self.handfast.barrier()
        inner.seen.clear()

        for path in (b"/open/../secret", b"/open/%2e%2e/secret", b"/open/%2E./secret",
                     b"/open/x/../../secret", b"//../secret", b"/open/..", b"/x/../../secret",
                     b"/open/./../secret"):
            with self.subTest(path):
                with self.handfast.connect() as connection:
                    connection.send(self.filled(request(target=path)))
                    self.assertIn(connection.response().status, (200, 400))
        self.assertEqual([one.target for one in inner.seen], [])

    def test_plain_request_on_the_tls_port_is_not_served(self):
        since = len(self.backend.seen)
        with RawConnection(self.handfast.https) as connection:
            connection.send(self.filled(request()))
            connection.sock.settimeout(10)
            rest = connection.rest()
        self.assertNotIn(b" 200 ", rest)
        self.assert_nothing_came(since)

    def test_head_in_single_bytes_is_refused_as_the_whole_is(self):
        for name in ("length and chunked", "folded line", "blank before the colon", "two Hosts",
                     "bare LF in a value", "NUL in a value"):
            with self.subTest(name):
                since = len(self.backend.seen)
                with self.handfast.connect() as connection:
                    try:
                        for byte in self.filled(BAD[name]):
                            connection.send(bytes([byte]))
                    except OSError:
                        pass  # refused before its end
                    try:
                        self.assertEqual(connection.response().status, 400)
                    except EOFError:
                        pass  # our late bytes reset the connection
                self.assert_nothing_came(since)

    def test_refusals_are_logged_and_do_not_tell_the_client_why(self):
        answer, _ = self.send(BAD["length and chunked"])

        self.assertEqual(answer.status, 400)
        self.assertNotIn(b"Transfer", answer.body)

    def test_others_are_served_while_one_sends_garbage(self):
        with self.handfast.connect() as good:
            for data in list(BAD.values())[:20]:
                self.send(data)
                self.assertEqual(good.request(self.host).status, 200)


OK = b"HTTP/1.1 200 OK\r\n"
BAD_RESPONSES = {
    "length and chunked": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                               b"5\r\nhello\r\n0\r\n\r\n",
    "two lengths that differ": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length with a sign": OK + b"Content-Length: +5\r\n\r\nhello",
    "negative length": OK + b"Content-Length: -1\r\n\r\nhello",
    "empty length": OK + b"Content-Length:\r\n\r\nhello",
    "length that overflows": OK + b"Content-Length: 99999999999999999999\r\n\r\nhello",
    "chunked twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nhello",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status that is a word": b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
    "status 000": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "other protocol": b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
    "other version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"\x00\x01\x02\x03\x04\r\n\r\n",
    "no head at all": b"<html>hello</html>\r\n\r\n",
    "no colon": OK + b"X-A\r\nContent-Length: 0\r\n\r\n",
    "blank before the colon": OK + b"Content-Length : 0\r\n\r\n",
    "NUL in a value": OK + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n",
    "bare CR in a value": OK + b"X-A: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    "bare CR in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
    "huge head": OK + b"X-A: " + b"a" * 1_000_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "too many fields": OK + b"".join(b"X-%d: 1\r\n" % i for i in range(5000)) +
                       b"Content-Length: 0\r\n\r\n",
    "flood of informational": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50 + OK +
                              b"Content-Length: 0\r\n\r\n",
    "upgrade that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
                                     b"Connection: upgrade\r\n\r\n",
    "close before the head ends": OK + b"Content-Le",
    "nothing": b"",
}


class Responses(HandfastCase):
    """Backends that lie."""

    def serve(self, handle, leaf=None):
        backend = self.use(Backend(leaf, handle=handle))
        self.apply_secret(None, self.ca)
        self.apply_ingress(backend.port, protocol="HTTPS" if leaf else None)
        self.handfast.barrier()
        return backend

    def test_bad_responses_answer_502_and_the_client_connection_goes_on(self):
        names = list(BAD_RESPONSES)

        def lie(connection, request):
            if request.target == "/good":
                connection.reply("good")
                return
            connection.send(BAD_RESPONSES[names[int(request.target[1:])]])
            if request.target[1:] == str(names.index("nothing")) or \
                    "close" in names[int(request.target[1:])]:
                connection.close()
                raise EOFError

        for leaf in (None, self.server()):
            self.serve(lie, leaf)
            for number, name in enumerate(names):
                with self.subTest(name, tls=leaf is not None):
                    with self.handfast.connect() as connection:
                        answer = connection.request(self.host, f"/{number}")
                        self.assertEqual(answer.status, 502)
                        self.assertEqual(connection.request(self.host, "/good").body, b"good")
                    self.assertEqual(self.handfast.reason(self.host, f"/{number}"),
                                     "bad_response")

    def test_folded_line_is_refused_or_unfolded(self):
        self.serve(lambda connection, _: connection.send(
            OK + b"X-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok"))

        answer = self.get()

        self.assertTrue(answer.status == 502 or answer.header("X-A") in ("1 2", "1  2"), answer)

    def test_bytes_after_the_end_are_nobodys_answer(self):
        said = threading.Event()
        evil = OK + b"Content-Length: 4\r\n\r\nevil"

        def two(connection, request):
            if request.target == "/two":
                connection.send(OK + b"Content-Length: 3\r\n\r\none" + evil)
            elif request.target == "/chunked":
                connection.send(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n" +
                                evil)
            elif request.target == "/late":
                connection.reply("one")
                connection.send(evil)
                said.set()
            elif request.target == "/head":
                connection.send(OK + b"Content-Length: 4\r\n\r\nevil")
            elif request.target == "/204":
                connection.send(b"HTTP/1.1 204 No Content\r\n\r\n" + evil)
            elif request.target == "/304":
                connection.send(b"HTTP/1.1 304 Not Modified\r\n\r\n" + evil)
            else:
                connection.reply("honest")

        self.serve(two)
        for target in ("/two", "/chunked", "/late", "/head", "/204", "/304"):
            for _ in range(5):
                with self.subTest(target), self.handfast.connect() as connection:
                    method = "HEAD" if target == "/head" else "GET"
                    first = connection.request(self.host, target, method)
                    self.assertIn(first.body, (b"one", b""))
                    if target == "/late":  # else it might be too late even to be found
                        self.assertTrue(said.wait(10))
                        said.clear()
                    for _ in range(3):
                        self.assertEqual(connection.request(self.host, "/next").body, b"honest")

    def test_damaged_chunks_of_a_response_are_a_cut(self):
        bodies = {
            "size with a word": b"5g\r\nhello\r\n0\r\n\r\n",
            "data longer than its size": b"5\r\nhelloo\r\n0\r\n\r\n",
            "bare LF": b"5\nhello\n0\n\n",
            "size that overflows": b"ffffffffffffffff1\r\nhello",
        }

        def damaged(connection, request):
            connection.send(OK + b"Transfer-Encoding: chunked\r\n\r\n" +
                            list(bodies.values())[int(request.target[1:])])

        self.serve(damaged)
        for number, name in enumerate(bodies):
            with self.subTest(name), self.handfast.connect() as connection:
                try:
                    answer = connection.request(self.host, f"/{number}")
                except EOFError:
                    continue  # the head had gone on: cut
                self.assertEqual(answer.status, 502)

    def test_forbidden_trailers_do_not_become_fields(self):
        self.serve(lambda connection, _: connection.send(
            OK + b"Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\n"
                 b"Content-Length: 99\r\nSet-Cookie: evil=1\r\nTransfer-Encoding: x\r\n\r\n"))

        for _ in range(3):
            try:
                answer = self.get()
            except EOFError:
                continue  # the head had gone on: cut
            self.assertEqual(answer.all("set-cookie"), [])
            self.assertEqual(answer.all("content-length"), [])

    def test_answer_before_the_request_is_never_anybodys(self):
        # A backend that speaks as soon as it is connected, as if it had been asked.
        def eager(connection):
            connection.send(OK + b"Content-Length: 4\r\n\r\nevil")
            while connection.read_request() is not None:
                connection.send(OK + b"Content-Length: 6\r\n\r\nhonest")

        backend = self.use(Backend(on_connection=eager))
        self.apply_ingress(backend.port, protocol=None)
        self.handfast.barrier()

        # The first answer can't be told from an honest one; it must not shift those after it.
        with self.handfast.connect() as connection:
            bodies = [connection.request(self.host, f"/{i}").body for i in range(10)]
        self.assertNotIn(b"evil", bodies[1:] if backend.accepted == 1 else [])


if __name__ == "__main__":
    unittest.main()
