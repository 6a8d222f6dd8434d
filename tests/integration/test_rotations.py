"""Everything that rotates, in each of the ways in which it happens, again and again under load over
all protocols: nothing fails. What is taken away takes effect at once, and comes back at once; a
revocation cuts the connections that rested on it within a second, and no other.

HANDFAST_ROTATION_ROUNDS says how often each; `./dev soak` takes 10."""

import contextlib
import functools
import os
import pathlib
import ssl
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import apps, clients, http2, manifests, protocols  # noqa: E402
from harness.handfast import free_port, is_sanitized  # noqa: E402
from harness.pki import Authority  # noqa: E402
from harness.protocols import HTTP_KINDS, KINDS, Servers, Traffic  # noqa: E402
from harness.publisher import RECREATED, WAYS, Published  # noqa: E402
from harness.tcp_case import SERVICES, TcpCase  # noqa: E402
from harness.traffic import Call, Requests, Streams, TcpStream, WebSocket, ask_anew  # noqa: E402
from harness.waiting import eventually  # noqa: E402

ROUNDS = int(os.environ.get("HANDFAST_ROTATION_ROUNDS", "3"))
BACKEND = "backend.shop.svc"  # the name in all their certificates
SOON = 5.0 if is_sanitized() else 1.0


def each_way(*ways):
    """The test for each of the ways, under a name of its own as a test has; what it puts on
    `self.stack` ends with it."""
    def decorate(test):
        @functools.wraps(test)
        def run(self):
            for self.way in ways:
                with self.subTest(self.way), contextlib.ExitStack() as self.stack:
                    self.name = f"t{next(self.numbers)}"
                    self.host = f"{self.name}.test"
                    test(self)

        return run

    return decorate


class RotationCase(TcpCase):
    flags = ("--access-log", "off", "--tcp-services-configmap", SERVICES)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.changes, cls.traffics = 0, []

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        requests = sum(len(one.seen) for traffic in cls.traffics for one in traffic.requests)
        messages = sum(traffic.streams.messages for traffic in cls.traffics)
        if requests:
            print(f"\n| {cls.__name__} | {cls.changes:,} changes | {requests:,} requests | "
                  f"{messages:,} messages |", file=sys.stderr)

    def published(self, kind, suffix):
        return Published(self.handfast, self.way, kind, f"{self.name}-{suffix}")

    def serve(self, leaf=None, **options):
        servers = Servers(leaf, self.ca.cert_pem if leaf else None, **options)
        self.stack.callback(servers.close)
        return servers

    def apply_services(self, servers):
        self.apply("services", protocols.services(self.name, servers))

    def open_tcp(self, more=""):
        """A port of its own that leads to the Service for TCP, until the end of this way."""
        self.port = free_port()
        self.entries[str(self.port)] = f"shop/{self.name}-tcp:443{more}"
        self.stack.callback(self.close_port, self.port)
        self.apply_entries()

    def wait_for_all(self, status, streak=4, **options):
        for kind in ("h1", "h2", "auth"):
            self.handfast.wait_for(f"{kind}.{self.host}", status, streak=streak, **options)

    def traffic(self, **options):
        """Until stop(), or the end of this way."""
        traffic = Traffic(self.handfast, self.host, self.port, **options)
        self.traffics.append(traffic)
        self.stack.callback(lambda: [one.stop() for one in traffic.requests])
        return traffic

    def change(self, publish):
        """Returns when every worker serves what was published."""
        publish()
        type(self).changes += 1
        self.handfast.barrier()

    def gap(self, items, while_gone):
        """Each is deleted and created anew. Answers what may be seen of that: 503 until soon after
        it is back, and any failure of what was under way on a connection that rested on it when it
        went, since it is cut (502, or a reset within the answer). `items`:
        [(delete, create, is_back)]."""
        spans = []
        for delete, create, is_back in items:
            begun = time.monotonic()
            type(self).changes += 2
            delete()
            while_gone()
            gone = time.monotonic()
            create()
            created = time.monotonic()
            eventually(is_back, "the service is back", patience=SOON + 10)
            back = time.monotonic() - created
            self.assertLess(back, SOON)
            spans += [(None, begun - SOON, gone), (503, begun, created + SOON)]
        return lambda at, outcome: any(
            status in (outcome, None) and first <= at <= last for status, first, last in spans)


# --- towards backends -----------------------------------------------------------------------------

class BackendCase(RotationCase):
    """A policy for each Service: a pair of ours, an authority and a list, each an object of its own,
    or `together` in one Secret."""

    def begin(self, together=False, servers=None):
        self.leaf = self.ca.client("first")
        self.authority, self.crl_pem = self.ca, self.ca.crl()
        self.client_pem = self.ca.cert_pem  # what servers trust
        if together:
            self.all = self.published("Secret", "all")
            refs = [manifests.material_ref("Secret", f"{self.name}-all")] * 2
            client = f"{self.name}-all"
            self.put_all()
        else:
            self.pair, self.roots, self.crl = (self.published("Secret", "pair"),
                                               self.published("ConfigMap", "roots"),
                                               self.published("ConfigMap", "crl"))
            refs = [manifests.material_ref("ConfigMap", f"{self.name}-{what}")
                    for what in ("roots", "crl")]
            client = f"{self.name}-pair"
            self.put_pair()
            self.put_roots(self.ca)
            self.put_crl()
        self.servers = servers or self.serve(self.ca.server(BACKEND))
        self.route(self.servers, refs, client)

    def route(self, servers, refs, client):
        self.apply("routes", *(protocols.ingress(self.name, kind, self.host, servers)
                               for kind in HTTP_KINDS))
        self.apply("policies", *(manifests.upstream_tls_policy(
            f"{self.name}-{kind}", f"{self.name}-{kind}", hostname=BACKEND, ca=refs[:1],
            client=client, validation={"revocation": {"crlRefs": refs[1:]}}) for kind in KINDS))
        self.open_tcp()
        self.apply_services(servers)
        self.handfast.barrier()
        self.wait_for_all(200)

    def put_pair(self):
        self.pair.put({"tls.crt": self.leaf.chain_pem, "tls.key": self.leaf.key_pem})

    def put_roots(self, *authorities):
        self.roots.put({"ca.crt": "".join(one.cert_pem for one in authorities)})

    def put_crl(self):
        self.crl.put({"ca.crl": self.crl_pem})

    def put_all(self, *more):
        self.all.put({"tls.crt": self.leaf.chain_pem, "tls.key": self.leaf.key_pem,
                      "ca.crt": "".join(one.cert_pem for one in (self.ca, *more)),
                      "ca.crl": self.crl_pem})


class TowardsBackends(BackendCase):
    def rotate_identity(self, traffic, publish):
        """What begins once the change is in force is under the new identity."""
        for number in range(ROUNDS):
            self.leaf = self.ca.client(f"c{number}")
            self.change(lambda: publish(number))  # noqa: B023
            in_force = time.monotonic()
            for requests in traffic.who_tell():
                since = eventually(lambda: self.told(requests, in_force), "requests")  # noqa: B023
                self.assertEqual(since, {str(self.leaf.serial)}, requests.name)

    @staticmethod
    def told(requests, since):
        """The serials of our certificate that backends told of, of five requests at least."""
        told = [told["serial"] for begun, _, told in list(requests.seen) if begun > since and told]
        return set(told) if len(told) >= 5 else None

    @each_way(*WAYS)
    def test_pairs_of_ours(self):
        self.begin()
        traffic = self.traffic()
        self.rotate_identity(traffic, lambda _: self.put_pair())
        self.assertEqual(traffic.stop(), [])

    @each_way(*WAYS)
    def test_lists(self):
        self.begin()
        traffic = self.traffic()
        for number in range(ROUNDS):
            self.crl_pem = self.ca.crl([1_000_000 + number])
            self.change(self.put_crl)
        self.assertEqual(traffic.stop(), [])

    @each_way(*WAYS)
    def test_authorities_that_overlap(self):
        """Both are trusted while Services move to certificates of the new one, as a rolling update
        does; streams move with them."""
        self.begin()
        traffic, failures = self.traffic(), []
        for number in range(ROUNDS):
            old, new = self.authority, Authority(f"ca{number}")
            self.change(lambda: self.put_roots(old, new))  # noqa: B023
            self.crl_pem = self.ca.crl() + old.crl() + new.crl()
            self.change(self.put_crl)
            servers = self.serve(new.server(BACKEND))
            self.change(lambda: self.apply_services(servers))  # noqa: B023
            failures += traffic.stop()
            traffic = self.traffic()
            self.change(lambda: self.put_roots(new))  # noqa: B023
            eventually(lambda: not self.servers.open_connections(),  # noqa: B023
                       "nobody at the old ones")
            self.servers, self.authority = servers, new
        self.assertEqual(failures + traffic.stop(), [])

    @each_way(*WAYS)
    def test_everything_at_once(self):
        self.begin(together=True)
        traffic = self.traffic()

        def publish(number):
            self.crl_pem = self.ca.crl([2_000_000 + number])
            self.put_all(Authority(f"other{number}"))

        self.rotate_identity(traffic, publish)
        self.assertEqual(traffic.stop(), [])

    @each_way(RECREATED)
    def test_what_is_deleted_is_gone_at_once_and_back_at_once(self):
        self.begin()
        traffic = self.traffic(steady=False)
        items = [(self.pair.delete, self.put_pair), (self.roots.delete, self.put_roots_again),
                 (self.crl.delete, self.put_crl)]
        allowed = self.gap([(delete, create, self.is_back) for delete, create in items
                            for _ in range(ROUNDS)], self.assert_closed)
        self.assertEqual(traffic.stop(allowed), [])

    def put_roots_again(self):
        self.put_roots(self.ca)

    def is_back(self):
        return all(self.handfast.get(f"{kind}.{self.host}").status == 200
                   for kind in ("h1", "h2", "auth") for _ in range(3))

    def assert_closed(self):
        """Nothing reaches a backend any more."""
        self.wait_for_all(503)
        self.handfast.barrier()
        before = self.servers.requests()
        for _ in range(4):
            for kind in ("h1", "h2", "auth"):
                self.assertEqual(self.handfast.get(f"{kind}.{self.host}").status, 503)
            self.assertTrue(self.dial().is_closed())
        self.assertEqual(self.servers.requests(), before)


class EchoH1:
    """A body in chunks that comes back while it is sent."""

    def __init__(self, front, host):
        self.name = f"HTTP/1.1, {host}"
        self._raw = front.connect()
        self._raw.send(f"POST /echo HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._head = None

    def say(self, text):
        data = text.encode()
        self._raw.send(b"%x\r\n%s\r\n" % (len(data), data))
        self._head = self._head or self._raw.head()
        heard = b""
        while len(heard) < len(data):
            heard += self._raw.take(int(self._raw.line(), 16))
            self._raw.line()
        return heard.decode()

    def close(self):
        self._raw.close()


class EchoH2:
    def __init__(self, front, host):
        self.name = f"HTTP/2, {host}"
        self._peer = http2.connect(front)
        self._stream = self._peer.request(host, "/echo", "POST", end=False)

    def say(self, text):
        data, heard = text.encode(), b""
        self._stream.send(data)
        while len(heard) < len(data):
            got = self._stream.read()
            if not got:
                raise EOFError("the stream ended")
            heard += got
        return heard.decode()

    def close(self):
        self._peer.close()


class Revocation(BackendCase):
    """Beside the revoked ones there are others: another leaf and another domain, the same list."""

    def open_streams(self, domain, port):
        streams = [EchoH1(self.handfast, f"h1.{domain}"), EchoH2(self.handfast, f"h2.{domain}"),
                   WebSocket(self.handfast, f"ws.{domain}", None),
                   Call(self.handfast, f"rpc.{domain}", None),
                   TcpStream(("127.0.0.1", port), f"tcp.{domain}", None)]
        each = [Streams([stream]) for stream in streams]
        self.stack.callback(lambda: [one.stop() for one in each])
        eventually(lambda: all(one.messages > 5 for one in each), "messages")
        return each

    @each_way(*WAYS)
    def test_revoked_backend_is_cut_off_soon_and_no_other(self):
        bad, good = self.ca.server(BACKEND), self.ca.server(BACKEND)
        self.begin(servers=self.serve(bad, h1=apps.h1))
        bad_domain, bad_port = self.host, self.port
        refs = [manifests.material_ref("ConfigMap", f"{self.name}-{what}")
                for what in ("roots", "crl")]
        client, self.host = f"{self.name}-pair", f"good.{self.host}"
        self.name += "-good"
        self.route(self.serve(good, h1=apps.h1), refs, client)
        cut = self.open_streams(bad_domain, bad_port)
        kept = self.open_streams(self.host, self.port)

        self.crl_pem = self.ca.crl([bad])
        before = self.handfast.generation()
        self.put_crl()
        eventually(lambda: self.handfast.generation() > before, "the acknowledgement",
                   every=0.003)
        acknowledged = time.monotonic()

        eventually(lambda: all(one.broken_at for one in cut), "the streams are cut",
                   patience=SOON + 5)
        late = {one.streams[0].name: one.broken_at - acknowledged for one in cut}
        self.assertLess(max(late.values()), SOON, late)
        said = [one.messages for one in kept]
        eventually(lambda: all(one.messages > count + 20 for one, count in zip(kept, said)),
                   "the others say more")
        self.assertEqual([one.failures for one in kept], [[]] * len(kept))


# --- towards clients ------------------------------------------------------------------------------

class TowardsClients(RotationCase):
    flags = (*RotationCase.flags, "--session-ticket-secret", "shop/tickets")

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="handfast-clients-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def begin(self, tcp_more="", **annotations):
        self.servers = self.serve()
        self.front = self.published("Secret", "front")
        self.put_front()
        self.apply("routes", *(protocols.ingress(
            self.name, kind, self.host, self.servers, annotations=annotations,
            tls=[{"hosts": [f"{kind}.{self.host}"], "secretName": f"{self.name}-front"}])
            for kind in HTTP_KINDS))
        self.open_tcp(f":TLS=shop/{self.name}-front{tcp_more}")
        self.apply_services(self.servers)
        self.handfast.barrier()

    def put_front(self):
        self.front_leaf = self.other_ca.server(*(f"{kind}.{self.host}" for kind in KINDS))
        self.front.put({"tls.crt": self.front_leaf.chain_pem, "tls.key": self.front_leaf.key_pem})

    def context(self, leaf=None):
        """A client that verifies who it talks to."""
        context = ssl.create_default_context(cadata=self.other_ca.cert_pem)
        if leaf is not None:
            context.load_cert_chain(*leaf.write(self.folder, f"c{next(self.numbers)}"))
        return context

    def shown(self):
        return clients.shown_certificate(self.handfast.https, f"h1.{self.host}").serial_number

    def anew(self, context):
        """Requests, each on a connection of its own."""
        requests = Requests("new connections", ask_anew(
            self.handfast, f"h1.{self.host}", lambda: context))
        self.stack.callback(requests.stop)
        return requests

    @each_way(*WAYS)
    def test_pairs(self):
        self.begin()
        traffic = self.client_traffic()
        anew = self.anew(self.context())
        for _ in range(ROUNDS):
            self.change(self.put_front)
            self.assertEqual({self.shown() for _ in range(4)}, {self.front_leaf.serial})
        anew.stop()
        self.assertEqual(traffic.stop() + anew.failures(), [])

    @each_way(RECREATED)
    def test_pair_that_is_deleted_costs_open_connections_nothing(self):
        self.begin()
        traffic = self.client_traffic(dials=False)
        self.gap([(self.front.delete, self.put_front,
                   lambda: self.shown() == self.front_leaf.serial)] * ROUNDS,
                 lambda: eventually(lambda: self.shown() != self.front_leaf.serial,
                                    "the default certificate"))
        self.assertEqual(traffic.stop(), [])

    def begin_with_clients(self):
        self.authority = Authority("clients")
        self.clients = self.published("Secret", "clients")
        self.put_clients(self.authority)
        self.begin(f":CLIENT=shop/{self.name}-clients",
                   **{"auth-tls-secret": f"shop/{self.name}-clients"})

    def put_clients(self, *authorities):
        self.clients.put({"ca.crt": "".join(one.cert_pem for one in authorities)})

    def client_traffic(self, leaf=None, **options):
        return self.traffic(tls=lambda: self.context(leaf), ca=self.other_ca, leaf=leaf, **options)

    @each_way(*WAYS)
    def test_authorities_of_clients_that_overlap(self):
        self.begin_with_clients()
        leaf = self.authority.client("alice")
        traffic, failures = self.client_traffic(leaf), []
        for number in range(ROUNDS):
            old, new = self.authority, Authority(f"clients{number}")
            self.change(lambda: self.put_clients(old, new))  # noqa: B023
            left = self.handfast.connect(tls=self.context(leaf), server_name=f"h1.{self.host}")
            self.stack.callback(left.close)
            self.assertEqual(left.request(f"h1.{self.host}").status, 200)
            leaf = new.client("alice")
            failures += traffic.stop()
            traffic = self.client_traffic(leaf)
            self.change(lambda: self.put_clients(new))  # noqa: B023
            self.assertTrue(left.is_closed(within=SOON))
            self.authority = new
        self.assertEqual(failures + traffic.stop(), [])

    @each_way(RECREATED)
    def test_authority_of_clients_that_is_deleted_opens_nothing(self):
        self.begin_with_clients()
        context = self.context(self.authority.client("alice"))

        def status():
            try:
                return self.handfast.get(f"h1.{self.host}", tls=context).status
            except EOFError:
                return None  # closed when the authority went between handshake and request

        eventually(lambda: status() == 200, "a first answer")

        def assert_closed():
            eventually(lambda: status() == 403, "403")
            self.handfast.barrier()
            before = self.servers.requests()
            self.assertEqual({status() for _ in range(8)}, {403})
            self.assertEqual(self.servers.requests(), before)

        self.gap([(self.clients.delete, lambda: self.put_clients(self.authority),
                   lambda: status() == 200)] * ROUNDS, assert_closed)

    @each_way(*WAYS, RECREATED)
    def test_keys_of_session_tickets(self):
        tickets = Published(self.handfast, self.way, "Secret", "tickets")
        self.begin()
        traffic, anew, session = self.client_traffic(), self.anew(self.context()), None
        keys, context = [os.urandom(80)], self.context()
        for number in range(ROUNDS + 1):
            keys = [os.urandom(80 if number % 2 else 48), keys[0]]
            if self.way == RECREATED and number:
                self.change(tickets.delete)
            self.change(lambda: tickets.put({"ticket.key": keys[0],  # noqa: B023
                                             "ticket.key.1": keys[1]}))  # noqa: B023
            if number:
                self.assertTrue(self.visit(context, session)[1], number)
            session, _ = self.visit(context)
        anew.stop()
        self.assertEqual(traffic.stop() + anew.failures(), [])
        self.change(tickets.delete)

    def visit(self, context, session=None):
        """One request, so that a ticket comes; the session, and whether the one given was used."""
        with clients.RawConnection(self.handfast.https, tls=context, session=session,
                                   server_name=f"h1.{self.host}") as connection:
            self.assertEqual(connection.request(f"h1.{self.host}").status, 200)
            return connection.sock.session, connection.sock.session_reused


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # of connections that were cut
