"""Session ticket keys: shared with nginx, by several proxies, and rotated; with a bad one, the last
good one serves."""

import os
import pathlib
import ssl
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, manifests  # noqa: E402
from harness.backends import Backend, Nginx  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import Handfast  # noqa: E402
from harness.waiting import eventually  # noqa: E402

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
FLAGS = ("--session-ticket-secret", "shop/tickets")


def open_tls(address, context, host, session=None):
    """One request, so that the ticket has come; answers (session, whether it was taken up)."""
    with clients.RawConnection(address, tls=context, server_name=host,
                               session=session) as connection:
        connection.request(host)
        return connection.sock.session, connection.sock.session_reused


def client(version):
    context = clients.any_client_context()
    context.minimum_version = context.maximum_version = version
    return context


class SessionTickets(HandfastCase):
    flags = FLAGS

    def setUp(self):
        super().setUp()
        self.leaf = self.ca.server(self.host)
        self.backend = self.use(Backend())

    def serve(self, handfast=None):
        handfast = handfast or self.handfast
        handfast.apply(f"{self.name}-front", manifests.secret(
            f"{self.name}-front", tls_crt=self.leaf.cert_pem, tls_key=self.leaf.key_pem),
            manifests.ingress(self.name, self.host,
                              tls=[{"hosts": [self.host], "secretName": f"{self.name}-front"}]),
            manifests.service(self.name, self.backend.port))
        handfast.wait_for(self.host, 200, tls=True)

    def set_keys(self, *keys, handfast=None):
        data = {"ticket.key" + (f".{i}" if i else ""): key for i, key in enumerate(keys)}
        handfast = handfast or self.handfast
        handfast.apply("tickets", manifests.secret("tickets", data=data))
        handfast.barrier()

    def taken_up(self, context, session, address=None):
        return open_tls(address or self.handfast.https, context, self.host, session)[1]

    def session(self, context, address=None):
        return open_tls(address or self.handfast.https, context, self.host)[0]

    def test_nginx_and_handfast_take_up_each_others_sessions(self):
        self.serve()
        for size in (48, 80):
            key = os.urandom(size)
            self.set_keys(key)
            with tempfile.NamedTemporaryFile() as file:
                file.write(key)
                file.flush()
                os.chmod(file.name, 0o644)
                nginx = self.use(Nginx(self.leaf, 
                    extra=f"ssl_session_ticket_key {file.name}; ssl_protocols TLSv1.2 TLSv1.3;"))
                for version in VERSIONS:
                    with self.subTest(size=size, version=version):
                        context = client(version)
                        there = ("127.0.0.1", nginx.port)
                        self.assertTrue(self.taken_up(context, self.session(context), there))
                        self.assertTrue(self.taken_up(context, self.session(context, there)))

    def test_two_proxies_with_one_key_take_up_each_others_sessions(self):
        other = Handfast(*FLAGS)
        self.addCleanup(other.close)
        other.apply("class", manifests.ingress_class())
        key = os.urandom(80)
        for handfast in (self.handfast, other):
            self.serve(handfast)
            self.set_keys(key, handfast=handfast)
        for version in VERSIONS:
            context = client(version)
            self.assertTrue(self.taken_up(context, self.session(context), other.https))
            self.assertTrue(self.taken_up(context, self.session(context, other.https)))

    def test_a_rotation_keeps_sessions_as_long_as_their_key_is_there(self):
        self.serve()
        old, new, newer = os.urandom(80), os.urandom(80), os.urandom(48)
        self.set_keys(old)
        kept = {version: (client(version), None) for version in VERSIONS}
        kept = {v: (c, self.session(c)) for v, (c, _) in kept.items()}

        self.set_keys(new, old)
        for context, session in kept.values():
            self.assertTrue(self.taken_up(context, session))
        renewed = {v: (c, open_tls(self.handfast.https, c, self.host, s)[0])
                   for v, (c, s) in kept.items()}
        self.set_keys(newer, new)
        for context, session in renewed.values():
            self.assertTrue(self.taken_up(context, session))
        for context, session in kept.values():
            self.assertFalse(self.taken_up(context, session))

    def test_a_bad_update_keeps_the_last_good_keys(self):
        self.serve()
        self.set_keys(os.urandom(80))
        context = client(VERSIONS[1])
        session = self.session(context)

        self.set_keys(b"short")

        self.assertTrue(self.taken_up(context, session))
        found = self.handfast.proxy.logged(message="finding", reason="bad_key")
        self.assertIn("Secret shop/tickets", [line["object"] for line in found])

    def test_keys_that_are_gone_take_effect_and_are_removed(self):
        self.serve()
        self.set_keys(os.urandom(80))
        context = client(VERSIONS[1])
        session = self.session(context)

        self.handfast.delete("tickets")
        self.handfast.barrier()

        self.assertFalse(self.taken_up(context, session))
        def removed():  # with the last generation that used them
            self.handfast.barrier()
            return not list(pathlib.Path(self.handfast.state).glob("tls/shop/tickets/*/*"))

        eventually(removed, "the keys' files are removed")


class OwnRing(HandfastCase):
    """The controller's own keys; a key every second."""

    flags = ("--session-ticket-rotation", "1s")

    def setUp(self):
        super().setUp()
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None)
        self.wait_for(200)

    def files(self):
        return list(pathlib.Path(self.handfast.state).glob("tls/_controller/*/*/ticket.key"))

    def test_rotates_without_cutting_a_connection_and_forgets_the_oldest(self):
        connection = clients.RawConnection(self.handfast.https, tls=client(VERSIONS[1]),
                                           server_name=self.host)
        self.addCleanup(connection.close)
        contexts = {version: client(version) for version in VERSIONS}
        sessions = {version: open_tls(self.handfast.https, context, self.host)[0]
                    for version, context in contexts.items()}
        first = {path.parent.name for path in self.files()}
        self.assertTrue(all(path.stat().st_mode & 0o777 == 0o600 for path in self.files()))

        def gone():
            self.assertEqual(connection.request(self.host).status, 200)
            kept = first & {path.parent.name for path in self.files()}
            taken_up = [open_tls(self.handfast.https, contexts[version], self.host,
                                 sessions[version])[1] for version in VERSIONS]
            return not kept and not any(taken_up)

        eventually(gone, "the first key is forgotten")
        self.assertLessEqual(len(self.files()), 4)
        newest = max(self.files(), key=lambda path: path.stat().st_mtime)
        self.assertEqual(len(newest.read_text().split()), 3)


class WithoutASecret(HandfastCase):
    def test_sessions_outlive_a_restart(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None, tls=[
            {"hosts": [self.host], "secretName": f"{self.name}-front"}])
        leaf = self.ca.server(self.host)
        self.apply("front", manifests.secret(f"{self.name}-front", tls_crt=leaf.cert_pem,
                                             tls_key=leaf.key_pem))
        self.handfast.wait_for(self.host, 200, tls=True)
        contexts = [client(version) for version in VERSIONS]
        sessions = [open_tls(self.handfast.https, context, self.host)[0] for context in contexts]

        self.handfast.stop()
        self.handfast.start()

        self.handfast.wait_for(self.host, 200, tls=True)
        for context, session in zip(contexts, sessions):
            self.assertTrue(open_tls(self.handfast.https, context, self.host, session)[1])


class OfTheProxy(HandfastCase):
    flags = ("--session-ticket-rotation", "0")

    def test_workers_share_a_key_of_the_proxys_own(self):
        backend = self.use(Backend())
        self.apply_ingress(backend.port, protocol=None)
        self.wait_for(200)
        for version in VERSIONS:
            context = client(version)
            session = open_tls(self.handfast.https, context, self.host)[0]
            for _ in range(8):
                self.assertTrue(open_tls(self.handfast.https, context, self.host, session)[1])


if __name__ == "__main__":
    unittest.main()
