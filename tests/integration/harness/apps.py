"""One application in HTTP/1.1 and in HTTP/2, for tests that cross every client with every backend.

    POST /digest          answers "LENGTH SHA256" of the body
    POST /echo            sends the body back as it comes
    POST /early           answers 413 at once and reads nothing
    POST /trailers        answers the request's trailers as JSON
    GET  /bytes/N         N bytes of pattern(), with their length
    GET  /stream/N        the same, without
    GET  /trailers        a body and trailers
    GET  /hints           103, 103, then 200
    GET  /status/N        an answer without a body, if N has none, else "N"
    GET  /seen            the request as JSON
    GET  /hang            nothing, until the other side gives up
"""

import hashlib
import json
import random
import re

BLOCK = random.Random(1).randbytes(65536)
TRAILERS = [("x-checksum", "abc"), ("x-end", "yes")]


def pattern(size):
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


def pattern_pieces(size):
    for at in range(0, size, len(BLOCK)):
        yield BLOCK[:size - at]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def pattern_digest(size):
    sha = hashlib.sha256()
    for piece in pattern_pieces(size):
        sha.update(piece)
    return sha.hexdigest()


def number_in(path):
    return int(re.search(r"\d+", path)[0])


def told(seen, authority, **more):
    return json.dumps({"method": seen.method, "target": seen.target, "authority": authority,
                       "headers": seen.headers, **more}).encode()


# --- HTTP/1.1, for Backend(handle=…) -------------------------------------------------------------


def h1(connection, request):
    path = request.target
    if request.header("expect"):
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    if path == "/early":
        connection.reply("no more", status="413 Too Much", close=True)
        connection.sock.settimeout(1)  # not a reset, which would destroy the answer
        connection.rest()
        raise EOFError
    if path == "/echo":
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in h1_body(connection, request):
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.send(b"0\r\n\r\n")
        return
    count, sha = 0, hashlib.sha256()
    for piece in h1_body(connection, request):
        count += len(piece)
        sha.update(piece)
    if path == "/digest":
        connection.reply(f"{count} {sha.hexdigest()}")
    elif path == "/trailers" and request.method == "POST":
        connection.reply(json.dumps(request.trailers))
    elif path == "/trailers":
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                        b"Trailer: x-checksum, x-end\r\n\r\n4\r\nbody\r\n0\r\n" +
                        "".join(f"{k}: {v}\r\n" for k, v in TRAILERS).encode() + b"\r\n")
    elif path.startswith("/bytes/"):
        size = number_in(path)
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
        for piece in pattern_pieces(size if request.method != "HEAD" else 0):
            connection.send(piece)
    elif path.startswith("/stream/"):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pattern_pieces(number_in(path)):
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.send(b"0\r\n\r\n")
    elif path == "/hints":
        for link in ("</a>", "</b>"):
            connection.send(f"HTTP/1.1 103 Early Hints\r\nLink: {link}\r\n\r\n")
        connection.reply("hinted")
    elif path.startswith("/status/"):
        status = number_in(path)
        if status in (204, 304):
            connection.send(f"HTTP/1.1 {status} X\r\nETag: \"1\"\r\n\r\n")
        else:
            connection.reply(str(status), status=f"{status} X")
    elif path == "/hang":
        connection.rest()
        raise EOFError
    else:
        connection.reply(told(request, request.header("host")))


def h1_body(connection, request):
    """Yields the body; request.trailers after it."""
    request.trailers = []
    if "chunked" not in [value.lower() for value in request.all("transfer-encoding")]:
        left = int(request.header("content-length") or 0)
        while left:
            if not connection.buffer and not connection.fill():
                raise EOFError("closed inside a body")
            piece, connection.buffer = connection.buffer[:left], connection.buffer[left:]
            left -= len(piece)
            yield piece
        return
    while True:
        size = int(connection.line().split(b";")[0], 16)
        if not size:
            break
        yield connection.take(size)
        connection.line()
    while True:
        line = connection.line().decode("latin-1")
        if not line:
            return
        name, _, value = line.partition(":")
        request.trailers.append((name.lower(), value.strip()))


# --- HTTP/2, for Http2Backend(on_stream=…) -------------------------------------------------------


def h2(stream):
    path, method = stream.seen.target, stream.seen.method
    if stream.seen.header("expect"):
        stream.send_headers([(":status", "100")])
    if path == "/early":
        stream.send_headers([(":status", "413"), ("content-length", "7")])
        stream.send(b"no more", end=True)
        return
    if path == "/echo":
        stream.send_headers([(":status", "200")])
        for piece in stream.pieces():
            stream.send(piece)
        stream.end()
        return
    count, sha = stream.digest()
    if path == "/digest":
        h2_reply(stream, f"{count} {sha}".encode())
    elif path == "/trailers" and method == "POST":
        h2_reply(stream, json.dumps(stream.trailers or []).encode())
    elif path == "/trailers":
        stream.send_headers([(":status", "200"), ("trailer", "x-checksum, x-end")])
        stream.send(b"body")
        stream.end(TRAILERS)
    elif path.startswith(("/bytes/", "/stream/")):
        size = number_in(path)
        length = [("content-length", str(size))] if path.startswith("/bytes/") else []
        head = method == "HEAD"
        stream.send_headers([(":status", "200"), *length], end=head)
        for piece in pattern_pieces(0 if head else size):
            stream.send(piece)
        if not head:
            stream.end()
    elif path == "/hints":
        for link in ("</a>", "</b>"):
            stream.send_headers([(":status", "103"), ("link", link)])
        h2_reply(stream, b"hinted")
    elif path.startswith("/status/"):
        status = number_in(path)
        if status in (204, 304):
            stream.send_headers([(":status", str(status)), ("etag", '"1"')], end=True)
        else:
            h2_reply(stream, str(status).encode(), status)
    elif path == "/hang":
        stream.wait_reset(120)
    else:
        h2_reply(stream, told(stream.seen, stream.seen.authority, scheme=stream.seen.scheme,
                              serial=str(stream.peer.connection.client_serial)))


def h2_reply(stream, body=b"", status=200):
    head = stream.seen.method == "HEAD"
    stream.send_headers([(":status", str(status)), ("content-length", str(len(body)))], end=head)
    if not head:
        stream.send(body, end=True)
