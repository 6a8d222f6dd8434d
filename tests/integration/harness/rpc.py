"""gRPC by its C core, client and server. Messages are bytes: what they hold is nobody's concern."""

import os
import queue
import threading
from concurrent import futures

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # processes are started beside it
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc  # noqa: E402

SERVICE = "handfast.Test"
SIZES = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Server:
    """Demands client certificates of `client_ca` if it has a leaf. What it saw of calls is in
    `calls`: (method, metadata, seconds left, the client's name)."""

    def __init__(self, leaf=None, client_ca=None):
        self.calls, self.cancelled = [], []
        self.release = threading.Event()
        self.server = grpc.server(futures.ThreadPoolExecutor(300), options=[
            *SIZES, ("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((Handlers(self),))
        if leaf is None:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        else:
            credentials = grpc.ssl_server_credentials(
                [(leaf.key_pem.encode(), leaf.chain_pem.encode())], client_ca.encode(),
                require_client_auth=True)
            self.port = self.server.add_secure_port("127.0.0.1:0", credentials)
        self.server.start()

    def close(self):
        self.release.set()
        self.server.stop(None).wait(20)

    # Each gets the request, or an iterator of them, and the context.

    def unary(self, request, context):
        context.send_initial_metadata([("x-initial", "1"), ("x-initial-bin", b"\0\xff")])
        context.set_trailing_metadata([("x-trailing", "2"), ("x-trailing-bin", b"\xff\0")])
        return request

    def client_stream(self, requests, _context):
        return b"".join(requests)

    def server_stream(self, request, _context):
        for at in range(len(request)):
            yield request[at:at + 1]

    def both_stream(self, requests, _context):
        yield from requests

    def fail(self, request, context):
        context.set_trailing_metadata([("x-why", "because")])
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, request.decode())

    def hang(self, _request, context):
        """Until the client is gone, or the server is closed."""
        gone = threading.Event()
        context.add_callback(gone.set)
        while not gone.wait(0.02) and not self.release.is_set():
            pass
        if gone.is_set():
            self.cancelled.append(context)
        return b"released"


class Handlers(grpc.GenericRpcHandler):
    KINDS = {"unary": grpc.unary_unary_rpc_method_handler,
             "client_stream": grpc.stream_unary_rpc_method_handler,
             "server_stream": grpc.unary_stream_rpc_method_handler,
             "both_stream": grpc.stream_stream_rpc_method_handler,
             "fail": grpc.unary_unary_rpc_method_handler,
             "hang": grpc.unary_unary_rpc_method_handler}

    def __init__(self, server):
        self.server = server

    def service(self, details):
        service, method = details.method[1:].split("/")
        if service != SERVICE or method not in self.KINDS:
            return None

        def run(request, context):
            name = context.auth_context().get("x509_common_name", [b""])[0].decode()
            self.server.calls.append((method, details.invocation_metadata,
                                      context.time_remaining(), name))
            return getattr(self.server, method)(request, context)

        return self.KINDS[method](run)


class Client:
    """A channel to the proxy; TLS where `ca` is given, with the certificate `leaf`."""

    def __init__(self, front, host, ca=None, leaf=None):
        address = front.https if ca else front.http
        options = [("grpc.default_authority", host), *SIZES, ("grpc.enable_retries", 0),
                   ("grpc.use_local_subchannel_pool", 1)]
        target = f"ipv4:{address[0]}:{address[1]}"
        if ca:
            pair = (leaf.key_pem.encode(), leaf.chain_pem.encode()) if leaf else ()
            self.channel = grpc.secure_channel(
                target, grpc.ssl_channel_credentials(ca.cert_pem.encode(), *pair),
                [*options, ("grpc.ssl_target_name_override", host)])
        else:
            self.channel = grpc.insecure_channel(target, options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def method(self, name, kind):
        return getattr(self.channel, kind)(f"/{SERVICE}/{name}")

    @property
    def unary(self):
        return self.method("unary", "unary_unary")

    @property
    def hang(self):
        return self.method("hang", "unary_unary")

    @property
    def fail(self):
        return self.method("fail", "unary_unary")

    @property
    def client_stream(self):
        return self.method("client_stream", "stream_unary")

    @property
    def server_stream(self):
        return self.method("server_stream", "unary_stream")

    @property
    def both_stream(self):
        return self.method("both_stream", "stream_stream")


class Talk:
    """A stream in both directions that answers message by message."""

    def __init__(self, client, **options):
        self._out = queue.Queue()
        self.call = client.both_stream(iter(self._out.get, None), **options)

    def say(self, message):
        self._out.put(message)
        return next(self.call)

    def end(self):
        """The status, once both sides have ended."""
        self._out.put(None)
        for _ in self.call:
            raise ValueError("one message more")
        return self.call.code()
