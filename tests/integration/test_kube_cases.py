"""The cases that a directory of manifests is tested with, by the same code, over an API server: one
set of cases, both sources."""

import functools
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import test_edge_cases  # noqa: E402
import test_main_path  # noqa: E402
import test_upstream_policy  # noqa: E402
from harness import backends, cluster, manifests  # noqa: E402
from harness.cluster import ApiError, ClusterHandfast  # noqa: E402
from harness.kube_case import install, shared_cluster  # noqa: E402
from harness.waiting import eventually  # noqa: E402

CASES = (test_main_path.MainPath, test_main_path.Front, test_main_path.Routing,
         test_edge_cases.ProxySslToOpenssl, test_edge_cases.CrlForms, test_edge_cases.Collisions,
         test_edge_cases.FrontTls, test_edge_cases.DefaultCertificate,
         test_upstream_policy.UpstreamPolicies, test_upstream_policy.OtherNamespaces)

GRANTS = manifests.crd("ReferenceGrant", "referencegrants", version="v1beta1")

# Of these the answer can't be the same.
NOT_HERE = {
    "test_ca_of_a_cluster_trust_bundle_and_of_a_secret_are_united":
        "this API server has no ClusterTrustBundles",
}


@functools.lru_cache(maxsize=1)
def prepare():
    """The cluster, and how the controller gets at it."""
    server = shared_cluster()
    install(server)
    server.apply(manifests.backend_tls_policy_crd(), GRANTS)
    for version in ("v1", "v1beta1"):
        eventually(lambda v=version: server.request(
            "GET", f"/apis/gateway.networking.k8s.io/{v}"), "the definitions")
    return server, server.account_kubeconfig()


class OverCluster:
    """Takes the place of the directory in a HandfastCase."""

    @classmethod
    def setUpClass(cls):
        backends.LISTEN = "0.0.0.0"
        super().setUpClass()

    @classmethod
    def start_programs(cls):
        server, kubeconfig = prepare()
        return ClusterHandfast(server, kubeconfig, *cls.flags, workers=cls.workers).start()

    def setUp(self):
        if self._testMethodName in NOT_HERE:
            self.skipTest(NOT_HERE[self._testMethodName])
        super().setUp()

    def apply(self, suffix, *objects):
        try:
            super().apply(suffix, *objects)
        except ApiError as error:
            if error.status not in (400, 422):
                raise
            self.skipTest(f"no API server takes it: {error}")


    def assert_refused(self, status, word):
        """Objects come one after the other, so that there may be another reason at first."""
        words = word if isinstance(word, tuple) else (word,)
        self.wait_for(status)
        eventually(lambda: self.reason_now() in words, f"one of the reasons {words}")


for one in CASES:
    name = f"{one.__name__}OverCluster"
    globals()[name] = type(name, (OverCluster, one), {})
del one


if __name__ == "__main__":
    cluster.skip_without_programs()
    unittest.main()
