"""Policy objects: UpstreamTLSPolicy and BackendTLSPolicy over annotations, what they refer to, who
wins, and that a policy which is wrong answers 503 instead of being passed over."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import run_lint  # noqa: E402


class PolicyCase(HandfastCase):
    def setUp(self):
        super().setUp()
        self.roots = f"{self.name}-roots"
        self.client = self.ca.client(f"client-of-{self.name}")

    def serve(self, leaf=None, *, protocol=None, **options):
        """A TLS backend behind an Ingress that says `protocol`; absent: plain HTTP."""
        backend = self.use(Backend(leaf or self.server(), **options))
        self.apply_ingress(backend.port, protocol=protocol)
        return backend

    def apply_roots(self, ca=None, key="ca.crt"):
        self.apply("roots", manifests.config_map(self.roots, **{
            key.replace(".", "_", 1): (ca or self.ca).cert_pem}))

    def roots_ref(self, **more):
        return manifests.material_ref("ConfigMap", self.roots, **more)

    def apply_policy(self, suffix="policy", *, name=None, ca=None, **options):
        self.apply(suffix, manifests.upstream_tls_policy(
            name or self.name, self.name, ca=[self.roots_ref()] if ca is None else ca, **options))

    def answer(self):
        return self.wait_for(200).json()

    def lint(self, *flags):
        return run_lint(self.handfast.manifests.folder, flags=flags)[1]


class UpstreamPolicies(PolicyCase):
    def test_policy_with_a_ca_of_a_config_map_turns_tls_on(self):
        self.serve()
        self.apply_roots()
        self.apply_policy()

        answer = self.answer()

        self.assertEqual(answer["tls"], "TLSv1.3")
        self.assertEqual(answer["sni"], f"{self.name}.shop.svc")
        self.assertIsNone(answer["client"])

    def test_policy_with_a_client_certificate_is_mutual_tls(self):
        self.serve(client_ca=self.ca.cert_pem)
        self.apply_roots()
        self.apply_secret(self.client)
        self.apply_policy(client=f"{self.name}-tls")

        self.assertIn(f"client-of-{self.name}", self.answer()["client"])

    def test_key_under_a_passphrase_opens(self):
        self.serve(client_ca=self.ca.cert_pem)
        self.apply_roots()
        self.apply_secret(self.client, tls_key=self.client.key_pem_as("pkcs8", "second"))
        self.apply("pass", manifests.secret(f"{self.name}-pass", passphrase="first\nsecond\n"))
        self.apply_policy(client=f"{self.name}-tls",
                          privateKeyPassphraseRef={"name": f"{self.name}-pass"})
        self.assertIn(f"client-of-{self.name}", self.answer()["client"])

        # What opened before serves on; a Secret that is gone doesn't.
        self.apply("pass", manifests.secret(f"{self.name}-pass", passphrase="third"))
        self.handfast.barrier()
        self.assertIn(f"client-of-{self.name}", self.answer()["client"])

        self.delete("pass")
        self.assert_refused(503, "secret_missing")

    def test_pkcs12_is_a_client_certificate_too(self):
        self.serve(client_ca=self.ca.cert_pem)
        self.apply_roots()
        self.apply("secret", manifests.secret(f"{self.name}-tls", data={
            "keystore.p12": self.client.pkcs12("changeit")}))
        self.apply("pass", manifests.secret(f"{self.name}-pass", data={"p": "changeit"}))
        self.apply_policy(client=f"{self.name}-tls", privateKeyPassphraseRef={
            "name": f"{self.name}-pass", "key": "p"})

        self.assertIn(f"client-of-{self.name}", self.answer()["client"])

    def test_crl_in_parts_revokes(self):
        leaf = self.server()
        self.serve(leaf)
        self.apply_roots()
        crl = self.ca.crl([leaf])
        for number, part in enumerate((crl[:300], crl[300:])):
            self.apply(f"crl-{number}", manifests.config_map(f"{self.name}-crl-{number}",
                                                             ca_crl=part))
        self.apply_policy(validation={"revocation": {"crlRefs": [
            manifests.material_ref("ConfigMap", f"{self.name}-crl-{number}")
            for number in range(2)]}})

        self.assert_refused(502, "revoked")

    def test_emptied_crl_before_a_good_one_is_bad_and_not_its_beginning(self):
        leaf = self.server()
        self.serve(leaf)
        self.apply_roots()
        names = [f"{self.name}-crl-{number}" for number in range(2)]
        other = self.other_ca.crl()

        def apply_lists(first):
            for name, text in zip(names, (first, other)):
                self.apply(name, manifests.config_map(name, ca_crl=text))

        apply_lists(self.ca.crl([leaf]))
        self.apply_policy(validation={"revocation": {"crlRefs": [
            manifests.material_ref("ConfigMap", name) for name in names],
            "onUnavailable": "AllowWithWarning"}})
        self.assert_refused(502, "revoked")

        for bad in ("", "<html/>\n"):
            apply_lists(bad)
            self.handfast.barrier()
            self.assert_refused(502, "revoked")  # by the last good one

    def test_policy_verifies_against_its_own_ca_alone(self):
        self.serve(protocol="HTTPS")
        self.apply_secret(ca=self.ca)
        self.wait_for(200)
        self.apply_roots(self.other_ca)

        self.apply_policy()

        self.assert_refused(502, "untrusted_issuer")

    def test_key_of_a_config_map_may_be_any(self):
        self.serve()
        self.apply_roots(key="bundle.pem")
        self.apply_policy(ca=[self.roots_ref(key="bundle.pem")])

        self.assertIsNotNone(self.answer()["tls"])

    def test_ca_of_a_cluster_trust_bundle_and_of_a_secret_are_united(self):
        backend = self.serve(self.other_ca.server(f"{self.name}.shop.svc"))
        self.apply("bundle", manifests.cluster_trust_bundle(f"roots-{self.name}",
                                                            self.other_ca.cert_pem))
        self.apply_secret(ca=self.ca)
        self.apply_policy(ca=[manifests.material_ref("Secret", f"{self.name}-tls"),
                              manifests.material_ref("ClusterTrustBundle", f"roots-{self.name}")])
        self.assertIsNotNone(self.answer()["tls"])

        backend.show(self.server())

        self.assertIsNotNone(self.answer()["tls"])

    def test_names_of_the_policy_are_expected_instead_of_the_host_name(self):
        uri = f"spiffe://shop.example/{self.name}"
        self.serve(self.ca.issue("", uris=[uri], usage="server"))
        self.apply_roots()
        self.apply_policy(validation={"subjectAltNames": [{"type": "URI", "uri": uri}]})
        self.wait_for(200)

        self.apply_policy(validation={"subjectAltNames": [
            {"type": "Hostname", "hostname": "other.shop.svc"}, {"type": "URI", "uri": uri + "x"}]})

        self.assert_refused(502, "name_mismatch")

    def test_crl_of_the_policy_revokes(self):
        leaf = self.server()
        self.serve(leaf)
        self.apply_roots()
        crl = manifests.material_ref("ConfigMap", f"{self.name}-crl")
        self.apply("crl", manifests.config_map(f"{self.name}-crl", crl_pem=self.ca.crl()))
        self.apply_policy(validation={"revocation": {"crlRefs": [crl]}})
        self.wait_for(200)

        self.apply("crl", manifests.config_map(f"{self.name}-crl", crl_pem=self.ca.crl([leaf])))

        self.assert_refused(502, "revoked")

    def test_pin_must_be_that_of_the_leaf(self):
        leaf = self.server()
        self.serve(leaf)
        pins = {"pins": [{"type": "CertificateSHA256", "value": leaf.sha256}]}
        self.apply("policy", manifests.upstream_tls_policy(
            self.name, self.name, validation={"pinOnly": True, **pins}))
        self.wait_for(200)

        self.apply_roots()
        pins["pins"][0]["value"] = self.server().sha256
        self.apply_policy(validation=pins)

        self.assert_refused(502, "pin_mismatch")

    def test_backend_that_asks_for_no_certificate_is_refused_unless_the_policy_allows_it(self):
        self.serve()
        self.apply_roots()
        self.apply_secret(self.client)
        self.apply_policy(client=f"{self.name}-tls")
        self.assert_refused(502, "client_certificate_not_requested")

        self.apply_policy(client=f"{self.name}-tls", requireClientCertificateRequest=False)

        self.assertIsNone(self.answer()["client"])

    def test_alpn_offers_http2(self):
        self.serve(alpn=["http/1.1"])
        self.apply_roots()
        self.apply_policy(protocol={"alpn": ["h2"]})

        self.assert_refused(502, "alpn")

    def test_mode_none_is_plaintext(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None)
        self.apply_policy(mode="None")

        self.assertIsNone(self.answer()["tls"])

    def test_mode_none_needs_the_operator_where_the_ingress_asks_for_tls(self):
        backend = self.use(Backend())
        self.apply_secret(ca=self.ca)
        self.apply_ingress(backend.port)
        self.apply_policy(mode="None")

        self.assert_refused(503, "not_permitted")
        self.assertEqual(backend.seen, [])

    def test_verification_is_off_only_with_the_operator(self):
        backend = self.serve()
        self.apply("policy", manifests.upstream_tls_policy(
            self.name, self.name, validation={"insecureSkipVerify": True}))

        self.assert_refused(503, "not_permitted")
        self.assertEqual(backend.seen, [])


class WrongPolicies(PolicyCase):
    def assert_wrong(self, word, **policy):
        """Plain HTTP would work without the policy; with it nothing reaches the backend."""
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None)
        self.wait_for(200)
        self.apply_policy(**policy)
        self.assert_refused(503, word)
        seen = len(backend.seen)
        self.get()
        self.assertEqual(len(backend.seen), seen)

    def test_unknown_field_refuses(self):
        self.apply_roots()
        self.assert_wrong("invalid_value", validation={"hostnames": ["x.example"]})
        self.assertIn("Accepted: Invalid", self.lint())

    def test_unknown_value_refuses(self):
        self.apply_roots()
        self.assert_wrong("invalid_value", mode="Mutual")

    def test_value_of_the_wrong_type_refuses(self):
        self.apply_roots()
        self.assert_wrong("invalid_value", validation={"verifyDepth": "4"})

    def test_policy_without_a_ca_refuses(self):
        self.assert_wrong("ca_missing", ca=[])

    def test_ca_that_is_not_there_refuses(self):
        self.assert_wrong("ca_missing")

    def test_bad_ca_refuses(self):
        self.apply("roots", manifests.config_map(self.roots, ca_crt="torn"))
        self.assert_wrong("bad_ca")

    def test_secret_that_is_not_there_refuses(self):
        self.apply_roots()
        self.assert_wrong("secret_missing", client="nowhere")

    def test_port_that_is_not_there_refuses(self):
        self.apply_roots()
        self.assert_wrong("port_missing", section="mian")

    def test_wrong_policy_on_the_port_wins_over_a_good_one_on_the_service(self):
        self.serve()
        self.apply_roots()
        self.apply_policy("good")
        self.wait_for(200)

        self.apply_policy("bad", name=f"{self.name}-bad", section="main", expiryWarning="soon")
        # A target in a policy that is wrong stands for itself only if the target is right.
        self.assert_refused(503, "invalid_value")

        self.delete("bad")
        self.assertIsNotNone(self.answer()["tls"])

    def test_good_policy_that_turns_wrong_refuses(self):
        self.serve()
        self.apply_roots()
        self.apply_policy()
        self.wait_for(200)

        self.apply_policy(protocol={"minVersion": "1.4"})

        self.assert_refused(503, "invalid_value")


class Precedence(PolicyCase):
    def test_policy_of_the_port_then_of_the_service_then_gateway_api_then_annotations(self):
        self.serve(protocol="HTTPS", client_ca=self.ca.cert_pem)
        self.apply_roots()
        clients = {name: self.ca.client(f"{name}-{self.name}")
                   for name in ("annotation", "service", "port")}
        self.apply_secret(clients["annotation"], self.ca)
        for name in ("service", "port"):
            self.apply(f"{name}-secret", manifests.secret(
                f"{self.name}-{name}", tls_crt=clients[name].chain_pem,
                tls_key=clients[name].key_pem))
        self.wait_for(200, f"annotation-{self.name}")

        # A BackendTLSPolicy knows no client certificate: it decides, and nothing is merged in.
        self.apply("gateway", manifests.backend_tls_policy(self.name, self.name,
                                                           [self.roots_ref()]))
        self.assert_refused(502, ("client_certificate_rejected", "handshake_closed",
                                  "bad_response"))
        self.apply_policy("service", client=f"{self.name}-service")
        self.wait_for(200, f"service-{self.name}")
        self.apply_policy("port", name=f"{self.name}-port", section="main",
                          client=f"{self.name}-port")
        self.wait_for(200, f"port-{self.name}")
        self.assertIn(f"BackendTLSPolicy shop/{self.name}: spec.targetRefs[0].name: "
                      f"UpstreamTLSPolicy shop/{self.name} decides", self.lint())

        for suffix, client in (("port", "service"), ("service", None), ("gateway", "annotation")):
            self.delete(suffix)
            if client:
                self.wait_for(200, f"{client}-{self.name}")
            else:
                self.wait_for(502)

    def test_oldest_of_two_policies_wins(self):
        self.serve()
        self.apply_roots()
        self.apply("others", manifests.config_map(f"{self.name}-others",
                                                  ca_crt=self.other_ca.cert_pem))
        self.apply_policy("a", name=f"{self.name}-a", created="2026-02-01T00:00:00Z",
                          ca=[manifests.material_ref("ConfigMap", f"{self.name}-others")])
        self.assert_refused(502, "untrusted_issuer")

        self.apply_policy("b", name=f"{self.name}-b", created="2026-01-01T00:00:00Z")

        self.wait_for(200)
        self.assertIn("Accepted: Conflicted", self.lint())

    def test_gateway_policy_turns_tls_on(self):
        self.serve()
        self.apply_roots()
        self.apply("gateway", manifests.backend_tls_policy(self.name, self.name,
                                                           [self.roots_ref()]))

        self.assertIsNotNone(self.answer()["tls"])


class OtherNamespaces(PolicyCase):
    def test_ca_of_another_namespace_needs_a_grant(self):
        self.serve()
        self.apply("shared", manifests.config_map(self.roots, namespace=f"{self.name}-pki",
                                                  ca_crt=self.ca.cert_pem))
        self.apply_policy(ca=[self.roots_ref(namespace=f"{self.name}-pki")])
        self.assert_refused(503, "not_permitted")

        self.apply("grant", manifests.reference_grant(
            "roots", f"{self.name}-pki", "shop", "ConfigMap"))
        self.wait_for(200)

        # Of a Secret it says nothing, and so for another name.
        self.apply("grant", manifests.reference_grant(
            "roots", f"{self.name}-pki", "shop", "Secret"))
        self.assert_refused(503, "not_permitted")
        self.apply("grant", manifests.reference_grant(
            "roots", f"{self.name}-pki", "shop", "ConfigMap", to_name=self.roots))
        self.wait_for(200)
        self.delete("grant")
        self.assert_refused(503, "not_permitted")

    def test_client_certificate_of_another_namespace_needs_a_grant(self):
        self.serve(client_ca=self.ca.cert_pem)
        self.apply_roots()
        self.apply("shared", manifests.secret("client", namespace=f"{self.name}-pki",
                                              tls_crt=self.client.chain_pem,
                                              tls_key=self.client.key_pem))
        self.apply_policy(client={"name": "client", "namespace": f"{self.name}-pki"})
        self.assert_refused(503, "not_permitted")

        self.apply("grant", manifests.reference_grant(
            "client", f"{self.name}-pki", "shop", "Secret", to_name="client"))

        self.assertIn(f"client-of-{self.name}", self.answer()["client"])


class LastGood(PolicyCase):
    def test_torn_ca_keeps_the_last_good_one_and_the_policy_says_so(self):
        self.serve()
        self.apply_roots(key="bundle.pem")
        self.apply_policy(ca=[self.roots_ref(key="bundle.pem")])
        self.wait_for(200)

        self.apply("roots", manifests.config_map(
            self.roots, bundle_pem=self.ca.cert_pem.replace("END", "EMD")))
        self.handfast.barrier()

        self.wait_for(200)
        told = f"ConfigMap shop/{self.roots}: ca.crt: "
        self.assertTrue(any(told in line.get("detail", "") and "last good" in line["detail"]
                            for line in self.handfast.proxy.err.records()
                            if line.get("object") == f"UpstreamTLSPolicy shop/{self.name}"))


class Operator(PolicyCase):
    flags = ("--allow-insecure-upstream=shop/*", "--minimum-upstream-tls=strict=mutual",
             "--upstream-verification-audit=shop/audited@2099-01-01")

    def test_audit_forwards_what_verification_would_refuse(self):
        self.serve(self.other_ca.server("other.example"))
        self.apply_roots()
        self.apply_policy()
        self.assert_refused(502, "untrusted_issuer")

        self.apply_policy(name="audited")

        self.wait_for(200)
        self.assertIn("Degraded: VerificationAudit", self.lint(*self.flags))
        self.assertTrue(self.handfast.metrics().value(
            "handfast_upstream_would_refuse_total", service=self.name, namespace="shop",
            reason="untrusted_issuer"))

    def test_verification_is_off_where_it_is_allowed(self):
        self.serve(self.other_ca.server("other.example"))
        self.apply("policy", manifests.upstream_tls_policy(
            self.name, self.name, validation={"insecureSkipVerify": True}))

        self.wait_for(200)
        self.assertIn("Degraded: InsecureSkipVerify", self.lint(*self.flags))

    def test_mode_none_wins_over_https_where_it_is_allowed(self):
        backend = self.use(Backend())
        self.apply_secret(ca=self.ca)
        self.apply_ingress(backend.port)
        self.apply_policy(mode="None")

        self.assertIsNone(self.answer()["tls"])

    def test_floor_holds_for_policies(self):
        backend = self.use(Backend(self.ca.server(f"{self.name}.strict.svc"), client_ca=self.ca.cert_pem))
        self.apply("ingress",
                   manifests.ingress(self.name, self.host, namespace="strict"),
                   manifests.service(self.name, backend.port, namespace="strict"),
                   manifests.config_map("roots", namespace="strict", ca_crt=self.ca.cert_pem),
                   manifests.secret("client", namespace="strict", tls_crt=self.client.chain_pem,
                                    tls_key=self.client.key_pem))
        ca = [manifests.material_ref("ConfigMap", "roots")]
        self.assert_refused(503, "below_minimum")

        for policy in ({"ca": ca}, {"mode": "None"}):
            with self.subTest(policy):
                self.apply("policy", manifests.upstream_tls_policy(
                    self.name, self.name, namespace="strict", **policy))
                self.handfast.barrier()
                self.assert_refused(503, "below_minimum")
        self.apply("policy", manifests.upstream_tls_policy(
            self.name, self.name, namespace="strict", ca=ca, client="client"))

        self.assertIn(f"client-of-{self.name}", self.answer()["client"])


if __name__ == "__main__":
    unittest.main()
