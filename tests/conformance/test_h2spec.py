"""h2spec, all of its cases, against both ports: HTTP/2 by ALPN over TLS, and by prior knowledge."""

import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness import manifests  # noqa: E402
from harness.backends import Nginx  # noqa: E402
from harness.case import HandfastCase  # noqa: E402

from tools import skip_without, tool  # noqa: E402

CASES = 145  # of version 2.2.1, the newest that is a Go module


class H2spec(HandfastCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.nginx = Nginx(None, location='return 200 "hello, h2spec";')
        # h2spec asks for the address that it connects to: a route without a host. Buffered, so that
        # no answer overtakes what is wrong with the rest of its request.
        cls.handfast.apply("route", manifests.ingress(
                               "h2spec", annotations={"proxy-request-buffering": "on"}),
                           manifests.service("h2spec", cls.nginx.port))
        cls.handfast.barrier()

    @classmethod
    def tearDownClass(cls):
        cls.nginx.close()
        super().tearDownClass()

    def check(self, address, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            report = pathlib.Path(folder) / "report.xml"
            done = subprocess.run(
                [tool("h2spec"), "-h", address[0], "-p", str(address[1]), "-o", "5", "-j", report,
                 *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=170)
            cases = list(xml.etree.ElementTree.parse(report).getroot().iter("testcase"))
        failed = [f"{case.get('package')}: {case.get('classname')}" for case in cases
                  if case.find("failure") is not None or case.find("error") is not None]
        skipped = [case for case in cases if case.find("skipped") is not None]
        self.assertEqual(failed, [], done.stdout.decode()[-10_000:])
        self.assertEqual((len(cases), len(skipped)), (CASES, 0))

    def test_plain_port(self):
        self.check(self.handfast.http)

    def test_tls_port(self):
        self.check(self.handfast.https, "-t", "-k")


if __name__ == "__main__":
    skip_without("h2spec")
    unittest.main()
