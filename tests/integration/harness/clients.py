"""Clients: one request on a fresh connection, keep-alive connections, and raw bytes."""

import errno
import http.client
import socket
import ssl


class Response:
    def __init__(self, status, reason, version, headers, body):
        self.status, self.reason, self.version = status, reason, version
        self.headers = headers  # [(name, value)], as they came
        self.body = body

    def header(self, name, default=None):
        found = self.all(name)
        return found[0] if found else default

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self):
        import json
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:200]!r}>"


def any_client_context(**options):
    """A TLS client that takes any certificate: what it is shown is the test's to judge."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in options.items():
        setattr(context, name, value)
    return context


class RawConnection:
    """A TCP or TLS connection that sends what it is told and reads responses by the letter.
    `source`: the address to connect from, any of 127/8; `preamble`: bytes to send before TLS;
    `session`: of TLS, to resume."""

    def __init__(self, address, tls=None, server_name=None, timeout=20, receive_buffer=None,
                 source=None, preamble=None, session=None):
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(timeout)
        try:
            if source:
                sock.bind((source, 0))
            try:
                sock.connect(address)
            except ConnectionResetError:
                if tls or preamble:
                    raise
                # Accepted, and reset before connect() looked: `fill` finds the end.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if preamble:
                sock.sendall(preamble)
            if tls:
                context = tls if isinstance(tls, ssl.SSLContext) else any_client_context()
                sock = context.wrap_socket(sock, server_hostname=server_name, session=session)
        except BaseException:
            sock.close()
            raise
        self.sock = sock
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def fill(self):
        """Reads more; false at the end."""
        try:
            got = self.sock.recv(262144)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            got = b""
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # reset while it connected
                raise
            got = b""
        self.buffer += got
        return bool(got)

    def is_closed(self, within=10):
        """Whether the peer ends the connection, without a byte before that."""
        before = self.sock.gettimeout()
        self.sock.settimeout(within)
        try:
            return not self.buffer and not self.fill()
        except TimeoutError:
            return False
        finally:
            self.sock.settimeout(before)

    def line(self):
        while b"\r\n" not in self.buffer:
            if not self.fill():
                raise EOFError(f"closed in a line: {self.buffer!r}")
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def take(self, count):
        pieces, got = [self.buffer], len(self.buffer)  # joined once: large bodies come here
        while got < count:
            self.buffer = b""
            if not self.fill():
                raise EOFError(f"closed after {got} of {count} bytes")
            pieces.append(self.buffer)
            got += len(self.buffer)
        data = b"".join(pieces)
        self.buffer = data[count:]
        return data[:count] if len(data) > count else data

    def head(self):
        """The next status line and fields, whatever the status."""
        line = self.line()
        version, _, rest = line.partition(b" ")
        status, _, reason = rest.partition(b" ")
        if not version.startswith(b"HTTP/1.") or len(status) != 3:
            raise ValueError(f"not a status line: {line!r}")
        headers = []
        while True:
            line = self.line()
            if not line:
                break
            name, colon, value = line.partition(b":")
            if not colon:
                raise ValueError(f"not a field: {line!r}")
            headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        return Response(int(status), reason.decode("latin-1"), version.decode(), headers, b"")

    def response(self, method="GET"):
        """The next final response with its body, framed as its head says."""
        response = self.head()
        while 100 <= response.status < 200 and response.status != 101:
            response = self.head()
        response.body = self.body(response, method)
        return response

    def body(self, response, method="GET"):
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            return b""
        if [v.lower() for v in response.all("transfer-encoding")] == ["chunked"]:
            return b"".join(self.chunks())
        length = response.header("content-length")
        if length is not None:
            return self.take(int(length))
        return self.rest()

    def chunks(self):
        while True:
            size = int(self.line().split(b";")[0], 16)
            if size:
                yield self.take(size)
                if self.line():
                    raise ValueError("a chunk is longer than it said")
                continue
            while self.line():
                pass
            return

    def rest(self):
        pieces = [self.buffer]
        self.buffer = b""
        while self.fill():
            pieces.append(self.buffer)
            self.buffer = b""
        return b"".join(pieces)

    def request(self, host, target="/", method="GET", headers=(), body=None):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        self.send(head.encode("latin-1") + (body or b""))
        return self.response(method)


def fetch(address, host, target="/", method="GET", headers=(), body=None, tls=None, timeout=20,
          **options):
    """One request on a connection of its own."""
    with RawConnection(address, tls=tls, server_name=host if tls else None, timeout=timeout,
                       **options) as connection:
        return connection.request(host, target, method, headers, body)


def shown_certificate(address, server_name):
    """The leaf that a TLS listener shows for a name, as cryptography's certificate."""
    from cryptography import x509
    with RawConnection(address, tls=True, server_name=server_name) as connection:
        return x509.load_der_x509_certificate(connection.sock.getpeercert(binary_form=True))


def std_request(address, host, target="/", method="GET", body=None, headers=None):
    """The same by http.client, a client that we didn't write."""
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        connection.request(method, target, body=body, headers={"Host": host, **(headers or {})})
        answer = connection.getresponse()
        return Response(answer.status, answer.reason, str(answer.version), answer.getheaders(),
                        answer.read())
    finally:
        connection.close()


