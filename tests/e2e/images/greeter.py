"""The Service of manifests/examples/grpc: over TLS, each method answers what it was sent."""

import pathlib
from concurrent import futures

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, _call):
        return grpc.unary_unary_rpc_method_handler(lambda request, _context: request)


key, chain, ca = (pathlib.Path("/tls", name) for name in ("tls.key", "tls.crt", "ca.crt"))
server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(Echo(),))
server.add_secure_port("0.0.0.0:8443", grpc.ssl_server_credentials(
    [(key.read_bytes(), chain.read_bytes())], ca.read_bytes(), require_client_auth=True))
server.start()
server.wait_for_termination()
