"""Each way in which Services are used: a backend for it, its route, and traffic over it. HTTP/1.1,
HTTP/2, WebSocket, gRPC, TCP, and an auth server that is asked about every request."""

from . import apps, http2, manifests, rpc, websocket
from .backends import Backend, echo
from .tcp_case import echo as tcp_echo
from .traffic import (Call, Requests, Streams, TcpStream, WebSocket, ask_anew, ask_h1, ask_h2,
                      ask_rpc, ask_tcp)
from .waiting import eventually

KINDS = ("h1", "h2", "ws", "rpc", "tcp", "auth")
HTTP_KINDS = tuple(kind for kind in KINDS if kind != "tcp")
ASKED_SERIAL = "X-Asked-Serial"  # of the certificate that the auth server was shown


class Servers:
    """One for each; with a leaf over TLS, demanding certificates of `client_ca`."""

    def __init__(self, leaf=None, client_ca=None, h1=echo):
        trust = {"client_ca": client_ca} if leaf else {}
        self.secure = leaf is not None
        self.h1 = Backend(leaf, handle=h1, **trust)
        self.h2 = http2.Http2Backend(leaf, on_stream=apps.h2, **trust)
        self.ws = websocket.EchoServer(leaf, **trust)
        self.rpc = rpc.Server(leaf, client_ca)
        self.tcp = Backend(leaf, on_connection=tcp_echo, **trust)
        self.auth = Backend(leaf, handle=self._say_yes, **trust)
        self.guarded = Backend()  # behind the auth server, in plain: what fails there is the other

    @staticmethod
    def _say_yes(connection, request):
        connection.read_body(request)
        connection.reply(headers=[(ASKED_SERIAL, str(connection.client_serial))])

    def ports(self):
        return {kind: getattr(self, kind).port for kind in (*KINDS, "guarded")}

    def requests(self):
        return (len(self.h1.seen) + len(self.h2.seen) + len(self.rpc.calls) +
                len(self.tcp.connections) + len(self.auth.seen) + len(self.guarded.seen))

    def open_connections(self):
        return sum(one.open_connections() for one in (self.h1, self.h2, self.tcp, self.auth))

    def close(self):
        for kind in (*KINDS, "guarded"):
            getattr(self, kind).close()


def services(name, servers):
    """NAME-KIND of each."""
    return [one for kind, port in servers.ports().items()
            for one in manifests.service(f"{name}-{kind}", port)]


def ingress(name, kind, domain, servers, **more):
    """KIND.DOMAIN leads to the Service NAME-KIND; `more`, and annotations, as for an Ingress. TCP
    has none: an entry in the ConfigMap leads there."""
    scheme = "https" if servers.secure else "http"
    own = {"h2": {http2.ANNOTATION: "true"},
           "rpc": {"backend-protocol": "GRPCS" if servers.secure else "GRPC"},
           "auth": {"auth-url": f"{scheme}://{name}-auth.shop.svc:443/check",
                    "auth-response-headers": ASKED_SERIAL}}.get(kind, {})
    return manifests.ingress(f"{name}-{kind}", f"{kind}.{domain}",
                             service=f"{name}-guarded" if kind == "auth" else None,
                             annotations={**own, **more.pop("annotations", {})}, **more)


def _told_of_auth(ask):
    """What the auth server told, by way of the backend."""
    def told():
        status, seen = ask()
        headers = {name.lower(): value for name, value in seen["headers"]} if seen else {}
        return status, {"serial": headers.get(ASKED_SERIAL.lower())} if seen else None

    return told


class Traffic:
    """Requests over HTTP/1.1, HTTP/2 and gRPC, through the auth server, and TCP connections; a
    WebSocket, a gRPC stream and a TCP connection that stay open."""

    def __init__(self, front, domain, tcp_port, tls=lambda: None, ca=None, leaf=None, steady=True,
                 dials=True):
        """`tls()` makes a client's context; `ca` and `leaf` are the same for gRPC. Where connections
        may be cut, not `steady`: no streams, and HTTP/1.1 comes on a new one each time. `dials`:
        whether new TCP connections are made all the time."""
        host = {kind: f"{kind}.{domain}" for kind in KINDS}
        tcp = ("127.0.0.1", tcp_port)
        self._h1 = [front.connect(tls=tls(), server_name=host[kind]) for kind in ("h1", "auth")]
        self._h2 = http2.connect(front, host["h2"], tls())
        self._rpc = rpc.Client(front, host["rpc"], ca, leaf)
        by_h1 = [ask_h1(connection, host[kind]) if steady else ask_anew(front, host[kind], tls)
                 for kind, connection in zip(("h1", "auth"), self._h1)]
        self.requests = [Requests("HTTP/1.1", by_h1[0]),
                         Requests("HTTP/2", ask_h2(self._h2, host["h2"])),
                         Requests("auth", _told_of_auth(by_h1[1])),
                         Requests("gRPC", ask_rpc(self._rpc))]
        if dials:
            self.requests.append(Requests("TCP", ask_tcp(tcp, host["tcp"], tls)))
        self.streams = Streams([WebSocket(front, host["ws"], tls()),
                                Call(front, host["rpc"], ca, leaf),
                                TcpStream(tcp, host["tcp"], tls())] if steady else [])

    def who_tell(self):
        """Those whose answers tell what certificate of ours was shown."""
        return self.requests[:3]

    def stop(self, allowed=lambda _begun, _outcome: False):
        """What failed and wasn't to be expected."""
        for one in self.requests:
            eventually(lambda: len(one.seen) > 5, f"requests by {one.name}")  # noqa: B023
            one.stop()
        self.streams.stop()
        for connection in self._h1:
            connection.close()
        self._h2.close()
        self._rpc.channel.close()
        return [text for one in self.requests for text in one.failures(allowed)] + \
            self.streams.failures
