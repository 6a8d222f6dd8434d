"""What a policy may demand of a backend, with a proxy that reads one file: pins, SPIFFE, passphrases
and PKCS#12, a certificate request, stapled OCSP, holes in the CRLs, audits, drains."""

import itertools
import json
import os
import pathlib
import signal
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.serialization import pkcs12  # noqa: E402
from cryptography.x509 import ocsp  # noqa: E402

from harness.backends import Backend, OpensslServer  # noqa: E402
from harness.handfast import BIN, Front  # noqa: E402
from harness.pki import Authority, from_now  # noqa: E402
from harness.processes import Process  # noqa: E402
from harness.waiting import eventually  # noqa: E402

HOST, NAME = "orders.test", "orders.shop.svc"
SERVICE, POLICY = "shop/orders:443", "shop/shop/orders:443"


class Standalone(Front):
    """handfast-proxy --config FILE."""

    def __init__(self):
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory(prefix="handfast-it-")
        self.folder = pathlib.Path(self._temporary.name)

    def write(self, name, content):
        (self.folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def configure(self, *ports, wait=True, **tls):
        rules = {"name": POLICY, "names": [NAME], "sni": NAME, **tls}
        config = {"format": "1.1",
                  "hosts": [{"host": HOST, "routes": [
                      {"path": "/", "type": "Prefix", "service": SERVICE, "protocol": "HTTPS",
                       "upstream_tls": POLICY, "request_buffering": True}]}],
                  "services": [{"name": SERVICE, "endpoints": [
                      {"address": "127.0.0.1", "port": port} for port in ports]}],
                  "tls": [{k: v for k, v in rules.items() if v is not None}]}
        self.write("config.yaml", json.dumps(config))
        if self.proxy is None:
            self.proxy = Process(
                [BIN / "handfast-proxy", "--config", self.folder / "config.yaml", "--http",
                 "127.0.0.1:0", "--https", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--admin",
                 "off", "--workers", "1", "--control", self.folder / "control"], self.folder)
            self._read_listeners(self.proxy)
            eventually(self.is_ready, "readiness")
        else:
            before = self.generation()
            self.proxy.signal(signal.SIGHUP)
            if wait:
                eventually(lambda: self.generation() != before, "the reload")

    def close(self):
        if self.proxy is not None:
            self.proxy.kill()
        self._temporary.cleanup()


def sha256(certificate, of_key):
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) if of_key
                  else certificate.public_bytes(serialization.Encoding.DER))
    return digest.finalize().hex()


class UpstreamRules(unittest.TestCase):
    def setUp(self):
        self.numbers = itertools.count()
        self.ca = Authority("rules-ca")
        self.leaf = self.ca.server(NAME)
        self.proxy = Standalone()
        self.addCleanup(self.proxy.close)
        self.proxy.write("ca.crt", self.ca.cert_pem)
        self.trust = {"ca": [{"path": "ca.crt", "source": "Secret/shop/ca"}]}

    def backend(self, leaf=None, **options):
        server = Backend(leaf or self.leaf, **options)
        self.addCleanup(server.close)
        return server

    def stapling(self, status, leaf=None):
        leaf = leaf or self.leaf
        now = from_now()
        revoked = status == ocsp.OCSPCertStatus.REVOKED
        response = ocsp.OCSPResponseBuilder().add_response(
            cert=leaf.certificate, issuer=self.ca.certificate, algorithm=hashes.SHA1(),
            cert_status=status, this_update=from_now(hours=-1), next_update=from_now(hours=1),
            revocation_time=now if revoked else None, revocation_reason=None).responder_id(
                ocsp.OCSPResponderEncoding.HASH, self.ca.certificate).sign(
                    self.ca.key, hashes.SHA256())
        path = self.proxy.folder / f"{status.name}.ocsp"
        path.write_bytes(response.public_bytes(serialization.Encoding.DER))
        server = OpensslServer(leaf, "-status_file", path)
        self.addCleanup(server.close)
        return server

    def assert_answers(self, status, word=None):
        target = f"/{next(self.numbers)}"
        self.assertEqual(self.proxy.get(HOST, target).status, status)
        self.assertEqual(self.proxy.reason(HOST, target), word)

    def identity(self, client, **more):
        self.proxy.write("tls.crt", client.chain_pem)
        return {"certificate": "tls.crt", "key": "tls.key", "source": "Secret/shop/client", **more}

    def test_pins_beside_a_ca_and_alone(self):
        backend = self.backend()
        right = {"type": "SPKISHA256", "sha256": sha256(self.leaf.certificate, True)}
        wrong = {"type": "CertificateSHA256", "sha256": sha256(self.ca.certificate, False)}
        self.proxy.configure(backend.port, **self.trust, pins=[right, wrong])
        self.assert_answers(200)
        self.proxy.configure(backend.port, **self.trust, pins=[wrong])
        self.assert_answers(502, "pin_mismatch")
        self.proxy.configure(backend.port, names=None, pins=[right], pin_only=True)
        self.assert_answers(200)
        self.proxy.configure(backend.port, names=None, pins=[wrong], pin_only=True)
        self.assert_answers(502, "pin_mismatch")
        self.assertEqual(len(backend.seen), 2)

    def test_any_svid_of_a_trust_domain(self):
        backend = self.backend(self.ca.issue("x", uris=["spiffe://shop.example/ns/a/sa/b"]))
        self.proxy.configure(backend.port, **self.trust, names=["spiffe://shop.example/*"])
        self.assert_answers(200)
        self.proxy.configure(backend.port, **self.trust, names=["spiffe://shop/*"])
        self.assert_answers(502, "name_mismatch")

    def test_key_under_one_of_several_passphrases(self):
        client = self.ca.client("passphrase-client")
        backend = self.backend(client_ca=self.ca.cert_pem)
        key = client.key.private_bytes(serialization.Encoding.PEM,
                                       serialization.PrivateFormat.PKCS8,
                                       serialization.BestAvailableEncryption(b"the secret"))
        self.proxy.write("tls.key", key)
        self.proxy.write("passphrases", "old one\r\nthe secret\n")
        self.proxy.configure(backend.port, **self.trust,
                             identity=self.identity(client, passphrases="passphrases"))
        self.assertIn("passphrase-client", self.proxy.get(HOST, "/").json()["client"])
        self.assertEqual((self.proxy.folder / "tls.key").read_bytes(), key)  # stays as it was

    def test_pkcs12(self):
        client = self.ca.client("p12-client")
        backend = self.backend(client_ca=self.ca.cert_pem)
        self.proxy.write("tls.p12", pkcs12.serialize_key_and_certificates(
            b"", client.key, client.certificate, None,
            serialization.BestAvailableEncryption(b"secret")))
        self.proxy.write("passphrases", "secret")
        self.proxy.configure(backend.port, **self.trust,
                             identity={"certificate": "tls.p12", "key": "tls.p12",
                                       "source": "Secret/shop/p12", "passphrases": "passphrases"})
        self.assertIn("p12-client", self.proxy.get(HOST, "/").json()["client"])

    def test_backend_that_does_not_ask_for_our_certificate(self):
        client = self.ca.client("client")
        self.proxy.write("tls.key", client.key_pem)
        rules = dict(self.trust, identity=self.identity(client), require_certificate_request=True)
        silent = self.backend()
        self.proxy.configure(silent.port, **rules)
        self.assert_answers(502, "client_certificate_not_requested")
        self.assertEqual(silent.seen, [])
        asking = self.backend(client_ca=self.ca.cert_pem)
        self.proxy.configure(asking.port, **rules)
        self.assert_answers(200)

    def test_stapled_responses(self):
        good = self.stapling(ocsp.OCSPCertStatus.GOOD)
        revoked = self.stapling(ocsp.OCSPCertStatus.REVOKED)
        without = self.backend()
        self.proxy.configure(good.port, **self.trust, ocsp="Require")
        self.assert_answers(200)
        self.proxy.configure(revoked.port, **self.trust, ocsp="IfPresent")
        self.assert_answers(502, "revoked")
        self.proxy.configure(without.port, **self.trust, ocsp="IfPresent")
        self.assert_answers(200)
        self.proxy.configure(without.port, **self.trust, ocsp="Require")
        self.assert_answers(502, "ocsp")

    def test_hole_in_the_crls_is_counted_and_a_revocation_refuses(self):
        backend = self.backend()
        crl = {"crl": [{"path": "ca.crl", "source": "Secret/shop/ca"}], "allow_without_crl": True}
        self.proxy.write("ca.crl", self.ca.crl(last_update=from_now(days=-3),
                                               next_update=from_now(days=-1)))
        self.proxy.configure(backend.port, **self.trust, **crl)
        self.assert_answers(200)
        self.assertEqual(self.proxy.metrics().value("handfast_upstream_crl_skipped_total",
                                                    service="orders", reason="crl_expired"), 1)
        self.proxy.write("ca.crl", self.ca.crl([self.leaf.serial]))
        self.proxy.configure(backend.port, **self.trust, **crl)
        self.assert_answers(502, "revoked")

    def begin_long_answer(self):
        """An answer of which half has come."""
        client = self.proxy.connect()
        self.addCleanup(client.close)
        client.send(f"GET /long HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        self.assertEqual(client.head().status, 200)
        self.assertEqual(client.take(4), b"half")
        return client

    def test_connections_under_an_old_identity_drain_as_long_as_the_policy_says(self):
        def half(connection, request):
            connection.read_body(request)
            if request.target == "/long":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
                time.sleep(6)
            connection.reply(b"ok")

        for drain, closed in ((1000, True), (None, False)):
            with self.subTest(drain):
                backend = self.backend(client_ca=self.ca.cert_pem, handle=half)
                for name in ("before", "after"):
                    client = self.ca.client(name)
                    self.proxy.write("tls.key", client.key_pem)
                    self.proxy.configure(backend.port, **self.trust, drain_ms=drain,
                                         identity=self.identity(client))
                    if name == "before":
                        long = self.begin_long_answer()
                self.assertEqual(long.is_closed(within=4), closed)
                self.assert_answers(200)

    def test_connections_to_a_revoked_backend_end_when_the_policy_says(self):
        def half(connection, request):
            connection.read_body(request)
            if request.target == "/long":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
                time.sleep(9)
            connection.reply(b"ok")

        crl = {"crl": [{"path": "ca.crl", "source": "Secret/shop/ca"}]}
        for drain in (None, 3000):
            with self.subTest(drain):
                backend = self.backend(handle=half)
                self.proxy.write("ca.crl", self.ca.crl())
                self.proxy.configure(backend.port, **self.trust, **crl, trust_drain_ms=drain)
                long = self.begin_long_answer()
                begun = time.monotonic()
                self.proxy.write("ca.crl", self.ca.crl([self.leaf.serial]))
                self.proxy.configure(backend.port, **self.trust, **crl, trust_drain_ms=drain)
                self.assert_answers(502, "revoked")

                self.assertTrue(long.is_closed(within=7))
                lasted = time.monotonic() - begun
                if drain:
                    self.assertGreater(lasted, 2.9)
                else:
                    self.assertLess(lasted, 2.5)

    def test_post_goes_elsewhere_when_our_certificate_is_refused_after_the_handshake(self):
        client = self.ca.client("client")
        self.proxy.write("tls.key", client.key_pem)
        refusing = self.backend(client_ca=Authority("other").cert_pem)
        taking = self.backend(client_ca=self.ca.cert_pem)
        self.proxy.configure(refusing.port, taking.port, **self.trust, versions=["TLSv1.3"],
                             identity=self.identity(client))
        for _ in range(4):
            self.assertEqual(self.proxy.get(HOST, "/", method="POST", body=b"once").status, 200)
        self.assertEqual(len(taking.seen), 4)
        self.assertEqual(refusing.seen, [])
        self.assertGreaterEqual(self.proxy.metrics().value(
            "handfast_upstream_tls_handshakes_total", service="orders",
            reason="client_certificate_rejected"), 1)

    def test_audit_forwards_counts_and_ends_by_itself(self):
        backend = self.backend(Authority("stranger").server(NAME))
        self.proxy.configure(backend.port, **self.trust, audit_until=int(time.time()) + 5)
        self.assertEqual(self.proxy.get(HOST, "/").status, 200)
        line = self.proxy.last_log(HOST)
        self.assertEqual(line["upstream_tls_would_refuse"], "untrusted_issuer")
        self.assertGreaterEqual(self.proxy.metrics().value(
            "handfast_upstream_would_refuse_total", service="orders",
            reason="untrusted_issuer"), 1)
        self.proxy.wait_for(HOST, 502)
        self.assert_answers(502, "untrusted_issuer")

    def test_unknown_group_is_rejected_and_the_configuration_stays(self):
        backend = self.backend()
        self.proxy.configure(backend.port, **self.trust, groups="X25519:P-256")
        before = self.proxy.generation()
        self.proxy.configure(backend.port, wait=False, **self.trust, groups="X25519:nonsense")
        eventually(lambda: any(line.get("field") == "groups" and "nonsense" in str(line)
                               for line in self.proxy.proxy.err.records()), "the rejection")
        self.assert_answers(200)
        self.assertEqual(self.proxy.generation(), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
