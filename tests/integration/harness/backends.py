"""Backends that aren't ours: Python's ssl, `openssl s_server`, nginx, and scripted sockets."""

import hashlib
import itertools
import json
import os
import pathlib
import shutil
import socket
import ssl
import tempfile
import threading

from . import clients
from .processes import Process
from .waiting import eventually


class Seen:
    """One request as the backend got it."""

    def __init__(self, method, target, headers, body, connection):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.connection = connection

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        found = self.all(name)
        return found[0] if found else None


class Connection(clients.RawConnection):
    """The backend's end of a connection, after the handshake."""

    numbers = itertools.count(1)

    def __init__(self, sock, server_name):  # pylint: disable=super-init-not-called
        self.sock = sock
        self.buffer = b""
        self.number = next(self.numbers)
        self.server_name = server_name
        self.peer = None
        if isinstance(sock, ssl.SSLSocket):
            der = sock.getpeercert(binary_form=True)
            if der:
                from cryptography import x509
                self.peer = x509.load_der_x509_certificate(der)

    @property
    def client_serial(self):
        return self.peer.serial_number if self.peer else None

    @property
    def client_name(self):
        return self.peer.subject.rfc4514_string() if self.peer else None

    def read_request(self):
        """The next request, or None at the end of the connection."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                return None
        line = self.line().decode("latin-1")
        method, target, _ = line.split(" ", 2)
        headers = []
        while True:
            field = self.line().decode("latin-1")
            if not field:
                break
            name, _, value = field.partition(":")
            headers.append((name, value.strip()))
        return Seen(method, target, headers, None, self)

    def read_body(self, request):
        if "chunked" in [value.lower() for value in request.all("transfer-encoding")]:
            request.body = b"".join(self.chunks())
        else:
            request.body = self.take(int(request.header("content-length") or 0))
        return request.body

    def reply(self, body=b"", status="200 OK", headers=(), close=False):
        if isinstance(body, str):
            body = body.encode()
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if close:
            lines.append("Connection: close")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


def echo(connection, request):
    """Answers what was seen, as JSON."""
    body = connection.read_body(request)
    connection.reply(json.dumps({
        "method": request.method, "target": request.target, "headers": request.headers,
        "body_bytes": len(body), "body_sha256": hashlib.sha256(body).hexdigest(),
        "connection": connection.number, "sni": connection.server_name,
        "client": connection.client_name,
        "serial": str(connection.client_serial) if connection.peer else None,
        "tls": connection.sock.version() if isinstance(connection.sock, ssl.SSLSocket) else None,
        "cipher": (connection.sock.cipher()[0]
                   if isinstance(connection.sock, ssl.SSLSocket) else None),
    }), headers=[("Content-Type", "application/json")])


def show_leaf(context, leaf):
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*leaf.write(pathlib.Path(folder), "leaf"))


def server_context(leaf, client_ca=None, *, verify="required", min_version=None,
                   max_version=None, ciphers=None, alpn=None):
    """A TLS server's; `client_ca` makes it demand a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if min_version:
        context.minimum_version = min_version
    if max_version:
        context.maximum_version = max_version
    if ciphers:
        context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if client_ca is not None:
        context.load_verify_locations(cadata=client_ca)
        context.verify_mode = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL}[verify]
    show_leaf(context, leaf)
    return context


# Where they listen, unless told otherwise. No API server takes an endpoint on loopback.
LISTEN = "127.0.0.1"


class Backend:
    """A server in threads of the test. `leaf` makes it TLS; `client_ca` makes it demand a client
    certificate. `handle(connection, request)` answers one request and has to read its body;
    `on_connection(connection)` replaces the loop over requests; `on_accept(sock)` even the
    handshake."""

    def __init__(self, leaf=None, *, client_ca=None, verify="required", handle=echo,
                 on_connection=None, on_accept=None, min_version=None, max_version=None,
                 ciphers=None, alpn=None, address=None, backlog=128):
        self.handle = handle
        self.on_connection = on_connection
        self.on_accept = on_accept
        self.seen = []
        self.connections = []
        self.handshake_errors = []
        self.accepted = 0
        self._server_names = {}
        self._open = set()
        self._lock = threading.Lock()
        self.context = None
        if leaf is not None:
            self.context = server_context(leaf, client_ca, verify=verify, min_version=min_version,
                                          max_version=max_version, ciphers=ciphers, alpn=alpn)
            self.context.sni_callback = self._on_server_name
        self._socket = socket.create_server((address or LISTEN, 0), backlog=backlog)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def show(self, leaf):
        """The certificate of handshakes from now on."""
        show_leaf(self.context, leaf)

    def _on_server_name(self, sock, name, _context):
        self._server_names[id(sock)] = name

    def _accept(self):
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, raw):
        sock = raw
        try:
            sock.settimeout(120)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.on_accept is not None:
                self.on_accept(sock)
                return
            name = None
            if self.context is not None:
                sock = self.context.wrap_socket(raw, server_side=True,
                                                do_handshake_on_connect=False)
                with self._lock:
                    self._open.discard(raw)
                    self._open.add(sock)
                sock.do_handshake()
                name = self._server_names.pop(id(sock), None)
            connection = Connection(sock, name)
            with self._lock:
                self.connections.append(connection)
            if self.on_connection is not None:
                self.on_connection(connection)
                return
            self._requests(connection)
        except ssl.SSLError as error:
            self.handshake_errors.append(error)
        except (OSError, EOFError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.discard(raw)
                self._open.discard(sock)
            sock.close()

    def _requests(self, connection):
        while True:
            request = connection.read_request()
            if request is None:
                return
            with self._lock:
                self.seen.append(request)
            self.handle(connection, request)

    def open_connections(self):
        with self._lock:
            return len(self._open)

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the accept()
        except OSError:
            pass
        self._socket.close()
        with self._lock:
            left = list(self._open)
        for sock in left:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass


class OpensslServer:
    """`openssl s_server`; by default -www: a page that tells about the session."""

    def __init__(self, leaf, *arguments, client_ca=None, verify="required", mode="-www"):
        self._folder = tempfile.TemporaryDirectory(prefix="handfast-it-")
        folder = pathlib.Path(self._folder.name)
        crt, key = leaf.write(folder, "server")
        command = ["openssl", "s_server", "-accept", f"{LISTEN}:0", "-naccept", "1000000",
                   "-cert", crt, "-key", key, *arguments]
        if leaf.intermediates:
            chain = folder / "chain.crt"
            chain.write_text(leaf.chain_pem[len(leaf.cert_pem):])
            command += ["-cert_chain", chain]
        if mode:
            command.append(mode)
        if client_ca is not None:
            (folder / "ca.crt").write_text(client_ca)
            ask = "-Verify" if verify == "required" else "-verify"
            command += ["-CAfile", folder / "ca.crt", ask, "5", "-verify_return_error"]
        self.process = Process(command, folder, name="s_server")
        self.port = eventually(self._find_port, "the port of s_server")

    def _find_port(self):
        for line in self.process.out.text().splitlines():
            if line.startswith("ACCEPT"):
                return int(line.rpartition(":")[2])
        if not self.process.is_running():
            raise RuntimeError(self.process.tail())
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self._folder.cleanup()


class Nginx:
    """nginx with one server whose answer names the client certificate that it saw. Its
    listening socket is ours, handed over as in a binary upgrade, so that no port is guessed."""

    def __init__(self, leaf, *, client_ca=None, verify="on", extra="", location=None,
                 keepalive_requests=1_000_000, http2=False):
        """Without a leaf it speaks plain HTTP; `http2`: by ALPN, or by prior knowledge."""
        if shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            raise RuntimeError("nginx is not installed")
        self._folder = tempfile.TemporaryDirectory(prefix="handfast-it-")
        self.folder = pathlib.Path(self._folder.name)
        self._socket = socket.create_server((LISTEN, 0), backlog=511)
        self.port = self._socket.getsockname()[1]
        self.tls = leaf is not None
        lines = []
        if leaf is not None:
            leaf.write(self.folder, "server")
            lines.append("ssl_certificate server.crt; ssl_certificate_key server.key;")
        if client_ca is not None:
            (self.folder / "ca.crt").write_text(client_ca)
            lines.append(f"ssl_client_certificate ca.crt; ssl_verify_client {verify};")
        location = location or ('default_type text/plain; return 200 '
                                '"serial=$ssl_client_serial subject=$ssl_client_s_dn '
                                'sni=$ssl_server_name $request_uri\\n";')
        user = "user root;" if os.geteuid() == 0 else ""
        paths = "".join(f"{kind}_temp_path {kind}_temp;\n" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(f"""
daemon off; {user} worker_processes 1; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 2048; }}
http {{
  access_log access.log; {paths}
  keepalive_requests {keepalive_requests}; keepalive_timeout 600s;
  server {{
    listen {LISTEN}:{self.port}{" ssl" if leaf else ""}{" http2" if http2 else ""};
    {" ".join(lines)}
    {extra}
    location / {{ {location} }}
  }}
}}
""")
        self._start()

    def _start(self):
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        self.process = Process([program, "-p", f"{self.folder}/", "-c", "nginx.conf", "-e",
                                "stderr"], self.folder, name="nginx",
                               env={"NGINX": f"{self._socket.fileno()};"},
                               pass_fds=[self._socket.fileno()])
        eventually(self._answers, "nginx")

    def _answers(self):
        if not self.process.is_running():
            raise RuntimeError(self.process.tail())
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as sock:
            if not self.tls:
                return True
            try:
                clients.any_client_context().wrap_socket(sock).close()
            except ssl.SSLError:
                pass  # an answer all the same
            return True

    def access_log(self):
        return (self.folder / "access.log").read_text().splitlines()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.stop(patience=5)
        self._socket.close()
        self._folder.cleanup()


def closed_port():
    """A port that refuses: bound, never listening. Keep the socket while it is needed."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]
