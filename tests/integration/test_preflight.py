"""rotation.preflight: endpoints are asked about a new certificate or an added CA. Whatever comes of
it, requests are served meanwhile, and what is taken away waits for nobody."""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import manifests  # noqa: E402
from harness.backends import Backend, closed_port, server_context  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.traffic import Requests, ask_h1  # noqa: E402
from harness.waiting import eventually  # noqa: E402


class Preflight(HandfastCase):
    controller_metrics = True

    def setUp(self):
        super().setUp()
        self.first = self.ca.client("first")
        self.leaf = self.server()

    def apply_policy(self, preflight, crl=None, **options):
        validation = {"revocation": {"crlRefs": [
            manifests.material_ref("ConfigMap", f"{self.name}-crl")]}} if crl else None
        if crl:
            self.apply("crl", manifests.config_map(f"{self.name}-crl", ca_crl=crl))
        self.apply("policy", manifests.upstream_tls_policy(
            self.name, self.name, ca=[manifests.material_ref("ConfigMap", f"{self.name}-roots")],
            client=f"{self.name}-tls", rotation={"preflight": preflight}, validation=validation,
            **options))

    def apply_roots(self, *authorities):
        self.apply("roots", manifests.config_map(
            f"{self.name}-roots", ca_crt="".join(one.cert_pem for one in authorities)))

    def serve(self, preflight, *ports, **options):
        """A backend that takes certificates of `self.ca` alone, served under the pair "first"."""
        backend = self.use(Backend(self.leaf, client_ca=self.ca.cert_pem, **options))
        self.apply_ingress(*(ports or (backend.port,)), protocol=None)
        self.apply_roots(self.ca)
        self.apply_secret(self.first)
        self.apply_policy(preflight)
        self.wait_for(200)
        self.assertEqual(self.presented(), str(self.first.serial))
        return backend

    def presented(self):
        """The serial of our certificate, as the backend saw it."""
        return self.get().json()["serial"]

    def findings(self):
        return [line for line in self.handfast.proxy.err.text().splitlines()
                if f"shop/{self.name}" in line and "Preflight" in line]

    def passed(self):
        return [line for line in self.handfast.proxy.err.text().splitlines()
                if f"shop/{self.name}" in line and "a preflight passed" in line]

    def held(self):
        return self.handfast.controller_metrics().value("handfast_controller_preflights_held")

    def requests(self):
        connection = self.use(self.handfast.connect())
        requests = Requests("HTTP/1.1", ask_h1(connection, self.host))
        self.addCleanup(requests.stop)
        return requests


class Enforced(Preflight):
    def test_refused_certificate_stays_out_and_says_why(self):
        backend = self.serve("Enforce")
        requests = self.requests()
        held = self.held()
        refused = self.other_ca.client("refused")
        self.apply_secret(refused)

        eventually(self.findings, "a finding")
        self.handfast.barrier()
        self.assertEqual(self.presented(), str(self.first.serial))
        self.assertIn("client_certificate_rejected", self.findings()[0])
        self.assertIn(f"127.0.0.1:{backend.port}", self.findings()[0])
        self.assertEqual(self.held(), held + 1)
        self.assertGreaterEqual(self.handfast.controller_metrics().value(
            "handfast_controller_preflights_total", result="refused"), 1)

        # The backend takes it now; the next question finds out.
        backend.context = server_context(self.leaf, self.ca.cert_pem + self.other_ca.cert_pem)
        eventually(lambda: self.presented() == str(refused.serial), "the new one", patience=30)
        self.assertEqual(self.held(), held)
        requests.stop()
        self.assertEqual(requests.failures(), [])

    def test_accepted_certificate_takes_the_place_of_the_old_one(self):
        self.serve("Enforce")
        requests = self.requests()
        second = self.ca.client("second")
        self.apply_secret(second)

        eventually(lambda: self.presented() == str(second.serial), "the new one")
        self.assertTrue(eventually(self.passed, "a line of the log"))
        requests.stop()
        self.assertEqual(requests.failures(), [])
        self.assertEqual(self.findings(), [])

    def test_revocation_waits_for_nobody(self):
        self.serve("Enforce")
        self.apply_secret(self.other_ca.client("refused"))
        eventually(self.findings, "a finding")

        begun = time.monotonic()
        self.apply_policy("Enforce", crl=self.ca.crl([self.leaf]))
        self.assert_refused(502, "revoked")
        self.assertLess(time.monotonic() - begun, 10)

    def test_certificate_and_revocation_at_once(self):
        """One that the backend refuses, and a list that revokes nobody: the list counts, the
        certificate doesn't."""
        self.serve("Enforce")
        self.apply_secret(self.other_ca.client("refused"))
        self.apply_policy("Enforce", crl=self.ca.crl())
        eventually(self.findings, "a finding")
        self.handfast.barrier()
        self.assertEqual(self.presented(), str(self.first.serial))

        self.apply("crl", manifests.config_map(f"{self.name}-crl",
                                               ca_crl=self.ca.crl([self.leaf])))
        self.assert_refused(502, "revoked")

    def test_secret_that_is_deleted_is_gone(self):
        self.serve("Enforce")
        self.apply_secret(self.other_ca.client("refused"))
        eventually(self.findings, "a finding")
        self.delete("secret")

        self.assert_refused(503, "secret_missing")

    def test_added_ca_is_asked_about_and_trusted(self):
        self.serve("Enforce")
        self.apply_roots(self.ca, self.other_ca)
        eventually(self.passed, "a line of the log")
        self.handfast.barrier()

        other = self.use(Backend(self.other_ca.server(f"{self.name}.shop.svc"),
                                 client_ca=self.ca.cert_pem))
        self.apply_ingress(other.port, protocol=None)
        self.wait_for(200)

    def test_ca_that_is_taken_out_is_out_at_once(self):
        self.serve("Enforce")
        self.apply_roots(self.other_ca)

        self.assert_refused(502, "untrusted_issuer")

    def test_silent_tls_1_3_backend_is_not_confirmed(self):
        """Without session tickets nothing comes before our first request."""
        backend = self.serve("Enforce")
        context = server_context(self.leaf, self.ca.cert_pem)
        context.num_tickets = 0
        backend.context = context
        second = self.ca.client("second")
        self.apply_secret(second)

        eventually(lambda: self.presented() == str(second.serial), "the new one")
        self.assertIn("not confirmed", eventually(self.passed, "a line of the log")[0])

    def test_one_endpoint_that_refuses_is_enough(self):
        stern = self.use(Backend(self.leaf, client_ca=self.ca.cert_pem))
        lenient = self.use(Backend(self.leaf, client_ca=self.ca.cert_pem + self.other_ca.cert_pem))
        self.serve("Enforce", stern.port, lenient.port)
        self.apply_secret(self.other_ca.client("refused"))

        line = eventually(self.findings, "a finding")[0]
        self.assertIn(f"127.0.0.1:{stern.port}", line)
        self.assertEqual(self.presented(), str(self.first.serial))

    def test_without_an_endpoint_that_answers_it_waits(self):
        self.serve("Enforce")
        keep, port = closed_port()
        self.addCleanup(keep.close)
        self.apply_ingress(port, protocol=None)
        self.wait_for(502)
        self.apply_secret(self.ca.client("second"))

        self.assertIn("connect_refused", eventually(self.findings, "a finding")[0])


class Warned(Preflight):
    def test_refused_certificate_serves_and_is_told(self):
        self.serve("Warn")
        self.apply_secret(self.other_ca.client("refused"))

        self.assert_refused(502, ("client_certificate_rejected", "handshake_closed"))
        self.assertIn("client_certificate_rejected", eventually(self.findings, "a finding")[0])

    def test_accepted_certificate_is_not_told(self):
        self.serve("Warn")
        second = self.ca.client("second")
        self.apply_secret(second)

        eventually(lambda: self.presented() == str(second.serial), "the new one")
        eventually(self.passed, "a line of the log")
        self.assertEqual(self.findings(), [])


class Off(Preflight):
    def test_nobody_is_asked(self):
        self.serve("Off")
        second = self.ca.client("second")
        self.apply_secret(second)
        eventually(lambda: self.presented() == str(second.serial), "the new one")
        self.handfast.barrier()

        self.assertEqual(self.passed() + self.findings(), [])


if __name__ == "__main__":
    unittest.main()
