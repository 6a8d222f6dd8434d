"""TCP services and TLS that passes through: what the ConfigMap says, the same TLS to backends as for
HTTP, both directions ending apart, ports that come and go, and a ClientHello in any pieces."""

import contextlib
import hashlib
import os
import random
import socket
import ssl
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, manifests  # noqa: E402
from harness.backends import Backend, closed_port  # noqa: E402
from harness.handfast import BIN, Handfast, free_port, run_lint  # noqa: E402
from harness.processes import Process  # noqa: E402
from harness.tcp_case import SERVICES, TcpCase, echo, end, end_of_ours, is_open  # noqa: E402
from harness.waiting import eventually  # noqa: E402

LARGE = random.Random(7).randbytes(3 * 1024 * 1024)


def run_tool(*arguments):
    process = Process([BIN / "handfast", *arguments])
    code = process.wait(60)
    text = process.out.text() + process.err.text()
    process.kill()
    return code, text


def client_hello(server_name, **options):
    """The first flight of a TLS client that isn't ours, and the objects to go on with."""
    context = clients.any_client_context(**options)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read(), tls, incoming, outgoing


def in_records(flight, size):
    """The same ClientHello in records of at most `size` bytes."""
    message = flight[5:]
    records = b""
    for at in range(0, len(message), size):
        piece = message[at:at + size]
        records += flight[:3] + len(piece).to_bytes(2, "big") + piece
    return records


class Plain(TcpCase):
    def test_bytes_go_both_ways_and_are_told(self):
        self.serve()

        self.assertEqual(self.exchange(LARGE), LARGE)

        line = self.last_line()
        self.assertEqual((line["protocol"], line["scheme"], line["status"]), ("TCP", "tcp", 200))
        self.assertEqual((line["request_bytes"], line["response_bytes"]), (len(LARGE),) * 2)
        self.assertEqual(line["service"], f"shop/{self.name}:443")
        self.assertNotIn("upstream_tls_error", line)
        self.assertEqual(self.metric("handfast_tcp_connections_total", status="200"), 1)
        self.assertEqual(self.metric("handfast_tcp_bytes_total", direction="sent"), len(LARGE))

    def test_service_port_by_name(self):
        self.serve(f"shop/{self.name}:main")

        self.assertEqual(self.exchange(), b"hello")

    def test_backend_that_speaks_first_is_heard(self):
        def greet(connection):
            connection.send(b"220 ready\r\n")
            echo(connection)

        self.serve(on_connection=greet)

        self.assertEqual(self.dial().line(), b"220 ready")

    def test_client_that_ended_its_side_still_gets_all(self):
        asked = threading.Event()

        def answer_at_the_end(connection):
            data = connection.rest()
            asked.set()
            connection.send(hashlib.sha256(data).hexdigest().encode() + LARGE)

        self.serve(on_connection=answer_at_the_end)

        answer = self.exchange(LARGE)

        self.assertTrue(asked.is_set())
        self.assertEqual(answer[:64].decode(), hashlib.sha256(LARGE).hexdigest())
        self.assertEqual(answer[64:], LARGE)

    def test_backend_that_ended_its_side_still_gets_all(self):
        got = []

        def end_first(connection):
            connection.send(b"go on")
            connection.sock.shutdown(socket.SHUT_WR)
            got.append(connection.rest())

        self.serve(on_connection=end_first)
        connection = self.dial()

        self.assertEqual(connection.rest(), b"go on")
        connection.send(LARGE)
        connection.close()

        self.assertTrue(eventually(lambda: got, "the backend's end") and got[0] == LARGE)

    def test_backend_that_breaks_off_resets_the_client(self):
        def break_off(connection):
            connection.take(5)
            connection.send(b"part")
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       b"\1\0\0\0\0\0\0\0")

        self.serve(on_connection=break_off)
        connection = self.dial()
        connection.send(b"hello")

        with self.assertRaises(ConnectionResetError):
            while connection.sock.recv(100):
                pass
        self.assertTrue(self.last_line()["response_cut"])

    def test_client_that_goes_resets_the_backend(self):
        ended, asked = [], threading.Event()

        def wait(connection):
            connection.take(5)
            asked.set()
            try:
                ended.append(connection.sock.recv(100))
            except ConnectionResetError as error:
                ended.append(error)

        self.serve(on_connection=wait)
        connection = self.dial()
        connection.send(b"hello")
        self.assertTrue(asked.wait(20))
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

        eventually(lambda: ended, "the backend's end")
        self.assertIsInstance(ended[0], ConnectionResetError)

    def test_slow_reader_slows_its_sender(self):
        sent = []

        def pour(connection):
            connection.sock.settimeout(1)
            with contextlib.suppress(TimeoutError):
                while True:
                    sent.append(connection.sock.send(b"x" * 65536))

        self.serve(on_connection=pour)
        self.dial(receive_buffer=4096)

        time_before = time.monotonic()
        eventually(lambda: sent and time.monotonic() - time_before > 2 and sum(sent), "a stand")
        self.assertLess(sum(sent), 24 * 1024 * 1024)

    def test_refused_endpoint_is_left_for_the_next(self):
        gone, port = closed_port()
        self.addCleanup(gone.close)
        backend = self.use(Backend(on_connection=echo))
        self.apply("service", manifests.service(self.name, port, backend.port))
        self.open_port()

        for _ in range(8):
            self.assertEqual(self.exchange(), b"hello")
        eventually(lambda: any(line["upstream_tries"] == 2 for line in self.lines()),
                   "a connection that took two tries", patience=10)

    def test_no_endpoint_no_service_no_port_close(self):
        self.apply("service", manifests.service(self.name))
        self.open_port()
        self.assert_closed("no_endpoints")

        self.delete("service")
        self.handfast.barrier()
        self.assertTrue(self.dial().is_closed())
        self.assertEqual(self.last_line(2)["upstream_tls_error"], "service_missing")

        self.apply("service", manifests.service(self.name, port=80))
        self.handfast.barrier()
        self.assertTrue(self.dial().is_closed())
        self.assertEqual(self.last_line(3)["upstream_tls_error"], "port_missing")


class ProxyHeaders(TcpCase):
    def test_first_word_expects_one(self):
        self.serve(f"shop/{self.name}:443:PROXY")

        self.assertEqual(self.exchange(b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 9000\r\nhello"),
                         b"hello")
        self.assertEqual(self.last_line()["client"], "192.0.2.7")

        other = self.dial()
        other.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(other.is_closed())

    def test_second_word_sends_one(self):
        self.serve(f"shop/{self.name}:443::PROXY")
        connection = self.dial()
        own = connection.sock.getsockname()[1]
        connection.send(b"hello")

        self.assertEqual(connection.line().decode(),
                         f"PROXY TCP4 127.0.0.1 127.0.0.1 {own} {self.port}")
        self.assertEqual(connection.take(5), b"hello")

    def test_both_hand_on_what_was_told(self):
        self.serve(f"shop/{self.name}:443:proxy:Proxy")

        for header in (b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 9000\r\n",
                       b"PROXY TCP6 2001:db8::7 2001:db8::1 1234 9000\r\n"):
            self.assertEqual(self.exchange(header + b"hello"), header + b"hello")

    def test_header_goes_before_tls(self):
        seen = []

        def on_accept(sock):
            line = b""
            while not line.endswith(b"\r\n"):
                line += sock.recv(1)
            seen.append(line)
            with server.wrap_socket(sock, server_side=True) as tls:
                tls.sendall(tls.recv(100))

        from harness.backends import server_context
        server = server_context(self.server())
        self.serve(f"shop/{self.name}:443::PROXY", on_accept=on_accept)
        self.apply_policy()
        self.handfast.barrier()

        connection = self.dial()
        connection.send(b"hello")

        self.assertEqual(connection.take(5), b"hello")
        self.assertTrue(seen[0].startswith(b"PROXY TCP4 127.0.0.1"))


class Tls(TcpCase):
    def serve_tls(self, leaf=None, **options):
        self.client = self.ca.client(f"client-of-{self.name}")
        self.apply_secret(self.client)
        self.apply_policy(client=f"{self.name}-tls", **options)
        return self.serve(leaf=leaf or self.server(), client_ca=self.ca.cert_pem)

    def test_policy_makes_it_mutual_tls(self):
        backend = self.serve_tls()

        self.assertEqual(self.exchange(LARGE), LARGE)

        self.assertIn(f"client-of-{self.name}", backend.connections[0].client_name)
        line = self.last_line()
        self.assertEqual(line["upstream_tls_version"], "TLSv1.3")
        self.assertIn(self.name, line["upstream_peer_subject"])

    def test_halves_end_apart_over_tls(self):
        def answer_at_the_end(connection):
            data = connection.rest()
            connection.send(hashlib.sha256(data).hexdigest().encode())
            end(connection.sock)

        self.apply_policy()
        self.serve(leaf=self.server(), on_connection=answer_at_the_end)

        self.assertEqual(self.exchange(LARGE).decode(), hashlib.sha256(LARGE).hexdigest())

    def test_wrong_name_gets_nothing(self):
        backend = self.serve_tls(self.ca.server("other.shop.svc"))

        self.assert_closed("name_mismatch")

        self.assertEqual(backend.connections, [])
        self.assertEqual(self.last_line()["status"], 502)

    def test_tool_verifies_the_backend_of_a_port(self):
        self.serve_tls(self.ca.server("other.shop.svc"))

        code, text = run_tool("verify", f"shop/{self.name}", "--manifests",
                              self.handfast.manifests.folder, *self.flags)

        self.assertEqual(code, 1, text)
        self.assertIn("name_mismatch", text)

    def test_refused_policy_closes_and_is_never_plain(self):
        backend = self.serve()
        self.assertEqual(self.exchange(), b"hello")
        self.apply("policy", manifests.upstream_tls_policy(
            self.name, self.name, ca=[manifests.material_ref("ConfigMap", "nowhere")]))
        self.handfast.barrier()
        accepted = backend.accepted

        self.assertTrue(self.dial().is_closed())

        self.assertEqual(self.last_line(2)["upstream_tls_error"], "ca_missing")
        self.assertEqual(backend.accepted, accepted)

    def test_revocation_closes_the_live_connection_and_no_other(self):
        revoked, kept = self.server(), self.ca.server("kept.shop.svc")
        self.apply("crl", manifests.config_map(f"{self.name}-crl", ca_crl=self.ca.crl()))
        crl = {"revocation": {"crlRefs": [
            manifests.material_ref("ConfigMap", f"{self.name}-crl")]}}
        self.apply_policy(validation={**crl, "subjectAltNames": [
            {"type": "Hostname", "hostname": f"{self.name}.shop.svc"},
            {"type": "Hostname", "hostname": "kept.shop.svc"}]})
        bad = self.use(Backend(revoked, on_connection=echo))
        good = self.use(Backend(kept, on_connection=echo))
        self.apply("service", manifests.service(self.name, bad.port, good.port))
        self.open_port()
        open_now = []
        for _ in range(8):
            open_now.append(self.dial())
            self.assertTrue(is_open(open_now[-1]))
        self.assertTrue(bad.connections and good.connections)

        self.apply("crl", manifests.config_map(f"{self.name}-crl", ca_crl=self.ca.crl([revoked])))
        self.handfast.barrier()
        began = time.monotonic()

        def count_closed():
            return sum(1 for line in self.lines() if line.get("upstream_tls_error") == "revoked")

        eventually(lambda: count_closed() == len(bad.connections), "the revoked ones closed",
                   patience=5)
        self.assertLess(time.monotonic() - began, 2)
        left = 0
        for connection in open_now:
            with contextlib.suppress(OSError, EOFError):
                left += is_open(connection)
        self.assertEqual(left, len(good.connections))

    def test_backend_that_refuses_our_certificate(self):
        self.apply_secret(self.other_ca.client("stranger"))
        self.apply_policy(client=f"{self.name}-tls")
        self.serve(leaf=self.server(), client_ca=self.ca.cert_pem)
        connection = self.dial()
        connection.send(b"hello")

        self.assertTrue(connection.is_closed())
        self.assertEqual(self.last_line()["upstream_tls_error"], "client_certificate_rejected")

    def test_tls_ends_at_the_port_by_the_secret_that_it_names(self):
        front = self.ca.server("front.example")
        self.apply("front", manifests.secret(f"{self.name}-front", tls_crt=front.chain_pem,
                                             tls_key=front.key_pem))
        self.serve(f"shop/{self.name}:443:TLS=shop/{self.name}-front")
        context = clients.any_client_context()
        context.set_alpn_protocols(["postgresql"])

        connection = self.dial(tls=context, server_name="whatever.example")
        connection.send(LARGE[:200000])

        self.assertEqual(connection.take(200000), LARGE[:200000])
        self.assertEqual(connection.sock.getpeercert(binary_form=True),
                         ssl.PEM_cert_to_DER_cert(front.cert_pem))
        self.assertIsNone(connection.sock.selected_alpn_protocol())
        end_of_ours(connection)
        self.assertEqual(connection.rest(), b"")
        self.assertEqual(self.last_line()["scheme"], "tls")
        # Not in plain.
        self.assertEqual(self.exchange(b"hello\r\n\r\n")[:1] in (b"", b"\x15"), True)

    def test_front_certificate_that_is_missing_closes(self):
        backend = self.serve(f"shop/{self.name}:443:TLS=shop/nowhere")

        self.assert_closed("secret_missing")
        self.assertEqual(backend.accepted, 0)

    def test_operators_floor_holds(self):
        with contextlib.closing(Handfast("--tcp-services-configmap", SERVICES,
                                         "--minimum-upstream-tls", "server")) as handfast:
            backend = self.use(Backend(on_connection=echo))
            handfast.apply("class", manifests.ingress_class())
            handfast.apply("all", manifests.service("plain", backend.port), {
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": manifests.metadata("tcp-services", "shop"),
                "data": {str(self.port): "shop/plain:443"}})
            handfast.barrier()

            self.assertTrue(self.dial().is_closed())
            self.assertEqual(backend.accepted, 0)


class Ports(TcpCase):
    def test_ports_come_and_go_and_drop_nobody(self):
        self.serve()
        other = free_port()
        self.open_port(port=other)
        first, second = self.dial(), self.dial(port=other)
        self.assertTrue(is_open(first) and is_open(second))

        self.close_port(other)
        self.handfast.barrier()

        with self.assertRaises(ConnectionRefusedError):
            self.dial(port=other)
        self.assertTrue(is_open(first) and is_open(second))
        self.open_port(port=other)
        self.assertTrue(is_open(self.dial(port=other)) and is_open(second))

    def test_bad_entries_are_told_and_hurt_no_other(self):
        self.serve()
        bad = {"http": "a/b:1", "0": "a/b:1", "09000": "a/b:1", "70000": "a/b:1", "9001": "b:1",
               "9002": "a/b", "9003": "a/b:1:PROXI", "9004": "a/b:1:PROXY:PROXY:PROXY",
               "9005": "a/b:0", "9006": "a/b:1:TLS=x", "9007": "", "8080": "a/b:1"}
        self.entries.update(bad)
        self.apply_entries()
        try:
            self.handfast.barrier()
            self.assertEqual(self.exchange(), b"hello")

            code, text = run_lint(self.handfast.manifests.folder, flags=self.flags)

            self.assertEqual(code, 1)
            for key in bad:
                self.assertIn(f"data[{key}]", text)
        finally:
            for key in bad:
                del self.entries[key]
            self.apply_entries()

    def test_our_own_ports_and_those_of_others_are_not_taken(self):
        self.serve()
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        for port in (self.handfast.http[1], self.handfast.metrics_address[1],
                     taken.getsockname()[1]):
            self.open_port(port=port)

        self.assertEqual(self.exchange(), b"hello")
        self.assertEqual(self.handfast.metrics().value("handfast_tcp_ports_failed"), 3)
        taken.close()
        eventually(lambda: self.handfast.metrics().value("handfast_tcp_ports_failed") == 2,
                   "the port that was taken")

    def test_config_map_that_goes_closes_its_ports(self):
        self.serve()
        connection = self.dial()
        self.assertTrue(is_open(connection))

        self.handfast.delete("tcp-services")
        self.handfast.barrier()

        with self.assertRaises(ConnectionRefusedError):
            self.dial()
        self.assertTrue(is_open(connection))


class Idle(TcpCase):
    flags = (*TcpCase.flags, "--proxy-stream-timeout", "1s")

    def test_silence_ends_a_connection_and_a_byte_keeps_it(self):
        self.serve()
        connection = self.dial()
        for _ in range(5):
            time.sleep(0.4)  # the limit is about time
            self.assertTrue(is_open(connection))

        self.assertTrue(connection.is_closed(within=10))


class Passthrough(TcpCase):
    controller_flags = (*TcpCase.flags, "--enable-ssl-passthrough")
    flags = (*controller_flags, "--proxy-protocol-from", "127.0.0.9")

    def pass_through(self, leaf=None, annotations=None, **options):
        self.leaf = leaf or self.ca.server(self.host)
        backend = self.use(Backend(self.leaf, on_connection=echo))
        self.apply_ingress(backend.port, protocol=None, secret=False,
                           annotations={"ssl-passthrough": "true", **(annotations or {})},
                           **options)
        self.handfast.barrier()
        return backend

    def secure(self, host=None, **options):
        connection = self.handfast.connect(tls=options.pop("tls", True),
                                           server_name=host or self.host, **options)
        self.addCleanup(connection.close)
        return connection

    def test_tls_ends_at_the_service(self):
        backend = self.pass_through()

        connection = self.secure()
        connection.send(LARGE)

        self.assertEqual(connection.take(len(LARGE)), LARGE)
        self.assertEqual(connection.sock.getpeercert(binary_form=True),
                         ssl.PEM_cert_to_DER_cert(self.leaf.cert_pem))
        self.assertEqual(backend.connections[0].server_name, self.host)
        connection.close()
        line = self.handfast.last_log(self.host)
        self.assertEqual((line["protocol"], line["scheme"]), ("TCP", "passthrough"))
        self.assertEqual(line["ingress"], self.name)

    def test_client_hello_in_pieces_and_records(self):
        self.pass_through()
        for record, piece in ((16384, 1), (1, 7), (100, 3), (16384, 100)):
            flight, tls, incoming, outgoing = client_hello(self.host.upper())
            connection = self.handfast.connect()
            connection.close()
            connection = clients.RawConnection(self.handfast.https)
            self.addCleanup(connection.close)
            records = in_records(flight, record)
            for at in range(0, len(records), piece):
                connection.send(records[at:at + piece])
            while True:
                connection.buffer = b""
                self.assertTrue(connection.fill())
                incoming.write(connection.buffer)
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    pass
            connection.send(outgoing.read())
            self.assertEqual(tls.getpeercert(binary_form=True),
                             ssl.PEM_cert_to_DER_cert(self.leaf.cert_pem))

    def test_other_hosts_and_no_name_are_ended_here(self):
        self.pass_through()
        backend = self.use(Backend())
        other = f"other-{self.host}"
        self.apply("other", manifests.ingress(f"{self.name}-o", other, service=f"{self.name}-o"),
                   manifests.service(f"{self.name}-o", backend.port))
        self.handfast.barrier()

        self.assertEqual(self.handfast.get(other, tls=True).status, 200)
        with self.handfast.connect(tls=True) as nameless:
            self.assertEqual(nameless.request(other).status, 200)
        with self.handfast.connect() as plain:
            self.assertEqual(plain.request(other).status, 200)

    def test_its_requests_are_not_served_here(self):
        self.pass_through()

        with self.handfast.connect(tls=True, server_name="elsewhere.test") as connection:
            self.assertEqual(connection.request(self.host).status, 421)
        redirected = self.get("/path")
        self.assertEqual(redirected.status, 308)
        self.assertEqual(redirected.header("location"), f"https://{self.host}/path")

    def test_tool_tells_of_it(self):
        self.pass_through()

        code, text = run_tool("explain", f"{self.host}/any", "--manifests",
                              self.handfast.manifests.folder, *self.controller_flags)

        self.assertEqual(code, 0, text)
        self.assertIn("the Service's own: TLS passes through", text)
        self.assertIn(f"shop/{self.name}", text)

    def test_proxy_header_in_front_of_it(self):
        self.pass_through()

        connection = self.secure(source="127.0.0.9",
                                 preamble=b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n")
        self.assertTrue(is_open(connection))
        connection.close()

        self.assertEqual(self.handfast.last_log(self.host)["client"], "192.0.2.7")

    def test_first_ingress_decides_and_the_other_is_told(self):
        self.pass_through()
        backend = self.use(Backend())
        self.apply("later", manifests.ingress(f"{self.name}-later", self.host, path="/api",
                                              service=f"{self.name}-later",
                                              creationTimestamp="2026-02-01T00:00:00Z"),
                   manifests.service(f"{self.name}-later", backend.port))
        self.handfast.barrier()

        self.assertTrue(is_open(self.secure()))
        text = run_lint(self.handfast.manifests.folder, flags=self.controller_flags)[1]
        self.assertIn(f"{self.name}-later", text)
        self.assertIn("passes through", text)

    def test_annotations_that_cant_hold_are_told(self):
        self.pass_through(annotations={"backend-protocol": "HTTPS",
                                       "proxy-ssl-secret": "shop/none"})
        self.assertTrue(is_open(self.secure()))
        text = run_lint(self.handfast.manifests.folder, flags=self.controller_flags)[1]
        self.assertIn("With ssl-passthrough it has no effect", text)

        self.apply_ingress(1, protocol=None, annotations={
            "ssl-passthrough": "true", "auth-tls-secret": "shop/none"}, secret=False)
        self.handfast.barrier()
        with self.assertRaises((ssl.SSLError, OSError)):
            self.secure()

    def test_without_path_root_it_closes(self):
        self.pass_through(path="/api")

        with self.assertRaises((ssl.SSLError, OSError)):
            self.secure()

    def test_client_that_sends_half_a_hello_is_let_go(self):
        self.pass_through()
        flight = client_hello(self.host)[0]
        connection = clients.RawConnection(self.handfast.https)
        self.addCleanup(connection.close)
        connection.send(flight[:len(flight) // 2])
        connection.sock.shutdown(socket.SHUT_WR)

        self.assertNotIn(b"\x16", connection.rest()[:1])


class WithoutTheFlag(TcpCase):
    flags = ()

    def test_annotation_refuses_the_ingress(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None, secret=False,
                           annotations={"ssl-passthrough": "true"})

        self.assert_refused(503, "unsupported_annotation")


class Draining(unittest.TestCase):
    def test_open_connections_finish_and_new_ones_end(self):
        port = free_port()
        with Backend(on_connection=echo) as backend:
            handfast = Handfast("--tcp-services-configmap", SERVICES, "--drain-timeout", "20s")
            handfast.apply("class", manifests.ingress_class())
            handfast.apply("all", manifests.service("s", backend.port), {
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": manifests.metadata("tcp-services", "shop"),
                "data": {str(port): "shop/s:443"}})
            handfast.barrier()
            with clients.RawConnection(("127.0.0.1", port)) as connection:
                self.assertTrue(is_open(connection))
                stopping = threading.Thread(target=handfast.close)
                stopping.start()
                for _ in range(3):
                    time.sleep(0.1)
                    self.assertTrue(is_open(connection))
                connection.sock.shutdown(socket.SHUT_WR)
                self.assertEqual(connection.rest(), b"")
            stopping.join(30)
            self.assertFalse(stopping.is_alive())


if __name__ == "__main__":
    unittest.main()
