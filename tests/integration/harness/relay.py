"""A TCP relay that does what networks do: cuts, stalls, and lets through only some bytes."""

import random
import socket
import threading


class Relay:
    """In threads of the test, to one port of loopback. `cut()` ends all connections, in the middle
    of whatever they carry; `stall()` lets the bytes of those that are open lie, for good, and closes
    nothing."""

    def __init__(self, target, address="127.0.0.1"):
        self.target = target
        self.accepted = 0
        self._open = set()
        self._lock = threading.Lock()
        self._flows = []  # of the connections that don't stall
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, 0), family=family, backlog=128)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._socket.accept()
                server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            except OSError:
                if self._socket.fileno() < 0:
                    return
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self.accepted += 1
                self._open |= {client, server}
                flow = threading.Event()
                flow.set()
                self._flows.append(flow)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(one, other, flow), daemon=True).start()

    def _pump(self, source, sink, flow):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                flow.wait()
                sink.sendall(data)
        except OSError:
            pass
        with self._lock:
            self._open -= {source, sink}
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def cut(self, share=1.0):
        """Of a share of the connections, or of all."""
        with self._lock:
            chosen = [one for one in self._open if random.random() < share]
        for one in chosen:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stall(self):
        with self._lock:
            for flow in self._flows:
                flow.clear()
            self._flows = []

    def close(self):
        self._socket.close()
        self.cut()
