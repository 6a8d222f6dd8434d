"""RSA and ECDSA certificates for one host: openssl gets the one that it offers to verify."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.pki import Authority, new_key  # noqa: E402
from harness.waiting import eventually  # noqa: E402

RSA = "RSA-PSS+SHA256:RSA+SHA256"
ECDSA = "ECDSA+SHA256"
VERSIONS = ("-tls1_2", "-tls1_3")


class KeyTypes(HandfastCase):
    def setUp(self):
        super().setUp()
        self.backend = self.use(Backend())
        self.ec = self.ca.server(self.host)
        self.rsa = self.ca.server(self.host, key=new_key("rsa2048"))

    def serve(self, **options):
        for suffix, leaf in (("ec", self.ec), ("rsa", self.rsa)):
            self.apply(suffix, manifests.secret(f"{self.name}-{suffix}", tls_crt=leaf.cert_pem,
                                                tls_key=leaf.key_pem))
        self.apply_ingress(self.backend.port, protocol=None, tls=[
            {"hosts": [self.host], "secretName": f"{self.name}-{suffix}"}
            for suffix in ("ec", "rsa")], **options)
        eventually(lambda: self.seen("-tls1_3", RSA) == "rsa" and
                   self.seen("-tls1_3", ECDSA) == "ec", "both certificates")

    def s_client(self, *flags):
        host, port = self.handfast.https
        request = f"GET / HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n"
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", self.host,
             "-ign_eof", *flags], input=request.encode(), capture_output=True, timeout=20,
            check=False)
        return done.stdout.decode(errors="replace")

    def seen(self, version, sigalgs, *flags):
        text = self.s_client(version, "-sigalgs", sigalgs, *flags)
        signed = re.search(r"Peer signature type: ([\w-]+)", text)
        if signed is None:
            return "none"
        # "ECDSA", since OpenSSL 3.5 "ecdsa_secp256r1_sha256".
        return "ec" if signed[1].lower().startswith("ecdsa") else "rsa"

    def test_the_client_gets_the_one_that_it_can_verify(self):
        self.serve()
        for version in VERSIONS:
            with self.subTest(version=version):
                self.assertEqual(self.seen(version, RSA), "rsa")
                self.assertEqual(self.seen(version, ECDSA), "ec")
                self.assertEqual(self.seen(version, f"{RSA}:{ECDSA}"), "ec")
                self.assertEqual(self.seen(version, "ed25519"), "none")

    def test_each_is_rotated_by_itself(self):
        self.serve()
        before = self.rsa.serial
        self.rsa = self.ca.server(self.host, key=new_key("rsa2048"))
        self.serve()
        self.assertNotEqual(self.rsa.serial, before)

        def shown():
            text = self.s_client("-tls1_3", "-sigalgs", RSA)
            pem = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.S)
            self.assertEqual(pem[0].split(), self.rsa.cert_pem.split())
            return True

        eventually(shown, "the new certificate")
        self.assertEqual(self.seen("-tls1_3", ECDSA), "ec")

    def test_a_bad_one_leaves_the_other(self):
        self.serve()
        self.delete("rsa")
        eventually(lambda: self.seen("-tls1_3", RSA) == "none", "no RSA")
        self.assertEqual(self.seen("-tls1_2", ECDSA), "ec")

    def test_tickets_and_client_certificates_stay_right(self):
        ours = Authority(f"{self.name}-clients")
        self.apply("clients", manifests.secret(f"{self.name}-clients", ca_crt=ours.cert_pem))
        self.serve(annotations={"auth-tls-secret": f"shop/{self.name}-clients"})
        with tempfile.TemporaryDirectory() as folder:
            crt, key = ours.client("alice").write(pathlib.Path(folder), "alice")
            for version in VERSIONS:
                with self.subTest(version=version):
                    who = ("-cert", crt, "-key", key)
                    ticket = f"{folder}/ticket{version}"
                    self.assertIn("400 Bad Request", self.s_client(version, "-sigalgs", RSA))
                    first = self.s_client(version, "-sigalgs", f"{RSA}:{ECDSA}", *who,
                                          "-sess_out", ticket)
                    self.assertIn("HTTP/1.1 200", first)
                    again = self.s_client(version, "-sigalgs", f"{RSA}:{ECDSA}", *who,
                                          "-sess_in", ticket)
                    self.assertIn("HTTP/1.1 200", again)
                    self.assertIn("Reused, ", again)


if __name__ == "__main__":
    unittest.main()
