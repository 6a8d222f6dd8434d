"""TLS to backends: each annotation by itself, who is believed and who isn't, handshakes that fail,
the operator's flags, and connections that are never shared between different identities."""

import os
import socket
import ssl
import struct
import sys
import time
import unittest
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import manifests  # noqa: E402
from harness.backends import Backend, Nginx, OpensslServer  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.pki import Authority, Leaf, from_now, new_key  # noqa: E402
from harness.waiting import eventually  # noqa: E402

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
warnings.simplefilter("ignore", DeprecationWarning)


class UpstreamCase(HandfastCase):
    def serve(self, leaf, *, annotations=None, prefix=manifests.NGINX, client=None, ca=None,
              crl=None, **options):
        """A Python backend with this certificate, and the route to it, its CA in the Secret."""
        backend = self.use(Backend(leaf, **options))
        self.route(backend, annotations=annotations, prefix=prefix, client=client, ca=ca, crl=crl)
        return backend

    def route(self, backend, *, annotations=None, prefix=manifests.NGINX, client=None, ca=None,
              crl=None):
        self.apply_secret(client, ca or self.ca, crl)
        self.apply_ingress(backend.port, annotations=annotations, prefix=prefix)

    def answer(self):
        return self.wait_for(200).json()

    def assert_failed(self, status, word):
        """As assert_refused; and the metric has the word, and nothing reached the backend."""
        self.assert_refused(status, word)
        words = word if isinstance(word, tuple) else (word,)
        self.assertTrue(any(self.handfast.metrics().value(
            "handfast_upstream_tls_handshakes_total", service=self.name, reason=one,
            namespace="shop") for one in words), words)


class Annotations:
    """Each annotation on its own, under one prefix."""

    prefix = None

    def serve(self, leaf, **options):
        return super().serve(leaf, prefix=self.prefix, **options)

    def assert_invalid(self, annotations, word="invalid_value"):
        self.serve(self.server(), annotations=annotations)
        self.assert_refused(503, word)

    def test_protocol_and_a_ca_alone_verify(self):
        self.serve(self.server())

        answer = self.answer()

        self.assertIsNone(answer["client"])
        self.assertEqual(answer["tls"], "TLSv1.3")

    def test_protocol_word_is_read_in_any_case(self):
        self.serve(self.server(), annotations={"backend-protocol": "https"})

        self.assertIsNotNone(self.answer()["tls"])

    def test_unknown_protocol_refuses_and_never_sends_plaintext(self):
        backend = self.use(Backend())
        for word, reason in (("HTTPSS", "invalid_value"), ("GRPCSS", "invalid_value"),
                             ("FCGI", "unsupported_annotation"),
                             ("AUTO_HTTP", "unsupported_annotation")):
            with self.subTest(word):
                self.apply_secret(None, self.ca)
                self.apply_ingress(backend.port, annotations={"backend-protocol": word},
                                   prefix=self.prefix)
                self.handfast.barrier()
                self.assert_refused(503, reason)
        self.assertEqual(backend.seen, [])

    def test_verify_on_verifies(self):
        self.serve(self.other_ca.server(f"{self.name}.shop.svc"),
                   annotations={"proxy-ssl-verify": "on"})

        self.assert_failed(502, "untrusted_issuer")

    def test_verify_off_takes_the_operators_key_too(self):
        self.serve(self.other_ca.server(f"{self.name}.shop.svc"),
                   annotations={"proxy-ssl-verify": "off"})

        self.assert_refused(503, "not_permitted")

    def test_verify_with_another_word_refuses(self):
        self.assert_invalid({"proxy-ssl-verify": "of"})

    def test_depth_counts_intermediates(self):
        one = self.ca.intermediate("one")
        leaf = one.intermediate("two").server(f"{self.name}.shop.svc")
        self.serve(leaf, annotations={"proxy-ssl-verify-depth": "2"})
        self.wait_for(200)

        self.serve(leaf, annotations={"proxy-ssl-verify-depth": "1"})

        self.assert_failed(502, "chain_too_long")

    def test_depth_that_is_no_number_or_zero_refuses(self):
        for value in ("0", "-1", "x", "1.5", ""):
            with self.subTest(value):
                self.assert_invalid({"proxy-ssl-verify-depth": value})

    def test_name_is_expected_and_sent(self):
        self.serve(self.ca.server("orders.example"),
                   annotations={"proxy-ssl-name": "orders.example"})

        self.assertEqual(self.answer()["sni"], "orders.example")

    def test_name_replaces_the_default_ones(self):
        self.serve(self.server(), annotations={"proxy-ssl-name": "orders.example"})

        self.assert_failed(502, "name_mismatch")

    def test_name_is_filled_in_from_the_service(self):
        self.serve(self.ca.server(f"{self.name}.shop.internal"),
                   annotations={"proxy-ssl-name": "$service_name.$namespace.internal"})

        self.assertEqual(self.answer()["sni"], f"{self.name}.shop.internal")

    def test_name_with_a_variable_that_clients_control_refuses(self):
        for value in ("$host", "$http_x_name", "a.$arg_name.b"):
            with self.subTest(value):
                self.assert_invalid({"proxy-ssl-name": value})

    def test_server_name_off_sends_none_and_still_expects_the_name(self):
        self.serve(self.server(), annotations={"proxy-ssl-server-name": "off"})
        self.assertIsNone(self.answer()["sni"])

        self.serve(self.ca.server("other.shop.svc"),
                   annotations={"proxy-ssl-server-name": "off"})

        self.assert_failed(502, "name_mismatch")

    def test_protocols_are_the_only_ones_offered(self):
        self.serve(self.server(), annotations={"proxy-ssl-protocols": "TLSv1.2"})
        self.assertEqual(self.answer()["tls"], "TLSv1.2")

        self.serve(self.server(), annotations={"proxy-ssl-protocols": "TLSv1.3"})
        eventually(lambda: self.answer()["tls"] == "TLSv1.3", "TLS 1.3")

        self.serve(self.server(), annotations={"proxy-ssl-protocols": "TLSv1.2"},
                   min_version=TLS13)
        self.assert_failed(502, "protocol")

    def test_protocols_that_are_old_or_unknown_refuse(self):
        for value in ("TLSv1.1", "TLSv1 TLSv1.1 TLSv1.2", "SSLv3", "TLSv1.4", "tls"):
            with self.subTest(value):
                self.assert_invalid({"proxy-ssl-protocols": value},
                                    word=("invalid_value", "below_minimum"))

    def test_ciphers_are_the_only_ones_offered_in_tls_1_2(self):
        wanted = "ECDHE-ECDSA-CHACHA20-POLY1305"
        self.serve(self.server(), annotations={"proxy-ssl-ciphers": wanted}, max_version=TLS12)
        self.assertEqual(self.answer()["cipher"], wanted)

        self.serve(self.server(), annotations={"proxy-ssl-ciphers": wanted}, max_version=TLS12,
                   ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
        self.assert_failed(502, "protocol")

    def test_ciphers_that_are_none_or_weak_refuse(self):
        for value in ("aNULL", "eNULL", "RC4-MD5", "NO-SUCH-CIPHER", "DES-CBC3-SHA", "!ALL",
                      "HIGH; evil"):
            with self.subTest(value):
                self.assert_invalid({"proxy-ssl-ciphers": value})

    def test_pair_in_the_secret_is_presented(self):
        client = self.ca.client("handfast-1")
        self.serve(self.server(), client=client, client_ca=self.ca.cert_pem)

        self.assertEqual(self.answer()["serial"], str(client.serial))

    def test_tls_annotations_on_a_plain_backend_change_nothing_but_bad_values_refuse(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol="HTTP", prefix=self.prefix,
                           annotations={"proxy-ssl-verify": "on"})
        self.wait_for(200)

        self.apply_ingress(backend.port, protocol="HTTP", prefix=self.prefix,
                           annotations={"proxy-ssl-verify": "maybe"})

        self.assert_refused(503, "invalid_value")


class AnnotationsOfIngressNginx(Annotations, UpstreamCase):
    prefix = manifests.NGINX


class AnnotationsOfOurs(Annotations, UpstreamCase):
    prefix = manifests.OWN


class OtherAnnotations(UpstreamCase):
    def test_what_restricts_access_and_is_not_implemented_refuses_that_ingress_alone(self):
        backend = self.use(Backend())
        for name, value in (("satisfy", "any"), ("auth-type", "basic"),
                            ("server-alias", "x.test"), ("rewrite-target", "/x"),
                            ("configuration-snippet", "deny all;"), ("limit-rps", "1"),
                            ("no-such-annotation", "1")):
            for prefix in (manifests.NGINX, manifests.OWN):
                with self.subTest(prefix + name):
                    self.apply_ingress(backend.port, protocol=None, prefix=prefix,
                                       annotations={name: value})
                    self.handfast.barrier()
                    self.assert_refused(503, "unsupported_annotation")
        self.assertEqual(backend.seen, [])

    def test_what_is_harmless_warns_and_serves(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None, annotations={
            "proxy-buffer-size": "8k", "enable-cors": "true", "affinity": "cookie",
            "example.com/other": "x"})

        self.wait_for(200)

    def test_a_value_that_is_none_refuses_that_ingress_alone(self):
        backend = self.use(Backend())
        for name, value in (("proxy-read-timeout", "30s"), ("proxy-body-size", "8mb"),
                            ("proxy-next-upstream", "always"), ("load-balance", "least_conn"),
                            ("proxy-buffering", "true"), ("upstream-hash-by", "$nothing"),
                            ("allowlist-source-range", "10.0.0.0/8,"),
                            ("denylist-source-range", "10.0.0.0/33")):
            for prefix in (manifests.NGINX, manifests.OWN):
                with self.subTest(prefix + name):
                    self.apply_ingress(backend.port, protocol=None, prefix=prefix,
                                       annotations={name: value})
                    self.handfast.barrier()
                    self.assert_refused(503, "invalid_value")
        self.assertEqual(backend.seen, [])

    def test_own_prefix_wins_over_the_old_one(self):
        backend = self.use(Backend(self.ca.server("new.example")))
        self.apply_secret(None, self.ca)
        self.apply_ingress(backend.port, annotations={
            "proxy-ssl-name": "old.example", manifests.OWN + "proxy-ssl-name": "new.example"})

        self.assertEqual(self.answer()["sni"], "new.example")


class Names(UpstreamCase):
    def test_either_default_name_is_enough(self):
        for name in (f"{self.name}.shop.svc", f"{self.name}.shop.svc.cluster.local",
                     f"{self.name}.shop.svc".upper(), "*.shop.svc"):
            with self.subTest(name):
                self.serve(self.ca.issue("", dns=["unrelated.test", name]))
                self.assertEqual(self.answer()["sni"], f"{self.name}.shop.svc")

    def test_other_names_do_not_match(self):
        expected = f"{self.name}.shop.svc"
        leaves = {
            "of another service": self.ca.server("other.shop.svc"),
            "of another namespace": self.ca.server(f"{self.name}.office.svc"),
            "the host that clients ask for": self.ca.server(self.host),
            "common name only": self.ca.issue(expected),
            "wildcard of two labels": self.ca.server("*.svc"),
            "wildcard inside a label": self.ca.server(f"{self.name[:1]}*.shop.svc"),
            "wildcard alone": self.ca.server("*"),
            "wildcard not at the left": self.ca.server(f"{self.name}.*.svc"),
            "trailing dot": self.ca.server(expected + "."),
            "as a prefix": self.ca.server(expected + ".evil.test"),
            "as a suffix": self.ca.server("evil" + expected),
            "as a URI": self.ca.issue("", uris=[f"https://{expected}"]),
            "as an IP": self.ca.issue("", ips=["127.0.0.1"]),
        }
        for what, leaf in leaves.items():
            with self.subTest(what):
                self.serve(leaf)
                self.handfast.barrier()
                self.assert_failed(502, "name_mismatch")

    def test_ip_name_takes_an_ip_san_and_sends_no_server_name(self):
        self.serve(self.ca.issue("", ips=["127.0.0.1"]),
                   annotations={"proxy-ssl-name": "127.0.0.1"})
        self.assertIsNone(self.answer()["sni"])

        self.serve(self.ca.issue("", ips=["::1"]), annotations={"proxy-ssl-name": "::1"})
        self.wait_for(200)

    def test_ip_name_as_text_does_not_match(self):
        for what, leaf in (("dns", self.ca.server("127.0.0.1")),
                           ("common name", self.ca.issue("127.0.0.1")),
                           ("another", self.ca.issue("", ips=["127.0.0.2"]))):
            with self.subTest(what):
                self.serve(leaf, annotations={"proxy-ssl-name": "127.0.0.1"})
                self.handfast.barrier()
                self.assert_failed(502, "name_mismatch")


class Chains(UpstreamCase):
    def test_default_depth_is_four_intermediates(self):
        authority = self.ca
        for number in range(5):
            authority = authority.intermediate(f"i{number}")
            if number == 3:
                self.serve(authority.server(f"{self.name}.shop.svc"))
                self.wait_for(200)
        self.serve(authority.server(f"{self.name}.shop.svc"))

        self.assert_failed(502, "chain_too_long")

    def test_order_duplicates_and_strangers_in_the_chain_do_not_matter(self):
        two = self.ca.intermediate("one").intermediate("two")
        leaf = two.server(f"{self.name}.shop.svc")
        chain = list(reversed(leaf.intermediates))
        stranger = self.other_ca.intermediate("stranger").certificate
        self.serve(Leaf(leaf.certificate, leaf.key, [stranger, *chain, *chain, stranger]))

        self.wait_for(200)

    def test_missing_intermediate_is_an_untrusted_issuer(self):
        leaf = self.ca.intermediate("one").server(f"{self.name}.shop.svc", with_chain=False)
        self.serve(leaf)

        self.assert_failed(502, "untrusted_issuer")

    def test_intermediate_may_be_the_anchor(self):
        one = self.ca.intermediate("one")
        self.serve(one.server(f"{self.name}.shop.svc"), ca=one, crl=one.crl())

        self.wait_for(200)

    def test_revocation_below_an_intermediate_anchor_counts(self):
        one = self.ca.intermediate("one")
        leaf = one.server(f"{self.name}.shop.svc")
        self.serve(leaf, ca=one, crl=one.crl([leaf]))

        self.assert_failed(502, "revoked")

    def test_expired_and_future_intermediates_refuse(self):
        for word, dates in (("expired", {"not_before": from_now(days=-3),
                                         "not_after": from_now(days=-1)}),
                            ("not_yet_valid", {"not_before": from_now(days=1)})):
            with self.subTest(word):
                leaf = self.ca.intermediate("one", **dates).server(f"{self.name}.shop.svc")
                self.serve(leaf)
                self.handfast.barrier()
                self.assert_failed(502, word)

    def test_expired_root_refuses(self):
        old = Authority("old", not_before=from_now(days=-3), not_after=from_now(days=-1))
        self.serve(old.server(f"{self.name}.shop.svc"), ca=old)

        # Told at load or at the handshake; never served.
        self.handfast.barrier()
        self.assertIn(self.get().status, (502, 503))
        self.assertIn(self.reason_now(), ("expired", "bad_ca"))

    def test_issuer_that_is_no_ca_refuses(self):
        no_ca = self.ca.intermediate("no ca", is_ca=False)
        self.serve(no_ca.server(f"{self.name}.shop.svc"))

        self.assert_refused(502, ("wrong_purpose", "untrusted_issuer"))

    def test_path_length_is_kept(self):
        short = self.ca.intermediate("short", path_length=0)
        self.serve(short.intermediate("below").server(f"{self.name}.shop.svc"))

        self.assert_refused(502, ("chain_too_long", "untrusted_issuer", "wrong_purpose"))

    def test_purpose_is_server_or_none_given(self):
        for usage, word in (("client", "wrong_purpose"), ("email", "wrong_purpose"),
                            ("none", None), ("both", None)):
            with self.subTest(usage):
                self.serve(self.ca.issue("", dns=[f"{self.name}.shop.svc"], usage=usage))
                self.handfast.barrier()
                if word:
                    self.assert_failed(502, word)
                else:
                    self.wait_for(200)

    def test_usual_kinds_of_keys_are_accepted(self):
        for kind in ("p384", "ed25519", "rsa2048"):
            with self.subTest(kind):
                self.serve(self.server(key=new_key(kind)))
                self.handfast.barrier()
                self.wait_for(200)

    def test_weak_key_is_refused_although_the_backend_would_use_it(self):
        leaf = self.server(key=new_key("rsa1024"))
        backend = self.use(OpensslServer(leaf, "-cipher", "DEFAULT:@SECLEVEL=0"))
        self.route(backend)

        self.assert_failed(502, "weak")

    def test_weak_signature_is_refused(self):
        leaf = self.ca.server_signed_with_sha1(f"{self.name}.shop.svc")
        backend = self.use(OpensslServer(leaf, "-cipher", "DEFAULT:@SECLEVEL=0"))
        self.route(backend)

        self.assert_failed(502, "weak")

    def test_chain_of_more_than_100_kb_is_refused_soon(self):
        leaf = self.server()
        ballast = [self.other_ca.intermediate(f"ballast {i}").certificate for i in range(250)]
        self.serve(Leaf(leaf.certificate, leaf.key, ballast))
        self.handfast.barrier()

        started = time.monotonic()
        self.assertEqual(self.get().status, 502)
        self.assertLess(time.monotonic() - started, 3)


class Revocation(UpstreamCase):
    def setUp(self):
        super().setUp()
        self.one = self.ca.intermediate(f"{self.name}-issuer")
        self.leaf = self.one.server(f"{self.name}.shop.svc")

    def test_every_issuer_of_the_chain_needs_a_crl(self):
        self.serve(self.leaf, crl=self.one.crl() + self.ca.crl())
        self.wait_for(200)

        self.apply_secret(None, self.ca, self.one.crl())
        self.assert_failed(502, "crl_missing")

        self.apply_secret(None, self.ca, self.ca.crl())
        self.handfast.barrier()
        self.assert_failed(502, "crl_missing")

    def test_revoked_intermediate_refuses(self):
        self.serve(self.leaf, crl=self.one.crl() + self.ca.crl([self.one]))

        self.assert_failed(502, "revoked")

    def test_revoked_leaf_refuses(self):
        self.serve(self.leaf, crl=self.one.crl([self.leaf]) + self.ca.crl())

        self.assert_failed(502, "revoked")

    def test_crl_of_the_intermediate_that_expired_refuses(self):
        old = self.one.crl(last_update=from_now(days=-3), next_update=from_now(days=-1))
        self.serve(self.leaf, crl=old + self.ca.crl())
        self.assert_failed(502, "crl_expired")

        # An expired one and a fresh one together are fine.
        self.apply_secret(None, self.ca, old + self.one.crl() + self.ca.crl())
        self.wait_for(200)

    def test_crl_that_expires_while_connections_idle_refuses_new_requests(self):
        self.serve(self.leaf, crl=self.one.crl(next_update=from_now(seconds=4)) + self.ca.crl())
        self.wait_for(200)

        self.assert_refused(502, "crl_expired")

    def test_issuer_without_the_right_to_sign_crls_refuses(self):
        issuer = self.ca.intermediate("no crl sign", crl_sign=False)
        self.serve(issuer.server(f"{self.name}.shop.svc"), crl=issuer.crl() + self.ca.crl())

        self.handfast.barrier()
        self.assertIn(self.get().status, (502, 503))
        self.assertIn(self.reason_now(), ("crl_missing", "bad_crl", "wrong_purpose"))

    def test_crl_of_10000_entries_is_searched(self):
        self.serve(self.leaf, crl=self.one.crl([*range(2**80, 2**80 + 10_000), self.leaf]) +
                   self.ca.crl())

        self.assert_failed(502, "revoked")


class ClientCertificates(UpstreamCase):
    def test_backend_that_demands_one_we_do_not_have(self):
        for version in (TLS12, TLS13):
            with self.subTest(version.name):
                self.serve(self.server(), client_ca=self.ca.cert_pem, min_version=version,
                           max_version=version)
                self.handfast.barrier()
                self.assert_refused(502, "client_certificate_rejected")

    def test_backend_that_rejects_ours(self):
        stranger = self.other_ca.client("stranger")
        for version in (TLS12, TLS13):
            with self.subTest(version.name):
                backend = self.serve(self.server(), client=stranger, client_ca=self.ca.cert_pem,
                                     min_version=version, max_version=version)
                self.handfast.barrier()
                self.assert_refused(502, "client_certificate_rejected")
                self.assertEqual(backend.seen, [])

    def test_backend_that_rejects_ours_while_a_body_is_sent(self):
        stranger = self.other_ca.client("stranger")
        self.serve(self.server(), client=stranger, client_ca=self.ca.cert_pem)
        self.handfast.barrier()

        answer = self.get("/upload", method="POST", body=b"x" * 300_000)

        self.assertEqual(answer.status, 502)
        self.assertEqual(self.handfast.reason(self.host, "/upload"),
                         "client_certificate_rejected")

    def test_openssl_and_nginx_reject_ours(self):
        stranger = self.other_ca.client("stranger")
        backend = self.use(OpensslServer(self.server(), client_ca=self.ca.cert_pem))
        self.route(backend, client=stranger)
        self.assert_refused(502, "client_certificate_rejected")

        # nginx accepts the handshake and answers 400: that is its answer, and is passed on.
        backend = self.use(Nginx(self.server(), client_ca=self.ca.cert_pem))
        self.route(backend, client=stranger)
        self.wait_for(400)

    def test_backend_that_never_asks_is_served_and_the_log_says_so(self):
        self.serve(self.server(), client=self.ca.client())
        self.wait_for(200)
        self.get("/asked")

        line = self.handfast.last_log(self.host, "/asked")
        self.assertEqual(line["upstream_client_certificate_requested"], False)

    def test_chain_of_our_certificate_is_sent(self):
        client = self.ca.intermediate("clients").client("deep")
        self.serve(self.server(), client=client, client_ca=self.ca.cert_pem)

        self.assertEqual(self.answer()["serial"], str(client.serial))

    def test_forms_of_keys(self):
        client = self.ca.client("ec")
        rsa = self.ca.client("rsa", key=new_key("rsa2048"))
        for leaf, form in ((client, "traditional"), (client, "pkcs8"), (rsa, "traditional"),
                           (rsa, "pkcs8")):
            with self.subTest(f"{leaf.common_name} {form}"):
                backend = self.use(Backend(self.server(), client_ca=self.ca.cert_pem))
                self.apply_secret(leaf, self.ca, tls_key=leaf.key_pem_as(form))
                self.apply_ingress(backend.port)
                self.handfast.barrier()
                self.assertEqual(self.answer()["serial"], str(leaf.serial))


class Handshakes(UpstreamCase):
    """Backends that don't shake hands as they should."""

    def accept_with(self, on_accept):
        backend = self.use(Backend(on_accept=on_accept))
        self.route(backend)
        return backend

    def test_plaintext_backend(self):
        backend = self.use(Nginx(None))
        self.route(backend)

        self.assert_failed(502, "not_tls")
        self.assertFalse([line for line in backend.access_log() if "GET" in line])

    def test_backend_that_talks_first(self):
        def banner(sock):
            sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            sock.recv(65536)

        self.accept_with(banner)
        self.assert_failed(502, "not_tls")

    def test_backend_that_answers_plain_http(self):
        def answer(sock):
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        self.accept_with(answer)
        self.assert_failed(502, "not_tls")

    def test_backend_that_closes(self):
        def close(sock):
            sock.recv(65536)

        self.accept_with(close)
        self.assert_failed(502, "handshake_closed")

    def test_backend_that_resets(self):
        def reset(sock):
            sock.recv(65536)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        self.accept_with(reset)
        self.assert_failed(502, "handshake_closed")

    def test_backend_that_closes_in_the_middle_of_a_record(self):
        def cut(sock):
            sock.recv(65536)
            sock.sendall(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")

        self.accept_with(cut)
        self.assert_failed(502, "handshake_closed")

    def test_backend_that_sends_an_alert(self):
        def alert(sock):
            sock.recv(65536)
            sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake_failure
            sock.recv(65536)

        self.accept_with(alert)
        self.assert_failed(502, "protocol")

    def test_backend_of_an_old_version(self):
        backend = self.use(OpensslServer(self.server(), "-cipher", "DEFAULT:@SECLEVEL=0",
                                         "-tls1_1"))
        self.route(backend)

        self.assert_failed(502, "protocol")

    def test_backend_that_says_nothing(self):
        def silence(sock):
            while sock.recv(65536):
                pass

        self.accept_with(silence)
        self.handfast.barrier()

        started = time.monotonic()
        self.assertEqual(self.get("/silence", timeout=30).status, 504)
        self.assertLess(time.monotonic() - started, 20)
        self.assertEqual(self.handfast.reason(self.host, "/silence"), "handshake_timeout")

    def test_good_backend_is_served_while_another_says_nothing(self):
        def silence(sock):
            while sock.recv(65536):
                pass

        self.accept_with(silence)
        good = self.use(Backend())
        self.apply("good", manifests.ingress(f"{self.name}-good", f"good.{self.host}"),
                   manifests.service(f"{self.name}-good", good.port))
        self.handfast.wait_for(f"good.{self.host}", 200)
        waiting = [self.handfast.connect() for _ in range(8)]
        for connection in waiting:
            self.addCleanup(connection.close)
            connection.send(f"GET / HTTP/1.1\r\nHost: {self.host}\r\n\r\n")

        started = time.monotonic()
        for _ in range(20):
            self.assertEqual(self.handfast.get(f"good.{self.host}").status, 200)

        self.assertLess(time.monotonic() - started, 4)

    def test_client_learns_the_status_and_nothing_else(self):
        self.serve(self.other_ca.server(f"{self.name}.shop.svc"))
        answer = self.wait_for(502)

        shown = repr(answer).lower()
        for word in ("untrusted", "issuer", "127.0.0.1", "certificate", "openssl", self.name):
            self.assertNotIn(word, shown)

    def test_log_names_the_peer_that_was_refused(self):
        leaf = self.other_ca.server(f"{self.name}.shop.svc")
        self.serve(leaf)
        self.wait_for(502)
        self.get("/peer")

        line = self.handfast.last_log(self.host, "/peer")
        self.assertEqual(int(line["upstream_peer_serial"], 16), leaf.serial)
        self.assertTrue(line["detail"])

    def test_connection_is_tried_anew_after_a_failure(self):
        backend = self.serve(self.other_ca.server(f"{self.name}.shop.svc"))
        self.wait_for(502)

        backend.show(self.server())

        self.wait_for(200)


class Pools(UpstreamCase):
    def second_route(self, backend, client, annotations=None):
        """Another Ingress to the same backend, with another identity or other rules."""
        name = f"{self.name}-b"
        self.apply("second", manifests.secret(f"{name}-tls", tls_crt=client.cert_pem,
                                              tls_key=client.key_pem, ca_crt=self.ca.cert_pem),
                   manifests.ingress(name, f"b.{self.host}", service=self.name, annotations={
                       "backend-protocol": "HTTPS", "proxy-ssl-secret": f"shop/{name}-tls",
                       **(annotations or {})}))
        return f"b.{self.host}"

    def test_connections_are_reused_within_one_ingress(self):
        self.serve(self.server(), client=self.ca.client("a"), client_ca=self.ca.cert_pem)
        self.wait_for(200)

        with self.handfast.connect() as client:
            numbers = {client.request(self.host).json()["connection"] for _ in range(20)}

        self.assertEqual(len(numbers), 1)

    def test_two_identities_never_share_a_connection(self):
        first, second = self.ca.client("first"), self.ca.client("second")
        backend = self.serve(self.server(), client=first, client_ca=self.ca.cert_pem)
        other = self.second_route(backend, second)
        self.wait_for(200)
        self.handfast.wait_for(other, 200)

        with self.handfast.connect() as client:
            for _ in range(50):
                self.assertEqual(client.request(self.host).json()["serial"], str(first.serial))
                self.assertEqual(client.request(other).json()["serial"], str(second.serial))

        owners = {}
        for request in backend.seen:
            owners.setdefault(request.connection.number, set()).add(request.header("host"))
        self.assertTrue(all(len(hosts) == 1 for hosts in owners.values()), owners)

    def test_two_sets_of_rules_never_share_a_connection(self):
        client = self.ca.client("same")
        backend = self.serve(self.server(), client=client, client_ca=self.ca.cert_pem)
        other = self.second_route(backend, client, {"proxy-ssl-verify-depth": "1"})
        self.wait_for(200)
        self.handfast.wait_for(other, 200)

        with self.handfast.connect() as connection:
            for _ in range(20):
                first = connection.request(self.host).json()["connection"]
                second = connection.request(other).json()["connection"]
                self.assertNotEqual(first, second)

    def test_stricter_rules_refuse_what_the_looser_ones_connected(self):
        client = self.ca.client("same")
        leaf = self.ca.intermediate("one").intermediate("two").server(f"{self.name}.shop.svc")
        backend = self.serve(leaf, client=client, client_ca=self.ca.cert_pem)
        other = self.second_route(backend, client, {"proxy-ssl-verify-depth": "1"})
        self.wait_for(200)

        self.handfast.wait_for(other, 502)
        self.wait_for(200)

    def test_connection_of_an_expired_backend_certificate_is_not_used_again(self):
        leaf = self.server(not_after=from_now(seconds=4))
        self.serve(leaf)
        self.wait_for(200)

        self.assert_refused(502, "expired")


class InsecureAllowed(UpstreamCase):
    flags = ("--allow-insecure-upstream", "shop/open-*", "--allow-insecure-upstream", "dev/*")

    def test_verification_is_off_where_object_and_operator_say_so(self):
        self.name = f"open-{self.name}"
        self.serve(self.other_ca.server("whoever.test"), annotations={"proxy-ssl-verify": "off"})
        self.wait_for(200)

        self.assertGreaterEqual(self.handfast.metrics().value("handfast_routes_insecure"), 1)

    def test_permission_alone_turns_nothing_off(self):
        self.name = f"open-{self.name}"
        self.serve(self.other_ca.server(f"{self.name}.shop.svc"))

        self.assert_failed(502, "untrusted_issuer")

    def test_permission_of_another_name_is_none(self):
        self.serve(self.other_ca.server("whoever.test"), annotations={"proxy-ssl-verify": "off"})

        self.assert_refused(503, "not_permitted")

    def test_identity_is_presented_although_nothing_is_verified(self):
        self.name = f"open-{self.name}"
        client = self.ca.client("open")
        self.serve(self.other_ca.server("whoever.test"), client=client,
                   client_ca=self.ca.cert_pem, annotations={"proxy-ssl-verify": "off"})

        self.assertEqual(self.answer()["serial"], str(client.serial))


class Floor(UpstreamCase):
    flags = ("--minimum-upstream-tls", "any=none", "--minimum-upstream-tls", "srv*=server",
             "--minimum-upstream-tls", "crl=server,crl", "--minimum-upstream-tls",
             "new=server,min-version=1.3", "--minimum-upstream-tls", "mutual",
             "--allow-insecure-upstream", "srv/*")

    def route_in(self, namespace, backend, *, protocol="HTTPS", client=None, crl=None,
                 annotations=None):
        more = {}
        if client:
            more.update(tls_crt=client.cert_pem, tls_key=client.key_pem)
        full = {"backend-protocol": protocol}
        if protocol == "HTTPS":
            full["proxy-ssl-secret"] = f"{namespace}/{self.name}-tls"
        full.update(annotations or {})
        self.apply("all", manifests.secret(f"{self.name}-tls", namespace=namespace,
                                           ca_crt=self.ca.cert_pem, ca_crl=crl, **more),
                   manifests.ingress(self.name, self.host, namespace=namespace, annotations=full),
                   manifests.service(self.name, backend.port, namespace=namespace))

    def server_in(self, namespace, **options):
        return self.use(Backend(self.ca.server(f"{self.name}.{namespace}.svc"), **options))

    def test_plain_backend_is_below_server(self):
        backend = self.use(Backend())
        self.route_in("srv", backend, protocol="HTTP")
        self.assert_refused(503, "below_minimum")
        self.assertEqual(backend.seen, [])

        self.route_in("any", backend, protocol="HTTP")
        self.wait_for(200)

    def test_verified_backend_is_server(self):
        self.route_in("srv-2", self.server_in("srv-2"))

        self.wait_for(200)

    def test_unverified_backend_is_below_server_even_where_that_is_allowed(self):
        self.route_in("srv", self.server_in("srv"), annotations={"proxy-ssl-verify": "off"})

        self.assert_refused(503, "below_minimum")

    def test_mutual_takes_a_client_certificate(self):
        self.route_in("shop", self.server_in("shop"))
        self.assert_refused(503, "below_minimum")

        self.route_in("shop", self.server_in("shop"), client=self.ca.client())
        self.wait_for(200)

    def test_crl_required(self):
        backend = self.server_in("crl")
        self.route_in("crl", backend)
        self.assert_refused(503, ("below_minimum", "crl_missing"))

        self.route_in("crl", backend, crl=self.ca.crl())
        self.wait_for(200)

        self.route_in("crl", backend)
        self.assert_refused(503, ("below_minimum", "crl_missing"))

    def test_least_version(self):
        self.route_in("new", self.server_in("new", max_version=TLS12))
        self.assert_refused(502, "protocol")

        self.route_in("new", self.server_in("new"))
        self.assertEqual(self.answer()["tls"], "TLSv1.3")

        self.route_in("new", self.server_in("new"),
                      annotations={"proxy-ssl-protocols": "TLSv1.2 TLSv1.3"})
        self.assert_refused(503, "below_minimum")


class OperatorsCa(UpstreamCase):
    flags = ("--default-upstream-ca", "configmap:infra/backend-ca", "--cluster-domain",
             "corp.example")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.handfast.apply("ca", manifests.config_map("backend-ca", namespace="infra",
                                                      ca_crt=cls.ca.cert_pem))

    def test_default_ca_verifies_where_no_secret_is_named(self):
        backend = self.use(Backend(self.ca.server(f"{self.name}.shop.svc.corp.example")))
        self.apply_ingress(backend.port, secret=False)
        self.wait_for(200)

        backend.show(self.other_ca.server(f"{self.name}.shop.svc"))
        bad = self.use(Backend(self.other_ca.server(f"{self.name}.shop.svc")))
        self.apply_ingress(bad.port, secret=False)
        self.assert_failed(502, "untrusted_issuer")

    def test_pair_alone_identifies_and_the_default_ca_verifies(self):
        client = self.ca.client("alone")
        backend = self.use(Backend(self.server(), client_ca=self.ca.cert_pem))
        self.apply_secret(client)
        self.apply_ingress(backend.port)

        self.assertEqual(self.answer()["serial"], str(client.serial))

    def test_ca_of_the_secret_wins_and_a_bad_one_is_not_replaced(self):
        backend = self.use(Backend(self.server()))
        self.apply_secret(None, self.other_ca)
        self.apply_ingress(backend.port)
        self.assert_failed(502, "untrusted_issuer")

        self.delete("secret")
        self.assert_refused(503, "secret_missing")

        self.apply_secret(None, "junk")
        self.handfast.barrier()
        self.assert_refused(503, "bad_ca")

    def test_system_roots_only_where_someone_says_so(self):
        backend = self.use(Backend(self.server()))
        self.apply_ingress(backend.port, secret=False,
                           annotations={manifests.OWN + "upstream-ca": "system"})

        self.assert_refused(502, "untrusted_issuer")


class NoCaAnywhere(UpstreamCase):
    def test_https_without_any_ca_answers_503_and_connects_to_nobody(self):
        backend = self.use(Backend(self.server()))
        self.apply_ingress(backend.port, secret=False)

        self.assert_refused(503, "ca_missing")
        self.assertEqual(backend.accepted, 0)


if __name__ == "__main__":
    unittest.main()
