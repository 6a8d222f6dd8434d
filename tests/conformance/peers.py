"""Backends of the table of cases, by four TLS implementations, started and asked alike: Python's ssl,
`openssl s_server`, nginx, and Go's crypto/tls. Each tells whether a byte of a request reached it."""

import _ssl
import ctypes
import dataclasses
import pathlib
import re
import ssl
import tempfile

from harness.backends import Backend, Nginx, OpensslServer
from harness.processes import Process
from harness.waiting import eventually

from tools import tool

VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1,
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
STATIC_RSA = "AES128-GCM-SHA256"
GO_PROGRAM = "tls_server"
CLIENT_HELLO = b"\x16\x03"  # how it begins: nothing of a request
ALERT = b"\x15\x03"


@dataclasses.dataclass(frozen=True)
class Tls:
    """How a backend does TLS: its versions ("1.0" … "1.3"), the authorities of client certificates
    and whether it insists; `weak`: it takes any key, digest and cipher."""

    client_ca: str = None
    verify: str = "required"
    least: str = "1.2"
    most: str = "1.3"
    weak: bool = False
    static_rsa: bool = False
    tickets: int = None
    # What libssl's own functions are for: the protocol chosen whatever was offered, and what is
    # sent as soon as hands are shaken and for as long as anybody reads it.
    chosen: bytes = None
    endless: str = None  # "key updates", "handshakes"

    @property
    def ciphers(self):
        return STATIC_RSA if self.static_rsa else "DEFAULT:@SECLEVEL=0" if self.weak else None


class Python(Backend):
    def __init__(self, leaf, tls):
        super().__init__(leaf, client_ca=tls.client_ca, verify=tls.verify, ciphers=tls.ciphers,
                         min_version=VERSIONS[tls.least], max_version=VERSIONS[tls.most])
        if tls.tickets:
            self.context.num_tickets = tls.tickets

    def saw_requests(self):
        return bool(self.seen)

    def saw_bytes(self):
        return bool(self.seen or any(one.buffer and not one.buffer.startswith(CLIENT_HELLO)
                                     for one in self.connections))


class Openssl(OpensslServer):
    # Inside of records: of TLS 1.3 the type that was encrypted, of TLS 1.2 the record's own.
    INNER = re.compile(r"^<<< .*InnerContent.*\n +(\w\w)", re.MULTILINE)
    OUTER = re.compile(r"^<<< .*RecordHeader.*\n +(\w\w)", re.MULTILINE)
    APPLICATION_DATA = "17"

    def __init__(self, leaf, tls):
        version = {"1.0": "1", "1.1": "1_1", "1.2": "1_2", "1.3": "1_3"}
        arguments = ["-msg"]
        if (tls.least, tls.most) != ("1.2", "1.3"):
            assert tls.least == tls.most
            arguments.append(f"-tls{version[tls.least]}")
        if tls.ciphers:
            arguments += ["-cipher", tls.ciphers]
        super().__init__(leaf, *arguments, client_ca=tls.client_ca, verify=tls.verify)

    def saw_bytes(self):
        text = self.process.out.text()
        return self.APPLICATION_DATA in (self.INNER.findall(text) or self.OUTER.findall(text))

    saw_requests = saw_bytes


class NginxServer(Nginx):
    def __init__(self, leaf, tls):
        version = {"1.0": "TLSv1", "1.1": "TLSv1.1", "1.2": "TLSv1.2", "1.3": "TLSv1.3"}
        names = [name for number, name in version.items() if tls.least <= number <= tls.most]
        extra = f"ssl_protocols {' '.join(names)};"
        if tls.ciphers:
            extra += f" ssl_ciphers {tls.ciphers};"
        super().__init__(leaf, client_ca=tls.client_ca, extra=extra if leaf else "",
                         verify="on" if tls.verify == "required" else tls.verify)

    def saw_bytes(self):
        # A request that never ended has a line too.
        return any('"\\x16\\x03' not in line for line in self.access_log())

    def saw_requests(self):
        return any(" 200 " in line for line in self.access_log())


class Go:
    def __init__(self, leaf, tls):
        self._folder = tempfile.TemporaryDirectory(prefix="handfast-it-")
        folder = pathlib.Path(self._folder.name)
        command = [tool(GO_PROGRAM), "-min", tls.least, "-max", tls.most]
        if leaf is not None:
            certificate, key = leaf.write(folder, "server")
            command += ["-cert", certificate, "-key", key]
        if tls.client_ca is not None:
            (folder / "ca.crt").write_text(tls.client_ca)
            command += ["-client-ca", folder / "ca.crt", "-client-auth", tls.verify]
        if tls.static_rsa:
            command += ["-ciphers", "0x009c"]
        self.process = Process(command, folder, env={"GODEBUG": "rsa1024min=0"})
        self.port = eventually(self._find_port, "the port of Go's server")

    def _find_port(self):
        if not self.process.is_running():
            raise RuntimeError(self.process.tail())
        first = self.process.out.text().splitlines()[:1]
        return int(first[0].split()[1]) if first else None

    def _said(self, word):
        return any(line.startswith(word) for line in self.process.out.text().splitlines())

    def saw_bytes(self):
        return self._said("bytes")

    def saw_requests(self):
        return self._said("request")

    def close(self):
        self.process.kill()
        self._folder.cleanup()


def _load_libssl():
    library = ctypes.CDLL(_ssl.__file__)  # and what that is linked with
    for name in ("TLS_server_method", "SSL_CTX_new", "SSL_new"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


class Libssl(Backend):
    """OpenSSL by its functions, for what none of its programs does."""

    LIB = _load_libssl()
    FILETYPE_PEM, SET_LEAST, SET_MOST = 1, 123, 124
    CHOOSE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p),
                              ctypes.POINTER(ctypes.c_ubyte), ctypes.c_void_p, ctypes.c_uint,
                              ctypes.c_void_p)
    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def __init__(self, leaf, tls):
        self._got = []
        self._tls = tls
        self._chosen = ctypes.create_string_buffer(tls.chosen or b"")
        self._choose = self.CHOOSE(self._on_offer)
        self._context = self.call("SSL_CTX_new", self.call("TLS_server_method"))
        with tempfile.TemporaryDirectory() as folder:
            crt, key = (str(path).encode() for path in leaf.write(pathlib.Path(folder), "server"))
            self.call("SSL_CTX_use_certificate_chain_file", self._context, crt)
            self.call("SSL_CTX_use_PrivateKey_file", self._context, key, self.FILETYPE_PEM)
        for which, version in ((self.SET_LEAST, tls.least), (self.SET_MOST, tls.most)):
            self.call("SSL_CTX_ctrl", self._context, which, ctypes.c_long(VERSIONS[version]), None)
        if tls.chosen:
            self.LIB.SSL_CTX_set_alpn_select_cb(ctypes.c_void_p(self._context), self._choose, None)
        super().__init__(on_accept=self._talk)

    def call(self, name, *arguments):
        """0 and less, and null, are errors."""
        result = getattr(self.LIB, name)(*(ctypes.c_void_p(one) if isinstance(one, int) else one
                                           for one in arguments))
        if (result or 0) <= 0:
            raise OSError(f"{name}: {result}")
        return result

    def _on_offer(self, _ssl_, out, length, _offered, _offered_length, _argument):
        out[0], length[0] = ctypes.addressof(self._chosen), len(self._tls.chosen)
        return 0

    def _talk(self, sock):
        sock.settimeout(None)  # libssl reads and writes, not Python
        connection = self.call("SSL_new", self._context)
        try:
            self.call("SSL_set_fd", connection, sock.fileno())
            self.call("SSL_accept", connection)
            while self._tls.endless:
                if self._tls.endless == "key updates":
                    self.call("SSL_key_update", connection, 0)
                else:
                    self.call("SSL_renegotiate", connection)
                self.call("SSL_do_handshake", connection)
            buffer = ctypes.create_string_buffer(65536)
            while True:
                size = self.call("SSL_read", connection, buffer, len(buffer))
                self._got.append(buffer.raw[:size])
                self.call("SSL_write", connection, self.ANSWER, len(self.ANSWER))
        finally:
            self.LIB.SSL_free(ctypes.c_void_p(connection))

    def saw_bytes(self):
        return bool(self._got)

    saw_requests = saw_bytes


class Scripted(Backend):
    """One that doesn't shake hands: `script(sock)` says what it does instead."""

    def __init__(self, script, _tls):
        self._got = []
        super().__init__(on_accept=lambda sock: script(sock, self._got.append))

    def saw_bytes(self):
        """What is sent to them can be nothing but a ClientHello, and an alert that ends it."""
        return any(not got.startswith((CLIENT_HELLO, ALERT)) for got in self._got if got)

    saw_requests = saw_bytes


KINDS = {"openssl": Openssl, "nginx": NginxServer, "go": Go, "python": Python, "libssl": Libssl,
         "scripted": Scripted}
