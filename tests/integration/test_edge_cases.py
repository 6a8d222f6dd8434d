"""Each row of the table of edge cases, columns proxy-ssl and front TLS: what is served when a
Secret is missing, empty, damaged, changed or gone. A bad item keeps its last good one, a gone one
takes effect at once, and nothing is ever unverified or under another identity instead."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, manifests  # noqa: E402
from harness.backends import Backend, Nginx, OpensslServer  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import Pair  # noqa: E402
from harness.pki import Authority, from_now  # noqa: E402
from harness.waiting import eventually  # noqa: E402

TORN_CRL = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"


class EdgeCase(HandfastCase):
    controller_metrics = True

    def assert_finding(self, reason, field, name=None):
        """The controller has told what is wrong, with object, field and file."""
        secret = name or f"{self.name}-tls"

        def check():
            return [line for line in self.handfast.findings(reason=reason)
                    if field in line["field"]
                    and (secret in line["object"] or self.name in line["object"])]

        found = eventually(check, f"a finding {reason} of {secret} in {field}")
        if self.handfast.manifests:
            self.assertTrue(found[-1]["file"].startswith(f"{self.name}-"), found[-1])
        self.assertTrue(found[-1]["detail"])

    def assert_last_good(self, item):
        eventually(lambda: self.handfast.controller_metrics().value(
            "handfast_last_good_age_seconds", namespace="shop", secret=f"{self.name}-tls",
            item=item) is not None, f"the age of the last good {item}")


class ProxySsl:
    """The rows of the column proxy-ssl, against one kind of backend."""

    backend_type = None

    def setUp(self):
        super().setUp()
        self.client = self.ca.client(f"{self.name}-first")
        self.leaf = self.server()
        self.backend = self.use(self.backend_type(self.leaf, client_ca=self.ca.cert_pem))

    def serve(self):
        """The route works: what follows is an update."""
        self.apply_secret(self.client, self.ca, self.ca.crl())
        self.apply_ingress(self.backend.port)
        self.wait_for(200, text=f"{self.name}-first")

    def assert_unchanged(self):
        """What was written is decided, and the last good still serves."""
        self.handfast.barrier()
        self.wait_for(200, text=f"{self.name}-first")

    # --- the Secret itself ----------------------------------------------------------------------

    def test_missing_secret_answers_503_until_it_is_there(self):
        self.apply_ingress(self.backend.port)
        self.assert_refused(503, "secret_missing")

        self.apply_secret(self.client, self.ca)

        self.wait_for(200)

    def test_secret_deleted_at_run_time_answers_503_at_once(self):
        self.serve()

        self.delete("secret")

        self.assert_refused(503, "secret_missing")

    def test_empty_secret_answers_503(self):
        self.apply("secret", manifests.secret(f"{self.name}-tls"))
        self.apply_ingress(self.backend.port)

        self.assert_refused(503, ("secret_missing", "ca_missing"))

    def test_secret_without_a_known_key_answers_503(self):
        self.apply("secret", manifests.secret(f"{self.name}-tls", data={"username": "u"}))
        self.apply_ingress(self.backend.port)

        self.assert_refused(503, ("secret_missing", "ca_missing"))

    def test_secret_emptied_at_run_time_answers_503(self):
        self.serve()

        self.apply("secret", manifests.secret(f"{self.name}-tls"))

        self.assert_refused(503, ("secret_missing", "ca_missing"))

    def test_bare_secret_name_answers_503(self):
        self.apply_secret(self.client, self.ca)
        self.apply_ingress(self.backend.port,
                           annotations={"proxy-ssl-secret": f"{self.name}-tls"})

        self.assert_refused(503, "invalid_value")
        self.assert_finding("invalid_value", "proxy-ssl-secret", name=self.name)

    def test_secret_of_another_namespace_answers_503(self):
        self.apply("foreign", manifests.secret(f"{self.name}-tls", namespace="other",
                                               tls_crt=self.client.cert_pem,
                                               tls_key=self.client.key_pem,
                                               ca_crt=self.ca.cert_pem))
        self.apply_ingress(self.backend.port,
                           annotations={"proxy-ssl-secret": f"other/{self.name}-tls"})

        self.assert_refused(503, "not_permitted")

    # --- ca.crt ---------------------------------------------------------------------------------

    def test_missing_ca_answers_503_never_unverified(self):
        self.apply_secret(self.client)
        self.apply_ingress(self.backend.port)

        self.assert_refused(503, "ca_missing")

    def test_malformed_ca_at_first_load_answers_503(self):
        self.apply_secret(self.client, "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                       "-----END CERTIFICATE-----\n")
        self.apply_ingress(self.backend.port)

        self.assert_refused(503, "bad_ca")
        self.assert_finding("bad_ca", "ca.crt")

    def test_empty_ca_at_first_load_answers_503(self):
        self.apply_secret(self.client, "")
        self.apply_ingress(self.backend.port)

        self.assert_refused(503, "bad_ca")

    def test_malformed_ca_on_update_keeps_the_last_good_one(self):
        self.serve()

        for junk in ("junk", "", self.ca.cert_pem + "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                                    "-----END CERTIFICATE-----\n"):
            with self.subTest(junk=junk[-40:]):
                self.apply_secret(self.client, junk, self.ca.crl())
                self.assert_unchanged()
                self.assert_finding("bad_ca", "ca.crt")
                self.assert_last_good("ca.crt")

    def test_only_ca_changed_takes_effect_although_the_secret_has_a_pair(self):
        self.serve()

        self.apply_secret(self.client, self.other_ca)
        self.assert_refused(502, "untrusted_issuer")

        self.apply_secret(self.client, self.ca)
        self.wait_for(200)

    def test_only_ca_changed_of_a_secret_with_nothing_else_takes_effect(self):
        plain = self.use(self.backend_type(self.leaf))
        self.apply_secret(None, self.ca)
        self.apply_ingress(plain.port)
        self.wait_for(200)

        self.apply_secret(None, self.other_ca)
        self.assert_refused(502, "untrusted_issuer")

        self.apply_secret(None, self.ca)
        self.wait_for(200)

    # --- ca.crl ---------------------------------------------------------------------------------

    def test_malformed_crl_at_first_load_answers_503(self):
        self.apply_secret(self.client, self.ca, "junk")
        self.apply_ingress(self.backend.port)

        self.assert_refused(503, "bad_crl")
        self.assert_finding("bad_crl", "ca.crl")

    def test_malformed_crl_on_update_keeps_the_last_good_one(self):
        self.serve()

        self.apply_secret(self.client, self.ca, "junk")

        self.assert_unchanged()
        self.assert_finding("bad_crl", "ca.crl")
        self.assert_last_good("ca.crl")

    def test_malformed_crl_on_update_keeps_refusing_what_was_revoked(self):
        self.serve()
        self.apply_secret(self.client, self.ca, self.ca.crl([self.leaf]))
        self.wait_for(502)

        self.apply_secret(self.client, self.ca, "junk")
        self.handfast.barrier()

        self.assert_refused(502, "revoked")

    def test_new_ca_takes_effect_while_the_crl_is_bad(self):
        self.serve()

        self.apply_secret(self.client, self.other_ca, "junk")

        self.assert_refused(502, "untrusted_issuer")

    def test_removed_crl_takes_effect_and_is_told(self):
        self.serve()
        self.apply_secret(self.client, self.ca, self.ca.crl([self.leaf]))
        self.wait_for(502)

        self.apply_secret(self.client, self.ca)

        self.wait_for(200)
        self.assert_finding("crl_missing", "")

    def test_crl_with_a_corrupt_second_block_is_bad_as_a_whole(self):
        self.apply_secret(self.client, self.ca, self.ca.crl() + TORN_CRL)
        self.apply_ingress(self.backend.port)
        self.assert_refused(503, "bad_crl")

        self.apply_secret(self.client, self.ca, self.ca.crl())
        self.wait_for(200)

        self.apply_secret(self.client, self.ca, self.ca.crl([self.leaf]) + TORN_CRL)
        self.assert_unchanged()

    # --- tls.crt and tls.key --------------------------------------------------------------------

    def test_rotated_pair_is_presented(self):
        self.serve()

        self.apply_secret(self.ca.client(f"{self.name}-second"), self.ca, self.ca.crl())

        self.wait_for(200, text=f"{self.name}-second")

    def test_key_mismatch_at_first_load_answers_503(self):
        self.apply_secret(self.client, self.ca, tls_key=self.ca.client("other").key_pem)
        self.apply_ingress(self.backend.port)

        self.assert_refused(503, "key_mismatch")
        self.assert_finding("key_mismatch", "tls.")

    def test_key_mismatch_on_update_keeps_the_last_good_pair(self):
        self.serve()

        self.apply_secret(self.ca.client(f"{self.name}-second"), self.ca, self.ca.crl(),
                          tls_key=self.client.key_pem)

        self.assert_unchanged()
        self.assert_last_good("tls.crt")

    def test_bad_pair_on_update_keeps_the_last_good_pair(self):
        self.serve()

        for more in ({"tls_crt": ""}, {"tls_key": ""}, {"tls_crt": "junk"}, {"tls_key": "junk"},
                     {"tls_key": self.client.key_pem_as("pkcs8", "secret")}):
            with self.subTest(more=more.keys()):
                self.apply_secret(self.client, self.ca, self.ca.crl(), **more)
                self.assert_unchanged()

    def test_encrypted_key_at_first_load_answers_503(self):
        self.apply_secret(self.client, self.ca,
                          tls_key=self.client.key_pem_as("pkcs8", "secret"))
        self.apply_ingress(self.backend.port)

        self.assert_refused(503, "passphrase")

    def test_expired_client_certificate_answers_503(self):
        old = self.ca.client("old", not_before=from_now(days=-2), not_after=from_now(days=-1))
        self.apply_secret(old, self.ca)
        self.apply_ingress(self.backend.port)

        self.assert_refused(503, "client_certificate_expired")

    def test_client_certificate_of_tomorrow_answers_503(self):
        early = self.ca.client("early", not_before=from_now(days=1))
        self.apply_secret(early, self.ca)
        self.apply_ingress(self.backend.port)

        self.assert_refused(503, "client_certificate_not_yet_valid")

    def test_client_certificate_that_expires_while_it_serves_answers_503(self):
        short = self.ca.client(f"{self.name}-short", not_after=from_now(seconds=4))
        self.apply_secret(short, self.ca)
        self.apply_ingress(self.backend.port)
        self.wait_for(200)

        self.assert_refused(503, "client_certificate_expired")

    # --- the rest -------------------------------------------------------------------------------

    def test_only_the_expected_name_changed_takes_effect(self):
        self.serve()

        self.apply_ingress(self.backend.port, annotations={"proxy-ssl-name": "other.example"})
        self.assert_refused(502, "name_mismatch")

        self.apply_ingress(self.backend.port,
                           annotations={"proxy-ssl-name": f"{self.name}.shop.svc"})
        self.wait_for(200)

    def test_untrusted_expired_and_misnamed_backends_answer_502(self):
        leaves = (
            ("untrusted_issuer", self.other_ca.server(f"{self.name}.shop.svc")),
            ("expired", self.server(not_before=from_now(days=-2), not_after=from_now(days=-1))),
            ("not_yet_valid", self.server(not_before=from_now(days=1))),
            ("name_mismatch", self.ca.server("other.shop.svc")),
            ("wrong_purpose", self.ca.issue("client", dns=[f"{self.name}.shop.svc"],
                                            usage="client")),
        )
        self.apply_secret(self.client, self.ca)
        for word, leaf in leaves:
            with self.subTest(word):
                backend = self.use(self.backend_type(leaf, client_ca=self.ca.cert_pem))
                self.apply_ingress(backend.port)
                self.handfast.barrier()
                self.assert_refused(502, word)


class ProxySslToOpenssl(ProxySsl, EdgeCase):
    backend_type = OpensslServer


class ProxySslToNginx(ProxySsl, EdgeCase):
    backend_type = Nginx


class CrlForms(EdgeCase):
    """What lies in ca.crl in practice."""

    def setUp(self):
        super().setUp()
        self.leaf = self.server()
        self.backend = self.use(Backend(self.leaf, client_ca=self.ca.cert_pem))
        self.client = self.ca.client()

    def test_der_is_read(self):
        self.apply_secret(self.client, self.ca, self.ca.crl_der())
        self.apply_ingress(self.backend.port)
        self.wait_for(200)

        self.apply_secret(self.client, self.ca, self.ca.crl_der([self.leaf]))

        self.assert_refused(502, "revoked")

    def test_text_around_the_block_and_crlf_are_read(self):
        text = "Issuer: somebody\n" + self.ca.crl([self.leaf]) + "\nend\n"
        self.apply_secret(self.client, self.ca, text.replace("\n", "\r\n"))
        self.apply_ingress(self.backend.port)

        self.assert_refused(502, "revoked")

    def test_crl_without_entries_is_fine(self):
        self.apply_secret(self.client, self.ca, self.ca.crl())
        self.apply_ingress(self.backend.port)

        self.wait_for(200)

    def test_newest_of_two_crls_of_one_issuer_decides(self):
        old = self.ca.crl([self.leaf], last_update=from_now(days=-2), number=1)
        new = self.ca.crl([], last_update=from_now(hours=-1), number=2)
        self.apply_secret(self.client, self.ca, old + new)
        self.apply_ingress(self.backend.port)
        self.wait_for(200)

        old = self.ca.crl([], last_update=from_now(days=-2), number=3)
        new = self.ca.crl([self.leaf], last_update=from_now(hours=-1), number=4)
        self.apply_secret(self.client, self.ca, old + new)

        self.assert_refused(502, "revoked")

    def test_what_is_no_crl_is_bad_never_an_empty_list(self):
        pem = self.ca.crl([self.leaf])
        forms = {
            "utf-16": pem.encode("utf-16"),
            "damaged begin line": pem.replace("-----BEGIN", "----BEGIN"),
            "certificate in its place": self.ca.cert_pem,
            "empty": "",
            "blanks": " \n",
            "cut in the middle": pem[:len(pem) // 2],
            "cut der": self.ca.crl_der([self.leaf])[:-10],
            "delta": self.ca.crl([self.leaf], delta_base=1),
        }
        self.apply_ingress(self.backend.port)
        for name, form in forms.items():
            with self.subTest(name, step="first load"):
                self.delete_if_there("secret")
                self.wait_for(503)
                self.apply_secret(self.client, self.ca, form)
                self.handfast.barrier()
                self.assert_refused(503, "bad_crl")
            with self.subTest(name, step="update"):
                self.apply_secret(self.client, self.ca, self.ca.crl())
                self.wait_for(200)
                self.apply_secret(self.client, self.ca, form)
                self.handfast.barrier()
                self.wait_for(200)

    def delete_if_there(self, suffix):
        try:
            self.delete(suffix)
        except FileNotFoundError:
            pass

    def test_crl_that_expired_refuses_new_handshakes(self):
        self.apply_secret(self.client, self.ca, self.ca.crl(last_update=from_now(days=-3),
                                                            next_update=from_now(days=-1)))
        self.apply_ingress(self.backend.port)

        self.assert_refused(502, "crl_expired")

    def test_crl_of_tomorrow_refuses(self):
        self.apply_secret(self.client, self.ca, self.ca.crl(last_update=from_now(days=1)))
        self.apply_ingress(self.backend.port)

        self.assert_refused(502, "crl_not_yet_valid")

    def test_crl_of_another_issuer_covers_nothing(self):
        self.apply_secret(self.client, self.ca, self.other_ca.crl())
        self.apply_ingress(self.backend.port)

        self.assert_refused(502, "crl_missing")

    def test_crl_with_a_wrong_signature_covers_nothing(self):
        same_name = Authority("backends")
        self.apply_secret(self.client, self.ca, same_name.crl())
        self.apply_ingress(self.backend.port)

        # Nobody of the CAs signed it: refused at load, or no CRL at the handshake; never taken.
        self.wait_for_refusal(("bad_crl", "crl_missing"))

    def wait_for_refusal(self, words):
        self.handfast.barrier()
        self.assertIn(self.reason_now(), words)


class Collisions(EdgeCase):
    def test_names_that_look_alike_when_joined_stay_apart(self):
        routes = {}
        for ns, name in (("a-b", "c"), ("a", "b-c")):
            host = f"{ns}.{name}.collision.test"
            client = self.ca.client(f"client-of-{ns}")
            backend = self.use(Backend(self.ca.server(f"{name}.{ns}.svc"),
                                       client_ca=self.ca.cert_pem))
            self.apply(f"{ns}.{name}",
                       manifests.secret(name, namespace=ns, tls_crt=client.cert_pem,
                                        tls_key=client.key_pem, ca_crt=self.ca.cert_pem),
                       manifests.ingress(name, host, namespace=ns, annotations={
                           "backend-protocol": "HTTPS", "proxy-ssl-secret": f"{ns}/{name}"}),
                       manifests.service(name, backend.port, namespace=ns))
            routes[host] = f"client-of-{ns}"

        for host, client in routes.items():
            answer = self.handfast.wait_for(host, 200)
            self.assertIn(f"CN={client},", answer.json()["client"] + ",")


class FrontTls(EdgeCase):
    """The rows of the column front TLS: the default certificate, requests served."""

    def setUp(self):
        super().setUp()
        self.backend = self.use(Backend())
        self.front = self.ca.server(self.host)

    def apply_route(self):
        self.apply_ingress(self.backend.port, protocol=None,
                           tls=[{"hosts": [self.host], "secretName": f"{self.name}-tls"}])

    def shown(self, name=None):
        return clients.shown_certificate(self.handfast.https, name or self.host)

    def wait_for_certificate(self, check):
        return eventually(lambda: all(check(self.shown()) for _ in range(8)),
                          f"another certificate for {self.host}")

    def serve(self):
        self.apply_secret(self.front)
        self.apply_route()
        self.wait_for_certificate(lambda shown: shown.serial_number == self.front.serial)

    def assert_default(self, told=True):
        default = self.shown("nobody.test")
        self.wait_for_certificate(lambda shown: shown.serial_number == default.serial_number)
        self.assertEqual(self.get("/", tls=True).status, 200)
        self.assertEqual(self.get("/").status, 308)  # the redirect stays on
        if told:
            self.assert_finding("front_certificate", "", name=self.name)

    def assert_kept(self):
        self.handfast.barrier()
        self.wait_for_certificate(lambda shown: shown.serial_number == self.front.serial)
        self.assertEqual(self.get("/", tls=True).status, 200)

    def test_missing_secret(self):
        self.apply_route()
        self.wait_for(308)

        self.assert_default()
        self.apply_secret(self.front)
        self.wait_for_certificate(lambda shown: shown.serial_number == self.front.serial)

    def test_secret_deleted_at_run_time(self):
        self.serve()

        self.delete("secret")

        self.assert_default()

    def test_empty_secret(self):
        self.apply("secret", manifests.secret(f"{self.name}-tls"))
        self.apply_route()
        self.wait_for(308)

        self.assert_default()

    def test_key_mismatch_at_first_load(self):
        self.apply_secret(self.front, tls_key=self.ca.client("x").key_pem)
        self.apply_route()
        self.wait_for(308)

        self.assert_default()

    def test_key_mismatch_on_update_keeps_the_last_good_pair(self):
        self.serve()

        self.apply_secret(self.ca.server(self.host), tls_key=self.front.key_pem)

        self.assert_kept()

    def test_junk_on_update_keeps_the_last_good_pair(self):
        self.serve()

        for more in ({"tls_crt": "junk"}, {"tls_key": ""}):
            self.apply_secret(self.front, **more)
            self.assert_kept()

    def test_malformed_ca_or_crl_of_the_same_secret_does_not_hurt_the_pair(self):
        # An item is good or bad by itself: the pair is good.
        self.apply_secret(self.front, "junk", "junk")
        self.apply_route()
        self.wait_for_certificate(lambda shown: shown.serial_number == self.front.serial)

        self.apply_secret(self.front, self.ca, "junk")
        self.assert_kept()

    def test_rotated_pair_is_shown_on_new_connections_and_open_ones_go_on(self):
        self.serve()
        second = self.ca.server(self.host)
        with self.handfast.connect(tls=True, server_name=self.host) as connection:
            self.assertEqual(connection.request(self.host).status, 200)

            self.apply_secret(second)
            self.wait_for_certificate(lambda shown: shown.serial_number == second.serial)

            self.assertEqual(connection.request(self.host).status, 200)

    def test_expiry_is_told(self):
        self.serve()

        eventually(lambda: self.handfast.metrics().value(
            "handfast_front_certificate_not_after_seconds", namespace="shop",
            secret=f"{self.name}-tls") == self.front.not_after, "the expiry metric")


class DefaultCertificate(HandfastCase):
    flags = ("--default-ssl-certificate", "shop/default-tls")

    def test_default_certificate_is_the_operators_secret(self):
        default = self.ca.server("default.test")
        self.handfast.apply("default", manifests.secret("default-tls", tls_crt=default.cert_pem,
                                                        tls_key=default.key_pem))

        eventually(lambda: clients.shown_certificate(
            self.handfast.https, "x.test").serial_number == default.serial, "the default")

        # A bad update keeps it; without the Secret one is made.
        self.handfast.apply("default", manifests.secret("default-tls", tls_crt="junk",
                                                        tls_key=default.key_pem))
        self.handfast.barrier()
        self.assertEqual(clients.shown_certificate(self.handfast.https, "x.test").serial_number,
                         default.serial)
        self.handfast.delete("default")
        eventually(lambda: clients.shown_certificate(
            self.handfast.https, "x.test").serial_number != default.serial, "the made one")


class LastGoodAcrossRestarts(unittest.TestCase):
    def setUp(self):
        self.ca = Authority("backends")
        self.leaf = self.ca.server("orders.shop.svc")
        self.client = self.ca.client("first")
        self.backend = Backend(self.leaf, client_ca=self.ca.cert_pem)
        self.addCleanup(self.backend.close)
        self.folder = tempfile.TemporaryDirectory(prefix="handfast-it-")
        self.addCleanup(self.folder.cleanup)
        self.pair = Pair(folder=self.folder.name)
        self.addCleanup(self.pair.close)
        self.pair.manifests.apply(
            "all", manifests.ingress_class(), manifests.service("orders", self.backend.port),
            manifests.ingress("orders", "orders.test", annotations={
                "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/orders-tls"}))

    def apply_secret(self, **keys):
        keys = {"tls_crt": self.client.cert_pem, "tls_key": self.client.key_pem,
                "ca_crt": self.ca.cert_pem, "ca_crl": self.ca.crl(), **keys}
        self.pair.manifests.apply("secret", manifests.secret("orders-tls", **keys))

    def restart(self):
        self.pair.kill_proxy()
        self.pair.kill_controller()
        self.pair.start()

    def test_bad_items_keep_their_last_good_after_both_were_killed(self):
        self.apply_secret()
        self.pair.start()
        self.pair.wait_for("orders.test", 200, text="CN=first")
        self.apply_secret(tls_key="junk", ca_crt="junk", ca_crl="junk")
        eventually(lambda: len(self.pair.controller.logged(message="finding")) >= 3, "findings")

        self.restart()

        self.pair.wait_for("orders.test", 200, text="CN=first")

    def test_last_good_crl_still_revokes_after_both_were_killed(self):
        self.apply_secret(ca_crl=self.ca.crl([self.leaf]))
        self.pair.start()
        self.pair.wait_for("orders.test", 502)
        self.apply_secret(ca_crl="junk")
        eventually(lambda: self.pair.controller.logged(message="finding", reason="bad_crl"),
                   "a finding")

        self.restart()

        self.pair.wait_for("orders.test", 502)
        self.pair.get("orders.test", "/why")
        self.assertEqual(self.pair.reason("orders.test", "/why"), "revoked")

    def test_what_went_away_while_nothing_ran_is_gone(self):
        self.apply_secret()
        self.pair.start()
        self.pair.wait_for("orders.test", 200)
        self.pair.kill_proxy()
        self.pair.kill_controller()
        self.pair.manifests.delete("secret")

        self.pair.start()

        self.pair.wait_for("orders.test", 503)

    def test_proxy_serves_from_its_files_without_a_controller(self):
        self.apply_secret()
        self.pair.start()
        self.pair.wait_for("orders.test", 200)
        self.pair.kill_controller()
        self.pair.kill_proxy()

        self.pair.start_proxy()

        self.pair.wait_for("orders.test", 200, text="CN=first")


if __name__ == "__main__":
    unittest.main()
