"""What happens to pods while clients ask: no request fails."""

import json
import unittest

import case
import kube
from kube import eventually, kubectl

TWO = {"controller": {"replicaCount": 2}}


class Rollouts(case.ServedCase):
    values = TWO

    def under_load(self, change, replicas=2):
        """`change` takes its course until nothing is leaving any more."""
        before = kube.names(case.OURS)
        with case.Load(self.host) as load:
            change()
            kube.wait_ready(case.OURS, replicas)
            seen = load.stop()
        self.assert_nothing_failed(seen)
        return before & kube.names(case.OURS)

    def test_upgrade_and_rollback(self):
        kept = self.under_load(lambda: self.upgrade(
            {"controller": {"podAnnotations": {"release": "new"}}}))
        self.assertEqual(kept, set())

        kept = self.under_load(lambda: kube.helm("rollback", "handfast", "--wait"))
        self.assertEqual(kept, set())
        for pod in kube.pods(case.OURS):
            self.assertNotIn("release", pod["metadata"].get("annotations", {}))

    def test_restart(self):
        kept = self.under_load(lambda: (
            kubectl("-n", "handfast", "rollout", "restart", "deploy/handfast"),
            kube.rollout("deploy/handfast")))

        self.assertEqual(kept, set())

    def test_from_two_replicas_to_three_and_back(self):
        kept = self.under_load(lambda: self.upgrade({"controller": {"replicaCount": 3}}), 3)
        self.assertEqual(len(kept), 2)
        eventually(lambda: len(self.endpoints()) == 3, "three endpoints of the Service")

        kept = self.under_load(lambda: self.upgrade(TWO))
        self.assertEqual(len(kept), 2)

    def test_pod_that_is_deleted(self):
        kept = self.under_load(lambda: kubectl(
            "-n", "handfast", "delete", "pod", min(kube.names(case.OURS)), timeout=150))

        self.assertEqual(len(kept), 1)

    def test_eviction_as_far_as_the_budget_allows(self):
        first, second = sorted(kube.names(case.OURS))

        def evict():
            self.evict(first)
            with self.assertRaisesRegex(kube.Refused, "disruption budget"):
                self.evict(second)
            kube.wait_ready(case.OURS, 2)
            self.evict(second)
            eventually(lambda: second not in kube.names(case.OURS), "its end")

        kept = self.under_load(evict)

        self.assertEqual(kept, set())

    def evict(self, pod):
        kubectl("create", "--raw", f"/api/v1/namespaces/handfast/pods/{pod}/eviction", "-f", "-",
                stdin=json.dumps({"apiVersion": "policy/v1", "kind": "Eviction",
                                  "metadata": {"name": pod, "namespace": "handfast"}}))

    def endpoints(self):
        slices = kube.get("endpointslices", None, "handfast", "-l",
                          "kubernetes.io/service-name=handfast")["items"]
        return [address for one in slices for endpoint in one["endpoints"]
                if endpoint["conditions"]["ready"] for address in endpoint["addresses"]]


if __name__ == "__main__":
    unittest.main()
