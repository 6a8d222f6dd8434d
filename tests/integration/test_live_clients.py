"""Clients with certificates whose connections are open while rules, CAs and CRLs change: over
HTTP/2, in gRPC's words, and in tunnels that came by another host's name."""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import http2, manifests, websocket  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.waiting import eventually  # noqa: E402
from test_client_certificates import ClientCase  # noqa: E402

GRPC = [("content-type", "application/grpc"), ("te", "trailers")]


def echo(connection):
    try:
        websocket.wire_echo(connection)
    except websocket.wsproto.utilities.RemoteProtocolError:
        pass  # an ordinary request, by which a test sees that a change is there


class LiveCase(ClientCase):
    def connect(self, leaf=None, server_name=None):
        peer = http2.connect(self.handfast, server_name or self.host, tls=self.context(leaf))
        self.addCleanup(peer.close)
        return peer

    def second_host(self, secret, ca=None, port=None):
        """Another host whose clients are those of `secret`."""
        host = f"b-{self.host}"
        objects = [manifests.secret(secret, ca_crt=ca.cert_pem)] if ca else []
        if port:
            objects.append(manifests.service(f"{self.name}-b", port))
        self.apply("b", *objects, manifests.ingress(
            f"{self.name}-b", host, service=f"{self.name}-b" if port else self.name,
            annotations={"auth-tls-secret": f"shop/{secret}"}))
        return host

    def serve_two(self):
        """Both hosts, each with an authority of its own: a client of the first, and the second."""
        self.serve()
        other = self.second_host(f"{self.name}-b", self.other_ca)
        alice = self.clients.client("alice")
        self.wait_for(200, alice)
        self.handfast.wait_for(other, 200, tls=self.context(self.other_ca.client("bob")))
        return alice, other

    def wait_for_other(self, status, leaf):
        context = self.context(leaf)

        def check():
            try:
                return self.handfast.get(self.other, tls=context).status == status
            except EOFError:  # a connection was revoked before its answer
                return False

        eventually(check, f"{status} from {self.other}")


class Http2(LiveCase):
    def test_connection_of_one_host_is_worth_nothing_for_another(self):
        alice, other = self.serve_two()
        before = len(self.backend.seen)

        peer = self.connect(alice)
        self.assertEqual(peer.fetch(other, scheme="https").status, 421)
        self.assertEqual(peer.fetch(self.host, scheme="https").status, 200)
        self.assertEqual(self.connect(alice, other).fetch(self.host, scheme="https").status, 421)

        self.assertEqual(len(self.backend.seen), before + 1)

    def test_revoked_clients_are_cut_within_a_second_and_no_others(self):
        alice, bob = self.clients.client("alice"), self.clients.client("bob")
        self.serve(crl=self.clients.crl())
        self.wait_for(200, alice)
        peers = {leaf.common_name: [self.connect(leaf) for _ in range(4)] for leaf in (alice, bob)}
        for peer in peers["alice"] + peers["bob"]:
            self.assertEqual(peer.fetch(self.host, scheme="https").status, 200)

        self.serve(crl=self.clients.crl([alice]))
        self.wait_for(400, alice)
        deadline = time.monotonic() + 1

        for peer in peers["alice"]:
            peer.wait_lost(max(0.05, deadline - time.monotonic()))
        for peer in peers["bob"]:
            self.assertEqual(peer.fetch(self.host, scheme="https").status, 200)

    def test_connections_live_on_when_the_authorities_overlap_and_end_when_theirs_goes(self):
        alice = self.clients.client("alice")
        self.serve()
        self.wait_for(200, alice)
        peer = self.connect(alice)
        self.assertEqual(peer.fetch(self.host, scheme="https").status, 200)

        self.serve(ca=self.clients.cert_pem + self.other_ca.cert_pem)
        self.wait_for(200, self.other_ca.client("bob"))
        self.assertEqual(peer.fetch(self.host, scheme="https").status, 200)

        self.serve(ca=self.other_ca)
        self.wait_for(400, alice)
        peer.wait_lost(2)

    def test_connections_from_before_are_told_to_come_again(self):
        self.apply_ingress(self.backend.port, protocol=None)
        self.wait_for(200)
        peer = self.connect()
        self.assertEqual(peer.fetch(self.host, scheme="https").status, 200)

        self.serve()
        self.wait_for(200, self.clients.client("alice"))

        peer.wait_lost(2)


class Grpc(LiveCase):
    def status(self, peer, host=None):
        response = peer.fetch(host or self.host, "/a.B/C", "POST", GRPC, b"", scheme="https")
        self.assertEqual(response.status, 200)
        return response.header("grpc-status")

    def test_is_told_unauthenticated_or_permission_denied(self):
        alice, other = self.serve_two()
        before = len(self.backend.seen)

        self.assertEqual(self.status(self.connect()), "16")
        self.assertEqual(self.status(self.connect(self.other_ca.client("mallory"))), "16")
        self.assertEqual(self.status(self.connect(alice), other), "16")
        self.assertEqual(len(self.backend.seen), before)
        self.delete("secret")
        self.wait_for(403, alice)
        before = len(self.backend.seen)
        self.assertEqual(self.status(self.connect(alice)), "7")
        self.assertEqual(len(self.backend.seen), before)


class Tunnels(LiveCase):
    """They came by the name of one host and lead to another with the same rules."""

    def setUp(self):
        super().setUp()
        self.echo = self.use(Backend(on_connection=echo))
        self.alice, self.bob = self.clients.client("alice"), self.clients.client("bob")
        self.serve(crl=self.clients.crl())
        self.other = self.second_host(f"{self.name}-tls", port=self.echo.port)
        self.wait_for(200, self.alice)
        self.handfast.wait_for(self.other, 308)

    def tunnel(self, leaf):
        raw = self.open(leaf)
        wire = websocket.Wire(raw.sock, websocket.wsproto.ConnectionType.CLIENT)
        wire.send(websocket.events.Request(host=self.other, target="/"))
        wire.next(websocket.events.AcceptConnection)
        self.assert_echoes(wire)
        return wire

    def assert_echoes(self, wire):
        wire.send(websocket.events.Message(data="still there"))
        self.assertEqual(wire.message()[0], "still there")

    def assert_cut(self, wire, within):
        wire.sock.settimeout(within)
        try:
            self.assertEqual(wire.sock.recv(1), b"")
        except ConnectionResetError:
            pass

    def stop_asking(self):
        """The host that the handshakes named."""
        self.apply_ingress(self.backend.port, protocol=None)
        self.wait_for(200)

    def test_are_judged_by_the_host_that_they_lead_to(self):
        revoked, good = self.tunnel(self.alice), self.tunnel(self.bob)
        self.stop_asking()
        self.assert_echoes(revoked)

        self.apply_secret(ca=self.clients, crl=self.clients.crl([self.alice]))
        self.wait_for_other(400, self.alice)

        self.assert_cut(revoked, 1)
        self.assert_echoes(good)

    def test_end_when_the_authority_of_that_host_is_gone(self):
        wire = self.tunnel(self.alice)
        self.stop_asking()

        self.delete("secret")
        self.wait_for_other(403, self.alice)

        self.assert_cut(wire, 2)

    def test_end_when_that_host_asks_for_somebody_else(self):
        wire = self.tunnel(self.alice)

        self.second_host(f"{self.name}-b", self.other_ca, port=self.echo.port)
        self.wait_for_other(400, self.alice)

        self.assert_cut(wire, 1)
        self.assertEqual(self.get(leaf=self.alice).status, 200)


if __name__ == "__main__":
    unittest.main()
