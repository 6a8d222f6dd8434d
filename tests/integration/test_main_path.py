"""The main job, step by step: from manifests to a verified, mutually authenticated backend, and
the changes of its Secret that take effect without dropping a connection."""

import os
import socket
import ssl
import sys
import unittest
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, manifests  # noqa: E402
from harness.backends import Backend, Nginx, OpensslServer  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import Handfast  # noqa: E402
from harness.load_runner import Load  # noqa: E402
from harness.waiting import eventually  # noqa: E402


class MainPath(HandfastCase):
    def start_route(self, backend_type=Backend, **options):
        """A backend that demands a client certificate, and the route to it."""
        self.client = self.ca.client("handfast-1")
        self.leaf = self.server()
        self.backend = self.use(backend_type(self.leaf, client_ca=self.ca.cert_pem, **options))
        self.apply_secret(self.client, self.ca, self.ca.crl())
        self.apply_ingress(self.backend.port)

    def test_backend_sees_the_subject_and_serial_of_our_certificate(self):
        self.start_route()

        answer = self.wait_for(200).json()

        self.assertIn("CN=handfast-1", answer["client"])
        self.assertEqual(answer["serial"], str(self.client.serial))
        self.assertEqual(answer["sni"], f"{self.name}.shop.svc")
        self.assertEqual(answer["tls"], "TLSv1.3")

    def test_same_over_openssl_s_server(self):
        self.start_route(OpensslServer)

        answer = self.wait_for(200, text="handfast-1")

        self.assertIn(b"s_server", answer.body)

    def test_same_over_nginx(self):
        self.start_route(Nginx)

        answer = self.wait_for(200, text="CN=handfast-1")

        self.assertIn(f"serial={self.client.serial:X}", answer.body.decode().upper().replace(
            "SERIAL=", "serial=").replace("serial=0", "serial="))
        self.assertIn(f"sni={self.name}.shop.svc", answer.body.decode())

    def test_backend_refuses_whoever_shows_no_certificate(self):
        # The premise of the others: the backends do demand a certificate.
        self.start_route(Nginx)

        with clients.RawConnection(("127.0.0.1", self.backend.port), tls=True) as direct:
            answer = direct.request("direct")

        self.assertEqual(answer.status, 400)

    def test_rotated_client_certificate_is_presented_without_one_failed_request(self):
        self.start_route(Nginx)
        self.wait_for(200)
        second = self.ca.client("handfast-2")

        with Load(self.handfast.http, self.host, clients=4, rate=400) as load:
            self.apply_secret(second, self.ca, self.ca.crl())
            self.wait_for(200, text="CN=handfast-2")
            seen = load.stop()

        self.assertEqual(seen["failures"], [])
        serials = {int(span[2], 16) for span in seen["spans"]}
        self.assertEqual(serials, {self.client.serial, second.serial})

    def test_revocation_of_the_backend_answers_502_and_says_revoked(self):
        self.start_route()
        self.wait_for(200)

        self.apply_secret(self.client, self.ca, self.ca.crl([self.leaf]))
        answer = self.wait_for(502)
        self.get("/revoked")

        line = self.handfast.last_log(self.host, "/revoked")
        self.assertEqual(line["status"], 502)
        self.assertEqual(line["upstream_tls_error"], "revoked")
        self.assertNotIn(b"revoked", answer.body)  # the client is told the status and nothing else
        handshakes = self.handfast.metrics().value("handfast_upstream_tls_handshakes_total",
                                                   service=self.name, reason="revoked")
        self.assertGreaterEqual(handshakes, 1)

    def test_new_certificate_of_a_revoked_backend_is_accepted(self):
        self.start_route()
        self.apply_secret(self.client, self.ca, self.ca.crl([self.leaf]))
        self.wait_for(502)

        self.backend.show(self.server())

        self.wait_for(200)

    def test_ca_taken_out_answers_503_and_put_back_answers_200(self):
        self.start_route()
        self.wait_for(200)

        self.apply_secret(self.client, None, self.ca.crl())
        self.assert_refused(503, "ca_missing")
        before = len(self.backend.seen)
        self.get()
        self.assertEqual(len(self.backend.seen), before)

        self.apply_secret(self.client, self.ca, self.ca.crl())
        self.wait_for(200)

    def test_plain_http_backend_is_served_without_tls(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol="HTTP")

        answer = self.wait_for(200).json()

        self.assertIsNone(answer["tls"])

    def test_metrics_tell_expiry_of_what_is_in_use(self):
        self.start_route()
        self.wait_for(200)

        def check():
            metrics = self.handfast.metrics()
            labels = {"namespace": "shop", "secret": f"{self.name}-tls"}
            return (metrics.value("handfast_client_certificate_not_after_seconds", **labels),
                    metrics.value("handfast_ca_not_after_seconds", **labels),
                    metrics.value("handfast_crl_next_update_seconds", **labels))

        certificate, ca, crl = eventually(lambda: (lambda v: None not in v and v)(check()),
                                          "expiry metrics")
        self.assertEqual(certificate, self.client.not_after)
        self.assertGreater(ca, certificate)
        self.assertLess(crl, certificate)

    def test_metrics_have_the_names_that_others_build_on(self):
        self.start_route()
        self.wait_for(200)

        metrics = self.handfast.metrics()

        self.assertGreaterEqual(metrics.value("handfast_requests_total", host=self.host,
                                              ingress=self.name, namespace="shop",
                                              service=self.name, method="GET", status="200"), 1)
        self.assertGreaterEqual(metrics.value("handfast_request_duration_seconds_count",
                                              host=self.host), 1)
        self.assertGreaterEqual(metrics.value("handfast_upstream_tls_handshakes_total",
                                              namespace="shop", service=self.name,
                                              result="ok"), 1)
        for name in ("handfast_upstream_connections", "handfast_generation",
                     "handfast_generation_loads_total"):
            self.assertIsNotNone(metrics.value(name), name)

    def test_many_scrapes_at_once_keep_nobody_else_waiting(self):
        address = self.handfast.metrics_address
        for _ in range(300):
            asking = socket.create_connection(address, timeout=20)
            self.addCleanup(asking.close)
            asking.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")

        self.assertTrue(self.handfast.is_ready())
        self.assertIsNotNone(self.handfast.metrics().value("handfast_generation_loads_total"))
        self.assertRegex(asking.recv(1000), rb"^HTTP/1.1 (200|503) ")
        self.assertEqual(clients.fetch(address, "x", "/metrics", "POST", body=b"x").status, 413)

    def test_series_of_a_deleted_ingress_disappear(self):
        self.start_route()
        self.wait_for(200)
        self.assertIsNotNone(self.handfast.metrics().value("handfast_requests_total",
                                                           host=self.host))

        self.delete("ingress")
        self.wait_for(404)

        eventually(lambda: self.handfast.metrics().value("handfast_requests_total",
                                                         host=self.host) is None, "no series")

    def test_access_log_has_both_sides(self):
        self.start_route()
        self.wait_for(200)
        self.get("/both?a=b", headers=[("User-Agent", "probe")])

        line = self.handfast.last_log(self.host, "/both?a=b")

        self.assertEqual(line["status"], 200)
        self.assertEqual(line["method"], "GET")
        self.assertEqual((line["namespace"], line["ingress"]), ("shop", self.name))
        self.assertIn(self.name, line["service"])
        self.assertEqual(line["user_agent"], "probe")
        self.assertEqual(line["upstream"], f"{self.handfast.endpoint_host}:{self.backend.port}")
        self.assertEqual(line["upstream_tls_version"], "TLSv1.3")
        self.assertIn("handfast-1", line["upstream_client_subject"])
        self.assertNotIn("upstream_tls_error", line)

    def test_access_log_is_off_where_the_annotation_says_so(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None,
                           annotations={"enable-access-log": "false"})
        self.wait_for(200)

        self.get("/unlogged")
        self.handfast.get("another.test", f"/{self.name}")
        self.handfast.last_log("another.test", f"/{self.name}")

        self.assertEqual(self.handfast.access_log(self.host, "/unlogged"), [])


class Front(HandfastCase):
    """spec.tls by SNI, the default certificate, redirects."""

    def start_route(self, **options):
        self.backend = self.use(Backend())
        self.apply_ingress(self.backend.port, protocol=None,
                           tls=[{"hosts": [self.host], "secretName": f"{self.name}-tls"}],
                           **options)

    def shown(self, host=None):
        return clients.shown_certificate(self.handfast.https, host or self.host)

    def wait_for_certificate(self, serial, host=None):
        eventually(lambda: all(self.shown(host).serial_number == serial for _ in range(8)),
                   f"the certificate of {host or self.host}")

    def test_certificate_of_spec_tls_is_shown_by_server_name(self):
        front = self.ca.server(self.host)
        self.apply_secret(front)
        self.start_route()

        self.wait_for_certificate(front.serial)
        answer = self.handfast.wait_for(self.host, 200, tls=True).json()

        headers = {name.lower(): value for name, value in answer["headers"]}
        self.assertEqual(headers["x-forwarded-proto"], "https")
        self.assertEqual(headers["x-forwarded-port"], "443")

    def test_other_names_get_the_default_certificate(self):
        front = self.ca.server(self.host)
        self.apply_secret(front)
        self.start_route()
        self.wait_for_certificate(front.serial)

        other = self.shown("nobody.test")

        self.assertNotEqual(other.serial_number, front.serial)
        self.assertIn("Handfast", other.subject.rfc4514_string() + other.issuer.rfc4514_string())

    def test_client_without_server_name_gets_the_default_certificate(self):
        self.start_route()
        self.handfast.barrier()

        with self.handfast.connect(tls=True) as connection:
            answer = connection.request("nowhere.test")

        self.assertEqual(answer.status, 404)

    def test_plain_request_to_a_host_with_tls_is_redirected(self):
        self.apply_secret(self.ca.server(self.host))
        self.start_route()

        answer = self.wait_for(308, target="/a/b?c=d")

        self.assertEqual(answer.header("location"), f"https://{self.host}/a/b?c=d")
        self.assertEqual(self.backend.seen, [])

    def test_redirect_names_the_public_port_and_keeps_no_listener_port(self):
        self.apply_secret(self.ca.server(self.host))
        self.start_route()
        self.wait_for(308)

        with self.handfast.connect() as connection:
            answer = connection.request(f"{self.host}:8080", "/x")

        self.assertEqual(answer.header("location"), f"https://{self.host}/x")

    def test_ssl_redirect_false_serves_plain_requests(self):
        self.apply_secret(self.ca.server(self.host))
        self.start_route(annotations={"ssl-redirect": "false"})

        self.wait_for(200)

    def test_force_ssl_redirect_works_without_tls_on_the_host(self):
        self.backend = self.use(Backend())
        self.apply_ingress(self.backend.port, protocol=None,
                           annotations={"force-ssl-redirect": "true"})

        self.wait_for(308)
        self.handfast.wait_for(self.host, 200, tls=True)

    def test_tls_1_2_and_1_3_are_served_and_nothing_older(self):
        self.apply_secret(self.ca.server(self.host))
        self.start_route()
        self.handfast.wait_for(self.host, 200, tls=True)

        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
                              (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            context = clients.any_client_context(minimum_version=version, maximum_version=version)
            with self.handfast.connect(tls=context, server_name=self.host) as connection:
                self.assertEqual(connection.sock.version(), name)
                self.assertEqual(connection.request(self.host).status, 200)
        warnings.simplefilter("ignore", DeprecationWarning)
        old = clients.any_client_context()
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, OSError)):
            self.handfast.connect(tls=old, server_name=self.host).close()

    def test_wildcard_host_matches_exactly_one_label(self):
        self.backend = self.use(Backend())
        self.host = f"*.{self.name}.test"
        self.apply_ingress(self.backend.port, protocol=None)

        self.handfast.wait_for(f"a.{self.name}.test", 200)

        self.assertEqual(self.handfast.get(f"a.b.{self.name}.test").status, 404)
        self.assertEqual(self.handfast.get(f"{self.name}.test").status, 404)


class Routing(HandfastCase):
    def test_prefix_matches_by_element_and_exact_only_itself(self):
        whole, part, exact = (self.use(Backend()) for _ in range(3))
        self.apply("ingress",
                   manifests.ingress(self.name, self.host, paths=[
                       ("/", "Prefix", f"{self.name}-whole", 443),
                       ("/part", "Prefix", f"{self.name}-part", 443),
                       ("/part/exact", "Exact", f"{self.name}-exact", "main")]),
                   manifests.service(f"{self.name}-whole", whole.port),
                   manifests.service(f"{self.name}-part", part.port),
                   manifests.service(f"{self.name}-exact", exact.port))
        self.wait_for(200)

        for target in ("/", "/parting", "/Part", "/part", "/part/", "/part/x", "/part/exact",
                       "/part/exact/", "/part/exact?q", "/part/exactly"):
            self.get(target)

        self.assertEqual([one.target for one in part.seen],
                         ["/part", "/part/", "/part/x", "/part/exact/", "/part/exactly"])
        self.assertEqual([one.target for one in exact.seen], ["/part/exact", "/part/exact?q"])
        self.assertEqual({one.target for one in whole.seen}, {"/", "/parting", "/Part"})

    def test_requests_go_round_the_ready_endpoints(self):
        first, second = self.use(Backend()), self.use(Backend())
        sleeping = self.use(Backend())
        self.apply_ingress(first.port, second.port, protocol=None)
        self.apply("more", manifests.endpoint_slice(f"{self.name}-more", self.name, sleeping.port,
                                                    conditions={"ready": False}))
        self.wait_for(200)
        self.handfast.barrier()

        for _ in range(20):
            self.assertEqual(self.get("/counted").status, 200)

        counts = [sum(one.target == "/counted" for one in backend.seen)
                  for backend in (first, second, sleeping)]
        self.assertEqual(sum(counts), 20)
        self.assertGreaterEqual(min(counts[:2]), 8)
        self.assertEqual(counts[2], 0)

    def test_hostless_rule_and_default_backend_take_what_nobody_else_does(self):
        backend = self.use(Backend())
        self.assertEqual(self.get().status, 404)
        self.apply("ingress",
                   {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                    "metadata": manifests.metadata(self.name, "shop"),
                    "spec": {"ingressClassName": "handfast", "defaultBackend": {
                        "service": {"name": self.name, "port": {"name": "main"}}}}},
                   manifests.service(self.name, backend.port))

        self.wait_for(200)

        self.delete("ingress")
        self.wait_for(404)

    def test_missing_service_port_and_endpoints_answer_503_with_their_word(self):
        backend = self.use(Backend())
        self.apply("ingress", manifests.ingress(self.name, self.host, paths=[
            ("/nobody", "Prefix", f"{self.name}-nobody", 443),
            ("/port", "Prefix", self.name, 444),
            ("/name", "Prefix", self.name, "nobodys"),
            ("/idle", "Prefix", f"{self.name}-idle", 443),
            ("/", "Prefix", self.name, 443)]),
            manifests.service(self.name, backend.port), manifests.service(f"{self.name}-idle"))
        self.wait_for(200)

        for target, word in (("/nobody", "service_missing"), ("/port", "port_missing"),
                             ("/name", "port_missing"), ("/idle", "no_endpoints")):
            with self.subTest(target=target):
                self.assertEqual(self.get(target).status, 503)
                self.assertEqual(self.handfast.reason(self.host, target), word)

    def test_ingress_of_another_class_is_not_served(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None, class_name="nginx")
        self.handfast.barrier()

        self.assertEqual(self.get().status, 404)

    def test_old_class_annotation_selects_too(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None, class_name=None,
                           annotations={"kubernetes.io/ingress.class": "handfast"})

        self.wait_for(200)

    def test_external_name_is_resolved(self):
        # localhost is refused: a tenant must not reach what listens on the machine itself.
        self.apply("ingress", manifests.ingress(self.name, self.host),
                   {"apiVersion": "v1", "kind": "Service",
                    "metadata": manifests.metadata(self.name, "shop"),
                    "spec": {"type": "ExternalName", "externalName": "localhost",
                             "ports": [{"port": 443}]}})

        self.assert_refused(503, "not_permitted")


class StateDirectory(HandfastCase):
    def test_keys_are_private_and_unused_ones_go_away(self):
        backend = self.use(Backend(self.server(), client_ca=self.ca.cert_pem))
        self.apply_ingress(backend.port)
        for number in range(5):
            self.apply_secret(self.ca.client(f"{self.name}-{number}"), self.ca)
            self.wait_for(200, text=f"{self.name}-{number}")

        for folder, _, files in os.walk(self.handfast.state):
            self.assertEqual(os.stat(folder).st_mode & 0o077, 0, folder)
            for file in files:
                path = os.path.join(folder, file)
                if not os.path.islink(path):
                    self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)
        keys = list(self.handfast.state.glob(f"tls/shop/{self.name}-tls/*/tls.pem"))
        self.assertLessEqual(len(keys), 2)
        self.assertRegex(os.readlink(self.handfast.state / "current"), r"^generations/\d{12}$")
        self.assertLessEqual(len(list(self.handfast.state.glob("generations/*"))), 3)

    def test_keys_of_a_deleted_secret_go_away(self):
        backend = self.use(Backend(self.server(), client_ca=self.ca.cert_pem))
        self.apply_ingress(backend.port)
        self.apply_secret(self.ca.client(), self.ca)
        self.wait_for(200)

        self.delete("secret")
        self.wait_for(503)
        self.handfast.barrier()

        eventually(lambda: not list(self.handfast.state.glob(f"tls/shop/{self.name}-tls/*/*")),
                   "no file of the Secret")

    def test_no_key_is_ever_logged(self):
        client = self.ca.client()
        self.apply_secret(client, self.ca, tls_crt="junk", data={
            "tls.key": client.key_pem.replace("-----END", "----END")})
        backend = self.use(Backend())
        self.apply_ingress(backend.port)
        self.handfast.barrier()
        self.wait_for(503)

        told = self.handfast.proxy.err.text() + self.handfast.proxy.out.text()
        told += self.handfast.metrics().text
        for line in client.key_pem.splitlines()[1:-1]:
            self.assertNotIn(line, told)


class BlockedLog(unittest.TestCase):
    def test_reader_of_stdout_that_does_not_read_stops_nobody(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        handfast = Handfast(stdout=write_end)
        os.close(write_end)
        self.addCleanup(handfast.close)
        backend = Backend()
        self.addCleanup(backend.close)
        handfast.apply("all", manifests.ingress_class(), manifests.ingress("a", "a.test"),
                       manifests.service("a", backend.port))
        handfast.wait_for("a.test", 200)

        with handfast.connect() as connection:
            for _ in range(60):  # pipelined: more lines than any ring and any pipe take
                connection.send(b"GET /no HTTP/1.1\r\nHost: unknown.test\r\n\r\n" * 1000)
                for _ in range(1000):
                    self.assertEqual(connection.response().status, 404)

        self.assertEqual(handfast.get("a.test").status, 200)
        self.assertGreater(handfast.metrics().value("handfast_access_log_dropped_lines"), 0)
        os.set_blocking(read_end, False)


if __name__ == "__main__":
    unittest.main()
