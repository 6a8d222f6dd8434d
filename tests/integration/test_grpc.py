"""gRPC by an implementation that isn't ours, on both ends: GRPC, and GRPCS with our certificate;
the shapes of calls, deadlines, cancellation, and the statuses that we make ourselves."""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402

from harness import http2, manifests, rpc  # noqa: E402
from harness.backends import Backend, closed_port  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import Handfast  # noqa: E402
from harness.waiting import eventually  # noqa: E402

CODE = grpc.StatusCode


class GrpcCase(HandfastCase):
    def start(self, secure=False, annotations=None):
        """A server and the route to it; the server."""
        if secure:
            self.client_leaf, self.leaf = self.ca.client("handfast-grpc"), self.server()
            self.apply_secret(self.client_leaf, self.ca, self.ca.crl())
        server = self.use(rpc.Server(self.leaf, self.ca.cert_pem) if secure else rpc.Server())
        self.route(server.port, secure, annotations)
        return server

    def route(self, port, secure=False, annotations=None):
        secret = {"proxy-ssl-secret": f"shop/{self.name}-tls"} if secure else {}
        self.apply_ingress(port, protocol="GRPCS" if secure else "GRPC",
                           annotations={**secret, **(annotations or {})})
        self.handfast.barrier()

    def connect(self, host=None, ca=None, front=None):
        client = rpc.Client(front or self.handfast, host or self.host, ca)
        self.addCleanup(client.channel.close)
        return client

    def assert_fails(self, code, call, *arguments, **options):
        """The call fails with this code; the error."""
        with self.assertRaises(grpc.RpcError) as caught:
            result = call(*arguments, timeout=options.pop("timeout", 20), **options)
            list(result) if not isinstance(result, bytes) else None
        self.assertEqual(caught.exception.code(), code, caught.exception)
        return caught.exception


class Calls(GrpcCase):
    """Plain and TLS clients; a plain server and one that demands our certificate."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.servers = {"grpc.test": rpc.Server(),
                       "grpcs.test": rpc.Server(cls.ca.server("grpcs.shop.svc"), cls.ca.cert_pem)}
        client, front = cls.ca.client(), cls.other_ca.server(*cls.servers)
        tls = [{"hosts": [*cls.servers], "secretName": "front-tls"}]
        objects = [
            manifests.secret("front-tls", tls_crt=front.chain_pem, tls_key=front.key_pem),
            manifests.secret("client-tls", tls_crt=client.chain_pem, tls_key=client.key_pem,
                             ca_crt=cls.ca.cert_pem, ca_crl=cls.ca.crl())]
        for host, server in cls.servers.items():
            name = host.partition(".")[0]
            annotations = {"backend-protocol": name.upper(), "ssl-redirect": "false"}
            if name == "grpcs":
                annotations["proxy-ssl-secret"] = "shop/client-tls"
            objects += [manifests.service(name, server.port),
                        manifests.ingress(name, host, annotations=annotations, tls=tls)]
        cls.handfast.apply("routes", *objects)
        cls.handfast.barrier()

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers.values():
            server.close()
        super().tearDownClass()

    def each(self, check):
        for host, server in self.servers.items():
            for ca in (None, self.other_ca):
                with self.subTest(host=host, front="https" if ca else "http"):
                    with rpc.Client(self.handfast, host, ca) as client:
                        check(client, server)

    def test_four_shapes(self):
        def check(client, server):
            message = bytes(range(256))
            self.assertEqual(client.unary(message, timeout=20), message)
            self.assertEqual(client.client_stream(iter([b"a", b"", b"bc"]), timeout=20), b"abc")
            self.assertEqual(b"".join(client.server_stream(message, timeout=20)), message)
            talk = rpc.Talk(client, timeout=20)
            for number in range(20):
                self.assertEqual(talk.say(b"%d" % number), b"%d" % number)
            self.assertEqual(talk.end(), CODE.OK)
            name = server.calls[-1][3]
            self.assertEqual(name, "handfast" if server is self.servers["grpcs.test"] else "")

        self.each(check)

    def test_empty_and_large_messages(self):
        def check(client, _server):
            for size in (0, 1, 65535, 8 * 1024 * 1024):
                message = os.urandom(size)
                self.assertEqual(client.unary(message, timeout=60), message)

        self.each(check)

    def test_metadata_passes_both_ways(self):
        def check(client, server):
            sent = [("x-custom", "value"), ("x-custom-bin", bytes(range(256)))]
            _, call = client.unary.with_call(b"", metadata=sent, timeout=20)
            got = {key: value for key, value in server.calls[-1][1]}
            for key, value in sent:
                self.assertEqual(got[key], value)
            self.assertIn(("x-initial-bin", b"\0\xff"), list(call.initial_metadata()))
            trailing = [tuple(pair) for pair in call.trailing_metadata()]
            self.assertIn(("x-trailing", "2"), trailing)
            self.assertIn(("x-trailing-bin", b"\xff\0"), trailing)

        self.each(check)

    def test_statuses_of_the_server_pass(self):
        def check(client, _server):
            error = self.assert_fails(CODE.FAILED_PRECONDITION, client.fail,
                                      "nicht so: ÄÖ %".encode())
            self.assertEqual(error.details(), "nicht so: ÄÖ %")
            self.assertIn(("x-why", "because"), [tuple(p) for p in error.trailing_metadata()])
            unknown = client.channel.unary_unary(f"/{rpc.SERVICE}/nothing")
            self.assert_fails(CODE.UNIMPLEMENTED, unknown, b"")

        self.each(check)

    def test_deadline_reaches_the_server_and_ends_the_call_there(self):
        def check(client, server):
            ended = len(server.cancelled)
            self.assert_fails(CODE.DEADLINE_EXCEEDED, client.hang, b"", timeout=0.5)
            self.assertLess(server.calls[-1][2], 0.6)  # the wire rounds it up
            eventually(lambda: len(server.cancelled) > ended, "the end at the server", patience=5)

        self.each(check)

    def test_cancellation_reaches_the_server(self):
        def check(client, server):
            ended, begun = len(server.cancelled), len(server.calls)
            call = client.hang.future(b"")
            eventually(lambda: len(server.calls) > begun, "the call")
            call.cancel()
            eventually(lambda: len(server.cancelled) > ended, "the end at the server", patience=5)
            self.assertEqual(client.unary(b"still", timeout=20), b"still")

        self.each(check)

    def test_more_calls_at_once_than_a_connection_takes(self):
        def check(client, _server):
            talks = [rpc.Talk(client, timeout=60) for _ in range(100)]
            for number, talk in enumerate(talks):
                self.assertEqual(talk.say(b"%d" % number), b"%d" % number)
            calls = [client.unary.future(b"%d" % number, timeout=60) for number in range(100)]
            for talk in talks:
                self.assertEqual(talk.end(), CODE.OK)
            self.assertEqual([call.result() for call in calls],
                             [b"%d" % number for number in range(100)])

        self.each(check)


class Statuses(GrpcCase):
    """What we answer ourselves."""

    def test_no_route_is_unimplemented(self):
        self.assert_fails(CODE.UNIMPLEMENTED, self.connect("nobody.test").unary, b"")
        self.assertEqual(self.handfast.last_log("nobody.test")["status"], 404)

    def test_refused_connection_is_unavailable(self):
        keep, port = closed_port()
        self.addCleanup(keep.close)
        self.route(port)

        self.assert_fails(CODE.UNAVAILABLE, self.connect().unary, b"")

        line = self.handfast.last_log(self.host)
        self.assertEqual((line["status"], line["upstream_tls_error"]), (502, "connect_refused"))

    def test_missing_secret_is_unavailable(self):
        server = self.use(rpc.Server())
        self.route(server.port, secure=True)

        self.assert_fails(CODE.UNAVAILABLE, self.connect().unary, b"")

        line = self.handfast.last_log(self.host)
        self.assertEqual((line["status"], line["upstream_tls_error"]), (503, "secret_missing"))

    def test_revoked_server_is_unavailable(self):
        self.start(secure=True)
        client = self.connect()
        self.assertEqual(client.unary(b"yes", timeout=20), b"yes")
        talk = rpc.Talk(client, timeout=60)
        self.assertEqual(talk.say(b"hello"), b"hello")

        self.apply_secret(self.client_leaf, self.ca, self.ca.crl([self.leaf]))
        self.handfast.barrier()

        error = self.assert_fails(CODE.UNAVAILABLE, client.unary, b"no")
        self.assertNotIn("revoked", error.details() or "")
        eventually(lambda: any(  # the client is told 200 and grpc-status, the log knows better
            (line["status"], line["upstream_tls_error"]) == (502, "revoked")
            for line in self.handfast.access_log(self.host) if "upstream_tls_error" in line),
            "the line of the refused call")
        with self.assertRaises(grpc.RpcError):  # what was open ends, and not well
            next(talk.call)

    def test_server_without_http2_is_unavailable(self):
        self.apply_secret(self.ca.client(), self.ca, self.ca.crl())
        backend = self.use(Backend(self.server(), client_ca=self.ca.cert_pem, alpn=["http/1.1"]))
        self.route(backend.port, secure=True)

        self.assert_fails(CODE.UNAVAILABLE, self.connect().unary, b"")

        self.assertEqual(self.handfast.last_log(self.host)["upstream_tls_error"], "alpn")
        self.assertEqual(backend.seen, [])

    def test_silent_server_is_unavailable(self):
        server = self.start(annotations={"proxy-read-timeout": "1"})

        self.assert_fails(CODE.UNAVAILABLE, self.connect().hang, b"", timeout=20)

        self.assertEqual(self.handfast.last_log(self.host)["status"], 504)
        eventually(lambda: server.cancelled, "the end at the server", patience=5)

    def test_too_large_a_request_is_exhausted(self):
        self.start(annotations={"proxy-body-size": "1k"})
        client = self.connect()

        self.assertEqual(client.unary(b"x" * 1000, timeout=20), b"x" * 1000)
        self.assert_fails(CODE.RESOURCE_EXHAUSTED, client.unary, b"x" * 100_000)

    def test_they_are_trailers_alone_and_other_clients_get_a_status(self):
        keep, port = closed_port()
        self.addCleanup(keep.close)
        self.route(port)
        with http2.connect(self.handfast, self.host) as peer:
            for kind in ("application/grpc", "application/grpc+proto", "application/grpc;x=y"):
                stream = peer.request(self.host, "/x.Y/Z", "POST", [("content-type", kind),
                                                                    ("te", "trailers")])
                answer = stream.response()
                self.assertEqual((answer.status, answer.header("grpc-status"), answer.body),
                                 (200, "14", b""))
                self.assertTrue(answer.header("content-type").startswith("application/grpc"))
                self.assertEqual((len(stream.heads), stream.trailers), (1, None))
            for kind in ("application/grpc-web", "application/json"):
                answer = peer.fetch(self.host, "/x.Y/Z", "POST", [("content-type", kind)])
                self.assertEqual((answer.status, answer.header("grpc-status")), (502, None))


class Changes(GrpcCase):
    def test_streams_live_through_reloads(self):
        server = self.start(secure=True)
        talks = [rpc.Talk(self.connect(), timeout=120) for _ in range(4)]
        for turn in range(10):
            self.apply_secret(self.ca.client(f"handfast-{turn}"), self.ca, self.ca.crl())
            self.apply("other", manifests.ingress(f"{self.name}-other", f"other-{turn}.test"))
            self.handfast.barrier()
            for talk in talks:
                self.assertEqual(talk.say(b"%d" % turn), b"%d" % turn)

        self.assertEqual(self.connect().unary(b"new", timeout=20), b"new")
        self.assertEqual(server.calls[-1][3], "handfast-9")
        self.assertEqual(server.calls[0][3], "handfast-grpc")
        for talk in talks:
            self.assertEqual(talk.end(), CODE.OK)

    def test_drain_lets_calls_finish(self):
        server = self.use(rpc.Server())
        handfast = Handfast()
        self.addCleanup(handfast.close)
        handfast.apply("all", manifests.ingress_class(), manifests.service(self.name, server.port),
                       manifests.ingress(self.name, self.host,
                                         annotations={"backend-protocol": "GRPC"}))
        handfast.barrier()
        client = self.connect(front=handfast)
        talk = rpc.Talk(client, timeout=60)
        self.assertEqual(talk.say(b"before"), b"before")
        hanging = client.hang.future(b"", timeout=60)
        eventually(lambda: len(server.calls) == 2, "the call")

        handfast.proxy.signal(15)
        eventually(lambda: not handfast.is_ready(), "the drain")

        time.sleep(0.5)
        self.assertEqual(talk.say(b"after"), b"after")
        server.release.set()
        self.assertEqual(hanging.result(), b"released")
        self.assertEqual(talk.end(), CODE.OK)
        self.assertEqual(handfast.proxy.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
