"""Endurance: reload after reload under mixed load while streams stay open. Nothing fails, nothing is
cut, no generation is missed, and memory and descriptors are afterwards what they were before.

HANDFAST_RELOADS says how many; `./dev soak` takes 1,000 and prints the report for docs/soak.md."""

import itertools
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import http2, manifests, rpc, websocket  # noqa: E402
from harness.backends import Nginx  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import is_sanitized, resident_kilobytes, settled_descriptors  # noqa: E402
from harness.load_runner import Load  # noqa: E402
from harness.traffic import Call, Streams, WebSocket  # noqa: E402
from harness.waiting import eventually  # noqa: E402

RELOADS = int(os.environ.get("HANDFAST_RELOADS", "100"))
WARM_UP = max(50, RELOADS // 5)
GROWTH = 0.05
MTLS = ("mtls", "shared", "wss", "rpcs")
ROUTES = ("plain", "ws", "rpc", *MTLS)
# Each has clients of HTTP/1.1 and of HTTP/2: a plain one, one over mTLS, one over HTTP/2 and mTLS.
ASKED = ("plain.test", "mtls.test", "shared.test")


class Asking:
    """Requests over one HTTP/2 connection, a few at once, until stop()."""

    def __init__(self, front, host, tls, at_once=2, pause=0.02):
        self.host, self.pause = host, pause
        self.peer = http2.connect(front, host, tls)
        self.answered, self.failures = 0, []
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(at_once)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._end.wait(self.pause):
            try:
                status = self.peer.fetch(self.host, "/load").status
                failure = None if status == 200 else f"status {status}"
            except Exception as error:  # noqa: B902, whatever it is, the request failed
                failure = repr(error)
            with self._lock:
                self.answered += 1
                if failure:
                    self.failures.append(f"HTTP/2, {self.host}: {failure}")
            if failure:
                return

    def stop(self):
        self._end.set()
        for thread in self._threads:
            thread.join(60)
        self.peer.close()


class Soak(HandfastCase):
    # Idle connections to backends end soon: what remains then is what leaked.
    flags = ("--access-log", "off", "--upstream-keepalive-timeout", "1s")

    def setUp(self):
        super().setUp()
        hosts = [f"{name}.test" for name in ROUTES]
        leaf = self.ca.server(*(f"{name}.shop.svc" for name in MTLS))
        trust = {"client_ca": self.ca.cert_pem}
        self.servers = {
            "plain": [Nginx(None), Nginx(None)],
            "mtls": [Nginx(leaf, **trust), Nginx(leaf, **trust)],
            "shared": [Nginx(leaf, http2=True, **trust)],
            "ws": [websocket.EchoServer()], "wss": [websocket.EchoServer(leaf, **trust)],
            "rpc": [rpc.Server()], "rpcs": [rpc.Server(leaf, self.ca.cert_pem)]}
        for server in itertools.chain(*self.servers.values()):
            self.use(server)
        self.client, self.crl = self.ca.client("c0"), self.ca.crl()
        self.new_front, self.hosts = lambda: self.other_ca.server(*hosts), hosts
        self.rotate_front(0)
        self.apply_client()
        for name in ROUTES:
            self.apply_route(name)
            self.apply_endpoints(name)
        self.handfast.barrier()
        self.pid = self.handfast.child("handfast-proxy")
        self.requests, self.failures, self.serials = 0, [], set()

    # --- changes: each writes one file ----------------------------------------------------------

    def apply_client(self):
        self.handfast.apply("client", manifests.secret(
            "client", tls_crt=self.client.chain_pem, tls_key=self.client.key_pem,
            ca_crt=self.ca.cert_pem, ca_crl=self.crl))

    def apply_route(self, name, **annotations):
        protocol = {"rpc": "GRPC", "rpcs": "GRPCS", "plain": "HTTP", "ws": "HTTP"}
        annotations.update({"ssl-redirect": "false",
                            "backend-protocol": protocol.get(name, "HTTPS")})
        if name in MTLS:
            annotations["proxy-ssl-secret"] = "shop/client"
        if name == "shared":
            annotations[http2.ANNOTATION] = "true"
        self.handfast.apply(f"route-{name}", manifests.ingress(
            name, f"{name}.test", annotations=annotations,
            tls=[{"hosts": [f"{name}.test"], "secretName": "front"}]))

    def apply_endpoints(self, name, count=None):
        ports = [server.port for server in self.servers[name]]
        self.handfast.apply(f"service-{name}", manifests.service(name, *ports[:count]))

    def rotate_client(self, number):
        self.client = self.ca.client(f"c{number}")
        self.apply_client()

    def renew_crl(self, number):
        self.crl = self.ca.crl([1_000_000 + number])
        self.apply_client()

    def change_ingress(self, number):
        self.apply_route("plain", **{"proxy-read-timeout": str(60 + number)})

    def change_endpoints(self, number):
        self.apply_endpoints("mtls" if number // 5 % 2 else "plain", 1 + number // 10 % 2)

    def rotate_front(self, _number):
        front = self.new_front()
        self.handfast.apply("front", manifests.secret("front", tls_crt=front.chain_pem,
                                                      tls_key=front.key_pem))

    # --- the run --------------------------------------------------------------------------------

    def reload(self, numbers):
        """Changes one after the other, each seen as a generation of its own; under load."""
        changes = (self.rotate_client, self.change_endpoints, self.renew_crl, self.change_ingress,
                   self.rotate_front)
        asking = [Asking(self.handfast, host, tls) for host in ASKED for tls in (None, True)]
        loads = [Load(self.handfast.http, host, clients=4, rate=200) for host in ASKED]
        at = self.handfast.generation()
        try:
            for number in numbers:
                changes[number % 5](number)
                at += 1
                eventually(lambda: self.handfast.generation() >= at,  # noqa: B023
                           f"generation {at}")
                self.assertEqual(self.handfast.generation(), at, "generations are counted anew")
                self.most = max(self.most, resident_kilobytes(self.pid))
            eventually(lambda: all(one.answered > 20 for one in asking), "requests")
        finally:
            seen = [load.stop() for load in loads]
            for one in asking:
                one.stop()
        self.requests += sum(one["requests"] for one in seen) + sum(o.answered for o in asking)
        self.failures += [failure for one in seen for failure in one["failures"]]
        self.failures += [failure for one in asking for failure in one.failures]
        self.serials |= {serial for one in seen for _, _, serial in one["spans"] if serial}

    def test_reloads_under_mixed_load_fail_nothing_and_keep_nothing(self):
        front = self.other_ca
        streams = [WebSocket(self.handfast, host, tls) for host in ("ws.test", "wss.test")
                   for tls in (None, None, True, True)]
        streams += [Call(self.handfast, host, ca) for host in ("rpc.test", "rpcs.test")
                    for ca in (None, None, front, front)]
        streams = Streams(streams)
        self.most, begun = 0, time.monotonic()
        self.reload(range(1, WARM_UP + 1))
        open_before = settled_descriptors(self.pid)
        before, at = resident_kilobytes(self.pid), self.handfast.generation()
        rotations = len(self.serials)

        self.reload(range(WARM_UP + 1, WARM_UP + RELOADS + 1))

        open_after = settled_descriptors(self.pid, open_before)
        after, generations = resident_kilobytes(self.pid), self.handfast.generation() - at
        streams.stop()
        seconds = time.monotonic() - begun
        print(f"""
| reloads, after {WARM_UP} to warm up | {RELOADS:,} |
| generations served | {generations:,} |
| client identities that backends saw in them | {len(self.serials) - rotations:,} |
| seconds | {seconds:.0f} |
| requests | {self.requests:,} |
| requests that failed | {len(self.failures)} |
| streams open throughout | {len(streams.streams)} |
| messages echoed on them | {streams.messages:,} |
| streams that broke | {len(streams.failures)} |
| descriptors before and after | {open_before}, {open_after} |
| resident memory before and after, KiB | {before:,}, {after:,} ({(after / before - 1):+.1%}) |
| the same at most, under load | {self.most:,} |""", file=sys.stderr, flush=True)
        self.assertEqual(self.failures, [])
        self.assertEqual(streams.failures, [])
        self.assertEqual(generations, RELOADS)
        self.assertEqual(open_after, open_before)
        self.assertGreater(len(self.serials) - rotations, RELOADS // 5 * 3 // 4)
        if not is_sanitized():
            self.assertLess(abs(after / before - 1), GROWTH)


if __name__ == "__main__":
    unittest.main()
