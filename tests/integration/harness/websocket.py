"""WebSocket by two implementations that aren't ours: `websockets` with asyncio, and `wsproto` over
the harness' own sockets, where a test decides about every byte."""

import asyncio
import socket
import threading

import websockets
import wsproto
from wsproto import events

from . import clients
from .backends import server_context


def headers_of(side, kind):
    """The handshake's headers on either end; websockets renamed them in version 14."""
    old = getattr(side, f"{kind}_headers", None)
    return old if old is not None else getattr(side, kind).headers


class EchoServer:
    """A server by websockets, in a thread with a loop of its own. Echoes what it gets."""

    def __init__(self, leaf=None, *, client_ca=None, subprotocols=None, **options):
        self.context = server_context(leaf, client_ca) if leaf is not None else None
        self.handshakes = []  # the request headers of each
        self.closes = set()   # (code, reason)
        self._options = {"max_size": None, "ping_interval": None, "subprotocols": subprotocols,
                         **options}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, daemon=True,
                                        args=(self._serve(),))
        self._thread.start()
        self._ready.wait()

    async def _serve(self):
        self._end = asyncio.Event()
        async with websockets.serve(self._echo, sock=self._socket, ssl=self.context,
                                    **self._options):
            self._ready.set()
            await self._end.wait()

    async def _echo(self, connection, _path=None):
        self.handshakes.append(headers_of(connection, "request"))
        try:
            async for message in connection:
                await connection.send(message)
        except websockets.ConnectionClosedError:
            pass
        self.closes.add((connection.close_code, connection.close_reason))

    def close(self):
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)


def connect(front, host, tls=None, path="/", **options):
    """A client by websockets, to be used with `async with`."""
    sock = socket.create_connection(front.https if tls else front.http)
    options = {"max_size": None, "ping_interval": None, **options}
    if int(websockets.__version__.partition(".")[0]) >= 15:
        options["proxy"] = None  # not the environment's
    if tls:
        options.update(ssl=clients.any_client_context(), server_hostname=host)
    return websockets.connect(f"{'wss' if tls else 'ws'}://{host}{path}", sock=sock, **options)


class Wire:
    """One end by wsproto: `sock` carries the bytes, `step` at a time if it is given."""

    def __init__(self, sock, role, step=None):
        self.sock, self.step = sock, step
        self.protocol = wsproto.WSConnection(role)

    def send(self, *what):
        for event in what:
            self.send_bytes(self.protocol.send(event))

    def send_bytes(self, data):
        step = self.step or len(data) or 1
        for at in range(0, len(data), step):
            self.sock.sendall(data[at:at + step])

    def events(self):
        """What comes, until the transport ends."""
        while True:
            yield from self.protocol.events()
            data = self.sock.recv(65536)
            self.protocol.receive_data(data or None)
            if not data:
                yield from self.protocol.events()
                return

    def next(self, kind):
        """The next event, which must be of this kind."""
        for event in self.events():
            if not isinstance(event, kind):
                raise ValueError(f"expected {kind.__name__}, got {event!r}")
            return event
        raise EOFError("the transport ended")

    def message(self):
        """The next whole message, and of how many pieces it was."""
        pieces = []
        for event in self.events():
            if not isinstance(event, events.Message):
                raise ValueError(f"not a message: {event!r}")
            pieces.append(event.data)
            if event.message_finished:
                return type(event.data)().join(pieces), len(pieces)
        raise EOFError("the transport ended")


def wire_client(front, host, tls=None, path="/", step=None, **request):
    """A client by wsproto, after the handshake."""
    raw = front.connect(tls=tls, server_name=host)
    wire = Wire(raw.sock, wsproto.ConnectionType.CLIENT, step)
    try:
        wire.send(events.Request(host=host, target=path, **request))
        wire.accepted = wire.next(events.AcceptConnection)
    except BaseException:
        raw.close()
        raise
    return wire


def wire_server(connection, step=None, **accept):
    """wsproto's end of a harness.backends.Connection: reads the handshake, accepts it."""
    wire = Wire(connection.sock, wsproto.ConnectionType.SERVER, step)
    wire.request = wire.next(events.Request)
    wire.send(events.AcceptConnection(**accept))
    return wire


def wire_echo(connection):
    """For Backend(on_connection=…): echoes piece by piece, answers pings and closes."""
    wire = wire_server(connection)
    for event in wire.events():
        if isinstance(event, events.Message):
            wire.send(event)
        elif isinstance(event, events.Ping):
            wire.send(event.response())
        elif wire.protocol.state is wsproto.connection.ConnectionState.REMOTE_CLOSING:
            wire.send(event.response())
            return
