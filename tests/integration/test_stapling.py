"""OCSP responses about certificates of ours: fetched from openssl's responder, or brought by the
Secret, and what openssl's client sees of them."""

import base64
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import free_port  # noqa: E402
from harness.pki import Authority, Leaf  # noqa: E402
from harness.processes import Process  # noqa: E402
from harness.waiting import eventually  # noqa: E402


def entry(leaf, status="V"):
    """A line of the index that openssl reads."""
    serial = f"{leaf.serial:X}"
    serial = serial if len(serial) % 2 == 0 else "0" + serial
    revoked = "250101000000Z" if status == "R" else ""
    return f"{status}\t491231235959Z\t{revoked}\t{serial}\tunknown\t/CN=leaf\n"


class Responder:
    """`openssl ocsp` for what one authority has issued, as its index says."""

    def __init__(self, authority, port):
        self._folder = tempfile.TemporaryDirectory(prefix="handfast-it-")
        self.folder = pathlib.Path(self._folder.name)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"  # its GET knows no path before the request
        self.pair = Leaf(authority.certificate, authority.key).write(self.folder, "ca")
        self.entries = []
        self.process = None

    def say(self, leaf, status="V"):
        self.entries.append(entry(leaf, status))

    def start(self):
        (self.folder / "index.txt").write_text("".join(self.entries))
        crt, key = self.pair
        self.process = Process(["openssl", "ocsp", "-index", self.folder / "index.txt", "-port",
                                self.port, "-CA", crt, "-rsigner", crt, "-rkey", key, "-nmin", 60],
                               self.folder)
        return self

    def close(self):
        if self.process is not None:
            self.process.kill()
        self._folder.cleanup()


class Stapling(HandfastCase):
    @classmethod
    def setUpClass(cls):
        cls.issuer = Authority("issuing", parent=Authority("root"))
        cls.responder = Responder(cls.issuer, free_port())
        cls.addClassCleanup(cls.responder.close)
        url = cls.responder.url
        cls.good = cls.issuer.server("good.test", responder=url)
        cls.revoked = cls.issuer.server("revoked.test", responder=url)
        cls.elsewhere = cls.issuer.server("elsewhere.test", responder="http://127.0.0.2:9")
        cls.responder.say(cls.good)
        cls.responder.say(cls.revoked, "R")
        cls.responder.start()
        cls.flags = ("--ocsp-stapling", f"127.0.0.1:{cls.responder.port}")
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.backend = self.use(Backend())

    def show(self, leaf, staple=None):
        name = leaf.common_name
        secret = manifests.secret(f"{self.name}-front", tls_crt=leaf.chain_pem,
                                  tls_key=leaf.key_pem)
        if staple is not None:
            secret.setdefault("data", {})["tls.ocsp-staple"] = base64.b64encode(staple).decode()
        self.apply("front", secret)
        self.apply("route", manifests.service(self.name, self.backend.port),
                   manifests.ingress(self.name, name, annotations={"ssl-redirect": "false"},
                                     tls=[{"hosts": [name], "secretName": f"{self.name}-front"}]))
        self.handfast.barrier()

    def status(self, leaf, *options):
        """What openssl's client says of the response."""
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.handfast.https[1]}",
             "-servername", leaf.common_name, "-status", *options],
            input=b"", capture_output=True, timeout=30)
        return done.stdout.decode(errors="replace")

    def test_a_response_is_fetched_and_stapled_in_both_versions(self):
        self.show(self.good)

        for version in ("-tls1_2", "-tls1_3"):
            eventually(lambda v=version: "Cert Status: good" in self.status(self.good, v),
                       f"a good response with {version}")

    def test_a_revoked_certificate_gets_none_and_the_log_says_why(self):
        self.show(self.revoked)

        eventually(lambda: "no OCSP response could be fetched" in self.handfast.proxy.err.text(),
                   "a line of the log")
        self.assertIn("revoked", self.handfast.proxy.err.text())
        self.assertIn("no response sent", self.status(self.revoked))

    def test_a_responder_that_is_not_allowed_is_never_asked(self):
        self.show(self.elsewhere)

        self.assertIn("no response sent", self.status(self.elsewhere))
        self.assertNotIn("127.0.0.2", self.handfast.proxy.err.text())

    def test_a_response_that_the_secret_brings_is_stapled_if_it_is_good(self):
        leaf = self.issuer.server("brought.test")
        for serial, expected in ((leaf, "Cert Status: good"), (self.good, "no response sent")):
            with self.subTest(expected=expected):
                self.show(leaf, self.answer(serial))
                eventually(lambda e=expected: e in self.status(leaf), expected)

    def answer(self, leaf):
        """A response by openssl, without a server."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            crt, key = Leaf(self.issuer.certificate, self.issuer.key).write(folder, "ca")
            (folder / "leaf.crt").write_text(leaf.cert_pem)
            (folder / "index.txt").write_text(entry(leaf))
            ask = ["openssl", "ocsp", "-issuer", crt, "-cert", "leaf.crt", "-reqout", "request",
                   "-no_nonce"]
            subprocess.run(ask, cwd=folder, check=True, capture_output=True)
            subprocess.run(["openssl", "ocsp", "-index", "index.txt", "-CA", crt, "-rsigner", crt,
                            "-rkey", key, "-reqin", "request", "-respout", "response", "-nmin",
                            "60"], cwd=folder, check=True, capture_output=True)
            return (folder / "response").read_bytes()


if __name__ == "__main__":
    unittest.main()
