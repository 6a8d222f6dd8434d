"""Traffic while something changes: requests one after the other, and streams that stay open."""

import itertools
import threading
import time

import grpc
from wsproto import events

from . import clients, rpc, websocket


class Requests:
    """One after the other by `ask()`, which answers a status and what the backend told, in a thread
    of its own, until stop(). What became of each is kept with the moment at which it began."""

    def __init__(self, name, ask, pause=0.005):
        self.name, self._ask, self._pause = name, ask, pause
        self.seen = []  # (begun, 200 or another status or a sentence, what the backend told)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._end.wait(self._pause):
            begun = time.monotonic()
            try:
                outcome, told = self._ask()
            except Exception as error:  # noqa: B902, whatever it is, the request failed
                outcome, told = repr(error), None
            self.seen.append((begun, outcome, told))

    def failures(self, allowed=lambda _begun, _outcome: False):
        return [f"{self.name}: {outcome} at {begun:.3f}" for begun, outcome, _ in list(self.seen)
                if outcome != 200 and not allowed(begun, outcome)]

    def stop(self):
        self._end.set()
        self._thread.join(60)


def _told(response):
    return response.status, response.json() if response.status == 200 else None


def ask_h1(connection, host):
    return lambda: _told(connection.request(host))


def ask_anew(front, host, tls):
    """By HTTP/1.1, each time on a connection of its own; `tls()` makes the context."""
    return lambda: _told(front.get(host, tls=tls()))


def ask_h2(peer, host):
    return lambda: _told(peer.fetch(host))


def ask_rpc(client):
    """What the proxy answers in a status of 503 or 502 is UNAVAILABLE in gRPC."""
    def ask():
        try:
            client.unary(b"x", timeout=20)
            return 200, None
        except grpc.RpcError as error:
            code = error.code()
            return 503 if code == grpc.StatusCode.UNAVAILABLE else f"{code} {error.details()}", None

    return ask


def ask_tcp(address, server_name, tls):
    """An echo over a connection of its own; one that is closed without a byte counts as 503."""
    def ask():
        context = tls()
        with clients.RawConnection(address, tls=context,
                                   server_name=context and server_name) as connection:
            try:
                connection.send(b"hello")
                heard = connection.take(5)
            except (EOFError, ConnectionResetError, BrokenPipeError):
                return 503, None
        return (200 if heard == b"hello" else f"heard {heard!r}"), None

    return ask


class TcpStream:
    def __init__(self, address, server_name, tls):
        self.name = f"TCP, {server_name}, {'tls' if tls else 'plain'}"
        self._raw = clients.RawConnection(address, tls=tls, server_name=tls and server_name)

    def say(self, text):
        data = text.encode()
        self._raw.send(data)
        return self._raw.take(len(data)).decode()

    def close(self):
        self._raw.close()


class WebSocket:
    def __init__(self, front, host, tls):
        self.name = f"WebSocket, {host}, {'https' if tls else 'http'}"
        self._wire = websocket.wire_client(front, host, tls)

    def say(self, text):
        self._wire.send(events.TextMessage(text))
        return self._wire.message()[0]

    def close(self):
        self._wire.send(events.CloseConnection(1000))
        self._wire.next(events.CloseConnection)
        self._wire.sock.close()


class Call:
    """A gRPC stream in both directions."""

    def __init__(self, front, host, ca, leaf=None):
        self.name = f"gRPC, {host}, {'https' if ca else 'http'}"
        self._client = rpc.Client(front, host, ca, leaf)
        self._talk = rpc.Talk(self._client, timeout=24 * 3600)

    def say(self, text):
        return self._talk.say(text.encode()).decode()

    def close(self):
        code = self._talk.end()
        self._client.channel.close()
        if code.name != "OK":
            raise ValueError(f"{self.name}: {code}")


class Streams:
    """Streams that stay open; each says something again and again and is answered."""

    def __init__(self, streams):
        self.streams, self.messages, self.failures = streams, 0, []
        self.broken_at = None  # the first
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        alive = list(self.streams)
        for number in itertools.count():
            for stream in list(alive):
                text = f"{stream.name} {number}"
                try:
                    heard = stream.say(text)
                    if heard != text:
                        raise ValueError(f"heard {heard!r}")
                except Exception as error:  # noqa: B902, whatever it is, the stream is broken
                    self.broken_at = self.broken_at or time.monotonic()
                    self.failures.append(f"{text}: {error!r}")
                    alive.remove(stream)
                self.messages += 1
            if self._end.wait(0.02):
                return

    def stop(self):
        """Ends each in order."""
        self._end.set()
        self._thread.join(60)
        if not self.failures:
            for stream in self.streams:
                stream.close()
