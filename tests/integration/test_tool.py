"""`handfast explain` and `handfast verify` over manifests, and over flags, with real backends."""

import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import manifests  # noqa: E402
from harness.backends import Backend, Nginx, OpensslServer, closed_port  # noqa: E402
from harness.handfast import BIN  # noqa: E402
from harness.pki import Authority, from_now  # noqa: E402

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3


def run(*arguments, timeout=60):
    """The exit code, and what came on stdout and stderr."""
    done = subprocess.run([BIN / "handfast", *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout, check=False)
    return done.returncode, done.stdout, done.stderr


class Folder(unittest.TestCase):
    """A directory of manifests, and backends that end with the test or class."""

    @classmethod
    def setUpClass(cls):
        cls.ca = Authority("backends")
        cls.other_ca = Authority("others")
        cls.us = cls.ca.client("us")
        cls._temporary = tempfile.TemporaryDirectory(prefix="handfast-it-")
        cls.folder = pathlib.Path(cls._temporary.name)
        cls.addClassCleanup(cls._temporary.cleanup)

    @classmethod
    def write(cls, *objects, name="all.yaml"):
        flat = []
        for one in objects:
            flat.extend(one if isinstance(one, list) else [one])
        (cls.folder / name).write_text(manifests.dump(manifests.ingress_class(), *flat))

    @classmethod
    def tls_secret(cls, name, *, leaf=None, ca=None, crl=None):
        leaf = leaf or cls.us
        return manifests.secret(name, tls_crt=leaf.chain_pem, tls_key=leaf.key_pem,
                                ca_crt=(ca or cls.ca).cert_pem, ca_crl=crl)

    @staticmethod
    def tls_ingress(name, host, **options):
        annotations = {"backend-protocol": "HTTPS", "proxy-ssl-secret": f"shop/{name}-tls",
                       **options.pop("annotations", {})}
        return manifests.ingress(name, host, annotations=annotations, **options)


class Explain(Folder):
    def explain(self, request, *flags):
        code, out, err = run("explain", request, "--manifests", self.folder, "--json", *flags)
        self.assertEqual(err, "")
        return code, json.loads(out)

    def test_tells_all_that_serves_a_request(self):
        crl = self.ca.crl()
        slices = [manifests.endpoint_slice(f"orders-{n}", "orders", 8443 + n, conditions=conditions)
                  for n, conditions in enumerate((
                      {"ready": True}, {"ready": False, "serving": True, "terminating": True},
                      {"ready": False, "serving": False, "terminating": False}))]
        front = self.other_ca.server("shop.test")
        self.write(self.tls_ingress("orders", "shop.test", paths=[
                       ("/", "Prefix", "orders", 443), ("/exact", "Exact", "orders", 443)],
                       tls=[{"hosts": ["shop.test"], "secretName": "front"}]),
                   self.tls_secret("orders-tls", crl=crl), manifests.service("orders"), slices,
                   manifests.secret("front", tls_crt=front.chain_pem, tls_key=front.key_pem))

        code, told = self.explain("https://SHOP.test:8443/a/../exact?x=1")

        self.assertEqual((code, told["served"], told["request"]), (0, True, "shop.test/exact"))
        self.assertEqual((told["rule"], told["service"]), ("Exact /exact", "shop/orders:443"))
        self.assertRegex(told["ingress"], r"^shop/orders \(.*all\.yaml:\d+\)$")
        self.assertEqual(told["clients_see"]["subject"], "CN=shop.test,O=integration")
        self.assertEqual([(one["address"], one["state"]) for one in told["endpoints"]], [
            ("127.0.0.1:8443", "ready"), ("127.0.0.1:8444", "terminating, still serving"),
            ("127.0.0.1:8445", "not ready")])
        tls = told["upstream_tls"]
        self.assertEqual(tls["from"], "annotations of Ingress shop/orders")
        self.assertEqual(int(tls["we_present"]["serial"], 16), self.us.serial)
        self.assertEqual(tls["we_present"]["from"], "Secret/shop/orders-tls")
        self.assertIn("CN=backends", tls["we_trust"][0]["authorities"][0])
        self.assertEqual(tls["names_expected"][0], "orders.shop.svc")
        self.assertEqual((tls["crls"][0]["state"], tls["crls"][0]["entries"]), ("in date", 0))
        self.assertEqual(told["conflicts"], [])

    def test_tells_who_lost_a_conflict_for_this_path_and_no_other(self):
        self.write(manifests.ingress("first", "shop.test", service="one", paths=[
                       ("/", "Prefix", "one", 80), ("/other", "Prefix", "one", 80)],
                       creationTimestamp="2026-01-01T00:00:00Z"),
                   manifests.ingress("second", "shop.test", paths=[("/", "Prefix", "one", 80)],
                                     creationTimestamp="2026-01-02T00:00:00Z"),
                   manifests.ingress("third", "shop.test", paths=[("/other", "Prefix", "two", 80)],
                                     creationTimestamp="2026-01-03T00:00:00Z"),
                   manifests.service("one", 8080, port=80), manifests.service("two", 8081, port=80))

        code, told = self.explain("shop.test/index")
        _, other = self.explain("shop.test/other/x")

        self.assertEqual(code, 0)
        self.assertTrue(told["ingress"].startswith("shop/first "))
        self.assertEqual(len(told["conflicts"]), 1)
        self.assertIn("Ingress shop/second", told["conflicts"][0])
        self.assertEqual(len(other["conflicts"]), 1)
        self.assertIn("Ingress shop/third", other["conflicts"][0])

    def test_what_is_refused_has_status_word_and_the_line_to_change(self):
        old = self.ca.client("old", not_before=from_now(days=-9), not_after=from_now(days=-1))
        self.write(
            manifests.ingress("no-ca", "no-ca.test", annotations={"backend-protocol": "HTTPS"},
                              service="there"),
            self.tls_ingress("no-secret", "no-secret.test", service="there"),
            manifests.ingress("no-service", "no-service.test", service="nobody"),
            manifests.ingress("no-port", "no-port.test", service="there", port=81),
            manifests.ingress("nobody-ready", "nobody-ready.test", service="resting"),
            self.tls_ingress("old", "old.test", service="there"),
            self.tls_secret("old-tls", leaf=old),
            manifests.ingress("strict", "strict.test", service="there",
                              annotations={"limit-rps": "10",
                                           "auth-type": "basic"}),
            manifests.service("there", 8443), manifests.service("resting"))
        for host, status, words, change in (
                ("no-ca", 503, ("ca_missing",), "ca.crt"),
                ("no-secret", 503, ("secret_missing",), "proxy-ssl-secret"),
                ("no-service", 503, ("service_missing",), "Ingress shop/no-service"),
                ("no-port", 503, ("port_missing",), "Ingress shop/no-port"),
                ("nobody-ready", 503, ("no_endpoints",), "ready"),
                ("old", 503, ("client_certificate_expired",), "Secret/shop/old-tls"),
                ("strict", 503, ("unsupported_annotation", "not_permitted"), "Ingress shop/strict"),
                ("unknown", 404, ("no_route",), "Ingress")):
            with self.subTest(host):
                code, told = self.explain(f"{host}.test/")

                self.assertEqual((code, told["served"], told["status"]), (1, False, status))
                self.assertIn(told["reason"], words)
                self.assertIn(change, told["change"])
                self.assertTrue(told["detail"])

    def test_the_controllers_flags_decide_as_they_do_there(self):
        self.write(manifests.ingress("plain", "plain.test", service="plain", port=80),
                   manifests.service("plain", 8080, port=80))

        self.assertEqual(self.explain("plain.test/")[0], 0)
        code, told = self.explain("plain.test/", "--minimum-upstream-tls", "server")
        self.assertEqual((code, told["reason"]), (1, "below_minimum"))

    def test_text_says_the_same_in_lines(self):
        self.write(manifests.ingress("plain", "plain.test", service="plain", port=80),
                   manifests.service("plain", 8080, port=80))

        code, out, err = run("explain", "plain.test", "--manifests", self.folder)

        self.assertEqual((code, err), (0, ""))
        for line in ("request: plain.test/", "served: yes", "service: shop/plain:80",
                     "  - address: 127.0.0.1:8080", "protocol: HTTP/1.1 without TLS",
                     "conflicts: none"):
            self.assertIn(line, out.splitlines())

    def test_wrong_usage_and_unreadable_input_exit_2(self):
        for arguments in ((), ("shop.test",), ("shop.test", "more", "--manifests", self.folder),
                          ("not a host/", "--manifests", self.folder),
                          ("shop.test", "--manifests", self.folder / "nothing-here"),
                          ("shop.test", "--manifests", self.folder, "--default-upstream-ca", "x")):
            with self.subTest(arguments):
                code, out, err = run("explain", *arguments)

                self.assertEqual((code, out), (2, ""))
                self.assertTrue(err.startswith("handfast explain: "), err)

    def test_no_key_stays_behind(self):
        self.write(self.tls_ingress("orders", "shop.test"), self.tls_secret("orders-tls"),
                   manifests.service("orders", 8443))
        with tempfile.TemporaryDirectory() as place:
            before = set(pathlib.Path("/dev/shm").glob("handfast-*"))
            subprocess.run([BIN / "handfast", "explain", "shop.test", "--manifests", self.folder],
                           env={**os.environ, "TMPDIR": place}, check=True, capture_output=True)

            self.assertEqual(list(pathlib.Path(place).iterdir()), [])
            self.assertEqual(set(pathlib.Path("/dev/shm").glob("handfast-*")) - before, set())


class VerifyAll(Folder):
    """One backend for each word, all asked in one run."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.objects = []
        cls.expected = {}
        cls.until = threading.Event()
        cls.addClassCleanup(cls.until.set)
        cls.add_good()
        cls.add_bad_chains()
        cls.add_revocation()
        cls.add_bad_handshakes()
        cls.add_refused()
        cls.write(*cls.objects)
        cls.code, out, cls.err = run("verify", "--all", "--manifests", cls.folder, "--json",
                                     "--timeout", "3s")
        cls.told = json.loads(out)
        cls.found = {one["service"].partition("/")[2].partition(":")[0]: one
                     for one in cls.told["backends"]}

    @classmethod
    def use(cls, backend):
        cls.addClassCleanup(backend.close)
        return backend

    @classmethod
    def add(cls, name, word, port, *, secret=None, change="", annotations=None):
        """The Ingress, Service and Secret `name`, whose verdict should be `word`."""
        cls.expected[name] = (word, change)
        ports = () if port is None else (port,)
        cls.objects += [cls.tls_ingress(name, f"{name}.test", annotations=annotations or {}),
                        secret or cls.tls_secret(f"{name}-tls"), manifests.service(name, *ports)]

    @classmethod
    def server(cls, name, ca=None, **options):
        return (ca or cls.ca).server(f"{name}.shop.svc", **options)

    @classmethod
    def add_server(cls, name, word, leaf, change, *, secret=None, annotations=None, **options):
        backend = cls.use(Backend(leaf, client_ca=cls.ca.cert_pem, **options))
        cls.add(name, word, backend.port, secret=secret, change=change, annotations=annotations)

    @classmethod
    def add_good(cls):
        cls.add_server("tls13", "ok", cls.server("tls13"), "", min_version=TLS13,
                       secret=cls.tls_secret("tls13-tls", crl=cls.ca.crl()))
        cls.add_server("tls12", "ok", cls.server("tls12"), "", max_version=TLS12)
        nginx = cls.use(Nginx(cls.server("nginx"), client_ca=cls.ca.cert_pem))
        cls.add("nginx", "ok", nginx.port)
        openssl = cls.use(OpensslServer(cls.server("openssl"), client_ca=cls.ca.cert_pem))
        cls.add("openssl", "ok", openssl.port)
        unasking = cls.use(Backend(cls.server("unasking")))
        cls.add("unasking", "ok", unasking.port)
        servers = cls.ca.server("us.shop.svc")
        unlooking = cls.use(Backend(cls.server("unlooking")))
        cls.add("unlooking", "ok", unlooking.port,
                secret=cls.tls_secret("unlooking-tls", leaf=servers))
        cls.add_server("looking", "client_certificate_rejected", cls.server("looking"),
                       "extendedKeyUsage clientAuth, which ours lacks, into tls.crt and tls.key of "
                       "Secret/shop/looking-tls",
                       secret=cls.tls_secret("looking-tls", leaf=servers))
        silent = cls.use(Backend(cls.server("silent"), client_ca=cls.ca.cert_pem,
                                 min_version=TLS13, on_connection=lambda _: cls.until.wait(30)))
        silent.context.num_tickets = 0
        cls.add("silent", "ok", silent.port)
        talking = cls.use(Backend(cls.server("talking"), client_ca=cls.ca.cert_pem,
                                  min_version=TLS13, on_connection=lambda one: (
                                      one.send(b"hello\r\n"), cls.until.wait(30))))
        talking.context.num_tickets = 0
        cls.add("talking", "ok", talking.port)

    @classmethod
    def add_bad_chains(cls):
        deep = cls.ca.intermediate("one").intermediate("two")
        for name, word, leaf, change, annotations in (
                ("expired", "expired", cls.server("expired", not_before=from_now(days=-9),
                                                  not_after=from_now(days=-1)), "Renew", {}),
                ("early", "not_yet_valid", cls.server("early", not_before=from_now(days=1)),
                 "clocks", {}),
                ("foreign", "untrusted_issuer", cls.server("foreign", cls.other_ca),
                 "(CN=others,O=integration) into ca.crt of Secret/shop/foreign-tls", {}),
                ("impostor", "untrusted_issuer", cls.server("impostor", Authority("backends")),
                 "A CA of that name (CN=backends,O=integration) is in ca.crt", {}),
                ("misnamed", "name_mismatch", cls.ca.server("other.name"),
                 'proxy-ssl-name of Ingress shop/misnamed to "other.name"', {}),
                ("deep", "chain_too_long", cls.server("deep", deep),
                 "proxy-ssl-verify-depth of Ingress shop/deep", {"proxy-ssl-verify-depth": "1"}),
                ("incomplete", "untrusted_issuer",
                 cls.server("incomplete", deep, with_chain=False), "intermediates", {}),
                ("purpose", "wrong_purpose", cls.ca.issue(
                    "purpose", dns=("purpose.shop.svc",), usage="client"), "serverAuth", {})):
            cls.add_server(name, word, leaf, change, annotations=annotations)
        sha1 = cls.use(OpensslServer(cls.ca.server_signed_with_sha1("sha1.shop.svc"), "-cipher",
                                     "DEFAULT@SECLEVEL=0"))
        cls.add("sha1", "weak", sha1.port, change="SHA-256")

    @classmethod
    def add_revocation(cls):
        leaf = cls.server("revoked")
        cls.add_server("revoked", "revoked", leaf, "new certificate",
                       secret=cls.tls_secret("revoked-tls", crl=cls.ca.crl([leaf])))
        stale = cls.ca.crl(last_update=from_now(days=-9), next_update=from_now(days=-1))
        cls.add_server("stale", "crl_expired", cls.server("stale"),
                       "ca.crl of Secret/shop/stale-tls",
                       secret=cls.tls_secret("stale-tls", crl=stale))
        early = cls.ca.crl(last_update=from_now(days=1), next_update=from_now(days=2))
        cls.add_server("early-crl", "crl_not_yet_valid", cls.server("early-crl"), "clocks",
                       secret=cls.tls_secret("early-crl-tls", crl=early))
        cls.add_server("uncovered", "crl_missing", cls.server("uncovered"),
                       "ca.crl of Secret/shop/uncovered-tls",
                       secret=cls.tls_secret("uncovered-tls", crl=cls.other_ca.crl()))

    @classmethod
    def add_bad_handshakes(cls):
        stranger = cls.other_ca.client("stranger")
        for version, name in ((TLS12, "rejected12"), (TLS13, "rejected13")):
            cls.add_server(name, "client_certificate_rejected", cls.server(name),
                           f"tls.crt and tls.key of Secret/shop/{name}-tls", min_version=version,
                           max_version=version, secret=cls.tls_secret(f"{name}-tls", leaf=stranger))
        cls.add_server("demanding", "client_certificate_rejected", cls.server("demanding"),
                       "proxy-ssl-secret of Ingress shop/demanding",
                       secret=manifests.secret("demanding-tls", ca_crt=cls.ca.cert_pem))
        cls.add("plaintext", "not_tls", cls.use(Nginx(None)).port, change="TLS at that port")
        old = cls.use(OpensslServer(cls.server("cipher"), "-tls1_2", "-cipher", "AES128-SHA"))
        cls.add("cipher", "protocol", old.port, change="TLS 1.2 or 1.3")
        cls.add_server("h1only", "alpn", cls.server("h1only"), "HTTP/2", alpn=("http/1.1",),
                       annotations={"backend-protocol": "GRPCS"})
        cls.add("closing", "handshake_closed",
                cls.use(Backend(on_accept=lambda sock: sock.recv(1))).port, change="log")
        cls.add("dumb", "handshake_timeout",
                cls.use(Backend(on_accept=lambda _: cls.until.wait(30))).port, change="answer")
        sock, port = closed_port()
        cls.addClassCleanup(sock.close)
        cls.add("closed", "connect_refused", port, change="targetPort")

    @classmethod
    def add_refused(cls):
        cls.add("empty", "no_endpoints", None, change="ready")
        cls.objects += [
            manifests.ingress("nowhere", "nowhere.test", service="nowhere"),
            manifests.ingress("strict", "strict.test", annotations={"auth-type": "basic"}),
            manifests.service("strict", 1),
            manifests.ingress("trustless", "trustless.test",
                              annotations={"backend-protocol": "HTTPS"}),
            manifests.service("trustless", 1),
            manifests.ingress("plain", "plain.test", port=80), manifests.service("plain", 1, port=80)]
        cls.expected["nowhere"] = ("service_missing", "Ingress shop/nowhere")
        cls.expected["strict"] = ("unsupported_annotation",
                                  "Ingress shop/strict: metadata.annotations[nginx.ingress."
                                  "kubernetes.io/auth-type]: ")
        cls.expected["trustless"] = ("ca_missing", "Ingress shop/trustless: metadata.annotations")
        cls.expected["plain"] = ("plain_http", "")

    def test_every_backend_has_its_word_and_the_line_to_change(self):
        self.assertEqual(set(self.found), set(self.expected))
        for name, (word, change) in self.expected.items():
            with self.subTest(name):
                one = self.found[name]
                self.assertEqual(one["verdict"], word, one.get("detail"))
                self.assertEqual(one["object"], f"Ingress shop/{name}")
                if word in ("ok", "plain_http"):
                    self.assertNotIn("change", one)
                else:
                    self.assertIn(change, one["change"])
                    self.assertGreaterEqual(one["status"], 502)

    def test_the_summary_counts_and_the_exit_status_tells(self):
        ok = sum(word == "ok" for word, _ in self.expected.values())

        self.assertEqual((self.code, self.err), (1, ""))
        self.assertEqual(self.told["summary"], {
            "backends": len(self.expected), "ok": ok, "would_fail": 0,
            "failed": len(self.expected) - ok - 1, "plain_http": 1})

    def test_what_became_of_our_certificate_is_said_as_it_is_known(self):
        for name, words in (("tls13", "accepted by the backend's TLS"),
                            ("tls12", "accepted by the backend's TLS"),
                            ("nginx", "accepted by the backend's TLS"),
                            ("openssl", "accepted by the backend's TLS"),
                            ("talking", "went on to send bytes"), ("silent", "not confirmed"),
                            ("unasking", "not asked for"), ("rejected12", "rejected"),
                            ("rejected13", "rejected"), ("demanding", "demanded")):
            with self.subTest(name):
                self.assertIn(words, self.found[name]["our_certificate"])
        self.assertEqual(self.found["openssl"]["backend_accepts"],
                         ["CN=backends,O=integration"])

    def test_a_certificate_of_ours_that_is_for_servers_alone_is_told(self):
        for name, told in (("unlooking", True), ("looking", True), ("tls13", False)):
            with self.subTest(name):
                warning = self.found[name]["policy"]["we_present"].get("warning", "")
                self.assertEqual("no clientAuth" in warning, told, warning)

        _, explained, _ = run("explain", "unlooking.test", "--manifests", self.folder)
        self.assertIn("no clientAuth", explained)

    def test_chain_protocol_and_revocation_are_told(self):
        one = self.found["tls13"]
        self.assertEqual(one["handshake"]["version"], "TLSv1.3")
        self.assertTrue(one["handshake"]["cipher"].startswith("TLS_"))
        self.assertEqual(one["backend_shows"][0]["names"], ["DNS:tls13.shop.svc"])
        self.assertTrue(one["backend_shows"][0]["revocation"].startswith("not revoked, until "))
        self.assertEqual(one["policy"]["we_present"]["from"], "Secret/shop/tls13-tls")
        self.assertRegex(one["verdict_holds_until"], r"^\d{4}-\d\d-\d\dT")
        self.assertEqual(self.found["tls12"]["handshake"]["version"], "TLSv1.2")
        # Of a refused chain, too.
        self.assertEqual([c["subject"].partition(",")[0] for c in
                          self.found["deep"]["backend_shows"]],
                         ["CN=deep.shop.svc", "CN=two", "CN=one"])
        self.assertIn("revoked", self.found["revoked"]["backend_shows"][0]["revocation"])

    def test_lines_are_one_a_backend_and_a_summary(self):
        code, out, err = run("verify", "--all", "--manifests", self.folder, "--timeout", "2s")

        lines = out.splitlines()
        self.assertEqual((code, err, len(lines)), (1, "", len(self.expected) + 1))
        self.assertRegex(lines[-1], r"^backends: \d+, ok: \d+, would fail: 0, failed: \d+, "
                                    r"plain http: 1$")
        expired, = [line for line in lines if line.startswith("Ingress shop/expired ")]
        self.assertRegex(expired, r"^Ingress shop/expired shop/expired:443 127\.0\.0\.1:\d+: "
                                  r"expired: .+ -> Renew")
        unlooking, = [line for line in lines if line.startswith("Ingress shop/unlooking ")]
        self.assertRegex(unlooking, r": ok: .*; its extendedKeyUsage has no clientAuth: backends")
        plain, = [line for line in lines if line.startswith("Ingress shop/plain ")]
        self.assertTrue(plain.endswith(": plain_http: neither encrypted nor verified"), plain)

    def test_one_service_is_explained_at_length(self):
        for wanted in ("tls13", "shop/tls13", "shop/tls13:443", "tls13:main"):
            with self.subTest(wanted):
                code, out, _ = run("verify", wanted, "--manifests", self.folder)

                self.assertEqual(code, 0)
                self.assertIn("verdict: ok\n", out)
                self.assertIn("backend shows:\n", out)
        code, out, _ = run("verify", "shop/expired", "--manifests", self.folder)
        self.assertEqual(code, 1)
        self.assertIn("verdict: expired\nstatus: 502\n", out)

    def test_an_endpoint_is_found_by_its_address(self):
        address = self.found["tls12"]["endpoint"]

        code, out, _ = run("verify", address, "--manifests", self.folder, "--json")

        self.assertEqual(code, 0)
        self.assertEqual([one["service"] for one in json.loads(out)["backends"]],
                         ["shop/tls12:443"])

    def test_what_no_ingress_leads_to_is_told(self):
        for wanted in ("nobody", "other/tls13", "tls13:1", "127.0.0.9:1"):
            with self.subTest(wanted):
                code, out, err = run("verify", wanted, "--manifests", self.folder)

                self.assertEqual((code, out), (1, ""))
                self.assertIn(f"leads to {wanted}", err)


class VerifyPolicies(Folder):
    def test_each_ingress_has_its_own_answer_for_the_same_service(self):
        server = Backend(self.ca.server("orders.shop.svc"))
        self.addCleanup(server.close)
        self.write(self.tls_ingress("good", "good.test", service="orders"),
                   self.tls_ingress("bad", "bad.test", service="orders"),
                   self.tls_secret("good-tls"), self.tls_secret("bad-tls", ca=self.other_ca),
                   manifests.service("orders", server.port))

        code, out, _ = run("verify", "orders", "--manifests", self.folder, "--json")

        self.assertEqual(code, 1)
        self.assertEqual({one["object"]: one["verdict"] for one in json.loads(out)["backends"]},
                         {"Ingress shop/good": "ok", "Ingress shop/bad": "untrusted_issuer"})

    def test_a_policy_object_is_who_decides(self):
        server = Backend(self.ca.server("other.name"), client_ca=self.ca.cert_pem)
        self.addCleanup(server.close)
        policy = {"apiVersion": "handfast.dev/v1alpha1", "kind": "UpstreamTLSPolicy",
                  "metadata": manifests.metadata("strict", "shop"),
                  "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "orders"}],
                           "mode": "ClientAndServer", "clientCertificateRef": {"name": "us-tls"},
                           "validation": {"hostname": "orders.shop.svc", "caCertificateRefs": [
                               {"group": "", "kind": "Secret", "name": "us-tls"}]}}}
        self.write(manifests.ingress("one", "one.test", service="orders"),
                   manifests.ingress("two", "two.test", service="orders"), policy,
                   self.tls_secret("us-tls"), manifests.service("orders", server.port))

        _, explained, _ = run("explain", "one.test", "--manifests", self.folder, "--json")
        code, out, _ = run("verify", "orders", "--manifests", self.folder, "--json")

        self.assertEqual(json.loads(explained)["upstream_tls"]["from"],
                         "UpstreamTLSPolicy shop/strict")
        told, = json.loads(out)["backends"]
        self.assertEqual((code, told["object"], told["verdict"]),
                         (1, "UpstreamTLSPolicy shop/strict", "name_mismatch"))
        self.assertIn("spec.validation.hostname of UpstreamTLSPolicy shop/strict to \"other.name\"",
                      told["change"])

    def test_an_external_name_that_leads_nowhere_is_no_endpoint(self):
        outside = {"apiVersion": "v1", "kind": "Service",
                   "metadata": manifests.metadata("outside", "shop"),
                   "spec": {"type": "ExternalName", "externalName": "nowhere.invalid",
                            "ports": [{"port": 443}]}}
        self.write(self.tls_ingress("outside", "outside.test"), self.tls_secret("outside-tls"),
                   outside)

        code, out, _ = run("verify", "nowhere.invalid:443", "--manifests", self.folder, "--json",
                           "--timeout", "2s")

        self.assertEqual(code, 1)
        self.assertEqual(json.loads(out)["backends"][0]["verdict"], "no_endpoints")

    def test_what_passes_under_an_audit_is_told_with_its_word(self):
        server = Backend(self.ca.server("orders.shop.svc"))
        self.addCleanup(server.close)
        self.write(self.tls_ingress("orders", "orders.test"),
                   self.tls_secret("orders-tls", ca=self.other_ca),
                   manifests.service("orders", server.port))
        audit = ("--upstream-verification-audit", f"shop/*@{from_now(days=9):%Y-%m-%d}")

        code, out, _ = run("verify", "--all", "--manifests", self.folder, *audit, "--json")
        _, lines, _ = run("verify", "--all", "--manifests", self.folder, *audit)

        told = json.loads(out)
        one, = told["backends"]
        self.assertEqual((code, one["verdict"], one["would_be"]), (0, "ok", "untrusted_issuer"))
        self.assertEqual((told["summary"]["ok"], told["summary"]["would_fail"]), (1, 1))
        self.assertIn("ca.crt of Secret/shop/orders-tls", one["change"])
        self.assertIn("; would be untrusted_issuer: ", lines.splitlines()[0])


class VerifyBare(Folder):
    """HOST:PORT and flags, without manifests."""

    def setUp(self):
        (self.folder / "ca.crt").write_text(self.ca.cert_pem)
        self.us.write(self.folder, "us")

    def verify(self, *arguments):
        code, out, err = run("verify", *arguments, "--json")
        self.assertEqual(err, "")
        return code, json.loads(out)["backends"]

    def backend(self, *names, ips=(), **options):
        leaf = self.ca.issue(names[0] if names else "x", dns=names, ips=ips)
        server = Backend(leaf, **options)
        self.addCleanup(server.close)
        return server

    def test_the_host_is_the_name_that_is_expected(self):
        server = self.backend(ips=("127.0.0.1",))

        code, told = self.verify(f"127.0.0.1:{server.port}", "--ca", self.folder / "ca.crt")

        self.assertEqual((code, told[0]["verdict"]), (0, "ok"))

    def test_localhost_and_another_name_for_it(self):
        server = self.backend("orders.shop.svc")

        code, told = self.verify(f"localhost:{server.port}", "--ca", self.folder / "ca.crt",
                                 "--name", "orders.shop.svc")
        v4 = [one for one in told if one["endpoint"].startswith("127.")]
        mismatched, wrong = self.verify(f"127.0.0.1:{server.port}", "--ca",
                                        self.folder / "ca.crt")

        self.assertIn(code, (0, 1))  # localhost may be ::1 too, where nobody listens
        self.assertEqual([one["verdict"] for one in v4], ["ok"])
        self.assertEqual((mismatched, wrong[0]["verdict"]), (1, "name_mismatch"))

    def test_our_certificate_and_their_crl(self):
        server = self.backend("orders.shop.svc", client_ca=self.ca.cert_pem)
        (self.folder / "ca.crl").write_bytes(self.ca.crl_der())
        common = (f"127.0.0.1:{server.port}", "--ca", self.folder / "ca.crt", "--name",
                  "orders.shop.svc", "--crl", self.folder / "ca.crl")

        code, told = self.verify(*common, "--cert", self.folder / "us.crt", "--key",
                                 self.folder / "us.key")
        without, rejected = self.verify(*common)

        self.assertEqual((code, told[0]["verdict"]), (0, "ok"))
        self.assertIn("not revoked", told[0]["backend_shows"][0]["revocation"])
        self.assertEqual((without, rejected[0]["verdict"]), (1, "client_certificate_rejected"))
        self.assertIn("--cert", rejected[0]["change"])

    def test_a_key_under_a_passphrase(self):
        server = self.backend("orders.shop.svc", client_ca=self.ca.cert_pem)
        (self.folder / "closed.key").write_text(self.us.key_pem_as("pkcs8", passphrase="sesame"))
        (self.folder / "words").write_text("wrong\nsesame\n")
        common = (f"127.0.0.1:{server.port}", "--ca", self.folder / "ca.crt", "--name",
                  "orders.shop.svc", "--cert", self.folder / "us.crt", "--key",
                  self.folder / "closed.key")

        code, told = self.verify(*common, "--passphrases", self.folder / "words")
        closed, without = self.verify(*common)

        self.assertEqual((code, told[0]["verdict"]), (0, "ok"))
        self.assertEqual((closed, without[0]["verdict"]), (1, "passphrase"))

    def test_material_that_is_bad_has_its_word(self):
        (self.folder / "bad.crt").write_text("no certificate\n")
        self.other_ca.client("them").write(self.folder, "them")

        code, told = self.verify("127.0.0.1:1", "--ca", self.folder / "bad.crt")
        mixed, pair = self.verify("127.0.0.1:1", "--ca", self.folder / "ca.crt", "--cert",
                                  self.folder / "us.crt", "--key", self.folder / "them.key")

        self.assertEqual((code, told[0]["verdict"]), (1, "bad_ca"))
        self.assertEqual((mixed, pair[0]["verdict"]), (1, "key_mismatch"))

    def test_wrong_usage_exits_2(self):
        ca = ("--ca", self.folder / "ca.crt")
        for arguments in ((), ("shop/orders",), ("shop/orders", *ca), ("127.0.0.1:1", "--all", *ca),
                          ("--all",), ("127.0.0.1:1", "--ca", self.folder / "nothing"),
                          ("127.0.0.1:1", *ca, "--cert", "x"),
                          ("127.0.0.1:1", *ca, "--manifests", self.folder),
                          ("127.0.0.1:1", *ca, "--jobs", "0")):
            with self.subTest(arguments):
                code, out, err = run("verify", *arguments)

                self.assertEqual((code, out), (2, ""))
                self.assertTrue(err.startswith("handfast verify: "), err)

    def test_the_form_on_files_is_as_it_was(self):
        leaf = self.ca.server("orders.shop.svc")
        (self.folder / "chain.pem").write_text(leaf.chain_pem)
        on_files = ("verify", "--chain", self.folder / "chain.pem", "--ca", self.folder / "ca.crt")

        self.assertEqual(run(*on_files, "--name", "orders.shop.svc"), (0, "ok\n", ""))
        code, out, err = run(*on_files, "--name", "other")
        self.assertEqual((code, out), (1, "name_mismatch\n"))
        self.assertTrue(err)
        self.assertEqual(run("verify", f"--chain={self.folder}/chain.pem")[0], 2)


if __name__ == "__main__":
    unittest.main()
