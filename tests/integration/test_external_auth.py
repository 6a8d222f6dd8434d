"""auth-url through the real programs: auth servers that say yes, no, nothing or the wrong thing, over
verified TLS. Whatever isn't a yes is denied, and the backend sees nothing of it."""

import asyncio
import json
import os
import pathlib
import socket
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402

from harness import clients, http2, manifests, rpc, websocket  # noqa: E402
from harness.backends import Backend, closed_port  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.pki import from_now  # noqa: E402

GUARDED = "X-Auth-User"


class AuthCase(HandfastCase):
    """A plain backend behind an auth server over TLS, whose answer is `self.says`."""

    def setUp(self):
        super().setUp()
        self.backend = self.use(Backend())
        self.says = ("200 OK", [(GUARDED, "alice")])
        self.auth_name = f"{self.name}-auth.shop.svc"
        self.auth = None

    def answer(self, connection, request):
        connection.read_body(request)
        status, headers = self.says
        connection.reply(b"", status, headers)

    def start_auth(self, leaf="good", **options):
        """The auth server; `leaf`: its certificate, None for plain HTTP."""
        if leaf == "good":
            leaf = self.ca.server(self.auth_name)
        options.setdefault("handle", self.answer)
        self.auth = self.use(Backend(leaf, **options))
        self.apply("auth", manifests.service(f"{self.name}-auth", self.auth.port))
        return self.auth

    def trust(self, ca=None, crl=None, leaf=None):
        keys = {"ca_crt": (ca or self.ca).cert_pem, "ca_crl": crl}
        if leaf is not None:
            keys.update(tls_crt=leaf.chain_pem, tls_key=leaf.key_pem)
        self.apply("trust", manifests.secret(f"{self.name}-trust", **keys))

    def route(self, port=None, protocol=None, secret=True, **annotations):
        found = {"auth-url": f"https://{self.auth_name}/check", "auth-response-headers": GUARDED}
        if secret:
            found[manifests.OWN + "auth-proxy-ssl-secret"] = f"shop/{self.name}-trust"
        found.update({key.replace("_", "-"): value for key, value in annotations.items()})
        self.apply_ingress(port or self.backend.port, protocol=protocol, annotations=found)
        self.handfast.barrier()

    def serve(self, leaf="good", crl=None, auth_options=None, **annotations):
        self.start_auth(leaf, **(auth_options or {}))
        self.trust(crl=crl)
        self.route(**annotations)

    def assert_denied(self, status, word=None, target=None, **options):
        """The answer; the word is in the log, and the backend saw nothing."""
        before = len(self.backend.seen)
        target = f"/why-{next(self.numbers)}" if target is None else target
        answer = self.get(target, **options)
        self.assertEqual(answer.status, status)
        logged = self.handfast.last_log(self.host, target)
        self.assertEqual(logged.get("upstream_tls_error"), word)
        self.assertEqual(logged["auth"], "failed" if word else "denied")
        self.assertEqual(len(self.backend.seen), before)
        return answer


class Verdicts(AuthCase):
    def test_a_yes_lets_the_request_through_with_what_the_server_said(self):
        self.serve()
        self.wait_for(200)
        answer = self.get("/a?b=c", headers=[(GUARDED, "root"), ("x_auth_user", "root"),
                                             ("X-Original-URL", "forged"), ("Cookie", "sid=1")])

        self.assertEqual(answer.status, 200)
        seen = self.backend.seen[-1]
        self.assertEqual(seen.all(GUARDED), ["alice"])
        self.assertEqual(seen.all("x_auth_user"), [])
        asked = self.auth.seen[-1]
        self.assertEqual((asked.method, asked.target), ("GET", "/check"))
        self.assertEqual(asked.all("Host"), [self.auth_name])
        self.assertEqual(asked.all("X-Original-URL"), [f"http://{self.host}/a?b=c"])
        self.assertEqual(asked.all("X-Original-Method"), ["GET"])
        self.assertEqual(asked.all("X-Auth-Request-Redirect"), ["/a?b=c"])
        self.assertEqual(asked.all("X-Sent-From"), ["nginx-ingress-controller"])
        self.assertEqual(asked.all("Cookie"), ["sid=1"])
        self.assertEqual(asked.connection.server_name, self.auth_name)
        logged = self.handfast.last_log(self.host, "/a?b=c")
        self.assertEqual((logged["auth"], logged["auth_status"], logged["auth_cached"]),
                         ("allowed", 200, False))

    def test_a_header_that_the_server_did_not_say_is_nobodys(self):
        self.says = ("204 No Content", [])
        self.serve()
        self.wait_for(200)

        self.assertEqual(self.get(headers=[(GUARDED, "root")]).status, 200)
        self.assertEqual(self.backend.seen[-1].all(GUARDED), [])

    def test_no_is_no(self):
        self.says = ("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="x"')])
        self.serve()
        self.wait_for(401)

        answer = self.assert_denied(401)
        self.assertEqual(answer.header("WWW-Authenticate"), 'Basic realm="x"')
        self.says = ("403 Forbidden", [])
        self.assert_denied(403)

    def test_who_may_not_come_by_address_costs_no_question(self):
        self.serve(denylist_source_range="127.0.0.1,::1")
        self.wait_for(403)

        self.assertEqual(self.get().status, 403)
        self.assertEqual((self.auth.seen, self.backend.seen), ([], []))

    def test_whoever_must_sign_in_is_sent_there(self):
        self.says = ("401 Unauthorized", [("Set-Cookie", "csrf=1")])
        self.serve(auth_signin="https://id.test/start", auth_signin_redirect_param="back")
        self.wait_for(302)

        answer = self.assert_denied(302, target="/a?b=c&d")
        self.assertEqual(answer.header("Location"),
                         f"https://id.test/start?back=http://{self.host}%2Fa%3Fb%3Dc%26d")
        self.assertEqual(answer.header("Set-Cookie"), "csrf=1")

    def test_any_other_answer_is_a_failure(self):
        self.serve()
        self.wait_for(200)
        for status in ("500 Oops", "302 Found", "404 Not Found", "304 Not Modified"):
            with self.subTest(status):
                self.says = (status, [])
                self.assert_denied(500, "bad_response")

    def test_the_method_headers_and_variables_that_it_is_asked_with(self):
        self.apply("map", manifests.config_map(f"{self.name}-map", **{"X-Tenant": "$http_x_tenant",
                                                                      "X-Fixed": "yes"}))
        self.serve(auth_method="POST", auth_url=f"https://{self.auth_name}/check?m=$request_method",
                   auth_proxy_set_headers=f"{self.name}-map", auth_request_redirect="$host/back")
        self.wait_for(200)
        self.get(headers=[("X-Tenant", "blue"), ("X-Fixed", "no")])

        asked = self.auth.seen[-1]
        self.assertEqual((asked.method, asked.target), ("POST", "/check?m=GET"))
        self.assertEqual(asked.all("X-Tenant"), ["blue"])
        self.assertEqual(asked.all("X-Fixed"), ["yes"])
        self.assertEqual(asked.all("X-Auth-Request-Redirect"), [f"{self.host}/back"])

    def test_metrics_count_what_came_of_it(self):
        self.serve()
        self.wait_for(200)
        before = self.handfast.metrics()
        self.get()
        self.says = ("403 Forbidden", [])
        self.assert_denied(403)
        self.says = ("500 Oops", [])
        self.assert_denied(500, "bad_response")
        after = self.handfast.metrics()
        for labels in ({"result": "allowed", "reason": "ok"}, {"result": "denied", "reason": "ok"},
                       {"result": "failed", "reason": "bad_response"}):
            counted = [sum(value for _, value in one.all("handfast_auth_requests_total", **labels))
                       for one in (before, after)]
            self.assertEqual(counted[1] - counted[0], 1, labels)
        times = [one.value("handfast_auth_request_duration_seconds_count")
                 for one in (before, after)]
        self.assertEqual(times[1] - times[0], 3)


class Verification(AuthCase):
    """Every row: denied with its word, nothing at the backend, and no request at the server."""

    def assert_never_asked(self, status, word):
        self.wait_for(status)
        self.assert_denied(status, word)
        self.assertEqual(self.auth.seen, [])

    def test_another_name(self):
        self.serve(self.ca.server("other.shop.svc"))
        self.assert_never_asked(502, "name_mismatch")

    def test_another_issuer(self):
        self.serve(self.other_ca.server(self.auth_name))
        self.assert_never_asked(502, "untrusted_issuer")

    def test_expired(self):
        self.serve(self.ca.server(self.auth_name, not_before=from_now(hours=-3),
                                  not_after=from_now(hours=-1)))
        self.assert_never_asked(502, "expired")

    def test_revoked_while_it_serves(self):
        leaf = self.ca.server(self.auth_name)
        self.serve(leaf, crl=self.ca.crl())
        self.wait_for(200)
        asked = len(self.auth.seen)
        self.trust(crl=self.ca.crl([leaf.serial]))
        self.wait_for(502)
        self.assert_denied(502, "revoked")
        self.assertLessEqual(len(self.auth.seen), asked + len(self.handfast.access_log(self.host)))
        settled = len(self.auth.seen)
        self.assert_denied(502, "revoked")
        self.assertEqual(len(self.auth.seen), settled)

    def test_plain_http_where_tls_is_asked_for(self):
        self.serve(None, auth_options={"on_accept": lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\n")})
        self.assert_never_asked(502, "not_tls")

    def test_no_ca_anywhere(self):
        self.start_auth()
        self.route(secret=False)
        self.assert_never_asked(503, "ca_missing")

    def test_a_missing_and_a_torn_secret(self):
        self.start_auth()
        self.route()
        self.assert_never_asked(503, "secret_missing")
        self.apply("trust", manifests.secret(
            f"{self.name}-trust",
            ca_crt="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
        self.handfast.barrier()
        self.assert_never_asked(503, "bad_ca")

    def test_our_certificate_is_shown_to_it_and_only_to_it(self):
        leaf = self.ca.client("handfast-auth")
        self.start_auth(client_ca=self.ca.cert_pem)
        self.trust(leaf=leaf)
        self.route()
        self.wait_for(200)

        self.assertEqual(self.auth.seen[-1].connection.client_serial, leaf.serial)

    def test_it_must_get_our_certificate_if_it_asks(self):
        self.start_auth(client_ca=self.ca.cert_pem)
        self.trust()
        self.route()
        self.assert_never_asked(502, "client_certificate_rejected")

    def test_a_policy_of_its_service_decides(self):
        leaf = self.ca.client("by-policy")
        self.start_auth(client_ca=self.ca.cert_pem)
        self.apply("policy",
                   manifests.secret(f"{self.name}-id", tls_crt=leaf.chain_pem, tls_key=leaf.key_pem,
                                    ca_crt=self.ca.cert_pem),
                   manifests.upstream_tls_policy(
                       f"{self.name}-p", f"{self.name}-auth", client=f"{self.name}-id",
                       ca=[{"group": "", "kind": "Secret", "name": f"{self.name}-id"}]))
        self.route(secret=False)
        self.wait_for(200)
        self.assertEqual(self.auth.seen[-1].connection.client_serial, leaf.serial)


class Unreachable(AuthCase):
    def test_nobody_listens(self):
        keep, port = closed_port()
        self.addCleanup(keep.close)
        self.trust()
        self.apply("auth", manifests.service(f"{self.name}-auth", port))
        self.route()
        self.wait_for(502)
        self.assert_denied(502, "connect_refused")

    def test_no_endpoint_and_no_service(self):
        self.trust()
        self.route()
        self.wait_for(503)
        self.assert_denied(503, "service_missing")
        self.apply("auth", manifests.service(f"{self.name}-auth"))
        self.handfast.barrier()
        self.assert_denied(503, "no_endpoints")

    def test_no_answer_in_time(self):
        hung = threading.Event()
        self.addCleanup(hung.set)
        self.serve(auth_options={"handle": lambda *_: hung.wait(60)}, proxy_read_timeout="1")
        self.wait_for(504, streak=1)
        self.assert_denied(504, "response_timeout")

    def test_it_closes_or_talks_nonsense(self):
        for reply in (b"", b"OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
                      b"HTTP/1.1 200 OK\r\nX-Auth-User: a\x00b\r\n\r\n",
                      b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"):
            with self.subTest(reply):
                def break_off(connection, _request, reply=reply):
                    connection.send(reply)
                    connection.close()
                self.serve(auth_options={"handle": break_off})
                self.wait_for(502)
                self.assert_denied(502, self.reason_now())

    def test_a_name_outside_that_leads_nowhere_or_home(self):
        self.trust()
        for host in ("no.such.name.invalid", "127.0.0.1", "169.254.169.254", "localhost"):
            with self.subTest(host):
                self.route(auth_url=f"https://{host}:{self.backend.port}/check")
                self.wait_for(503)
                before = len(self.backend.seen)
                self.assertIn(self.reason_now(), ("no_endpoints", "not_permitted"))
                self.assertEqual(len(self.backend.seen), before)


class Values(AuthCase):
    def test_what_is_no_value_refuses(self):
        self.start_auth()
        self.trust()
        for name, value, word in (
                ("auth_url", "https://$host/", "invalid_value"),
                ("auth_url", "ftp://x.test/", "invalid_value"),
                ("auth_url", f"https://{self.auth_name}/$ssl_session_id", "invalid_value"),
                ("auth_method", "CONNECT", "invalid_value"),
                ("auth_signin", "/start", "invalid_value"),
                ("auth_signin", "https://id.test/$document_root", "invalid_value"),
                ("auth_response_headers", "X-Real-IP", "invalid_value"),
                ("auth_response_headers", "Transfer-Encoding", "invalid_value"),
                ("auth_cache_key", "$upstream_addr", "invalid_value"),
                ("auth_cache_duration", "200 forever", "invalid_value"),
                ("auth_proxy_set_headers", "no-such-map", "invalid_value"),
                ("auth_always_set_cookie", "maybe", "invalid_value"),
                ("auth_snippet", "deny all;", "unsupported_annotation")):
            with self.subTest(f"{name}: {value}"):
                self.route(**{name: value})
                self.assertEqual(self.get().status, 503)
                self.assertEqual(self.reason_now(), word)
        self.assertEqual(self.auth.seen, [])
        self.assertEqual(self.backend.seen, [])


class Protocols(AuthCase):
    def test_a_body_waits_for_the_verdict(self):
        asked, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)

        def hold(connection, request):
            if request.header("X-Original-Method") == "POST":
                asked.set()
                go_on.wait(60)
            self.answer(connection, request)
        self.serve(auth_options={"handle": hold})
        self.wait_for(200)
        before = len(self.backend.seen)
        with self.handfast.connect() as client:
            client.send(f"POST /body HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 10\r\n"
                        "Expect: 100-continue\r\n\r\n")
            self.assertTrue(asked.wait(20))
            client.sock.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                client.sock.recv(1)
            client.sock.settimeout(20)
            client.send(b"0123456789")
            self.assertEqual(len(self.backend.seen), before)
            go_on.set()
            answer = client.response()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json()["body_bytes"], 10)
        self.assertEqual(self.auth.seen[-1].header("Content-Length"), None)

    def test_a_large_body_is_denied_before_it_is_read(self):
        self.says = ("403 Forbidden", [])
        self.serve()
        self.wait_for(403)
        with self.handfast.connect() as client:
            client.send(f"POST / HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 100000000\r\n\r\n")
            self.assertEqual(client.response().status, 403)
        self.assertEqual(self.backend.seen, [])

    def test_http2(self):
        self.serve()
        self.wait_for(200)
        with http2.connect(self.handfast) as client:
            answer = client.fetch(self.host, "/h2", "POST", headers=[(GUARDED.lower(), "root")],
                                  body=b"x" * 100000)
            self.assertEqual(answer.status, 200)
            got = json.loads(answer.body)
            self.assertEqual(got["body_bytes"], 100000)
            self.assertEqual([value for name, value in got["headers"]
                              if name.lower() == GUARDED.lower()], ["alice"])
            self.says = ("401 Unauthorized", [])
            self.assertEqual(client.fetch(self.host, "/h2", "POST", body=b"x").status, 401)

    def test_an_auth_server_that_speaks_http2(self):
        def answer(stream):
            headers = [(name.lower(), value) for name, value in self.says[1]]
            stream.send_headers([(":status", self.says[0][:3]), *headers], end=True)
        leaf = self.ca.server(self.auth_name)
        self.auth = self.use(http2.Http2Backend(leaf, on_stream=answer))
        self.trust()
        self.apply("auth", manifests.service(f"{self.name}-auth", self.auth.port),
                   manifests.upstream_tls_policy(
                       f"{self.name}-p", f"{self.name}-auth", mode="ServerOnly",
                       protocol={"alpn": ["h2"]},
                       ca=[{"group": "", "kind": "Secret", "name": f"{self.name}-trust"}]))
        self.route(secret=False, auth_method="POST")
        self.wait_for(200)
        self.get("/a", headers=[(GUARDED, "root")], method="POST", body=b"body")
        self.assertEqual(self.backend.seen[-1].all(GUARDED), ["alice"])
        asked = self.auth.seen[-1]
        self.assertEqual((asked.method, asked.authority), ("POST", self.auth_name))
        self.assertEqual(asked.all("content-length"), ["0"])
        self.assertEqual(asked.all("x-original-url"), [f"http://{self.host}/a"])
        self.says = ("403 Forbidden", [])
        self.assert_denied(403)

    def test_the_clients_certificate_is_told_to_both(self):
        self.apply("clients", manifests.secret(f"{self.name}-clients",
                                               ca_crt=self.other_ca.cert_pem))
        self.serve(auth_tls_secret=f"shop/{self.name}-clients")
        context = clients.any_client_context()
        with tempfile.TemporaryDirectory() as folder:
            context.load_cert_chain(
                *self.other_ca.client("alice").write(pathlib.Path(folder), "client"))
        self.wait_for(200, tls=context)
        self.assertEqual(self.get(tls=context, headers=[("ssl-client-verify", "FORGED")]).status,
                         200)
        for seen in (self.auth.seen[-1], self.backend.seen[-1]):
            self.assertEqual(seen.all("ssl-client-verify"), ["SUCCESS"])
            self.assertEqual(seen.header("ssl-client-subject-dn"), "CN=alice,O=integration")
        asked = len(self.auth.seen)
        without = self.get(tls=clients.any_client_context())
        self.assertEqual(without.status, 400)  # nobody is asked
        self.assertEqual(len(self.auth.seen), asked)

    def test_grpc(self):
        server = self.use(rpc.Server())
        self.start_auth()
        self.trust()
        self.route(server.port, protocol="GRPC", auth_signin="https://id.test/")
        client = rpc.Client(self.handfast, self.host)
        self.addCleanup(client.channel.close)
        self.assertEqual(client.unary(b"hello", timeout=20), client.unary(b"hello", timeout=20))
        for status, code in (("401 Unauthorized", grpc.StatusCode.UNAUTHENTICATED),
                             ("403 Forbidden", grpc.StatusCode.PERMISSION_DENIED)):
            self.says = (status, [])
            with self.assertRaises(grpc.RpcError) as caught:
                client.unary(b"hello", timeout=20)
            self.assertEqual(caught.exception.code(), code)
        asked = len(self.auth.seen)
        self.route(server.port, protocol="GRPC", denylist_source_range="127.0.0.1,::1")
        with self.assertRaises(grpc.RpcError) as caught:
            client.unary(b"hello", timeout=20)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.PERMISSION_DENIED)
        self.assertEqual(len(self.auth.seen), asked)

    def test_websocket(self):
        server = self.use(websocket.EchoServer())
        self.start_auth()
        self.trust()
        self.route(server.port)
        self.says = ("403 Forbidden", [])
        with self.handfast.connect() as client:
            client.send(f"GET / HTTP/1.1\r\nHost: {self.host}\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n")
            self.assertEqual(client.head().status, 403)
        self.says = ("200 OK", [])

        async def talk():
            async with websocket.connect(self.handfast, self.host) as connection:
                await connection.send("hello")
                return await connection.recv()
        self.assertEqual(asyncio.run(talk()), "hello")


class Cache(AuthCase):
    workers = 1

    def ask(self, user, status=200):
        answer = self.get(headers=[("Authorization", f"Bearer {user}")])
        self.assertEqual(answer.status, status)
        return answer

    def answer(self, connection, request):
        connection.read_body(request)
        user = (request.header("Authorization") or "Bearer nobody").partition(" ")[2]
        connection.reply(b"", "200 OK" if user != "mallory" else "401 Unauthorized",
                         [(GUARDED, user)])

    def test_answers_are_kept_by_key_and_route_and_settings(self):
        self.serve(auth_cache_key="$http_authorization", auth_cache_duration="200 401 1h")
        self.wait_for(200)
        self.ask("alice")
        asked = len(self.auth.seen)
        for _ in range(3):
            self.ask("alice")
            self.assertEqual(self.backend.seen[-1].all(GUARDED), ["alice"])
        self.assertEqual(len(self.auth.seen), asked)
        self.ask("bob")
        self.assertEqual(self.backend.seen[-1].all(GUARDED), ["bob"])
        self.ask("mallory", 401)
        self.ask("mallory", 401)
        self.assertEqual(len(self.auth.seen), asked + 2)
        self.assertTrue(self.handfast.last_log(self.host, status=401)["auth_cached"])
        self.route(auth_cache_key="$http_authorization", auth_cache_duration="200 2h")
        self.ask("alice")
        self.assertEqual(len(self.auth.seen), asked + 3)

    def test_what_was_kept_ends_with_the_trust_it_came_by(self):
        leaf = self.ca.server(self.auth_name)
        self.serve(leaf, crl=self.ca.crl(), auth_cache_key="$http_authorization",
                   auth_cache_duration="200 1h")
        self.wait_for(200)
        self.ask("alice")
        self.trust(crl=self.ca.crl([leaf.serial]))
        self.handfast.barrier()
        self.ask("alice", 502)


class Changes(AuthCase):
    def test_from_auth_to_none_and_back(self):
        self.says = ("403 Forbidden", [])
        self.serve()
        self.wait_for(403)
        for _ in range(3):
            self.apply_ingress(self.backend.port, protocol=None)
            self.handfast.barrier()
            self.assertEqual(self.get().status, 200)
            seen = len(self.backend.seen)
            self.route()
            for _ in range(20):
                self.assertEqual(self.get().status, 403)
            self.assertEqual(len(self.backend.seen), seen)

    def test_a_request_ends_under_the_rules_that_it_began_with(self):
        asked, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)

        def hold(connection, request):
            if "held" in request.header("X-Original-URL"):
                asked.set()
                go_on.wait(60)
            self.answer(connection, request)
        self.serve(auth_options={"handle": hold})
        self.wait_for(200)
        self.says = ("403 Forbidden", [])
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.get("/held")))
        thread.start()
        self.assertTrue(asked.wait(20))
        self.apply_ingress(self.backend.port, protocol=None)
        self.handfast.barrier()
        self.assertEqual(self.get("/now").status, 200)
        go_on.set()
        thread.join(30)
        self.assertEqual(answers[0].status, 403)

    def test_a_client_that_resets_is_asked_about_no_more(self):
        asked, gone = threading.Event(), threading.Event()

        def hold(connection, request):
            if "held" not in request.header("X-Original-URL"):
                self.answer(connection, request)
                return
            asked.set()
            if not connection.fill():
                gone.set()
        self.serve(auth_options={"handle": hold})
        self.wait_for(200)
        client = self.handfast.connect()
        client.send(f"GET /held HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
        self.assertTrue(asked.wait(20))
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
        self.assertTrue(gone.wait(20))


class Global(AuthCase):
    """global-auth-* of the ConfigMap: what routes ask that have no auth-url of their own."""

    flags = ("--configmap", "ops/config")

    def configure(self, **data):
        keys = {"global-auth-" + key.replace("_", "-"): value for key, value in data.items()
                if value is not None}
        self.handfast.apply("config", {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "config", "namespace": "ops"}, "data": keys})
        self.handfast.barrier()

    def trust_globally(self, ca):
        self.handfast.apply("global-trust", manifests.secret("auth-ca", namespace="ops",
                                                             ca_crt=ca.cert_pem))

    def ask(self, leaf="good", ca=None, auth_options=None, **data):
        """The server, and the ConfigMap that names it."""
        self.start_auth(leaf, **(auth_options or {}))
        self.trust_globally(ca or self.ca)
        data = {"url": f"https://{self.auth_name}/check", "proxy_ssl_secret": "ops/auth-ca",
                "response_headers": GUARDED, **data}
        self.configure(**data)

    def serve_all(self, **options):
        self.apply_ingress(self.backend.port, protocol=None)
        self.ask(**options)

    def other(self, suffix, **options):
        """Another Ingress over the same backend; its host."""
        host = f"{suffix}.{self.host}"
        self.apply(suffix, manifests.ingress(f"{self.name}-{suffix}", host,
                                             service=self.name, **options))
        self.handfast.barrier()
        return host

    def test_who_names_no_server_asks_that_of_the_config_map(self):
        self.serve_all(method="HEAD", request_redirect="$host/back")
        self.wait_for(200)

        answer = self.get("/a?b=c", headers=[(GUARDED, "root"), ("x_auth_user", "root")])

        self.assertEqual(answer.status, 200)
        self.assertEqual(self.backend.seen[-1].all(GUARDED), ["alice"])
        self.assertEqual(self.backend.seen[-1].all("x_auth_user"), [])
        asked = self.auth.seen[-1]
        self.assertEqual((asked.method, asked.target), ("HEAD", "/check"))
        self.assertEqual(asked.all("Host"), [self.auth_name])
        self.assertEqual(asked.all("X-Original-URL"), [f"http://{self.host}/a?b=c"])
        self.assertEqual(asked.all("X-Auth-Request-Redirect"), [f"{self.host}/back"])
        self.assertEqual(asked.connection.server_name, self.auth_name)

    def test_whoever_must_sign_in_is_sent_there(self):
        self.says = ("401 Unauthorized", [("Set-Cookie", "csrf=1")])
        self.serve_all(signin="https://id.test/start", signin_redirect_param="back",
                       always_set_cookie="true")
        self.wait_for(302)

        answer = self.assert_denied(302, target="/a")
        self.assertEqual(answer.header("Location"),
                         f"https://id.test/start?back=http://{self.host}%2Fa")
        self.assertEqual(answer.header("Set-Cookie"), "csrf=1")
        self.says = ("403 Forbidden", [])
        self.assert_denied(403)

    def test_answers_are_kept_as_the_config_map_says(self):
        self.serve_all(cache_key="$cookie_sid", cache_duration="200 1h")
        self.wait_for(200)
        workers = 2
        for _ in range(8):
            self.get("/kept", headers=[("Cookie", "sid=kept")])
        asked = [one for one in self.auth.seen if one.header("Cookie") == "sid=kept"]
        self.assertLessEqual(len(asked), workers)

    def test_who_asks_a_server_of_its_own_or_opts_out_does_not_ask_it(self):
        own = self.use(Backend(handle=self.answer))
        self.apply("own", manifests.service(f"{self.name}-own", own.port))
        self.serve_all()
        self.says = ("403 Forbidden", [])
        opted_out = self.other("open", annotations={"enable-global-auth": "false"})
        named = self.other("named", annotations={
            "auth-url": f"http://{self.name}-own.shop.svc:443/own"})
        self.wait_for(403)
        asked = len(self.auth.seen)

        self.assertEqual(self.handfast.get(opted_out, "/").status, 200)
        self.assertEqual(self.handfast.get(named, "/").status, 403)
        self.assertEqual(own.seen[-1].target, "/own")
        self.assertEqual(len(self.auth.seen), asked)

    def test_a_wrong_value_closes_and_never_opens(self):
        self.serve_all()
        self.wait_for(200)
        opted_out = self.other("open", annotations={"enable-global-auth": "false"})
        asked, served = len(self.auth.seen), len(self.backend.seen)
        for key, value in (("url", "http://$host/"), ("url", "auth"), ("cache_duration", "5y"),
                           ("response_headers", "X-Real-IP"), ("method", "CONNECT"),
                           ("snippet", "deny all;"), ("signin", "/start"), ("respons_headers", "X")):
            with self.subTest(f"{key}: {value}"):
                self.ask_again(**{key: value})
                self.assertEqual(self.get().status, 503)
                self.assertIn(self.reason_now(), ("invalid_value", "unsupported"))
                field = f"data[global-auth-{key.replace('_', '-')}]"
                found = self.handfast.proxy.logged(message="finding", field=field)
                self.assertEqual({line["level"] for line in found}, {"error"})
                self.assertEqual(self.handfast.get(opted_out, "/").status, 200)
        self.assertEqual(len(self.auth.seen), asked)
        self.assertEqual(len(self.backend.seen), served + 8)  # of who opted out
        self.ask_again()
        self.wait_for(200)
        self.assertGreater(len(self.auth.seen), asked)

        self.configure()
        self.says = ("403 Forbidden", [])
        self.assertEqual(self.get().status, 200)  # nobody is to be asked any more

    def ask_again(self, **data):
        self.configure(**{"url": f"https://{self.auth_name}/check",
                          "proxy_ssl_secret": "ops/auth-ca", "response_headers": GUARDED, **data})

    def test_it_is_verified(self):
        self.serve_all(ca=self.other_ca)
        self.wait_for(502)
        self.assert_denied(502, "untrusted_issuer")
        self.ask_again(proxy_ssl_secret=None)
        self.assert_denied(503, "ca_missing")
        self.ask_again(proxy_ssl_secret="ops/absent")
        self.assert_denied(503, "secret_missing")
        self.ask_again(proxy_ssl_secret=f"shop/{self.name}-tls")
        self.assert_denied(503, "not_permitted")
        self.ask_again(upstream_ca="none", proxy_ssl_secret=None)
        self.assert_denied(503, "invalid_value")
        self.assertEqual(self.auth.seen, [])

        self.ask_again()
        self.trust_globally(self.ca)
        self.wait_for(200)
        self.trust_globally(self.other_ca)
        self.wait_for(502)

    def test_an_answer_that_is_none_denies(self):
        def break_off(connection, _request):
            connection.close()
        self.serve_all(auth_options={"handle": break_off})
        self.wait_for(502)
        self.assert_denied(502, self.reason_now())

    def test_solvers_of_cert_manager_are_not_asked_about(self):
        self.serve_all()
        self.says = ("401 Unauthorized", [])
        self.wait_for(401)
        token = "Zm9vYmFyLWJhel9xdXV4LTEyMzQ1Njc4OTAtYWJjZGVm"
        challenge = "/.well-known/acme-challenge/" + token
        self.apply("solver", manifests.ingress(
            f"{self.name}-solver", self.host, service=self.name, path=challenge,
            path_type="ImplementationSpecific",
            labels={"acme.cert-manager.io/http01-solver": "true"}))
        self.handfast.barrier()

        self.assertEqual(self.get(challenge).status, 200)
        for target in ("/", "/.well-known/acme-challenge/", challenge + "x",
                       challenge + "/../../../admin", challenge + "/..%2f..%2f..%2fadmin",
                       "/.well-known/acme-challenge/%2e%2e/" + token, "//" + challenge[1:] + "x"):
            with self.subTest(target):
                self.assertEqual(self.get(target).status, 401)

        # Without the label, the rule of a Service that isn't cert-manager's.
        self.apply("solver", manifests.ingress(f"{self.name}-solver", self.host,
                                               service=self.name, path=challenge))
        self.handfast.barrier()
        self.assertEqual(self.get(challenge).status, 401)


if __name__ == "__main__":
    unittest.main()
