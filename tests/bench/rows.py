"""The rows of the table."""

import dataclasses

OURS = "handfast"
PEERS = ("nginx", "haproxy")
FLOOR = "floor"


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    load: str                # wrk, h2load, connects, idle, idle-h2
    target: float            # of the better peer; None: reported only
    tls: bool = True         # from the client
    path: str = "/1k"
    hosts: dict = dataclasses.field(default_factory=dict)  # where not keep.bench
    instance: str = "log"    # log, silent or two
    floor: bool = False
    needs: str = ""          # h2 upstream: who can't is n/a
    connections: int = 64
    columns: tuple = (OURS, *PEERS)

    @property
    def unit(self):
        return "bytes" if self.load.startswith("idle") else "us"

    @property
    def http2(self):
        return self.load in ("h2load", "idle-h2")

    def host(self, column):
        return self.hosts.get(column, "keep.bench")


CLOSES = {OURS: "close.bench", "nginx": "full.bench", "haproxy": "full.bench"}
CLOSES_RESUMED = dict.fromkeys((OURS, *PEERS), "close.bench")

ROWS = (
    Row("plain", "1 KiB, HTTP/1.1 -> mTLS", "wrk", 0.80, tls=False, floor=True),
    Row("plain-nolog", "the same, no access log", "wrk", 0.80, tls=False, floor=True,
        instance="silent"),
    Row("https", "1 KiB, HTTPS/1.1 -> mTLS", "wrk", 0.80, floor=True),
    Row("https-nolog", "the same, no access log", "wrk", 0.80, floor=True, instance="silent"),
    Row("h2", "1 KiB, HTTP/2 -> mTLS", "h2load", 0.80),
    Row("h2-nolog", "the same, no access log", "h2load", 0.80, instance="silent"),
    # nginx 1.22 has no HTTP/2 to backends: the target compares with what the peers do instead.
    Row("h2-h2", "1 KiB, HTTP/2 -> HTTP/2 over mTLS; peers HTTP/2 -> HTTP/1.1", "h2load", 0.50,
        hosts={OURS: "h2.bench"}, needs=OURS),
    Row("h2-h2-both", "the same, HAProxy HTTP/2 to the backend too", "h2load", 1.00,
        hosts=dict.fromkeys((OURS, "haproxy"), "h2.bench"), needs="all",
        columns=(OURS, "haproxy")),
    Row("mib", "1 MiB, HTTPS/1.1 -> mTLS", "wrk", 0.85, path="/1m", connections=16),
    Row("upstream", "new backend connection per request; peers: full handshake", "wrk", 0.40,
        tls=False, hosts=CLOSES, connections=16),
    Row("upstream-resumed", "the same, peers resume too", "wrk", 1.00, tls=False,
        hosts=CLOSES_RESUMED, connections=16),
    Row("connect", "new client TLS connection per request, 1 worker", "connects", 1.00,
        connections=4),
    Row("connect-two", "the same, 2 workers, nothing pinned", "connects", 1.00, instance="two",
        connections=4),
    Row("idle", "memory of an idle TLS client, HTTP/1.1", "idle", 1.05, connections=1000),
    Row("idle-h2", "the same, HTTP/2", "idle-h2", None, connections=1000),
)
