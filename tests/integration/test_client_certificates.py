"""Certificates of clients: auth-tls-*, through the real programs, with Python's ssl and openssl as
clients. What is never to happen is asserted beside what is: no request reaches the backend that
shouldn't."""

import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.pki import Authority, from_now  # noqa: E402
from harness.waiting import eventually  # noqa: E402

TORN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class ClientCase(HandfastCase):
    """A host with one backend, plain HTTP behind; `self.clients` signs good certificates."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory(prefix="handfast-clients-")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.clients = Authority(f"{self.name}-clients")
        self.backend = self.use(Backend())

    def context(self, leaf=None, version=None):
        """A client that shows `leaf` if it is asked."""
        context = clients.any_client_context()
        if leaf is not None:
            crt, key = leaf.write(pathlib.Path(self.folder.name), f"c{next(self.numbers)}")
            context.load_cert_chain(crt, key)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def serve(self, ca=None, crl=None, **annotations):
        self.apply_secret(ca=ca or self.clients, crl=crl)
        self.apply_client_ingress(**annotations)

    def apply_client_ingress(self, **annotations):
        full = {"auth-tls-secret": f"shop/{self.name}-tls",
                **{key.replace("_", "-"): value for key, value in annotations.items()}}
        self.apply_ingress(self.backend.port, annotations=full, protocol=None)

    def get(self, target="/", leaf=None, tls=None, **options):
        return self.handfast.get(self.host, target, tls=tls or self.context(leaf), **options)

    def wait_for(self, status, leaf=None, tls=None, **options):
        context = tls or self.context(leaf)

        def check():
            try:
                return self.handfast.wait_for(self.host, status, tls=context, **options)
            except EOFError as error:  # a connection was revoked before its answer
                raise AssertionError(str(error)) from error

        return eventually(check, f"{status} from {self.host}")

    def assert_answer(self, status, word, leaf=None, **options):
        """The word in the log, and nothing at the backend."""
        before = len(self.backend.seen)
        target = f"/why-{next(self.numbers)}"
        answer = self.get(target, leaf, **options)
        self.assertEqual(answer.status, status)
        self.assertEqual(self.handfast.reason(self.host, target), word)
        self.assertEqual(len(self.backend.seen), before)
        return answer

    def open(self, leaf=None, context=None, server_name=None, session=None):
        """A keep-alive connection."""
        raw = socket.create_connection(self.handfast.https, timeout=20)
        connection = clients.RawConnection.__new__(clients.RawConnection)
        connection.sock = (context or self.context(leaf)).wrap_socket(
            raw, server_hostname=server_name or self.host, session=session)
        connection.buffer = b""
        self.addCleanup(connection.close)
        return connection


class VerifyClient(ClientCase):
    def test_on_lets_a_good_certificate_in_and_nobody_else(self):
        self.serve(auth_tls_verify_client="on")
        good = self.clients.client("alice")

        self.wait_for(200, good)
        self.assert_answer(400, "no_client_certificate")
        self.assert_answer(400, "bad_client_certificate", self.other_ca.client("mallory"))
        self.assert_answer(400, "bad_client_certificate",
                           self.clients.client("late", not_after=from_now(hours=-1),
                                               not_before=from_now(hours=-3)))
        self.assert_answer(400, "bad_client_certificate", self.clients.server("server.test"))

    def test_on_is_the_default_and_both_prefixes_work(self):
        self.apply_secret(ca=self.clients)
        self.apply_ingress(self.backend.port, protocol=None, prefix=manifests.OWN,
                           annotations={"auth-tls-secret": f"shop/{self.name}-tls"})

        self.wait_for(200, self.clients.client("alice"))
        self.assert_answer(400, "no_client_certificate")

    def test_optional_takes_none_but_no_bad_one(self):
        self.serve(auth_tls_verify_client="optional")

        self.wait_for(200, self.clients.client("alice"))
        self.assertEqual(self.get().status, 200)
        self.assertEqual(self.backend.seen[-1].all("ssl-client-verify"), ["NONE"])
        self.assert_answer(400, "bad_client_certificate", self.other_ca.client("mallory"))

    def test_optional_no_ca_passes_unknown_issuers_on_and_says_so(self):
        self.serve(auth_tls_verify_client="optional_no_ca")

        self.wait_for(200, self.clients.client("alice"))
        self.assertEqual(self.get(leaf=self.other_ca.client("mallory")).status, 200)
        seen = self.backend.seen[-1]
        self.assertTrue(seen.header("ssl-client-verify").startswith("FAILED:"))
        self.assertEqual(seen.header("ssl-client-subject-dn"), "CN=mallory,O=integration")
        self.assertEqual(seen.all("X-Forwarded-Client-Cert"), [])
        self.assert_answer(400, "bad_client_certificate",
                           self.clients.client("late", not_after=from_now(hours=-1),
                                               not_before=from_now(hours=-3)))

    def test_off_asks_for_nothing(self):
        self.serve(auth_tls_verify_client="off")

        self.wait_for(200)
        self.assertEqual(self.backend.seen[-1].all("ssl-client-verify"), [])

    def test_http2_is_judged_alike(self):
        self.serve()
        good, bad = self.clients.client("alice"), self.other_ca.client("mallory")
        self.wait_for(200, good)

        self.assertEqual(self.curl("/h2", good), "200 2")
        self.assertEqual(self.curl("/h2", bad), "400 2")
        self.assertEqual(self.curl("/h2", None), "400 2")

    def curl(self, target, leaf, host=None):
        command = ["curl", "-sk", "--http2", "-o", "/dev/null", "-w", "%{http_code} %{http_version}",
                   "--resolve", f"{self.host}:{self.handfast.https[1]}:127.0.0.1",
                   "-H", f"Host: {host or self.host}",
                   f"https://{self.host}:{self.handfast.https[1]}{target}"]
        if leaf is not None:
            crt, key = leaf.write(pathlib.Path(self.folder.name), f"c{next(self.numbers)}")
            command += ["--cert", str(crt), "--key", str(key)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30,
                              check=True).stdout

    def test_is_never_served_over_plain_http(self):
        self.serve(ssl_redirect="false")
        self.wait_for(200, self.clients.client("alice"))
        before = len(self.backend.seen)

        for target in ("/", "/.well-known/acme-challenge/x"):
            answer = self.handfast.get(self.host, target)
            self.assertEqual(answer.status, 400)
        answer = self.handfast.get(self.host, "/", headers=[("X-Forwarded-Proto", "https"),
                                                            ("ssl-client-verify", "SUCCESS")])
        self.assertEqual(answer.status, 400)

        self.assertEqual(len(self.backend.seen), before)

    def test_plain_http_is_redirected_even_without_a_tls_section(self):
        self.serve()
        self.wait_for(200, self.clients.client("alice"))

        answer = self.handfast.get(self.host, "/a")

        self.assertEqual(answer.status, 308)
        self.assertTrue(answer.header("location").startswith("https://"))

    def test_openssl_sees_the_names_of_the_authorities_unless_they_are_kept_back(self):
        self.serve()
        self.wait_for(200, self.clients.client("alice"))
        self.assertRegex(self.s_client(), self.authority())

        self.serve(**{"handfast.dev/auth-tls-announce-ca": "false"})
        eventually(lambda: not re.search(self.authority(), self.s_client()), "no names")
        self.wait_for(200, self.clients.client("alice"))

    def authority(self):
        return f"CN ?= ?{self.name}-clients"  # OpenSSL 3.0 writes "CN = x", 3.5 "CN=x"

    def s_client(self):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.handfast.https[1]}",
             "-servername", self.host], input="", capture_output=True, text=True, timeout=30,
            check=False)
        return done.stdout


class Rules(ClientCase):
    def test_depth_counts_intermediates(self):
        below = self.clients.intermediate("below")
        further = below.intermediate("further")
        self.serve()

        self.wait_for(200, below.client("alice"))
        self.assert_answer(400, "bad_client_certificate", further.client("bob"))

        self.serve(auth_tls_verify_depth="2")
        self.wait_for(200, further.client("bob"))

    def test_revoked_is_refused_and_an_expired_list_refuses_all(self):
        good, bad = self.clients.client("good"), self.clients.client("bad")
        self.serve(crl=self.clients.crl([bad]))

        self.wait_for(200, good)
        self.assert_answer(400, "bad_client_certificate", bad)

        self.serve(crl=self.clients.crl(last_update=from_now(days=-3),
                                        next_update=from_now(days=-1)))
        self.wait_for(400, good)

    def test_match_cn_is_for_whole_common_names(self):
        self.serve(auth_tls_match_cn="CN=(alice|bob)")

        self.wait_for(200, self.clients.client("alice"))
        self.assertEqual(self.get(leaf=self.clients.client("bob")).status, 200)
        self.assert_answer(403, "name_mismatch", self.clients.client("alice-too"))
        self.assert_answer(400, "no_client_certificate")

    def test_match_san_is_for_any_of_several_names(self):
        self.serve(**{"handfast.dev/auth-tls-match-san": "a.clients.test, spiffe://shop/b"})

        self.wait_for(200, self.clients.client("x", dns=["a.clients.test"]))
        self.assertEqual(self.get(leaf=self.clients.client("x", uris=["spiffe://shop/b"])).status,
                         200)
        self.assert_answer(403, "name_mismatch", self.clients.client("a.clients.test"))

    def test_error_page_is_a_redirect_of_400_alone(self):
        self.serve(auth_tls_error_page="https://help.test/certs", auth_tls_match_cn="CN=alice")
        self.wait_for(200, self.clients.client("alice"))

        answer = self.assert_answer(302, "no_client_certificate")
        self.assertEqual(answer.header("location"), "https://help.test/certs")
        self.assert_answer(403, "name_mismatch", self.clients.client("bob"))

    def test_values_that_are_none_answer_503(self):
        for name, value in (("auth-tls-verify-client", "yes"), ("auth-tls-verify-depth", "0"),
                            ("auth-tls-match-cn", "alice"), ("auth-tls-error-page", "@page"),
                            ("auth-tls-pass-certificate-to-upstream", "maybe"),
                            ("auth-tls-secret", f"{self.name}-tls")):
            with self.subTest(name):
                self.serve(**{name: value})
                self.wait_for(503, self.clients.client("alice"))
                self.assert_answer(503, "invalid_value", self.clients.client("alice"))

    def test_secret_of_another_namespace_answers_503(self):
        self.serve(auth_tls_secret=f"other/{self.name}-tls")

        self.wait_for(503)
        self.assert_answer(503, "not_permitted")

    def test_rules_without_a_secret_answer_403(self):
        self.serve(auth_tls_secret=None, auth_tls_verify_client="on")

        self.wait_for(403, self.clients.client("alice"))
        self.assert_answer(403, "ca_missing", self.clients.client("alice"))


class Material(ClientCase):
    """The column auth-tls of the table of edge cases."""

    def test_missing_secret_answers_403_until_it_is_there(self):
        self.apply_client_ingress()
        self.wait_for(403, self.clients.client("alice"))
        self.assert_answer(403, "ca_missing", self.clients.client("alice"))

        self.apply_secret(ca=self.clients)
        self.wait_for(200, self.clients.client("alice"))

        self.delete("secret")
        self.wait_for(403, self.clients.client("alice"))

    def test_secret_without_a_ca_answers_403(self):
        leaf = self.clients.client("pair")
        self.apply_secret(leaf)
        self.apply_client_ingress()

        self.wait_for(403, leaf)
        self.assert_answer(403, "ca_missing", leaf)

    def test_damaged_ca_answers_403_and_a_damaged_update_keeps_the_last_good(self):
        good = self.clients.client("alice")
        self.serve(ca=TORN)
        self.wait_for(403, good)
        self.assert_answer(403, "bad_ca", good)

        self.serve()
        self.wait_for(200, good)
        self.serve(ca=TORN)
        self.handfast.barrier()
        self.wait_for(200, good)
        self.assert_answer(400, "no_client_certificate")

    def test_damaged_list_answers_403_and_a_damaged_update_keeps_the_last_good(self):
        good, bad = self.clients.client("good"), self.clients.client("bad")
        self.serve(crl="torn")
        self.wait_for(403, good)
        self.assert_answer(403, "bad_crl", good)

        self.serve(crl=self.clients.crl([bad]))
        self.wait_for(200, good)
        self.serve(crl="torn")
        self.handfast.barrier()
        self.wait_for(200, good)
        self.assert_answer(400, "bad_client_certificate", bad)

    def test_one_bad_ingress_leaves_the_paths_of_another_namespace_alone(self):
        self.apply("other", manifests.ingress(self.name, self.host, namespace="other", path="/open",
                                              service="open"),
                   manifests.service("open", self.backend.port, namespace="other"))
        self.apply_client_ingress()

        self.wait_for(200, target="/open")
        self.wait_for(403, target="/")

        self.apply_secret(ca=self.clients)
        self.wait_for(200, self.clients.client("alice"))
        self.wait_for(200, target="/open")
        self.assertEqual(self.backend.seen[-1].all("ssl-client-verify"), [])

    def test_paths_that_say_nothing_are_protected_within_the_namespace(self):
        self.serve()
        self.apply("more", manifests.ingress(f"{self.name}-more", self.host, path="/more",
                                             service=self.name),
                   manifests.ingress(f"{self.name}-out", self.host, path="/out", service=self.name,
                                     annotations={"auth-tls-verify-client": "off"}),
                   manifests.ingress(f"{self.name}-acme", self.host, service=self.name,
                                     path="/.well-known/acme-challenge/x"))

        self.wait_for(200, self.clients.client("alice"), target="/more")
        self.wait_for(400, target="/more")
        self.wait_for(200, target="/out")
        self.assertEqual(self.handfast.get(self.host, "/.well-known/acme-challenge/x").status, 200)

    def test_a_second_set_of_rules_for_a_host_lets_nobody_in(self):
        self.serve()
        self.wait_for(200, self.clients.client("alice"))
        self.apply("second", manifests.secret(f"{self.name}-second", ca_crt=self.other_ca.cert_pem),
                   manifests.ingress(f"a-{self.name}", self.host, path="/second", service=self.name,
                                     annotations={"auth-tls-secret": f"shop/{self.name}-second"}))

        self.wait_for(403, self.other_ca.client("bob"), target="/second")
        self.assertEqual(self.get("/second", self.clients.client("alice")).status, 403)
        self.wait_for(200, self.clients.client("alice"))


class Headers(ClientCase):
    FORGED = [("ssl-client-verify", "SUCCESS"), ("SSL_Client_Verify", "SUCCESS"),
              ("ssl-client-subject-dn", "CN=root"), ("ssl.client.cert", "x"),
              ("ssl-client-issuer-dn", "CN=evil"), ("X-Forwarded-Client-Cert", "Hash=1"),
              ("Connection", "ssl-client-verify, X-Forwarded-Client-Cert")]

    def test_backend_is_told_who_the_client_is(self):
        leaf = self.clients.client("alice", uris=["spiffe://shop/alice"], dns=["alice.test"])
        self.serve(auth_tls_pass_certificate_to_upstream="true")
        self.wait_for(200, leaf)

        self.get(leaf=leaf, headers=self.FORGED)

        seen = self.backend.seen[-1]
        self.assertEqual(seen.all("ssl-client-verify"), ["SUCCESS"])
        self.assertEqual(seen.all("ssl-client-subject-dn"), ["CN=alice,O=integration"])
        self.assertEqual(seen.all("ssl-client-issuer-dn"), [f"CN={self.name}-clients,O=integration"])
        self.assertEqual([urllib.parse.unquote(one) for one in seen.all("ssl-client-cert")],
                         [leaf.cert_pem])
        (forwarded,) = seen.all("X-Forwarded-Client-Cert")
        self.assertIn("URI=spiffe://shop/alice", forwarded)
        self.assertIn('Subject="CN=alice,O=integration"', forwarded)
        self.assertFalse([name for name, _ in seen.headers if "_" in name or "." in name])
        line = self.handfast.last_log(self.host, tls_client_verify="SUCCESS")
        self.assertEqual(line["tls_client_subject"], "CN=alice,O=integration")
        self.assertEqual(int(line["tls_client_serial"], 16), leaf.serial)

    def test_certificate_itself_stays_here_unless_it_is_asked_for(self):
        leaf = self.clients.client("alice")
        self.serve()
        self.wait_for(200, leaf)

        self.get(leaf=leaf, headers=self.FORGED)

        self.assertEqual(self.backend.seen[-1].all("ssl-client-cert"), [])
        self.assertNotIn("Cert=", self.backend.seen[-1].header("X-Forwarded-Client-Cert"))

    def test_without_client_auth_nothing_is_passed_on(self):
        self.apply_ingress(self.backend.port, protocol=None, annotations={"ssl-redirect": "false"})
        self.wait_for(200)

        for tls in (True, None):
            self.handfast.get(self.host, "/", headers=self.FORGED, tls=tls)
            found = [name.lower().replace("_", "-").replace(".", "-")
                     for name, _ in self.backend.seen[-1].headers]
            self.assertFalse([name for name in found if name.startswith("ssl-client") or
                              name == "x-forwarded-client-cert"])


class Connections(ClientCase):
    def second_host(self, ca):
        """Another host, of another authority's clients."""
        host = f"b-{self.host}"
        self.apply("b", manifests.secret(f"{self.name}-b", ca_crt=ca.cert_pem),
                   manifests.ingress(f"{self.name}-b", host, service=self.name,
                                     annotations={"auth-tls-secret": f"shop/{self.name}-b"}))
        return host

    def test_connection_of_one_host_is_worth_nothing_for_another(self):
        self.serve()
        other = self.second_host(self.other_ca)
        alice = self.clients.client("alice")
        self.wait_for(200, alice)
        self.handfast.wait_for(other, 200, tls=self.context(self.other_ca.client("bob")))
        before = len(self.backend.seen)

        connection = self.open(alice)
        self.assertEqual(connection.request(other).status, 421)
        self.assertEqual(connection.request(self.host).status, 200)
        nameless = self.open(alice, server_name="unknown.test")
        self.assertEqual(nameless.request(self.host).status, 421)

        self.assertEqual(len(self.backend.seen), before + 1)

    def test_ticket_of_one_host_opens_no_other(self):
        """CVE-2025-23419, on both versions."""
        self.serve()
        other = self.second_host(self.other_ca)
        alice = self.clients.client("alice")
        self.handfast.wait_for(other, 200, tls=self.context(self.other_ca.client("bob")))
        self.wait_for(200, alice)
        for version in VERSIONS:
            with self.subTest(version):
                context = self.context(alice, version)
                session = self.session(context, self.host)
                self.assertTrue(self.resumes(context, self.host, session, 200))
                self.assertFalse(self.resumes(context, other, session, 400))

    def session(self, context, host):
        connection = self.open(context=context, server_name=host)
        self.assertEqual(connection.request(host).status, 200)
        session = connection.sock.session
        connection.close()
        return session

    def resumes(self, context, host, session, status):
        connection = self.open(context=context, server_name=host, session=session)
        self.assertEqual(connection.request(host).status, status)
        return connection.sock.session_reused

    def test_ticket_of_a_revoked_certificate_is_a_full_handshake_and_a_refusal(self):
        below = self.clients.intermediate("below")
        alice, bob = below.client("alice"), below.client("bob")
        lists = self.clients.crl() + below.crl()
        self.serve(crl=lists)
        self.wait_for(200, alice)
        contexts = [(self.context(alice, version), self.context(bob, version))
                    for version in VERSIONS]
        sessions = [tuple(self.session(one, self.host) for one in pair) for pair in contexts]

        self.serve(crl=self.clients.crl() + below.crl([alice]))
        self.wait_for(400, alice)

        for pair, kept in zip(contexts, sessions):
            self.assertFalse(self.resumes(pair[0], self.host, kept[0], 400))
            self.assertTrue(self.resumes(pair[1], self.host, kept[1], 200))

    def test_ticket_is_worth_nothing_after_the_authority_has_changed(self):
        alice = self.clients.client("alice")
        self.serve()
        self.wait_for(200, alice)
        contexts = [self.context(alice, version) for version in VERSIONS]
        sessions = [self.session(context, self.host) for context in contexts]

        self.serve(ca=self.other_ca)
        self.wait_for(400, alice)

        for context, session in zip(contexts, sessions):
            self.assertFalse(self.resumes(context, self.host, session, 400))

    def test_open_connections_are_judged_again_within_a_second(self):
        alice, bob = self.clients.client("alice"), self.clients.client("bob")
        self.serve(crl=self.clients.crl())
        self.wait_for(200, alice)
        idle = {leaf.common_name: [self.open(leaf) for _ in range(4)] for leaf in (alice, bob)}
        for connection in idle["alice"] + idle["bob"]:
            self.assertEqual(connection.request(self.host).status, 200)

        self.serve(crl=self.clients.crl([alice]))
        self.wait_for(400, alice)
        deadline = time.monotonic() + 1

        for connection in idle["alice"]:
            self.assertTrue(connection.is_closed(within=max(0.05, deadline - time.monotonic())))
        for connection in idle["bob"]:
            self.assertEqual(connection.request(self.host).status, 200)

    def test_connections_live_on_when_the_authorities_overlap_and_end_when_theirs_goes(self):
        alice = self.clients.client("alice")
        self.serve()
        self.wait_for(200, alice)
        connection = self.open(alice)
        self.assertEqual(connection.request(self.host).status, 200)

        self.serve(ca=self.clients.cert_pem + self.other_ca.cert_pem)
        self.wait_for(200, self.other_ca.client("bob"))
        self.assertEqual(connection.request(self.host).status, 200)

        self.serve(ca=self.other_ca)
        self.wait_for(400, alice)
        self.assertTrue(connection.is_closed(within=2))

    def test_connections_end_when_the_authority_is_gone(self):
        alice = self.clients.client("alice")
        self.serve()
        self.wait_for(200, alice)
        connection = self.open(alice)
        self.assertEqual(connection.request(self.host).status, 200)

        self.delete("secret")
        self.wait_for(403, alice)

        self.assertTrue(connection.is_closed(within=2))

    def test_connections_from_before_are_told_to_come_again(self):
        self.apply_ingress(self.backend.port, protocol=None)
        self.wait_for(200)
        before = self.open()
        self.assertEqual(before.request(self.host).status, 200)

        self.serve()
        self.wait_for(200, self.clients.client("alice"))

        self.assertTrue(before.is_closed(within=2))


if __name__ == "__main__":
    unittest.main()
