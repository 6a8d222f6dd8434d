"""The CRD of UpstreamTLSPolicy, judged by a real API server: what tests/fixtures/crd accepts and
rejects, its schema and its CEL rules accept and reject too; and within the limits of their cost."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import cluster  # noqa: E402
from harness.cluster import ROOT, Cluster  # noqa: E402
from harness.waiting import eventually  # noqa: E402

FIXTURES = ROOT / "tests/fixtures/crd"


class Definition(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.cluster.install("crds")
        cls.cluster.namespace("shop")
        eventually(lambda: cls.cluster.request(
            "GET", "/apis/handfast.dev/v1alpha1/upstreamtlspolicies"), "the kind is served")

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def judge(self, file):
        """What kubectl says against it; None: nothing. Nothing is stored, unknown fields are told as
        kubectl tells them by default."""
        try:
            self.cluster.kubectl("create", "--dry-run=server", "-f", str(file))
            return None
        except RuntimeError as error:
            return str(error)

    def test_definition_is_established_without_complaints(self):
        found = self.cluster.request(
            "GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
            "upstreamtlspolicies.handfast.dev")
        conditions = {one["type"]: one for one in found["status"]["conditions"]}
        self.assertEqual(conditions["Established"]["status"], "True")
        self.assertNotIn("NonStructuralSchema", conditions)

    def test_what_we_accept_is_accepted(self):
        files = sorted((FIXTURES / "accept").glob("*.yaml"))
        self.assertGreater(len(files), 15)
        for file in files:
            with self.subTest(file.name):
                self.assertIsNone(self.judge(file))

    def test_what_we_reject_is_rejected_in_the_field_that_we_name(self):
        files = sorted((FIXTURES / "reject").glob("*.yaml"))
        self.assertGreater(len(files), 50)
        for file in files:
            with self.subTest(file.name):
                said = self.judge(file)
                self.assertIsNotNone(said, "accepted")
                # CEL names the object around the field, so the first word after spec is enough.
                field = file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
                part = field.split(".")[1].partition("[")[0] if "." in field else field
                self.assertTrue(part in said or "spec:" in said, f"{field}: {said}")


if __name__ == "__main__":
    cluster.skip_without_programs()
    unittest.main()
