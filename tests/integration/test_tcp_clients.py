"""TCP ports that ask clients for a certificate: who gets in, what those learn who don't, and what
becomes of open connections when trust changes."""

import os
import pathlib
import select
import ssl
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, manifests  # noqa: E402
from harness.pki import Authority, from_now  # noqa: E402
from harness.tcp_case import TcpCase, end_of_ours, is_open  # noqa: E402
from harness.waiting import eventually  # noqa: E402

APPLICATION_DATA = 23  # the type of a record: what is encrypted
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Clients(TcpCase):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory(prefix="handfast-clients-")
        self.addCleanup(self.folder.cleanup)
        self.people = Authority(f"{self.name}-people")
        self.alice = self.people.client("alice")
        front = self.ca.server("front.example")
        self.apply("front", manifests.secret(f"{self.name}-front", tls_crt=front.chain_pem,
                                             tls_key=front.key_pem))

        self.told = 0

    def next_line(self):
        """Of the access log, whose lines come when connections end: one for each, in that order."""
        self.told += 1
        return self.last_line(self.told)

    def trust(self, crl=None, ca=None):
        items = {} if crl is None else {"ca_crl": crl}
        self.apply("people", manifests.secret(f"{self.name}-people",
                                              ca_crt=(ca or self.people).cert_pem, **items))

    def ask(self, **options):
        return self.serve(f"shop/{self.name}:443:TLS=shop/{self.name}-front"
                          f":CLIENT=shop/{self.name}-people", **options)

    def context(self, leaf=None, version=None):
        context = clients.any_client_context()
        if leaf is not None:
            context.load_cert_chain(*leaf.write(pathlib.Path(self.folder.name),
                                                f"c{next(self.numbers)}"))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def assert_refused(self, alert, word, leaf=None, verify="NONE", version=None):
        """An alert says why, in TLS 1.3 after the client's side of the handshake is done."""
        with self.assertRaises(ssl.SSLError) as caught:
            connection = self.dial(tls=self.context(leaf, version))
            connection.send(b"hello")
            connection.sock.recv(100)
        self.assertIn(alert, caught.exception.reason)
        line = self.next_line()
        self.assertEqual((line["upstream_tls_error"], line["status"]), (word, 400))
        self.assertTrue(line["tls_client_verify"].startswith(verify), line)

    def test_a_good_certificate_gets_in_and_nobody_else(self):
        self.trust()
        backend = self.ask()
        for version in VERSIONS:
            with self.subTest(version=version.name):
                self.assertEqual(self.exchange(b"hello", tls=self.context(self.alice, version)),
                                 b"hello")
                let_in = backend.accepted
                line = self.next_line()
                self.assertEqual((line["status"], line["tls_client_verify"],
                                  line["tls_client_subject"]), (200, "SUCCESS", self.subject()))
                missing = ("CERTIFICATE_REQUIRED" if version == ssl.TLSVersion.TLSv1_3
                           else "HANDSHAKE_FAILURE")
                self.assert_refused(missing, "no_client_certificate", version=version)
                for why, alert, leaf in (
                        ("stranger", "UNKNOWN_CA", self.other_ca.client("stranger")),
                        ("expired", "CERTIFICATE_EXPIRED", self.people.client(
                            not_before=from_now(days=-9), not_after=from_now(days=-1))),
                        ("server", "", self.people.server("server.example"))):
                    with self.subTest(why=why):
                        self.assert_refused(alert, "bad_client_certificate", leaf, "FAILED:",
                                            version)
                self.assertEqual(backend.accepted, let_in)

    def test_the_alert_reaches_who_has_not_said_all_of_its_handshake(self):
        self.trust()
        self.ask()
        context = self.context(self.other_ca.client("stranger"), ssl.TLSVersion.TLSv1_3)
        arrived, ours = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(arrived, ours, server_hostname="front.example")
        sock = self.dial().sock
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.sendall(ours.read())
        while True:
            arrived.write(sock.recv(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        flight, end = ours.read(), 0
        while flight[end] != APPLICATION_DATA:
            end += 5 + int.from_bytes(flight[end + 3:end + 5], "big")
        end += 5 + int.from_bytes(flight[end + 3:end + 5], "big")
        sock.sendall(flight[:end])  # up to the certificate, which is judged at once
        ended = select.poll()
        ended.register(sock, select.POLLRDHUP)
        self.assertTrue(ended.poll(30_000), "the proxy ends its side after the alert")
        for byte in flight[end:] + b"hello":
            sock.sendall(bytes([byte]))
        arrived.write(sock.recv(65536))
        with self.assertRaises(ssl.SSLError) as caught:
            tls.read(1)
        self.assertIn("UNKNOWN_CA", caught.exception.reason)

    def subject(self):
        return self.alice.certificate.subject.rfc4514_string()

    def test_a_session_is_taken_up_and_not_after_a_revocation(self):
        self.trust(self.people.crl())
        self.ask()
        context = self.context(self.alice, ssl.TLSVersion.TLSv1_2)
        first = self.dial(tls=context)
        self.assertTrue(is_open(first))
        again = self.dial(tls=context, session=first.sock.session)
        self.assertTrue(again.sock.session_reused)
        self.assertTrue(is_open(again))

        self.trust(self.people.crl([self.alice]))
        self.handfast.barrier()

        with self.assertRaises(ssl.SSLError):
            is_open(self.dial(tls=context, session=first.sock.session))

    def test_revocation_closes_that_clients_connection_and_no_other(self):
        bob = self.people.client("bob")
        self.trust(self.people.crl())
        self.ask()
        hers, his = (self.dial(tls=self.context(leaf)) for leaf in (self.alice, bob))
        self.assertTrue(is_open(hers) and is_open(his))

        self.trust(self.people.crl([self.alice]))
        self.handfast.barrier()
        began = time.monotonic()

        self.assertTrue(hers.is_closed())
        self.assertLess(time.monotonic() - began, 2)
        self.assertTrue(is_open(his))
        self.next_line()
        self.assert_refused("CERTIFICATE_REVOKED", "bad_client_certificate", self.alice, "FAILED:")

    def test_a_ca_that_is_replaced_closes_those_it_doesnt_cover(self):
        self.trust()
        self.ask()
        connection = self.dial(tls=self.context(self.alice))
        self.assertTrue(is_open(connection))

        self.trust(ca=self.other_ca)
        self.handfast.barrier()

        self.assertTrue(connection.is_closed())
        stranger = self.dial(tls=self.context(self.other_ca.client("stranger")))
        self.assertTrue(is_open(stranger))

    def test_a_ca_that_is_gone_lets_nobody_in_and_nobody_stay(self):
        self.trust()
        backend = self.ask()
        connection = self.dial(tls=self.context(self.alice))
        self.assertTrue(is_open(connection))
        let_in = backend.accepted

        self.delete("people")
        self.handfast.barrier()

        self.assertTrue(connection.is_closed())
        self.next_line()
        self.assertTrue(self.dial(tls=self.context(self.alice)).is_closed())
        self.assertEqual(self.next_line()["upstream_tls_error"], "ca_missing")
        self.assertEqual(backend.accepted, let_in)

    def test_a_damaged_ca_keeps_the_last_good_one(self):
        self.trust()
        self.ask()
        connection = self.dial(tls=self.context(self.alice))

        self.apply("people", manifests.secret(f"{self.name}-people", ca_crt="not a certificate"))
        self.handfast.barrier()

        self.assertTrue(is_open(connection))
        self.assertTrue(is_open(self.dial(tls=self.context(self.alice))))
        self.assert_refused("UNKNOWN_CA", "bad_client_certificate",
                            self.other_ca.client("stranger"), "FAILED:")

    def test_what_was_open_before_the_port_asked_goes_on_and_new_ones_are_asked(self):
        self.trust()
        self.serve(f"shop/{self.name}:443:TLS=shop/{self.name}-front")
        before = self.dial(tls=self.context())
        self.assertTrue(is_open(before))

        self.open_port(f"shop/{self.name}:443:TLS=shop/{self.name}-front"
                       f":CLIENT=shop/{self.name}-people")

        self.assertTrue(is_open(before))
        self.assert_refused("CERTIFICATE_REQUIRED", "no_client_certificate")
        end_of_ours(before)

    def test_mutual_tls_on_both_sides(self):
        self.trust()
        self.apply_secret(self.ca.client("handfast"))
        self.apply_policy(client=f"{self.name}-tls")
        backend = self.ask(leaf=self.server(), client_ca=self.ca.cert_pem)

        self.assertEqual(self.exchange(b"hello", tls=self.context(self.alice)), b"hello")
        self.next_line()
        self.assertIn("CN=handfast", backend.connections[-1].client_name)
        self.assert_refused("UNKNOWN_CA", "bad_client_certificate",
                            self.other_ca.client("stranger"), "FAILED:")

    def test_metrics_know_the_ca_and_the_ports_certificate(self):
        self.trust(self.people.crl())
        self.ask()

        def known(name, **labels):
            return self.handfast.metrics().value(name, namespace="shop", **labels)

        eventually(lambda: known("handfast_ca_not_after_seconds", secret=f"{self.name}-people"),
                   "the clients' CA")
        self.assertTrue(known("handfast_crl_next_update_seconds", secret=f"{self.name}-people"))
        self.assertTrue(known("handfast_front_certificate_not_after_seconds",
                              host=f"tcp:{self.port}", secret=f"{self.name}-front"))


if __name__ == "__main__":
    unittest.main()
