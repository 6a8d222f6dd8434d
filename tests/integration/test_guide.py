"""nginx's guide to securing traffic to upstream servers, directive by directive: what docs/nginx.md
says is equal does here what the directive did there. Upstreams are nginx."""

import os
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, manifests  # noqa: E402
from harness.backends import Backend, Nginx  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import ROOT  # noqa: E402
from harness.pki import Authority  # noqa: E402

# What the guide and its complete example use.
DIRECTIVES = """
    proxy_pass upstream proxy_ssl_certificate proxy_ssl_certificate_key
    proxy_ssl_trusted_certificate proxy_ssl_verify proxy_ssl_verify_depth proxy_ssl_session_reuse
    proxy_ssl_protocols proxy_ssl_ciphers proxy_ssl_password_file proxy_ssl_crl
    js_fetch_trusted_certificate listen server_name ssl_certificate ssl_certificate_key
    ssl_client_certificate ssl_trusted_certificate ssl_verify_client ssl_session_ticket_key""".split()


class ToTheUpstream(HandfastCase):
    def serve(self, *, annotations=None, secret=True, protocol="HTTPS", leaf=None, **options):
        upstream = self.use(Nginx(leaf or self.server(), **options))
        self.apply_ingress(upstream.port, annotations=annotations, secret=secret,
                           protocol=protocol)
        return upstream

    def apply_policy(self, client=None, **options):
        self.apply("roots", manifests.config_map(f"{self.name}-roots", ca_crt=self.ca.cert_pem))
        self.apply("policy", manifests.upstream_tls_policy(
            self.name, self.name, client=client,
            ca=[manifests.material_ref("ConfigMap", f"{self.name}-roots")], **options))

    def test_proxy_pass_https(self):
        self.serve()
        self.apply_secret(ca=self.ca)

        self.wait_for(200, text=f"sni={self.name}.shop.svc")

    def test_upstream(self):
        both = [self.use(Nginx(self.server(), location=f'return 200 "server {number}";'))
                for number in range(2)]
        self.apply_ingress(*(one.port for one in both))
        self.apply_secret(ca=self.ca)
        self.wait_for(200)

        self.assertEqual({self.get().body for _ in range(8)}, {b"server 0", b"server 1"})

    def test_proxy_ssl_certificate_and_proxy_ssl_certificate_key(self):
        self.serve(client_ca=self.ca.cert_pem)
        for name in ("first", "second"):  # and its rotation
            self.apply_secret(self.ca.client(name), self.ca)
            self.wait_for(200, text=f"CN={name}")

    def test_proxy_ssl_password_file(self):
        client = self.ca.client("locked")
        self.serve(client_ca=self.ca.cert_pem, protocol=None, secret=False)
        self.apply_secret(client, tls_key=client.key_pem_as("pkcs8", "right"))
        self.apply("pass", manifests.secret(f"{self.name}-pass", passphrase="wrong\nright\n"))
        self.apply_policy(client=f"{self.name}-tls",
                          privateKeyPassphraseRef={"name": f"{self.name}-pass"})

        self.wait_for(200, text="CN=locked")

    def test_proxy_ssl_trusted_certificate(self):
        self.serve()
        self.apply_secret(ca=self.other_ca)
        self.assert_refused(502, "untrusted_issuer")

        self.apply_secret(ca=self.other_ca.cert_pem + self.ca.cert_pem)
        self.wait_for(200)

    def test_proxy_ssl_verify(self):
        self.serve(leaf=self.other_ca.server(f"{self.name}.shop.svc"),
                   annotations={"proxy-ssl-verify": "on"})
        self.apply_secret(ca=self.ca)
        self.assert_refused(502, "untrusted_issuer")

        self.serve(leaf=self.other_ca.server(f"{self.name}.shop.svc"),
                   annotations={"proxy-ssl-verify": "off"})
        self.assert_refused(503, "not_permitted")

    def test_proxy_ssl_verify_depth(self):
        below = self.ca.intermediate("one").intermediate("two")
        leaf = below.server(f"{self.name}.shop.svc")
        self.apply_secret(ca=self.ca)
        self.serve(leaf=leaf, annotations={"proxy-ssl-verify-depth": "2"})
        self.wait_for(200)

        self.serve(leaf=leaf, annotations={"proxy-ssl-verify-depth": "1"})
        self.assert_refused(502, "chain_too_long")

    def test_proxy_ssl_crl(self):
        leaf = self.server()
        self.serve(leaf=leaf)
        self.apply_secret(ca=self.ca, crl=self.ca.crl())
        self.wait_for(200)

        self.apply_secret(ca=self.ca, crl=self.ca.crl([leaf]))
        self.assert_refused(502, "revoked")

    def test_proxy_ssl_name(self):
        self.apply_secret(ca=self.ca)
        self.serve(leaf=self.ca.server("orders.example"),
                   annotations={"proxy-ssl-name": "orders.example"})
        self.wait_for(200, text="sni=orders.example")

        self.serve(leaf=self.ca.server("orders.example"))
        self.assert_refused(502, "name_mismatch")

    def test_proxy_ssl_server_name(self):
        self.apply_secret(ca=self.ca)
        self.serve(annotations={"proxy-ssl-server-name": "off"})

        self.wait_for(200, text="sni= ")

    def test_proxy_ssl_protocols_and_proxy_ssl_ciphers(self):
        self.apply_secret(ca=self.ca)
        tell = 'return 200 "$ssl_protocol $ssl_cipher";'
        both = "ssl_protocols TLSv1.2 TLSv1.3;"
        self.serve(location=tell, extra=both, annotations={
            "proxy-ssl-protocols": "TLSv1.2", "proxy-ssl-ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"})
        self.wait_for(200, text="TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384")

        self.serve(location=tell, extra=both, annotations={"proxy-ssl-protocols": "TLSv1.3"})
        self.wait_for(200, text="TLSv1.3")

    def test_proxy_ssl_session_reuse(self):
        tell = 'add_header Connection close; return 200 "reused=$ssl_session_reused.";'
        self.serve(location=tell, protocol=None, secret=False, keepalive_requests=1)
        self.apply_policy()
        self.wait_for(200, text="reused=r.", streak=1)

        self.apply_policy(session={"resumption": "Disabled"})
        self.wait_for(200, text="reused=..", streak=8)


    def test_js_fetch_trusted_certificate(self):
        leaf = self.ca.server(f"{self.name}-auth.shop.svc")
        auth = self.use(Nginx(leaf, location="return 204;"))
        self.serve(protocol=None, leaf=None, secret=False,
                   annotations={"backend-protocol": "HTTPS",
                                "proxy-ssl-secret": f"shop/{self.name}-tls",
                                "auth-url": f"https://{self.name}-auth.shop.svc/check",
                                manifests.OWN + "auth-proxy-ssl-secret": f"shop/{self.name}-trust"})
        self.apply_secret(ca=self.ca)
        self.apply("auth", manifests.service(f"{self.name}-auth", auth.port),
                   manifests.secret(f"{self.name}-trust", ca_crt=self.other_ca.cert_pem))
        self.assert_refused(502, "untrusted_issuer")

        self.apply("auth", manifests.service(f"{self.name}-auth", auth.port),
                   manifests.secret(f"{self.name}-trust", ca_crt=self.ca.cert_pem))
        self.wait_for(200)


class WhereTlsEnds(HandfastCase):
    """The server's side of the guide, where it is Handfast that terminates TLS."""

    flags = ("--session-ticket-secret", "shop/tickets")

    def setUp(self):
        super().setUp()
        self.clients = Authority(f"{self.name}-clients")
        self.leaf = self.ca.server(self.host)

    def serve(self, **annotations):
        backend = self.use(Backend())
        self.apply("front", manifests.secret(f"{self.name}-front", tls_crt=self.leaf.cert_pem,
                                             tls_key=self.leaf.key_pem))
        self.apply_ingress(backend.port, protocol=None, annotations={
            key.replace("_", "-"): value for key, value in annotations.items()},
                           tls=[{"hosts": [self.host], "secretName": f"{self.name}-front"}])
        self.handfast.barrier()  # a change of trust ends connections that are under way

    def context(self, leaf=None):
        context = ssl.create_default_context(cadata=self.ca.cert_pem)
        if leaf is not None:
            with tempfile.TemporaryDirectory() as folder:
                context.load_cert_chain(*leaf.write(pathlib.Path(folder), "client"))
        return context

    def test_ssl_certificate_and_ssl_certificate_key(self):
        self.serve()

        self.wait_for(200, tls=self.context())  # which verifies chain and name

    def test_listen_ssl_and_server_name(self):
        self.serve()
        self.wait_for(200, tls=self.context())

        other = clients.shown_certificate(self.handfast.https, f"not.{self.host}")
        self.assertNotEqual(other.serial_number, self.leaf.serial)
        self.assertEqual(self.handfast.get(f"not.{self.host}", tls=True).status, 404)

    def test_ssl_client_certificate_and_ssl_verify_client(self):
        self.apply("clients", manifests.secret(f"{self.name}-clients",
                                               ca_crt=self.clients.cert_pem))
        self.serve(auth_tls_secret=f"shop/{self.name}-clients", auth_tls_verify_client="on")

        self.wait_for(200, tls=self.context(self.clients.client("alice")))
        self.assertEqual(self.get(tls=self.context()).status, 400)
        self.assertEqual(self.get(tls=self.context(self.other_ca.client("mallory"))).status, 400)

        self.serve(auth_tls_secret=f"shop/{self.name}-clients", auth_tls_verify_client="optional")
        self.wait_for(200, tls=self.context())
        self.assertEqual(self.get(tls=self.context(self.other_ca.client("mallory"))).status, 400)

    def test_ssl_trusted_certificate(self):
        self.apply("clients", manifests.secret(f"{self.name}-clients",
                                               ca_crt=self.clients.cert_pem))
        self.serve(**{"auth_tls_secret": f"shop/{self.name}-clients",
                      manifests.OWN + "auth-tls-announce-ca": "false"})

        self.wait_for(200, tls=self.context(self.clients.client("alice")))
        self.assertEqual(self.get(tls=self.context()).status, 400)
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", "%s:%d" % self.handfast.https, "-servername",
             self.host], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=20).stdout
        self.assertIn("No client certificate CA names sent", shown)

    def test_ssl_verify_depth(self):
        self.apply("clients", manifests.secret(f"{self.name}-clients",
                                               ca_crt=self.clients.cert_pem))
        leaf = self.clients.intermediate("one").intermediate("two").client("alice")
        for depth, status in (("2", 200), ("1", 400)):
            self.serve(auth_tls_secret=f"shop/{self.name}-clients", auth_tls_verify_depth=depth)
            self.wait_for(status, tls=self.context(leaf))

    def test_ssl_crl(self):
        alice, bob = self.clients.client("alice"), self.clients.client("bob")
        self.apply("clients", manifests.secret(f"{self.name}-clients",
                                               ca_crt=self.clients.cert_pem,
                                               ca_crl=self.clients.crl([bob])))
        self.serve(auth_tls_secret=f"shop/{self.name}-clients")

        self.wait_for(200, tls=self.context(alice))
        self.assertEqual(self.get(tls=self.context(bob)).status, 400)

    def test_ssl_session_ticket_key(self):
        self.serve()
        self.wait_for(200, tls=self.context())
        key = os.urandom(80)
        self.handfast.apply("tickets", manifests.secret("tickets", data={"ticket.key": key}))
        self.handfast.barrier()
        with tempfile.NamedTemporaryFile() as file:
            file.write(key)
            file.flush()
            os.chmod(file.name, 0o644)
            nginx = self.use(Nginx(self.leaf, extra=f"ssl_session_ticket_key {file.name};"
                                                    "ssl_protocols TLSv1.3;"))
            context = clients.any_client_context()

            session, _ = self.visit(("127.0.0.1", nginx.port), context)
            _, reused = self.visit(self.handfast.https, context, session)

        self.assertTrue(reused)

    def visit(self, address, context, session=None):
        """One request; answers the session and whether it was taken up."""
        with clients.RawConnection(address, tls=context, server_name=self.host,
                                   session=session) as connection:
            connection.request(self.host)
            return connection.sock.session, connection.sock.session_reused


class Guide(unittest.TestCase):
    def test_every_directive_has_a_line_and_a_test(self):
        lines = (ROOT / "docs/nginx.md").read_text()
        tests = [name for case in (ToTheUpstream, WhereTlsEnds) for name in dir(case)
                 if name.startswith("test_")]
        for directive in DIRECTIVES:
            with self.subTest(directive):
                # At the beginning of a line of the table, alone, with arguments, or in a list.
                line = re.compile(rf"^\|[^|]*`{directive}[ `][^|]*\|", re.MULTILINE)
                self.assertRegex(lines, line)
                named = re.compile(rf"test_(.*_and_)?{directive}(_|$)")
                self.assertTrue([name for name in tests if named.match(name)], directive)


if __name__ == "__main__":
    unittest.main()
