"""Whoever connects to a Service is held to the same rules: HTTP/1.1, HTTP/2, WebSocket, gRPC, TCP and
the request to an auth server, each under each fault. The word is in the log, and nothing arrives."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import manifests, protocols, rpc  # noqa: E402
from harness.handfast import free_port  # noqa: E402
from harness.protocols import HTTP_KINDS, KINDS, Servers  # noqa: E402
from harness.tcp_case import SERVICES, TcpCase  # noqa: E402
from harness.traffic import ask_rpc, ask_tcp  # noqa: E402
from harness.waiting import eventually  # noqa: E402

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
GOOD = {"ws": 101}  # else 200
REJECTED = "client_certificate_rejected"
# asyncio and gRPC close without the alert that would tell why.
WITHOUT_ALERT = ("ws", "rpc")
NAME = "backend.shop.svc"


class Users(TcpCase):
    flags = ("--tcp-services-configmap", SERVICES)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.leaf = cls.ca.server(NAME)
        cls.servers = Servers(cls.leaf, cls.ca.cert_pem)
        cls.addClassCleanup(cls.servers.close)
        cls.port_of_all = free_port()
        cls.entries[str(cls.port_of_all)] = "shop/users-tcp:443"
        cls.apply_entries()
        cls.handfast.apply("routes", *(protocols.ingress("users", kind, "test", cls.servers)
                                       for kind in HTTP_KINDS))
        cls.handfast.apply("services", protocols.services("users", cls.servers))
        cls.rpc = rpc.Client(cls.handfast, "rpc.test")
        cls.addClassCleanup(cls.rpc.channel.close)
        cls.put(cls.handfast, "roots", ca_crt=cls.ca.cert_pem)
        cls.put(cls.handfast, "others", ca_crt=cls.other_ca.cert_pem)
        cls.put(cls.handfast, "nobody", ca_crl=cls.ca.crl())
        cls.put(cls.handfast, "it", ca_crl=cls.ca.crl([cls.leaf]))
        cls.put(cls.handfast, "strangers", ca_crl=cls.other_ca.crl())
        cls.put(cls.handfast, "empty", ca_crl="")
        for name, client in (("us", cls.ca.client("us")), ("them", cls.other_ca.client("them"))):
            cls.handfast.apply(name, manifests.secret(name, tls_crt=client.chain_pem,
                                                      tls_key=client.key_pem))

    @staticmethod
    def put(front, name, **data):
        front.apply(name, manifests.config_map(name, **data))

    def setUp(self):
        super().setUp()
        self.port = self.port_of_all

    def hold_to(self, *, ca="roots", client="us", crl="nobody", hostname=NAME, **validation):
        """The same policy for each of them."""
        if crl:
            validation["revocation"] = {"crlRefs": [manifests.material_ref("ConfigMap", crl)]}
        self.handfast.apply("policies", *(manifests.upstream_tls_policy(
            f"users-{kind}", f"users-{kind}", hostname=hostname, client=client,
            ca=ca and [manifests.material_ref("ConfigMap", ca)], validation=validation)
            for kind in KINDS))
        self.handfast.barrier()

    def ask(self, kind):
        """A status, and the word that the log has for it. What isn't HTTP is 200, or 503 for a
        failure of any kind."""
        target, host = f"/{next(self.numbers)}", f"{kind}.test"
        if kind in ("rpc", "tcp"):
            lines = self.lines if kind == "tcp" else lambda: self.handfast.access_log(host)
            before = len(lines())
            ask = (ask_rpc(self.rpc) if kind == "rpc" else
                   ask_tcp(("127.0.0.1", self.port), None, lambda: None))
            status, _ = ask()
            line = eventually(lambda: lines()[before:], "an access log line")[-1]
            return status, line.get("upstream_tls_error")
        status = self.handfast.get(host, target, headers=UPGRADE if kind == "ws" else ()).status
        return status, self.handfast.reason(host, target)

    def assert_served(self):
        for kind in KINDS:
            with self.subTest(kind):
                eventually(lambda: self.ask(kind) == (GOOD.get(kind, 200), None),  # noqa: B023
                           f"{kind} is served")

    def arrived(self):
        return self.servers.requests() + len(self.servers.ws.handshakes)

    def assert_refused(self, status, word):
        before = self.arrived()
        for kind in KINDS:
            with self.subTest(kind):
                expected = 503 if kind in ("rpc", "tcp") else status
                untold = word == REJECTED and kind in WITHOUT_ALERT
                for _ in range(4):
                    self.assertEqual(self.ask(kind),
                                     (expected, "bad_response" if untold else word))
        self.assertEqual(self.arrived(), before)

    def check(self, status, word, **rules):
        """Refused, though all was well before and there are connections from then; and well again."""
        self.hold_to()
        self.assert_served()
        self.hold_to(**rules)
        self.assert_refused(status, word)
        self.hold_to()
        self.assert_served()

    def test_another_authority(self):
        self.check(502, "untrusted_issuer", ca="others", crl=None)

    def test_another_name(self):
        self.check(502, "name_mismatch", hostname="other.shop.svc")

    def test_another_uri(self):
        self.check(502, "name_mismatch",
                   subjectAltNames=[{"type": "URI", "uri": "spiffe://shop.example/*"}])

    def test_another_pin(self):
        pins = [{"type": "SPKISHA256", "value": "ab" * 32}]
        self.check(502, "pin_mismatch", pins=pins)
        self.check(502, "pin_mismatch", pins=pins, pinOnly=True, ca=None, crl=None)

    def test_revoked(self):
        self.check(502, "revoked", crl="it")

    def test_no_list_covers_it(self):
        self.check(502, "crl_missing", crl="strangers")

    def test_list_that_is_none(self):
        self.check(503, "bad_crl", crl="empty")

    def test_list_that_is_missing(self):
        self.check(503, "crl_missing", crl="nowhere")

    def test_authority_that_is_missing(self):
        self.check(503, "ca_missing", ca="nowhere")

    def test_certificate_of_ours_that_is_missing(self):
        self.check(503, "secret_missing", client="nowhere")

    def test_certificate_of_ours_that_is_refused(self):
        self.check(502, REJECTED, client="them")

    def test_none_of_ours_where_one_is_demanded(self):
        self.check(502, REJECTED, client=None)

    def test_stapled_response_that_is_demanded(self):
        self.check(502, "ocsp", revocation={"ocsp": "Require"}, crl=None)


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # of connections that were cut
