#!/usr/bin/env python3
"""The demo's backend: a TLS server that demands a client certificate and tells whose it saw.

    backend.py DIR     serves with DIR/{backend.crt,backend.key,ca.crt} on a free port of 127.0.0.1
                       and writes the port to DIR/backend.port; SIGHUP reads the certificate again.

It has nothing to do with Handfast: Python's ssl module, that is OpenSSL, at the far end.
"""

import http.server
import pathlib
import signal
import ssl
import sys


def name_of(certificate):
    pairs = [pair for rdn in certificate["subject"] for pair in rdn]
    return ",".join(f"{'CN' if key == 'commonName' else key}={value}" for key, value in pairs)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one record

    def setup(self):
        super().setup()
        self.request.settimeout(60)
        self.request.do_handshake()

    def do_GET(self):
        peer = self.request.getpeercert()
        answer = (f"client subject={name_of(peer)} serial={peer['serialNumber']} "
                  f"{self.request.version()} {self.path}\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, context):
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = context

    def get_request(self):
        connection, address = super().get_request()
        # The handshake belongs to the connection's own thread: Handler.setup().
        return self.context.wrap_socket(connection, server_side=True,
                                        do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        print(f"backend: {sys.exc_info()[1]}", file=sys.stderr, flush=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / "ca.crt")

    def load(*_):
        context.load_cert_chain(folder / "backend.crt", folder / "backend.key")

    load()
    signal.signal(signal.SIGHUP, load)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = Server(context)
    (folder / "backend.port.new").write_text(f"{server.server_address[1]}\n")
    (folder / "backend.port.new").rename(folder / "backend.port")
    server.serve_forever()


if __name__ == "__main__":
    main()
