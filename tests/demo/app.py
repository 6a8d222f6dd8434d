#!/usr/bin/env python3
"""The app of the sidecar's demo: plain HTTP, and it says whom the sidecar told it the client is.

    app.py DIR     serves on a free port of 127.0.0.1 and writes the port to DIR/app.port.
"""

import http.server
import pathlib
import signal
import sys

TOLD = ("ssl-client-verify", "ssl-client-subject-dn", "x-forwarded-client-cert")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one piece

    def do_GET(self):
        lines = [f"{name}: {value}" for name, value in self.headers.items()
                 if name.lower() in TOLD]
        answer = "".join(f"{line}\n" for line in lines or ["nobody"]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        print(self.requestline, flush=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    (folder / "app.port.new").write_text(f"{server.server_address[1]}\n")
    (folder / "app.port.new").rename(folder / "app.port")
    server.serve_forever()


if __name__ == "__main__":
    main()
