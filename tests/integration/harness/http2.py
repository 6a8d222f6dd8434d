"""HTTP/2 by python3-h2, on both ends: whole messages with flow control, and frame by frame."""

import contextlib
import hashlib
import itertools
import queue
import select
import socket
import ssl
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack
from hyperframe import frame as frames

from . import clients, manifests
from .backends import Backend, Seen

ANNOTATION = manifests.OWN + "upstream-http2"
CODES = h2.errors.ErrorCodes
SETTINGS = h2.settings.SettingCodes

# What a peer lets the other send at once, unless it is told otherwise.
WINDOW = 1024 * 1024
MAX_QUEUED = 1024 * 1024


class StreamReset(Exception):
    def __init__(self, code):
        super().__init__(f"stream reset: {code!r}")
        self.code = code


class ConnectionLost(Exception):
    pass


def as_bytes(fields):
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


class Stream:
    """One stream at either end. What was received waits in it; reading gives the window back."""

    def __init__(self, peer, number):
        self.peer, self.number = peer, number
        self.heads = []  # lists of (name, value); of a client 1xx first
        self.trailers = None
        self.ended = False         # the other half
        self.finished = False      # ours, or all of it by a reset
        self.reset_by_peer = None  # the code
        self._pieces = queue.Queue()
        self._rest = b""

    # --- sending --------------------------------------------------------------------------------

    def send_headers(self, fields, end=False):
        self.finished = self.finished or end
        self.peer.locked(lambda h2_: h2_.send_headers(self.number, as_bytes(fields),
                                                      end_stream=end))

    def send(self, data, end=False):
        """As the other side's windows allow; blocks till then."""
        view = memoryview(data)
        self.finished = self.finished or end
        while len(view) or end:
            view = view[self.peer.send_some(self, view, end):]
            if not len(view):
                return

    def end(self, trailers=None):
        self.finished = True
        if trailers:
            self.send_headers(trailers, end=True)
        else:
            self.peer.locked(lambda h2_: h2_.end_stream(self.number))

    def reset(self, code=CODES.CANCEL):
        self.finished = True
        self.peer.locked(lambda h2_: h2_.reset_stream(self.number, code))
        while not self._pieces.empty():  # the connection's window, for what nobody will read
            piece = self._pieces.get()
            self.peer.give_back(self, piece[1] if piece else 0)
        self._on_over()

    # --- receiving ------------------------------------------------------------------------------

    def head(self, timeout=30, final=True):
        """The (final) head, as a Response without body."""
        def there():
            for fields in self.heads:
                if not final or not fields[0][1].startswith("1"):
                    return fields
            self._check()
            return None

        fields = self.peer.wait(there, timeout, f"a head on stream {self.number}")
        return clients.Response(int(fields[0][1]), "", "HTTP/2", fields[1:], b"")

    def _check(self):
        if self.ended:
            return  # a reset that follows only says that no more of the request is wanted
        if self.reset_by_peer is not None:
            raise StreamReset(self.reset_by_peer)
        if self.peer.lost:
            raise ConnectionLost(f"{self.peer.lost}; GOAWAY {self.peer.goaway}")

    def read(self, timeout=30):
        """The next piece of body; empty: there is no more."""
        piece = self._pieces.get(timeout=timeout)
        if piece is None:
            self._pieces.put(None)
            self._check()
            return b""
        data, size = piece
        self.peer.give_back(self, size)
        return data

    def pieces(self, timeout=30):
        while True:
            data = self.read(timeout)
            if not data:
                return
            yield data

    def body(self, timeout=30):
        return b"".join(self.pieces(timeout))

    def digest(self, timeout=60):
        """(length, sha256) of what comes."""
        count, sha = 0, hashlib.sha256()
        for piece in self.pieces(timeout):
            count += len(piece)
            sha.update(piece)
        return count, sha.hexdigest()

    def response(self, timeout=30):
        response = self.head(timeout)
        response.body = self.body(timeout)
        response.trailers = self.trailers
        return response

    def wait_reset(self, timeout=30):
        """The code with which the other side resets."""
        return self.peer.wait(lambda: self.reset_by_peer is not None and (self.reset_by_peer,),
                              timeout, f"a reset of stream {self.number}")[0]

    def _on_data(self, event):
        if event.data:
            self._pieces.put((event.data, event.flow_controlled_length))
        else:
            self.peer.give_back(self, event.flow_controlled_length)

    def _on_over(self):
        self._pieces.put(None)


class Peer:
    """One end of a connection. One thread does its I/O, any may use its streams.

    A client opens streams with request(); of a server `on_stream(stream)` runs in a thread of its
    own for each. `settings` are said at the start; `window` is what the connection as a whole is
    given beyond what the protocol begins with. A server says `max_streams` and refuses what is
    more, as the client may not have known yet; python-h2 alone would end the connection."""

    def __init__(self, sock, client, on_stream=None, settings=None, window=WINDOW,
                 connection=None, max_streams=None):
        self.sock, self.on_stream, self.connection = sock, on_stream, connection
        self.streams = {}
        self.goaway = None  # (last stream, code)
        self.lost = None    # why nothing more comes
        self.max_streams = max_streams
        self.pongs = 0
        self.remote_settings = {}
        self.opened = 0
        self._condition = threading.Condition(threading.RLock())
        self._out = bytearray()
        self._closing = False
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=client, header_encoding="latin-1", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        # python-h2 takes nothing after a GOAWAY, though streams go on (RFC 9113 6.8).
        self._h2._frame_dispatch_table[frames.GoAwayFrame] = self._on_goaway
        self._h2.local_settings = h2.settings.Settings(client=client, initial_values={
            SETTINGS.ENABLE_PUSH: 0, SETTINGS.INITIAL_WINDOW_SIZE: WINDOW,
            SETTINGS.MAX_CONCURRENT_STREAMS: 1000, **(settings or {})})
        self._h2.initiate_connection()
        if window:
            self._h2.increment_flow_control_window(window)
        self._out += self._h2.data_to_send()
        if max_streams is not None:
            self._out += frames.SettingsFrame(
                0, settings={SETTINGS.MAX_CONCURRENT_STREAMS: max_streams}).serialize()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- for any thread -------------------------------------------------------------------------

    def request(self, host, path="/", method="GET", headers=(), scheme="http", end=True):
        with self._condition:
            stream = self._new(self._h2.get_next_available_stream_id())
            self._h2.send_headers(stream.number, as_bytes([
                (":method", method), (":scheme", scheme), (":authority", host), (":path", path),
                *headers]), end_stream=end)
            self._flush()
        return stream

    def fetch(self, host, path="/", method="GET", headers=(), body=None, timeout=30, **options):
        """A request and its response, which may come before the body is sent, and end it."""
        stream = self.request(host, path, method, headers, end=body is None, **options)
        if body is not None:
            with contextlib.suppress(StreamReset, h2.exceptions.StreamClosedError):
                stream.send(body, end=True)
        return stream.response(timeout)

    def locked(self, step):
        with self._condition:
            if self.lost:
                raise ConnectionLost(self.lost)
            result = step(self._h2)
            self._flush()
            return result

    def raw(self, data):
        """Bytes that python-h2 doesn't know of."""
        with self._condition:
            self._out += data
            self._wake.send(b"x")

    def ping(self, timeout=30):
        before = self.pongs
        self.locked(lambda h2_: h2_.ping(b"12345678"))
        self.wait(lambda: self.pongs > before or self.lost, timeout, "a pong")

    def send_goaway(self, last, code=CODES.NO_ERROR):
        """The frame alone: python-h2 would take the connection for closed."""
        goaway = frames.GoAwayFrame(0, last_stream_id=last, error_code=code)
        self.raw(goaway.serialize())

    def wait(self, check, timeout, what):
        with self._condition:
            deadline = time.monotonic() + timeout
            while True:
                found = check()
                if found:
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{what}: not within {timeout} s")
                self._condition.wait(left)

    def wait_lost(self, timeout=30):
        self.wait(lambda: self.lost, timeout, "the end of the connection")

    def unfinished(self):
        with self._condition:
            return [stream for stream in self.streams.values() if not stream.finished]

    def close(self):
        with self._condition:
            self._closing = True
            try:
                self._wake.send(b"x")
            except OSError:
                pass
        if threading.current_thread() is not self._thread:
            self._thread.join(20)

    # --- for streams ----------------------------------------------------------------------------

    def send_some(self, stream, view, end):
        with self._condition:
            def room():
                stream._check()
                if self.lost:
                    raise ConnectionLost(self.lost)
                if len(self._out) > MAX_QUEUED:
                    return None
                window = self._h2.local_flow_control_window(stream.number)
                return (min(window, len(view)),) if window > 0 or not len(view) else None

            size = self.wait(room, 120, f"a window for stream {stream.number}")[0]
            step = self._h2.max_outbound_frame_size
            for at in range(0, size, step):
                piece = bytes(view[at:min(at + step, size)])
                self._h2.send_data(stream.number, piece,
                                   end_stream=end and at + len(piece) == len(view))
            if not len(view) and end:
                self._h2.end_stream(stream.number)
            self._flush()
            return size

    def give_back(self, stream, size):
        if not size:
            return
        with self._condition:
            try:
                self._h2.acknowledge_received_data(size, stream.number)
            except Exception:  # noqa: B902, the stream or the connection is over
                return
            self._flush()

    # --- I/O ------------------------------------------------------------------------------------

    def _new(self, number):
        stream = self.streams[number] = Stream(self, number)
        self.opened += 1
        return stream

    def _flush(self):
        data = self._h2.data_to_send()
        if data:
            self._out += data
            try:
                self._wake.send(b"x")
            except OSError:
                pass

    def _run(self):
        self.sock.setblocking(False)
        try:
            while self._step():
                pass
        except (OSError, ValueError) as error:
            self._end(repr(error))
        except Exception as error:  # noqa: B902, h2 found the other side's fault
            self._end(f"protocol: {error!r}")
        finally:
            self.sock.close()
            with self._condition:
                self._wake.close()
                self._woken.close()

    def _step(self):
        buffered = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
        with self._condition:
            writers = [self.sock] if self._out else []
        readable, _, _ = select.select([self.sock, self._woken], writers, [],
                                       0 if buffered else 5)
        if self._woken in readable:
            self._woken.recv(65536)
        with self._condition:
            if self._closing:
                self._write()
                self._end("closed by the test")
                return False
            if not self._read():
                return False
            self._write()
        return True

    def _write(self):
        while self._out:
            try:
                sent = self.sock.send(memoryview(self._out)[:262144])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            del self._out[:sent]
            self._condition.notify_all()

    def _read(self):
        while True:
            try:
                data = self.sock.recv(262144)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return True
            if not data:
                self._end("end of stream")
                return False
            try:
                events = self._h2.receive_data(data)
            except Exception:
                self._out += self._h2.data_to_send()  # a GOAWAY that says why
                self._write()
                raise
            for event in events:
                self._on(event)
            self._flush()
            self._condition.notify_all()

    def _end(self, why):
        with self._condition:
            self.lost = self.lost or why
            for stream in self.streams.values():
                stream._on_over()
            self._condition.notify_all()

    def _on(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            if self.max_streams is not None and len(self.unfinished()) >= self.max_streams:
                self._h2.reset_stream(event.stream_id, CODES.REFUSED_STREAM)
                return
            stream = self._new(event.stream_id)
            stream.heads.append(event.headers)
            if self.on_stream is not None:
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()
        elif isinstance(event, (h2.events.ResponseReceived,
                                h2.events.InformationalResponseReceived)):
            stream.heads.append(event.headers)
        elif isinstance(event, h2.events.DataReceived) and stream is not None:
            stream._on_data(event)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded) and stream is not None:
            stream.ended = True
            stream._on_over()
        elif isinstance(event, h2.events.StreamReset) and stream is not None:
            if event.remote_reset:
                stream.reset_by_peer, stream.finished = event.error_code, True
                stream._on_over()
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.remote_settings.update(
                {key: change.new_value for key, change in event.changed_settings.items()})

    def _on_goaway(self, frame):
        self.goaway = (frame.last_stream_id, frame.error_code)
        return [], []

    def _serve(self, stream):
        try:
            self.on_stream(stream)
        except (StreamReset, ConnectionLost, h2.exceptions.ProtocolError, queue.Empty,
                TimeoutError, OSError):
            pass


def connect(front, host=None, tls=None, timeout=20, **options):
    """A client's connection to the proxy: ALPN over TLS, prior knowledge without. `tls` may be a
    context, which then offers HTTP/2 alone."""
    context = None
    if tls:
        context = tls if isinstance(tls, ssl.SSLContext) else clients.any_client_context()
        context.set_alpn_protocols(["h2"])
    raw = front.connect(tls=context, server_name=host, timeout=timeout) if tls else \
        front.connect(timeout=timeout)
    if tls and raw.sock.selected_alpn_protocol() != "h2":
        raw.close()
        raise ConnectionLost("ALPN chose something else than h2")
    return Peer(raw.sock, client=True, **options)


class Http2Backend(Backend):
    """A backend of HTTP/2: by ALPN over TLS, else by prior knowledge. `on_stream(stream)` answers
    a request; `peers` are the connections. Where ALPN chose HTTP/1.1, `handle` answers."""

    def __init__(self, leaf=None, *, on_stream, alpn=("h2",), settings=None, window=WINDOW,
                 max_streams=None, **options):
        self.peers = []
        self._on_stream = on_stream
        self._options = {"settings": settings, "window": window, "max_streams": max_streams}
        super().__init__(leaf, alpn=list(alpn), on_connection=self._on_connection, **options)

    def _on_connection(self, connection):
        if isinstance(connection.sock, ssl.SSLSocket) and \
                connection.sock.selected_alpn_protocol() != "h2":
            self._requests(connection)
            return
        peer = Peer(connection.sock, client=False, on_stream=self._count,
                    connection=connection, **self._options)
        self.peers.append(peer)
        peer._thread.join()

    def _count(self, stream):
        fields = stream.heads[0]
        pseudo = dict(field for field in fields if field[0].startswith(":"))
        stream.seen = Seen(pseudo[":method"], pseudo[":path"],
                           [field for field in fields if not field[0].startswith(":")], None,
                           stream.peer.connection)
        stream.seen.stream = stream
        stream.seen.authority = pseudo.get(":authority")
        stream.seen.scheme = pseudo.get(":scheme")
        with self._lock:
            self.seen.append(stream.seen)
        self._on_stream(stream)

    def close(self):
        super().close()
        for peer in self.peers:
            peer.close()


class Frames:
    """A client that sends frames as it likes and reads what comes, frame by frame."""

    def __init__(self, front, host="h", tls=None, settings=None):
        context = None
        if tls:
            context = clients.any_client_context()
            context.set_alpn_protocols(["h2"])
        self.raw = front.connect(tls=context, server_name=host) if tls else front.connect()
        self.host = host
        self.hpack = hpack.Encoder()
        self._numbers = itertools.count(1, 2)
        self.send_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.send(frames.SettingsFrame(0, settings=settings or {}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    def send_bytes(self, data):
        self.raw.sock.sendall(data)

    def send(self, *some):
        self.send_bytes(b"".join(one.serialize() for one in some))

    def block(self, path="/", method="GET", extra=()):
        return self.hpack.encode([(":method", method), (":scheme", "http"),
                                  (":authority", self.host), (":path", path), *extra])

    def headers(self, *flags, number=None, **options):
        """A HEADERS frame that opens the next stream."""
        return frames.HeadersFrame(number or next(self._numbers), data=self.block(**options),
                                   flags=["END_HEADERS", *flags])

    def read(self):
        """The next frame; None: the connection ended."""
        try:
            header = self.raw.take(9)
            frame, length = frames.Frame.parse_frame_header(memoryview(header))
            frame.parse_body(memoryview(self.raw.take(length)))
        except (EOFError, OSError):
            return None
        return frame

    def read_until(self, kind, **fields):
        """Frames up to one of this kind; None if the connection ends before."""
        while True:
            frame = self.read()
            if frame is None:
                return None
            if isinstance(frame, kind) and all(getattr(frame, k) == v for k, v in fields.items()):
                return frame

    def flood(self, make, count):
        """Sends `count` frames, as many as can be sent; then the GOAWAY's code, or None."""
        batch = bytearray()
        try:
            for _ in range(count):
                batch += make()
                if len(batch) > 8192:
                    self.send_bytes(bytes(batch))
                    batch.clear()
            self.send_bytes(bytes(batch))
        except OSError:
            pass
        goaway = self.read_until(frames.GoAwayFrame)
        return goaway.error_code if goaway is not None else None
