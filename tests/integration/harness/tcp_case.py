"""What tests of TCP ports share: a backend that echoes, a port of each test's own, and both ends of a
connection that end apart."""

import contextlib
import socket
import ssl

from . import clients, manifests
from .backends import Backend
from .case import HandfastCase
from .handfast import free_port
from .waiting import eventually

SERVICES = "shop/tcp-services"


def echo(connection):
    """Sends back what comes; ends its side when the other has."""
    while connection.buffer or connection.fill():
        data, connection.buffer = connection.buffer, b""
        connection.send(data)
    end(connection.sock)


def end(sock):
    """Ends one direction, in TLS as a TLS peer does."""
    if isinstance(sock, ssl.SSLSocket):
        with contextlib.suppress(OSError):
            sock.unwrap()
    else:
        sock.shutdown(socket.SHUT_WR)


def is_open(connection):
    connection.send(b"still?")
    return connection.take(6) == b"still?"


def end_of_ours(connection):
    if isinstance(connection.sock, ssl.SSLSocket):
        # close_notify alone: Python's unwrap() would wait for the other's. It looks for it all the
        # same, and what comes is lost if it is data: read that before.
        connection.sock.setblocking(False)
        with contextlib.suppress(ssl.SSLError, OSError):
            connection.sock.unwrap()
        connection.sock.settimeout(20)
    else:
        with contextlib.suppress(OSError):  # the peer may have ended both sides
            connection.sock.shutdown(socket.SHUT_WR)


class TcpCase(HandfastCase):
    flags = ("--tcp-services-configmap", SERVICES)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.entries = {}
        cls.apply_entries()

    @classmethod
    def apply_entries(cls):
        cls.handfast.apply("tcp-services", {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": manifests.metadata("tcp-services", "shop"), "data": cls.entries})

    def setUp(self):
        super().setUp()
        self.port = free_port()

    def serve(self, value=None, backend=None, **options):
        """A backend, its Service, and this test's port that leads there."""
        options.setdefault("on_connection", echo)
        backend = backend or self.use(Backend(**options))
        self.apply("service", manifests.service(self.name, backend.port))
        self.open_port(value)
        return backend

    def open_port(self, value=None, port=None):
        self.entries[str(port or self.port)] = value or f"shop/{self.name}:443"
        self.addCleanup(self.close_port, port)
        self.apply_entries()
        self.handfast.barrier()

    def close_port(self, port=None):
        if self.entries.pop(str(port or self.port), None) is not None:
            self.apply_entries()

    def apply_policy(self, **options):
        self.apply("roots", manifests.config_map(f"{self.name}-roots", ca_crt=self.ca.cert_pem))
        self.apply("policy", manifests.upstream_tls_policy(
            self.name, self.name,
            ca=[manifests.material_ref("ConfigMap", f"{self.name}-roots")], **options))

    def dial(self, port=None, **options):
        connection = clients.RawConnection(("127.0.0.1", port or self.port), **options)
        self.addCleanup(connection.close)
        return connection

    def exchange(self, data=b"hello", **options):
        """All that comes back for `data` and the end of our side."""
        connection = self.dial(**options)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # reset already
            connection.send(data)
        heard = b""
        if isinstance(connection.sock, ssl.SSLSocket):
            with contextlib.suppress(EOFError):
                heard = connection.take(len(data))
        end_of_ours(connection)
        return heard + connection.rest()

    def assert_closed(self, word, **options):
        """A connection is closed without a byte, and the access log says why."""
        self.assertTrue(self.dial(**options).is_closed())
        self.assertEqual(self.last_line()["upstream_tls_error"], word)

    def lines(self, port=None):
        return [line for line in self.handfast.access_log()
                if line.get("port") == (port or self.port)]

    def last_line(self, count=1, port=None):
        return eventually(lambda: self.lines(port)[count - 1:] and self.lines(port)[-1],
                          "an access log line", patience=10)

    def metric(self, name, **labels):
        return self.handfast.metrics().value(name, listener=str(self.port), **labels) or 0
