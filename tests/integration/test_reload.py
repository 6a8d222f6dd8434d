"""Changes while traffic flows: nothing is dropped that wasn't revoked, nothing of an old identity
or trust is used once the change is acknowledged."""

import os
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import manifests  # noqa: E402
from harness.backends import Backend, Nginx  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import Handfast, is_sanitized, resident_kilobytes  # noqa: E402
from harness.load_runner import Load  # noqa: E402
from harness.waiting import eventually  # noqa: E402

ROTATIONS = int(os.environ.get("HANDFAST_ROTATIONS", "200"))


class Gate:
    """A backend's handler that answers /held only when the test says so."""

    def __init__(self, name):
        self.name = name
        self.arrived, self.release = threading.Event(), threading.Event()

    def __call__(self, connection, request):
        connection.read_body(request)
        if request.target == "/held":
            self.arrived.set()
            self.release.wait(60)
        connection.reply(self.name)


def drip(connection, request):
    """A slow answer that never ends by itself: a chunk every 20 ms."""
    connection.read_body(request)
    if request.target != "/drip":
        connection.reply("ok")
        return
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not getattr(connection, "finish", False):
        connection.send(b"4\r\ndrip\r\n")
        time.sleep(0.02)
    connection.send(b"0\r\n\r\n")


class Dripping:
    """A client that reads such an answer until its end or cut."""

    def __init__(self, handfast, host):
        self.connection = handfast.connect()
        self.connection.send(f"GET /drip HTTP/1.1\r\nHost: {host}\r\n\r\n")
        status = self.connection.head().status
        if status != 200:
            raise AssertionError(f"{host}: {status}")
        self.received = 0
        self.ended = None  # "cut" or "whole", and when
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            for chunk in self.connection.chunks():
                self.received += len(chunk)
            self.ended = ("whole", time.monotonic())
        except (EOFError, OSError, ValueError):
            self.ended = ("cut", time.monotonic())

    def wait_for_end(self, patience=15):
        return eventually(lambda: self.ended, "the end of the answer", patience=patience)

    def assert_flows(self):
        """More arrives now, and the answer has not ended."""
        before = self.received
        eventually(lambda: self.received > before + 20, "more of the answer")
        if self.ended:
            raise AssertionError(f"ended: {self.ended}")

    def close(self):
        self.connection.close()


class Routes(HandfastCase):
    def test_request_in_flight_finishes_on_its_old_route(self):
        old, new = Gate("old"), Gate("new")
        first, second = self.use(Backend(handle=old)), self.use(Backend(handle=new))
        self.apply_ingress(first.port, protocol=None)
        self.wait_for(200, text="old")
        with self.handfast.connect() as connection:
            connection.send(f"GET /held HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
            self.assertTrue(old.arrived.wait(20))

            self.apply_ingress(second.port, protocol=None)
            self.wait_for(200, text="new")
            old.release.set()

            self.assertEqual(connection.response().body, b"old")
            self.assertEqual(connection.request(self.host).body, b"new")

    def test_request_in_flight_outlives_its_ingress(self):
        gate = Gate("old")
        backend = self.use(Backend(self.server(), handle=gate))
        self.apply_secret(None, self.ca)
        self.apply_ingress(backend.port)
        self.wait_for(200)
        with self.handfast.connect() as connection:
            connection.send(f"GET /held HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
            self.assertTrue(gate.arrived.wait(20))

            self.delete("ingress")
            self.delete("secret")
            self.wait_for(404)
            gate.release.set()

            self.assertEqual(connection.response().body, b"old")
            self.assertEqual(connection.request(self.host).status, 404)

    def test_upload_in_flight_finishes_on_its_old_route(self):
        first, second = self.use(Backend()), self.use(Backend())
        self.apply_ingress(first.port, protocol=None)
        self.wait_for(200)
        with self.handfast.connect() as connection:
            connection.send(f"POST /up HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 200000\r\n"
                            "\r\n" + "a" * 100_000)
            eventually(lambda: any(one.target == "/up" for one in first.seen), "the upload")

            self.apply_ingress(second.port, protocol=None)
            eventually(lambda: self.get("/x").status == 200 and second.seen, "the new route")
            connection.send("b" * 100_000)

            self.assertEqual(connection.response("POST").json()["body_bytes"], 200_000)
        self.assertFalse(any(one.target == "/up" for one in second.seen))

    def test_removed_endpoint_gets_no_new_request(self):
        one, two = self.use(Backend()), self.use(Backend())
        self.apply_ingress(one.port, two.port, protocol=None)
        self.wait_for(200)
        eventually(lambda: self.get().status == 200 and one.seen and two.seen, "both")

        self.apply_ingress(two.port, protocol=None)
        self.handfast.barrier()
        since = len(one.seen)
        for _ in range(20):
            self.assertEqual(self.get().status, 200)

        self.assertEqual(len(one.seen), since)

    def test_client_connections_survive_reloads(self):
        backend = self.use(Backend())
        front = self.ca.server(self.host)
        self.apply_secret(front)
        self.apply_ingress(backend.port, protocol=None, annotations={"ssl-redirect": "false"},
                           tls=[{"hosts": [self.host], "secretName": f"{self.name}-tls"}])
        self.wait_for(200)
        connections = [self.handfast.connect(tls=tls, server_name=self.host)
                       for tls in (None, True) for _ in range(8)]
        for connection in connections:
            self.addCleanup(connection.close)

        for number in range(20):
            self.apply("other", manifests.ingress(f"{self.name}-{number}", f"{number}.{self.host}",
                                                  service=self.name))
            if number % 5 == 0:
                self.apply_secret(self.ca.server(self.host))
            self.handfast.wait_for(f"{number}.{self.host}", 200, streak=2)
            for connection in connections:
                self.assertEqual(connection.request(self.host).status, 200)


class Rotation(HandfastCase):
    flags = ("--access-log", "off")

    def test_rotations_under_load_fail_nothing_and_leave_no_old_identity(self):
        backend = self.use(Nginx(self.server(), client_ca=self.ca.cert_pem))
        current = self.ca.client("c0")
        leaves = [self.ca.client(f"c{number + 1}") for number in range(ROTATIONS)]
        self.apply_secret(current, self.ca, self.ca.crl())
        self.apply_ingress(backend.port)
        self.wait_for(200)
        self.handfast.barrier()
        pid = self.handfast.child("handfast-proxy")
        replaced_at, memory = {}, None

        with Load(self.handfast.http, self.host, clients=16, rate=1000) as load:
            for number, leaf in enumerate(leaves):
                before = self.handfast.generation()
                # Now and then a new CRL with it, as a job would that renews both.
                crl = self.ca.crl() if number % 10 == 0 else None
                self.apply_secret(leaf, self.ca, crl or self.last_crl)
                self.last_crl = crl or self.last_crl
                eventually(lambda: self.handfast.generation() > before, "the acknowledgement",
                           every=0.003)
                replaced_at[current.serial] = time.monotonic()
                current = leaf
                if number == ROTATIONS // 2:
                    memory = resident_kilobytes(pid)
            seen = load.stop()

        self.assertEqual(seen["failures"], [])
        self.assertGreater(seen["requests"], ROTATIONS * 5)
        late = [(serial, last - replaced_at[int(serial, 16)])
                for _, last, serial in seen["spans"]
                if int(serial, 16) in replaced_at and last > replaced_at[int(serial, 16)]]
        self.assertEqual(late, [], "requests under an identity that had been replaced")
        distinct = {serial for _, _, serial in seen["spans"]}
        self.assertGreater(len(distinct), ROTATIONS // 2)
        if not is_sanitized():
            self.assertLess(resident_kilobytes(pid) - memory, 16 * 1024)
        keys = list(self.handfast.state.glob(f"tls/shop/{self.name}-tls/*/tls.pem"))
        self.assertLessEqual(len(keys), 3)
        print(f"\n{seen['requests']} requests in {seen['seconds']:.1f} s, {ROTATIONS} rotations, "
              f"{len(distinct)} identities seen", file=sys.stderr)

    last_crl = None

    def setUp(self):
        super().setUp()
        self.last_crl = self.ca.crl()


class Trust(HandfastCase):
    """A change of trust takes effect on open connections."""

    def serve(self, suffix="", annotations=None, handle=drip):
        """A TLS backend whose answers drip, and its route; the Service has a name of its own."""
        self.leaf = self.server()
        self.client = self.ca.client("first")
        self.backend = self.use(Backend(self.leaf, client_ca=self.ca.cert_pem, handle=handle))
        self.apply_secret(self.client, self.ca, self.ca.crl())
        self.apply_ingress(self.backend.port, annotations=annotations)
        self.wait_for(200)

    def bystander(self):
        """Another route whose answer drips too, and that nothing here concerns."""
        name = f"{self.name}-by"
        backend = self.use(Backend(self.ca.server(f"{name}.shop.svc"), handle=drip))
        self.apply("by", manifests.secret(f"{name}-tls", ca_crt=self.ca.cert_pem,
                                          ca_crl=self.ca.crl()),
                   manifests.ingress(name, f"by.{self.host}", annotations={
                       "backend-protocol": "HTTPS", "proxy-ssl-secret": f"shop/{name}-tls"}),
                   manifests.service(name, backend.port))
        self.handfast.wait_for(f"by.{self.host}", 200)
        return self.dripping(f"by.{self.host}")

    def dripping(self, host=None):
        client = Dripping(self.handfast, host or self.host)
        self.addCleanup(client.close)
        return client

    def assert_cut_soon(self, change):
        """The live answer is cut within a second or so of the change's acknowledgement."""
        bystander, client = self.bystander(), self.dripping()
        client.assert_flows()
        change()
        self.wait_for(502, streak=2)
        noticed = time.monotonic()
        how, when = client.wait_for_end()
        self.assertEqual(how, "cut")
        self.assertLess(when - noticed, 2.0)
        bystander.assert_flows()

    def test_live_connection_to_a_revoked_backend_is_closed(self):
        self.serve()

        self.assert_cut_soon(lambda: self.apply_secret(self.client, self.ca,
                                                       self.ca.crl([self.leaf])))

    def test_live_connection_under_a_removed_ca_is_closed(self):
        self.serve()

        self.assert_cut_soon(lambda: self.apply_secret(self.client, self.other_ca))

    def test_live_connection_with_a_name_that_is_no_longer_expected_is_closed(self):
        self.serve()

        self.assert_cut_soon(lambda: self.apply_ingress(
            self.backend.port, annotations={"proxy-ssl-name": "other.example"}))

    def test_idle_connections_to_a_revoked_backend_are_closed(self):
        self.serve()
        self.assertGreater(self.backend.open_connections(), 0)

        self.apply_secret(self.client, self.ca, self.ca.crl([self.leaf]))
        self.handfast.barrier()  # and without a single request

        eventually(lambda: self.backend.open_connections() == 0, "no open connection",
                   patience=5)

    def test_handshake_under_way_is_judged_by_the_newest_trust(self):
        held, release = threading.Event(), threading.Event()
        self.serve(handle=Gate("ok"))
        context = self.backend.context

        def slow_handshake(sock):
            held.set()
            release.wait(30)
            with context.wrap_socket(sock, server_side=True) as secured:
                secured.recv(65536)
                secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale")

        slow = self.use(Backend(on_accept=slow_handshake))
        self.apply_ingress(slow.port)
        self.handfast.barrier()
        with self.handfast.connect() as connection:
            connection.send(f"GET /slow HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
            self.assertTrue(held.wait(20))

            self.apply_secret(self.client, self.ca, self.ca.crl([self.leaf]))
            self.handfast.barrier()
            release.set()

            self.assertEqual(connection.response().status, 502)

    def test_newer_crl_without_news_costs_no_connection(self):
        self.serve()
        self.handfast.barrier()
        client = self.dripping()
        before = self.backend.accepted

        for _ in range(5):
            self.apply_secret(self.client, self.ca, self.ca.crl([12345]))
            self.handfast.barrier()
            self.assertEqual(self.get().status, 200)

        client.assert_flows()
        self.assertLessEqual(self.backend.accepted - before, 2)  # one a worker at most

    def test_ca_added_to_the_bundle_costs_no_connection(self):
        self.serve()
        self.handfast.barrier()
        client = self.dripping()

        self.apply_secret(self.client, self.ca.cert_pem + self.other_ca.cert_pem,
                          self.ca.crl() + self.other_ca.crl())
        self.handfast.barrier()

        client.assert_flows()
        self.wait_for(200)

    def test_rotated_identity_closes_idle_connections_and_lets_live_ones_live(self):
        self.serve()
        client = self.dripping()
        eventually(lambda: self.backend.open_connections() >= 1, "connections")
        second = self.ca.client("second")

        self.apply_secret(second, self.ca, self.ca.crl())
        self.handfast.barrier()
        # Not a request since: only the live one is left of the old identity.
        eventually(lambda: self.backend.open_connections() == 1, "idle ones closed", patience=5)
        client.assert_flows()

        dripper = next(c for c in self.backend.connections if c.sock.fileno() >= 0)
        dripper.finish = True
        self.assertEqual(client.wait_for_end()[0], "whole")
        # What carried the old identity isn't kept for anybody.
        eventually(lambda: dripper.sock.fileno() < 0 or self.backend.open_connections() == 0,
                   "the connection of the old identity closed", patience=10)

    def test_rotation_of_one_secret_leaves_others_alone(self):
        self.serve()
        bystander = self.bystander()
        before = self.backend.accepted

        for number in range(5):
            self.apply("unrelated", manifests.secret(
                f"{self.name}-unrelated", tls_crt=self.ca.client(f"u{number}").cert_pem))
            self.apply("by-2", manifests.ingress(f"{self.name}-x{number}", f"x.{self.host}"))
            self.handfast.barrier()
            self.assertEqual(self.get().status, 200)

        bystander.assert_flows()
        self.assertLessEqual(self.backend.accepted - before, 2)

    def test_client_certificate_that_expires_ends_live_connections(self):
        from harness.pki import from_now
        self.serve()
        short = self.ca.client("short", not_after=from_now(seconds=4))
        self.apply_secret(short, self.ca)
        self.handfast.barrier()
        client = self.dripping()

        how, _ = client.wait_for_end(patience=20)

        self.assertEqual(how, "cut")


class ResumptionCase(HandfastCase):
    """nginx, which closes each connection and says whether its handshake was resumed."""

    version = "TLSv1.3"

    def serve(self, leaf=None):
        self.leaf = leaf or self.server()
        self.client = self.ca.client("first")
        self.backend = self.use(Nginx(
            self.leaf, client_ca=self.ca.cert_pem,
            extra=f"keepalive_timeout 0; ssl_protocols {self.version};",
            location='default_type text/plain; return 200 '
                     '"reused=$ssl_session_reused subject=$ssl_client_s_dn\\n";'))
        self.apply_secret(self.client, self.ca, self.ca.crl())
        self.apply_ingress(self.backend.port)
        self.wait_for(200)

    def ask(self, times=1):
        """What nginx said each time."""
        answers = [self.get() for _ in range(times)]
        self.assertEqual([one.status for one in answers], [200] * times)
        return [one.body.decode() for one in answers]

    def handshakes(self, **labels):
        return self.handfast.metrics().value("handfast_upstream_tls_handshakes_total",
                                             service=self.name, **labels) or 0


class Resumption(ResumptionCase):
    """Sessions with backends under TLS 1.3, and what a change does to them."""

    def test_new_connections_resume_and_the_log_knows_the_peer(self):
        self.serve()

        self.assertTrue(all("reused=r" in one for one in self.ask(10)))
        self.get("/resumed")

        line = self.handfast.last_log(self.host, "/resumed")
        self.assertEqual((line["upstream_tls_resumed"], line["upstream_reused"]), (True, False))
        self.assertEqual(int(line["upstream_peer_serial"], 16), self.leaf.serial)
        self.assertTrue(line["upstream_client_certificate_requested"])
        self.assertIn("first", line["upstream_client_subject"])
        self.assertGreaterEqual(self.handshakes(resumed="true", result="ok"), 11)
        self.assertLess(self.handshakes(resumed="false"), 5)

    def test_backend_that_was_revoked_is_refused_though_there_are_sessions(self):
        self.serve()
        self.assertIn("reused=r", self.ask(4)[-1])

        self.apply_secret(self.client, self.ca, self.ca.crl([self.leaf]))

        self.assert_refused(502, "revoked")
        self.assertEqual(self.reason_now(), "revoked")

    def test_backend_of_a_removed_authority_is_refused_though_there_are_sessions(self):
        self.serve()
        self.assertIn("reused=r", self.ask(4)[-1])

        self.apply_secret(self.client, self.other_ca, self.other_ca.crl())

        self.assert_refused(502, "untrusted_issuer")

    def test_name_that_is_no_longer_expected_is_refused_though_there_are_sessions(self):
        self.serve()
        self.assertIn("reused=r", self.ask(4)[-1])

        self.apply_ingress(self.backend.port, annotations={"proxy-ssl-name": "other.example"})

        self.assert_refused(502, "name_mismatch")

    def test_newer_crl_without_news_costs_no_full_handshake(self):
        self.serve()
        self.ask(4)
        before = self.handshakes(resumed="false")

        for _ in range(5):
            self.apply_secret(self.client, self.ca, self.ca.crl([12345]))
            self.handfast.barrier()
            self.assertIn("reused=r", self.ask()[0])

        self.assertEqual(self.handshakes(resumed="false"), before)

    def test_rotated_identity_is_shown_at_once_and_never_the_old_one_again(self):
        self.serve()
        self.assertIn("reused=r", self.ask(4)[-1])

        self.apply_secret(self.ca.client("second"), self.ca, self.ca.crl())
        self.handfast.barrier()

        answers = self.ask(10)
        self.assertTrue(all("second" in one for one in answers), answers)
        self.assertIn("reused=.", answers[0])
        self.assertIn("reused=r", answers[-1])

    def test_session_ends_with_the_backends_certificate(self):
        from harness.pki import from_now
        self.serve(self.server(not_after=from_now(seconds=4)))

        self.assert_refused(502, "expired")


class ResumptionTls12(Resumption):
    version = "TLSv1.2"


class ResumptionOff(ResumptionCase):
    flags = ("--upstream-session-resumption", "off")

    def test_every_handshake_is_a_full_one(self):
        self.serve()

        self.assertTrue(all("reused=." in one for one in self.ask(10)))
        self.assertEqual(self.handshakes(resumed="true"), 0)


class Shutdown(unittest.TestCase):
    def setUp(self):
        self.gate = Gate("end")
        self.backend = Backend(handle=self.gate)
        self.addCleanup(self.backend.close)

    def start(self, *flags):
        self.handfast = Handfast(*flags)
        self.addCleanup(self.handfast.close)
        self.handfast.apply("all", manifests.ingress_class(), manifests.ingress("a", "a.test"),
                            manifests.service("a", self.backend.port))
        self.handfast.wait_for("a.test", 200)

    def test_request_in_flight_is_finished_before_the_exit(self):
        self.start()
        with self.handfast.connect() as connection:
            connection.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n")
            self.assertTrue(self.gate.arrived.wait(20))

            self.handfast.proxy.signal(signal.SIGTERM)
            eventually(lambda: self.handfast.proxy.logged(message="shutting down"), "the drain")
            self.gate.release.set()

            answer = connection.response()
            self.assertEqual(answer.body, b"end")
            self.assertTrue(connection.is_closed())
        self.assertEqual(self.handfast.proxy.wait(30), 0)

    def test_idle_clients_do_not_hold_the_exit(self):
        self.start()
        with self.handfast.connect() as connection:
            self.assertEqual(connection.request("a.test").status, 200)
            started = time.monotonic()
            self.handfast.proxy.signal(signal.SIGTERM)
            self.assertEqual(self.handfast.proxy.wait(30), 0)
            self.assertLess(time.monotonic() - started, 10)

    def test_delay_keeps_accepting_while_not_ready(self):
        self.start("--shutdown-delay", "3s")
        self.handfast.proxy.signal(signal.SIGTERM)
        eventually(lambda: not self.handfast.is_ready(), "not ready", patience=2.5)

        self.assertEqual(self.handfast.get("a.test").status, 200)
        self.assertEqual(self.handfast.proxy.wait(30), 0)

    def test_delay_says_goodbye_over_connections_that_are_open(self):
        self.start("--shutdown-delay", "3s")
        with self.handfast.connect() as asking, self.handfast.connect() as silent:
            for connection in (asking, silent):
                self.assertIsNone(connection.request("a.test").header("connection"))
            self.handfast.proxy.signal(signal.SIGTERM)
            eventually(lambda: not self.handfast.is_ready(), "not ready", patience=2.5)

            answer = asking.request("a.test")
            self.assertEqual((answer.status, answer.header("connection")), (200, "close"))
            self.assertTrue(asking.is_closed())
            self.assertEqual(silent.request("a.test").status, 200)
        self.assertEqual(self.handfast.proxy.wait(30), 0)

    def test_no_child_is_left(self):
        self.start()
        children = [self.handfast.child("handfast-proxy"),
                    self.handfast.child("handfast-controller")]
        self.handfast.proxy.signal(signal.SIGTERM)
        self.assertEqual(self.handfast.proxy.wait(30), 0)
        for pid in children:
            self.assertFalse(os.path.exists(f"/proc/{pid}"))


if __name__ == "__main__":
    unittest.main()
