"""Who connects: the PROXY protocol and forwarding headers, believed of listed networks alone, both
address families, limits of connections, and a process without descriptors."""

import os
import resource
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import free_port  # noqa: E402
from harness.processes import Process  # noqa: E402
from harness.waiting import eventually  # noqa: E402

BALANCER = "127.0.0.2"  # whose PROXY headers are believed
PROXY = "127.0.0.3"     # whose forwarding headers are

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"


def version_1(source="198.51.100.7", port=80):
    return f"PROXY TCP4 {source} 192.0.2.1 4711 {port}\r\n".encode()


def version_2(source="198.51.100.7", port=80, tlvs=b""):
    addresses = socket.inet_aton(source) + socket.inet_aton("192.0.2.1")
    block = addresses + struct.pack("!HH", 4711, port) + tlvs
    return SIGNATURE + b"\x21\x11" + struct.pack("!H", len(block)) + block


def header(answer, name):
    """What the backend got, of the echo's answer."""
    return [value for key, value in answer.json()["headers"] if key.lower() == name.lower()]


class ListenersCase(HandfastCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backend = Backend()
        cls.handfast.apply("routes", manifests.service("web", cls.backend.port),
                           manifests.ingress("web", "web.test"),
                           manifests.ingress("secure", "secure.test", service="web", tls=[
                               {"hosts": ["secure.test"]}]))
        cls.wait_until_served()

    @classmethod
    def wait_until_served(cls):
        cls.handfast.wait_for("web.test", 200)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.backend.close()

    def refused(self, reason):
        return self.handfast.metrics().value("handfast_connections_refused_total", reason=reason)

    def assert_counts(self, reason, number, act):
        before = self.refused(reason)
        self.assertIsNotNone(before, reason)
        act()
        eventually(lambda: self.refused(reason) == before + number, f"{number} {reason} more")

    def assert_closed(self, sent, source="127.0.0.1"):
        """The connection ends without an answer, and no backend sees a request."""
        asked = len(self.backend.seen)
        with self.handfast.connect(source=source) as connection:
            connection.send(sent)
            self.assertTrue(connection.is_closed(), connection.buffer)
        self.assertEqual(len(self.backend.seen), asked)


class ProxyProtocol(ListenersCase):
    flags = ("--proxy-protocol-from", BALANCER)

    def ask(self, preamble, **options):
        return self.handfast.get("web.test", source=BALANCER, preamble=preamble, **options)

    def test_the_client_is_the_one_that_the_header_tells_of(self):
        for preamble in (version_1(), version_2(), version_2(tlvs=b"\x02\0\x08web.test")):
            for tls in (None, True):
                answer = self.ask(preamble, tls=tls)
                self.assertEqual(answer.status, 200)
                self.assertEqual(header(answer, "X-Real-IP"), ["198.51.100.7"])
                self.assertEqual(header(answer, "X-Forwarded-For"), ["198.51.100.7"])
                self.assertEqual(header(answer, "X-Forwarded-Proto"), ["https" if tls else "http"])

    def test_the_access_log_names_that_client(self):
        self.ask(version_2("203.0.113.77"), target="/logged")
        self.handfast.last_log("web.test", "/logged", client="203.0.113.77", scheme="http")

    def test_a_header_in_pieces_is_the_same(self):
        for whole in (version_1(), version_2()):
            with self.handfast.connect(source=BALANCER) as connection:
                for byte in whole:
                    connection.send(bytes([byte]))
                answer = connection.request("web.test")
                self.assertEqual(header(answer, "X-Real-IP"), ["198.51.100.7"])
                # It holds for the connection, not for its first request.
                answer = connection.request("web.test")
                self.assertEqual(header(answer, "X-Real-IP"), ["198.51.100.7"])

    def test_a_balancers_own_connection_is_the_balancers(self):
        for preamble in (LOCAL, b"PROXY UNKNOWN\r\n"):
            self.assertEqual(header(self.ask(preamble), "X-Real-IP"), [BALANCER])

    def test_curl_as_a_balancer(self):
        for scheme, address in (("http", self.handfast.http), ("https", self.handfast.https)):
            done = subprocess.run(
                ["curl", "-sSk", "--haproxy-protocol", "--interface", BALANCER, "--connect-to",
                 f"web.test:{address[1]}:127.0.0.1:{address[1]}",
                 f"{scheme}://web.test:{address[1]}/"], capture_output=True, text=True,
                timeout=30, check=True)
            self.assertIn(f'["X-Real-IP", "{BALANCER}"]', done.stdout)

    @unittest.skipUnless(shutil.which("haproxy"), "haproxy is not installed")
    def test_haproxy_as_a_balancer(self):
        front = {"send-proxy": free_port(),
                 "send-proxy-v2 proxy-v2-options crc32c,unique-id": free_port()}
        text = "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n"
        for number, (how, port) in enumerate(front.items()):
            text += (f"listen l{number}\n bind 127.0.0.1:{port}\n unique-id-format %[uuid()]\n"
                     f" server s {self.handfast.http[0]}:{self.handfast.http[1]} "
                     f"source {BALANCER} {how}\n")
        config = self.handfast.folder / "haproxy.cfg"
        config.write_text(text)
        haproxy = Process(["haproxy", "-db", "-f", config], self.handfast.folder)
        self.addCleanup(haproxy.kill)
        for port in front.values():
            answer = eventually(lambda port=port: clients.fetch(
                ("127.0.0.1", port), "web.test", source="127.0.0.99"), "haproxy's listener")
            self.assertEqual(header(answer, "X-Real-IP"), ["127.0.0.99"])

    def test_a_balancer_must_begin_with_a_header(self):
        request = b"GET / HTTP/1.1\r\nHost: web.test\r\n\r\n"
        self.assert_counts("proxy_protocol_bad", 3, lambda: [
            self.assert_closed(sent, source=BALANCER)
            for sent in (request, b"PROXY TCP4 198.51.100.7 192.0.2.1 04711 80\r\n" + request,
                         version_2(tlvs=b"\x03\0\x04abcd") + request)])

        def handshake():
            with self.assertRaises(OSError):
                self.handfast.get("web.test", tls=True, source=BALANCER)

        self.assert_counts("proxy_protocol_bad", 1, handshake)

    def test_nobody_else_may_begin_with_a_header(self):
        request = b"GET / HTTP/1.1\r\nHost: web.test\r\n\r\n"
        self.assert_counts("proxy_protocol_unexpected", 6, lambda: [
            self.assert_closed(preamble + request, source=source)
            for preamble in (version_1(), version_2(), LOCAL)
            for source in ("127.0.0.1", PROXY)])

        def tls():
            for preamble in (version_1(), version_2()):
                with self.assertRaises((OSError, ssl.SSLError)):
                    self.handfast.get("web.test", tls=True, preamble=preamble)

        self.assert_counts("not_tls", 2, tls)

    def test_a_client_of_the_public_https_port_is_not_redirected(self):
        self.assertEqual(self.handfast.get("secure.test").status, 308)
        plain = self.handfast.get("secure.test", source=BALANCER, preamble=version_1(port=80))
        self.assertEqual(plain.status, 308)
        answer = self.handfast.get("secure.test", source=BALANCER, preamble=version_1(port=443))
        self.assertEqual(answer.status, 200)
        self.assertEqual(header(answer, "X-Forwarded-Proto"), ["https"])
        self.assertEqual(header(answer, "X-Forwarded-Port"), ["443"])

    def test_forwarding_headers_of_a_balancers_client_are_not_believed(self):
        answer = self.ask(version_1(), headers=[("X-Forwarded-For", "1.2.3.4")])
        self.assertEqual(header(answer, "X-Forwarded-For"), ["198.51.100.7"])


class ForwardedHeaders(ListenersCase):
    flags = ("--proxy-real-ip-cidr", f"{PROXY},10.0.0.0/8", "--proxy-protocol-from", BALANCER)

    FORWARDED = [("X-Forwarded-For", "1.2.3.4, 203.0.113.5"), ("X-Forwarded-For", "10.9.9.9"),
                 ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "www.example"),
                 ("X-Forwarded-Port", "8443"), ("X-Real-IP", "1.1.1.1"),
                 ("X-Forwarded-Prefix", "/x"), ("X_Forwarded_For", "2.2.2.2"),
                 ("Forwarded", "for=3.3.3.3")]

    def test_those_of_a_listed_proxy_are_believed(self):
        answer = self.handfast.get("web.test", "/believed", source=PROXY, headers=self.FORWARDED)
        expected = {"X-Real-IP": ["203.0.113.5"], "X-Forwarded-For": ["203.0.113.5"],
                    "X-Forwarded-Proto": ["https"], "X-Forwarded-Host": ["www.example"],
                    "X-Forwarded-Port": ["8443"], "X-Scheme": ["https"],
                    "X-Original-Forwarded-For": ["1.2.3.4, 203.0.113.5, 10.9.9.9"],
                    "X-Original-Forwarded-Host": ["www.example"], "X-Forwarded-Prefix": [],
                    "X_Forwarded_For": [], "Forwarded": [], "Host": ["web.test"]}
        self.assertEqual({name: header(answer, name) for name in expected}, expected)
        self.handfast.last_log("web.test", "/believed", client="203.0.113.5", scheme="https")

    def test_those_of_anybody_else_are_not(self):
        for tls in (None, True):
            answer = self.handfast.get("web.test", headers=self.FORWARDED, tls=tls,
                                       source="127.0.0.4")
            expected = {"X-Real-IP": ["127.0.0.4"], "X-Forwarded-For": ["127.0.0.4"],
                        "X-Forwarded-Proto": ["https" if tls else "http"],
                        "X-Forwarded-Host": ["web.test"],
                        "X-Forwarded-Port": ["443" if tls else "80"],
                        "X-Original-Forwarded-For": [], "X-Original-Forwarded-Host": [],
                        "X-Forwarded-Prefix": [], "X_Forwarded_For": [], "Forwarded": []}
            self.assertEqual({name: header(answer, name) for name in expected}, expected)

    def test_each_request_of_a_connection_says_it_anew(self):
        with self.handfast.connect(source=PROXY) as connection:
            for client in ("203.0.113.5", "203.0.113.6", PROXY):
                fields = [("X-Forwarded-For", client)] if client != PROXY else []
                answer = connection.request("web.test", headers=fields)
                self.assertEqual(header(answer, "X-Real-IP"), [client])

    def test_redirects_follow_what_the_proxy_says(self):
        def ask(*fields, **options):
            return self.handfast.get("secure.test", "/a", headers=fields, **options)

        self.assertEqual(ask(("X-Forwarded-Proto", "https"), source=PROXY).status, 200)
        self.assertEqual(ask(("X-Forwarded-Proto", "https")).status, 308)
        answer = ask(("X-Forwarded-Host", "www.example:80"), source=PROXY)
        self.assertEqual((answer.status, answer.header("Location")),
                         (308, "https://www.example/a"))
        answer = ask(("X-Forwarded-Host", "forged.example"))
        self.assertEqual((answer.status, answer.header("Location")), (308, "https://secure.test/a"))

    def test_a_listed_proxy_behind_a_balancer_is_believed(self):
        answer = self.handfast.get("web.test", source=BALANCER, preamble=version_2("10.1.1.1"),
                                   headers=[("X-Forwarded-For", "203.0.113.5")])
        self.assertEqual(header(answer, "X-Real-IP"), ["203.0.113.5"])


class SourceRanges(ListenersCase):
    """allowlist- and denylist-source-range, by whom the client is found to be."""

    flags = ("--proxy-real-ip-cidr", PROXY, "--proxy-protocol-from", BALANCER)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.handfast.apply(
            "ranges",
            *(manifests.ingress(name, f"{name}.test", service="web", annotations=annotations,
                                **more) for name, annotations, more in (
                ("office", {"whitelist-source-range": "127.0.0.4,203.0.113.0/24"}, {}),
                ("open", {"denylist-source-range": "127.0.0.5, 203.0.113.9"}, {}),
                ("both", {"allowlist-source-range": "127.0.0.0/8",
                          "denylist-source-range": "127.0.0.5"}, {}),
                ("moved", {"allowlist-source-range": "203.0.113.0/24"},
                 {"tls": [{"hosts": ["moved.test"]}]}))))
        cls.handfast.barrier()

    def ask(self, host, source, *forwarded, **options):
        before = len(self.backend.seen)
        answer = self.handfast.get(f"{host}.test", source=source, headers=[
            ("X-Forwarded-For", one) for one in forwarded], **options)
        self.assertEqual(len(self.backend.seen) - before, 1 if answer.status == 200 else 0)
        return answer.status

    def test_others_are_answered_403_and_no_service_is_asked(self):
        for host, source, status in (
                ("office", "127.0.0.4", 200), ("office", "127.0.0.1", 403),
                ("open", "127.0.0.1", 200), ("open", "127.0.0.5", 403),
                ("both", "127.0.0.1", 200), ("both", "127.0.0.5", 403)):
            with self.subTest(host=host, source=source):
                self.assertEqual(self.ask(host, source), status)
        self.handfast.get("office.test", "/why", source="127.0.0.1")
        self.handfast.last_log("office.test", "/why", upstream_tls_error="client_address")

    def test_believed_headers_say_who_the_client_is_and_nobody_elses_do(self):
        self.assertEqual(self.ask("office", PROXY, "203.0.113.5"), 200)
        self.assertEqual(self.ask("office", PROXY, "198.51.100.5"), 403)
        self.assertEqual(self.ask("office", PROXY, "203.0.113.5, 198.51.100.5"), 403)
        self.assertEqual(self.ask("office", PROXY), 403)
        self.assertEqual(self.ask("office", "127.0.0.1", "203.0.113.5"), 403)
        self.assertEqual(self.ask("open", PROXY, "203.0.113.9"), 403)

    def test_a_balancers_header_says_who_the_client_is(self):
        self.assertEqual(self.ask("office", BALANCER, preamble=version_2("203.0.113.5")), 200)
        self.assertEqual(self.ask("office", BALANCER, preamble=version_1("198.51.100.5")), 403)

    def test_each_request_of_a_connection_is_judged(self):
        with self.handfast.connect(source=PROXY) as connection:
            for client, status in (("203.0.113.5", 200), ("198.51.100.5", 403),
                                   ("203.0.113.6", 200)):
                self.assertEqual(connection.request(
                    "office.test", headers=[("X-Forwarded-For", client)]).status, status)

    def test_redirects_come_first_as_in_nginx(self):
        self.assertEqual(self.ask("moved", "127.0.0.1"), 308)
        self.assertEqual(self.ask("moved", "127.0.0.1", tls=True), 403)


class FullForwardedFor(ListenersCase):
    flags = ("--proxy-real-ip-cidr", PROXY, "--compute-full-forwarded-for")

    def test_backends_get_the_whole_list_with_the_peer(self):
        answer = self.handfast.get("web.test", source=PROXY,
                                   headers=[("X-Forwarded-For", "1.2.3.4, 203.0.113.5")])
        self.assertEqual(header(answer, "X-Forwarded-For"), [f"1.2.3.4, 203.0.113.5, {PROXY}"])
        self.assertEqual(header(answer, "X-Real-IP"), ["203.0.113.5"])


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@unittest.skipUnless(has_ipv6(), "no IPv6 here")
class BothFamilies(ListenersCase):
    # The last one given counts.
    flags = ("--http", "[::1]:0,127.0.0.1:0", "--https", "127.0.0.1:0,[::1]:0", "--metrics",
             "[::1]:0,127.0.0.1:0")

    def test_every_address_is_listened_on(self):
        for listener, tls in (("http", None), ("https", True)):
            found = {line["address"] for line in self.handfast.proxy.logged(
                message="listening", listener=listener)}
            self.assertEqual(len(found), 2)
            for address in found:
                host, _, port = address.rpartition(":")
                host = host.strip("[]")
                answer = clients.fetch((host, int(port)), "web.test", tls=tls)
                self.assertEqual(header(answer, "X-Real-IP"), [host])


class Limits(ListenersCase):
    workers = 1
    flags = ("--max-connections-per-address", "3", "--max-worker-connections", "8",
             "--proxy-protocol-from", BALANCER)

    @classmethod
    def wait_until_served(cls):
        cls.handfast.wait_for("web.test", 200, streak=1)

    def hold(self, source, **options):
        """A connection that was served and stays, or None."""
        try:
            connection = self.handfast.connect(source=source, **options)
            self.addCleanup(connection.close)
            return connection if connection.request("web.test").status == 200 else None
        except (EOFError, OSError):
            return None

    def until_empty(self):
        eventually(lambda: self.handfast.metrics().value("handfast_downstream_connections") == 0,
                   "no connections")

    def test_an_address_has_no_more_than_its_limit(self):
        self.until_empty()
        held = [self.hold("127.0.0.5") for _ in range(3)]
        self.assertNotIn(None, held)
        self.assert_counts("address_connections", 2, lambda: self.assertEqual(
            [self.hold("127.0.0.5"), self.hold("127.0.0.5")], [None, None]))
        self.assertIsNotNone(self.hold("127.0.0.6"))
        held[0].close()
        eventually(lambda: self.hold("127.0.0.5"), "a place again")

    def test_a_balancers_clients_count_by_their_own_address(self):
        self.until_empty()
        for client in ("198.51.100.7", "198.51.100.8"):
            for _ in range(3):
                self.assertIsNotNone(self.hold(BALANCER, preamble=version_2(client)))
        self.assert_counts("address_connections", 1, lambda: self.assertIsNone(
            self.hold(BALANCER, preamble=version_2("198.51.100.7"))))

    def test_a_worker_has_no_more_than_its_limit(self):
        self.until_empty()
        for number in range(8):
            self.assertIsNotNone(self.hold(f"127.0.1.{number + 1}"))
        self.assert_counts("worker_connections", 1,
                           lambda: self.assertIsNone(self.hold("127.0.1.9")))


class Descriptors(ListenersCase):
    workers = 1

    def test_without_descriptors_it_waits_and_goes_on_by_itself(self):
        proxy = self.handfast.child("handfast-proxy")
        before = resource.prlimit(proxy, resource.RLIMIT_NOFILE)
        pauses = self.handfast.metrics().value("handfast_accept_pauses_total")
        count = 80
        resource.prlimit(proxy, resource.RLIMIT_NOFILE, (60, before[1]))
        try:
            held = [self.handfast.connect(timeout=30) for _ in range(count)]
            for connection in held:
                self.addCleanup(connection.close)
                connection.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n")
            self.assertEqual(held[0].response().status, 404)
            self.assertFalse(held[-1].is_closed(within=1), "it waits in the backlog")
            used, begin = self.processor_seconds(proxy), time.monotonic()
            self.assertFalse(held[-1].is_closed(within=1))
            used, passed = self.processor_seconds(proxy) - used, time.monotonic() - begin
            self.assertLess(used, 0.3 * passed, "it spins")
        finally:
            resource.prlimit(proxy, resource.RLIMIT_NOFILE, before)
        for connection in held[1:]:
            self.assertEqual(connection.response().status, 404)
        self.assertGreater(self.handfast.metrics().value("handfast_accept_pauses_total"), pauses)
        self.handfast.wait_for("web.test", 200)

    @staticmethod
    def processor_seconds(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    unittest.main()
