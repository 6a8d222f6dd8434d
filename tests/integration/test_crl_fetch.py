"""--crl-fetch: lists that the controller has from a distribution point over plain HTTP."""

import contextlib
import http.server
import os
import pathlib
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import apps  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import Handfast  # noqa: E402
from harness.pki import Authority  # noqa: E402
from harness.waiting import eventually  # noqa: E402


class Point:
    """A distribution point: what it answers is the test's to say."""

    def __init__(self):
        self.answer, self.asked = (404, b""), 0
        point = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                point.asked += 1
                status, body = point.answer
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", point.url + "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def offer(self, body, status=200):
        self.answer = (status, body)

    def close(self):
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._server = None


class CrlFetch(HandfastCase):
    @classmethod
    def setUpClass(cls):
        cls.issuer = Authority("fetched")
        cls.point = Point()
        cls.addClassCleanup(lambda: cls.point.close())  # pylint: disable=unnecessary-lambda
        temporary = tempfile.TemporaryDirectory(prefix="handfast-crls-")
        cls.addClassCleanup(temporary.cleanup)
        cls.ca_file = pathlib.Path(temporary.name) / "ca.crt"
        cls.ca_file.write_text(cls.issuer.cert_pem)
        cls.good, cls.bad = cls.issuer.server("good.shop.svc"), cls.issuer.server("bad.shop.svc")
        cls.point.offer(cls.issuer.crl_der([cls.bad]))
        cls.flags = ("--crl-fetch", f"{cls.ca_file}={cls.point.url}/ca.crl")
        super().setUpClass()

    def route(self, leaf):
        backend = self.use(Backend(leaf, handle=apps.h1))
        self.apply_secret(self.ca.client(), self.issuer)
        self.apply_ingress(backend.port, annotations={"proxy-ssl-name": leaf.common_name})

    def test_who_is_not_in_the_list_is_served(self):
        self.route(self.good)

        self.wait_for(200)
        self.assertTrue(self.handfast.metrics().value("handfast_crl_next_update_seconds",
                                                      namespace="crl-fetch"))

    def test_who_is_in_the_list_is_refused_after_a_restart_without_its_server_too(self):
        self.route(self.bad)
        self.assert_refused(502, "revoked")

        self.handfast.stop()
        self.point.close()
        self.handfast.start()

        self.assert_refused(502, "revoked")
        eventually(lambda: "can't be fetched" in self.handfast.proxy.err.text(), "the failure")
        self.assert_refused(502, "revoked")


class Start(unittest.TestCase):
    def test_answers_that_are_no_list_are_told_and_hurt_nothing(self):
        issuer, stranger = Authority("fetched"), Authority("fetched")
        for status, body, said in (
                (500, b"", "the answer was 500"), (302, b"", "the answer was 302"),
                (200, b"<html>", "ca.crl"),
                (200, stranger.crl_der(), "is not signed by a certificate of")):
            with (self.subTest(said=said), tempfile.TemporaryDirectory() as name,
                  contextlib.closing(Point()) as point):
                point.offer(body, status)
                ca_file = pathlib.Path(name) / "ca.crt"
                ca_file.write_text(issuer.cert_pem)
                with contextlib.closing(
                        Handfast("--crl-fetch", f"{ca_file}={point.url}/ca.crl")) as handfast:
                    eventually(lambda: said in handfast.proxy.err.text(), said)
                    self.assertTrue(handfast.is_ready())
                    self.assertEqual(point.asked, 1)


if __name__ == "__main__":
    unittest.main()
