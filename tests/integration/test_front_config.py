"""The ConfigMap of ingress-nginx (--configmap): what clients are offered, hot, and never weaker."""

import os
import ssl
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, http2, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.waiting import eventually  # noqa: E402


class FrontConfig(HandfastCase):
    flags = ("--configmap", "ingress/config")

    def setUp(self):
        super().setUp()
        self.backend = self.use(Backend())
        self.apply_ingress(self.backend.port, protocol=None)
        self.wait_for(200)

    def configure(self, **data):
        self.handfast.apply("config", {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "config", "namespace": "ingress"},
            "data": {key.replace("_", "-"): value for key, value in data.items()}})
        self.handfast.barrier()

    def handshake(self, version=None, ciphers=None, alpn=None):
        """(version, cipher, protocol of ALPN), or the error."""
        context = clients.any_client_context()
        if version:
            context.minimum_version = context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers)
        if alpn:
            context.set_alpn_protocols(alpn)
        try:
            connection = clients.RawConnection(self.handfast.https, tls=context,
                                               server_name=self.host)
        except (ssl.SSLError, OSError) as error:
            return error
        try:
            sock = connection.sock
            return sock.version(), sock.cipher()[0], sock.selected_alpn_protocol()
        finally:
            connection.close()

    def test_protocols_ciphers_and_alpn_change_without_cutting_a_connection(self):
        self.configure()
        old = clients.RawConnection(self.handfast.https, tls=clients.any_client_context(),
                                    server_name=self.host)
        self.addCleanup(old.close)
        self.assertEqual(old.request(self.host).status, 200)
        self.assertEqual(self.handshake(alpn=["h2", "http/1.1"])[2], "h2")

        self.configure(ssl_protocols="TLSv1.2", ssl_ciphers="ECDHE+AES256:!SHA1",
                       use_http2="false")

        version, cipher, protocol = self.handshake(alpn=["h2", "http/1.1"])
        self.assertEqual((version, protocol), ("TLSv1.2", "http/1.1"))
        self.assertIn("AES256-GCM-SHA384", cipher)
        self.assertIsInstance(self.handshake(ssl.TLSVersion.TLSv1_3), ssl.SSLError)
        self.assertIsInstance(self.handshake(ciphers="ECDHE+AES128"), ssl.SSLError)
        self.assertEqual(old.request(self.host).status, 200)

    def test_a_bad_value_keeps_the_last_good_one_even_over_a_restart(self):
        self.configure(ssl_protocols="TLSv1.3")
        self.assertIsInstance(self.handshake(ssl.TLSVersion.TLSv1_2), ssl.SSLError)

        self.configure(ssl_protocols="TLSv1 TLSv1.2 TLSv1.3", use_http2="true")

        self.assertIsInstance(self.handshake(ssl.TLSVersion.TLSv1_2), ssl.SSLError)
        found = self.handfast.proxy.logged(message="finding", field="data[ssl-protocols]")
        self.assertEqual({line["level"] for line in found}, {"error"})
        self.handfast.stop()
        self.handfast.start()
        self.wait_for(200)
        self.handfast.barrier()
        self.assertIsInstance(self.handshake(ssl.TLSVersion.TLSv1_2), ssl.SSLError)

        self.configure()
        self.assertEqual(self.handshake(ssl.TLSVersion.TLSv1_2)[0], "TLSv1.2")

    def test_a_list_that_openssl_does_not_know_is_rejected_and_the_rest_applies(self):
        self.configure(ssl_ecdh_curve="SecP256r1MLKEM768:X25519", ssl_protocols="TLSv1.2")

        def applied():
            self.assertIsInstance(self.handshake(ssl.TLSVersion.TLSv1_3), ssl.SSLError)
            self.assertEqual(self.handshake(ssl.TLSVersion.TLSv1_2)[0], "TLSv1.2")
            return True

        eventually(applied, "the protocols apply")

    def security(self, target="/", tls=True, **options):
        """(status, [Strict-Transport-Security, …])"""
        answer = self.get(target, tls=clients.any_client_context() if tls else None, **options)
        return answer.status, [value for name, value in answer.headers
                               if name.lower() == "strict-transport-security"]

    def test_strict_transport_security_as_the_config_map_says(self):
        own = [("Strict-Transport-Security", "max-age=1")]
        self.backend.close()
        self.backend = self.use(Backend(handle=lambda connection, request: (
            connection.read_body(request), connection.reply(b"", "200 OK", own))))
        self.apply_ingress(self.backend.port, protocol=None)
        self.configure()
        self.wait_for(200)

        self.assertEqual(self.security(), (200, ["max-age=31536000; includeSubDomains"]))
        self.assertEqual(self.security(tls=False), (200, ["max-age=1"]))

        self.configure(hsts_max_age="86400", hsts_preload="true", hsts_include_subdomains="false")
        self.assertEqual(self.security(), (200, ["max-age=86400; preload"]))
        with http2.connect(self.handfast, self.host, tls=True) as client:
            answer = client.fetch(self.host, "/")
            self.assertEqual([value for name, value in answer.headers
                              if name == "strict-transport-security"], ["max-age=86400; preload"])
        nobody = self.handfast.get("nobody.test", "/", tls=clients.any_client_context())
        self.assertEqual(nobody.status, 404)
        self.assertEqual(nobody.header("Strict-Transport-Security"), "max-age=86400; preload")

        self.configure(hsts_max_age="1y", hsts_preload="maybe", hsts_include_subdomains="false")
        self.assertEqual(self.security(), (200, ["max-age=86400; preload"]))

        self.configure(hsts="false")
        self.assertEqual(self.security(), (200, ["max-age=1"]))

    def test_what_restricts_access_and_is_not_there_refuses(self):
        self.configure(whitelist_source_range="10.0.0.0/8")

        self.wait_for(503)
        found = self.handfast.proxy.logged(message="finding", field="data[whitelist-source-range]")
        self.assertEqual({line["level"] for line in found}, {"error"})
        self.configure()
        self.wait_for(200)


if __name__ == "__main__":
    unittest.main()
