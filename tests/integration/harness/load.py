"""Load: keep-alive clients in a process of their own, so that the test's threads don't slow them.

    python3 load.py ADDRESS PORT HOST CLIENTS RATE

Each client asks over one connection and counts a connection that the proxy closes as a failure.
RATE is requests a second for all of them together; 0: as many as go. Until a line comes on stdin.
Standard output: one JSON object a line. {"running": true}; then at the end {"failures": [...]},
{"requests": N, "seconds": S, "spans": [[first request's start, last request's start, serial], …]}:
per client, runs of answers under one serial. Times are time.monotonic(), which all processes of a
machine share.
"""

import json
import re
import selectors
import socket
import sys
import threading
import time

SERIAL = re.compile(rb"serial=(\w+)")


class Client:
    def __init__(self, address, request):
        self.request = request
        self.sock = socket.create_connection(address, timeout=20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.buffer = b""
        self.busy = False
        self.started = 0.0
        self.spans = []
        self.answered = 0

    def ask(self, now):
        self.sock.send(self.request)
        self.busy, self.started = True, now

    def read(self):
        """Handles what came; a sentence if that is a failure."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return None
        if not data:
            return f"closed by the proxy after {self.answered} answers, busy: {self.busy}"
        self.buffer += data
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if not length:
            return f"no length: {head!r}"
        if len(rest) < int(length[1]):
            return None
        self.buffer = b""
        self.busy = False
        self.answered += 1
        status = head[9:12]
        if status != b"200":
            return f"status {status.decode()} at {self.started:.3f}"
        serial = SERIAL.search(rest)
        word = serial[1].decode() if serial else ""
        if self.spans and self.spans[-1][2] == word:
            self.spans[-1][1] = self.started
        else:
            self.spans.append([self.started, self.started, word])
        return None


def main():
    address, port, host, count, rate = sys.argv[1:6]
    request = f"GET /load HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    clients = [Client((address, int(port)), request) for _ in range(int(count))]
    pause = int(count) / float(rate) if float(rate) else 0.0
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client.sock, selectors.EVENT_READ, client)
    failures, told = [], False
    begun = time.monotonic()
    due = [(begun + pause * i / len(clients), client) for i, client in enumerate(clients)]
    next_at = {client: at for at, client in due}
    alive = set(clients)
    while alive:
        now = time.monotonic()
        ending = stop.is_set()
        wait = 0.05
        for client in list(alive):
            if client.busy:
                continue
            if ending:
                alive.discard(client)
                selector.unregister(client.sock)
            elif next_at[client] <= now:
                next_at[client] = max(next_at[client] + pause, now - 5 * pause)
                client.ask(now)
            else:
                wait = min(wait, next_at[client] - now)
        for key, _ in selector.select(wait):
            client = key.data
            try:
                failure = client.read()
            except OSError as error:
                failure = f"{error!r}"
            if failure:
                failures.append(failure)
                if client.busy or "closed" in failure:
                    alive.discard(client)
                    selector.unregister(client.sock)
        if not told and all(client.answered > 20 for client in clients):
            told = True
            print(json.dumps({"running": True}), flush=True)
    print(json.dumps({
        "failures": failures, "requests": sum(client.answered for client in clients),
        "seconds": time.monotonic() - begun, "clients": len(clients),
        "spans": [span for client in clients for span in client.spans]}), flush=True)


if __name__ == "__main__":
    main()
