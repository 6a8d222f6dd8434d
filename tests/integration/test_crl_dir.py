"""--crl-dir: lists of the operator, as kubelet mounts them, that hold for everybody who verifies."""

import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import apps  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.crl_case import CrlDirectoryCase  # noqa: E402
from harness.handfast import Handfast  # noqa: E402
from harness.pki import from_now  # noqa: E402
from harness.volume import Volume  # noqa: E402
from harness.waiting import eventually  # noqa: E402


class CrlDirectory(CrlDirectoryCase):
    def setUp(self):
        super().setUp()
        self.leaf = self.server()
        self.backend = self.use(Backend(self.leaf, handle=apps.h1))
        self.put(backends=self.ca.crl_der(), others=self.other_ca.crl())

    def put(self, **lists):
        self.volume.swap(lists)

    def route(self, **secret):
        self.apply_secret(self.ca.client(), self.ca, **secret)
        self.apply_ingress(self.backend.port)

    def test_who_is_in_a_list_is_refused_and_who_is_in_none_is_not(self):
        self.route()
        self.wait_for(200)

        self.put(backends=self.ca.crl([self.leaf]))
        self.assert_refused(502, "revoked")

        self.put(backends=self.ca.crl())
        self.wait_for(200)

    def test_lists_that_cover_nobody_or_are_expired_change_nothing(self):
        self.put(others=self.other_ca.crl(),
                        backends=self.ca.crl(last_update=from_now(days=-2),
                                             next_update=from_now(days=-1)))
        self.route()

        self.wait_for(200)

    def test_they_stand_beside_the_lists_that_objects_name(self):
        self.route(crl=self.ca.crl())
        self.wait_for(200)

        self.put(backends=self.ca.crl([self.leaf]))
        self.assert_refused(502, "revoked")

    def test_a_list_of_ones_own_must_still_cover(self):
        self.route(crl=self.other_ca.crl())
        self.put(others=self.other_ca.crl())

        self.assert_refused(502, "crl_missing")

    def test_a_torn_file_keeps_what_it_said_and_hurts_no_other(self):
        self.put(backends=self.ca.crl([self.leaf]), others=self.other_ca.crl())
        self.route()
        self.assert_refused(502, "revoked")

        self.put(backends=self.ca.crl()[:200], others=self.other_ca.crl())
        self.handfast.barrier()
        self.assert_refused(502, "revoked")

    def test_an_open_connection_to_who_is_named_now_is_cut(self):
        self.route()
        self.wait_for(200)
        connection = self.handfast.connect()
        self.addCleanup(connection.close)
        connection.send(f"GET /stream/100000000 HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
        self.assertEqual(connection.head().status, 200)

        self.put(backends=self.ca.crl([self.leaf]))
        self.wait_for(502)

        with self.assertRaises((EOFError, ConnectionError)):
            for _ in connection.chunks():
                pass


class Start(unittest.TestCase):
    def test_nothing_is_served_before_the_directory_is_there(self):
        with tempfile.TemporaryDirectory() as folder:
            handfast = Handfast("--crl-dir", pathlib.Path(folder) / "late", start=False)
            self.addCleanup(handfast.close)
            handfast.start(wait_ready=False)
            self.assertFalse(handfast.is_ready())

            late = Volume(pathlib.Path(folder) / "late")
            os.mkfifo(late.folder / "piped.crl")
            self.assertFalse(handfast.is_ready())

            (late.folder / "piped.crl").unlink()
            late.swap({"none": "x"})

            eventually(handfast.is_ready, "readiness")


if __name__ == "__main__":
    unittest.main()
