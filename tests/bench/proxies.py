"""The contestants and the backend: their configuration, their processes, what those cost.

Each contestant serves the same hosts over the same certificates, sets the same headers towards the
backend and verifies it:

  keep.bench   the backend keeps connections alive
  close.bench  the backend closes after each response; sessions may be resumed
  full.bench   the same, and the peers don't resume (Handfast has one switch for all: it does)
  h2.bench     HTTP/2 to the backend, where the proxy can
"""

import http.client
import os
import pathlib
import re
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness import manifests  # noqa: E402
from harness.processes import Process, wait_for_line  # noqa: E402
from harness.waiting import eventually  # noqa: E402

from material import BACKEND_NAME  # noqa: E402

HOSTS = ("keep.bench", "close.bench", "full.bench", "h2.bench")
TICKS = os.sysconf("SC_CLK_TCK")


def free_ports(count):
    """nginx and HAProxy can't bind port 0 and tell."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def wait_until_it_accepts(process, port):
    def check():
        if not process.is_running():
            raise RuntimeError(process.tail())
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True

    eventually(check, f"{process.name} accepts")


# --- what processes cost --------------------------------------------------------------------------

def family(pid):
    """A process and its children, theirs too."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def cpu_seconds(pids):
    """User and system time of all their threads, as /proc/PID/stat has it, but in nanoseconds
    instead of ticks; none of these programs ends a thread meanwhile."""
    return sum(int((task / "schedstat").read_text().split()[0])
               for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def resident_kilobytes(pids):
    return sum(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
               for pid in pids)


def machine_busy_seconds():
    """All cores: user, nice, system, irq, softirq."""
    fields = list(map(int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]))
    return (sum(fields[0:3]) + sum(fields[5:7])) / TICKS


# --- the backend ----------------------------------------------------------------------------------

def nginx_start(folder, name, config, prefix):
    place = folder / name
    place.mkdir()
    path = place / "nginx.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""
    temporary = "".join(f"  {kind}_temp_path {place}/{kind};\n" for kind in (
        "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    path.write_text(f"{user}daemon off;\npid {place}/pid;\nerror_log {place}/error.log warn;\n"
                    f"worker_rlimit_nofile 20000;\nevents {{ worker_connections 16000; }}\n"
                    + config.replace("http {\n", "http {\n" + temporary, 1))
    return Process([*prefix, "nginx", "-p", place, "-c", path], place, name=name)


class Backend:
    """nginx, which demands a client certificate."""

    def __init__(self, folder, material, prefix):
        self.keep, self.close, self.http2, self._status = free_ports(4)
        server = f"""
    ssl_certificate {material.backend.certificate};
    ssl_certificate_key {material.backend.key};
    ssl_client_certificate {material.ca};
    ssl_verify_client on;
    root {material.root};
    location = /protocol {{ return 200 "$server_protocol $ssl_session_reused"; }}
"""
        self.process = nginx_start(folder, "backend", f"""
worker_processes 1;
http {{
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 600s;
  open_file_cache max=100;
  default_type application/octet-stream;
  server {{ listen 127.0.0.1:{self.keep} ssl backlog=4096;{server} }}
  server {{ listen 127.0.0.1:{self.close} ssl backlog=4096; keepalive_timeout 0;{server} }}
  server {{ listen 127.0.0.1:{self.http2} ssl http2 backlog=4096;{server} }}
  server {{ listen 127.0.0.1:{self._status}; location / {{ stub_status; }} }}
}}
""", prefix)
        wait_until_it_accepts(self.process, self.http2)
        self._asking = http.client.HTTPConnection("127.0.0.1", self._status, timeout=10)

    def requests(self):
        """How many it has answered so far."""
        self._asking.request("GET", "/")
        return int(self._asking.getresponse().read().split()[9])

    def pids(self):
        return family(self.process.pid)


# --- the contestants ------------------------------------------------------------------------------

class Contestant:
    """`plain` and `tls` are its ports."""

    process = None
    log = None
    plain = tls = None

    def pids(self):
        return family(self.process.pid)

    def forget_log(self):
        """Everybody appends, so that the file may be cut short."""
        if self.log is not None:
            os.truncate(self.log, 0)

    def close(self):
        self.process.stop()


class Nginx(Contestant):
    LOG = ("log_format json escape=json '{\"time\":\"$time_iso8601\",\"client\":\"$remote_addr\","
           "\"scheme\":\"$scheme\",\"method\":\"$request_method\",\"host\":\"$host\","
           "\"target\":\"$request_uri\",\"protocol\":\"$server_protocol\",\"status\":$status,"
           "\"duration\":$request_time,\"request_bytes\":$request_length,"
           "\"response_bytes\":$body_bytes_sent,\"request_id\":\"$request_id\","
           "\"user_agent\":\"$http_user_agent\",\"referer\":\"$http_referer\","
           "\"tls_version\":\"$ssl_protocol\",\"tls_cipher\":\"$ssl_cipher\","
           "\"tls_server_name\":\"$ssl_server_name\",\"upstream\":\"$upstream_addr\","
           "\"upstream_status\":\"$upstream_status\","
           "\"upstream_time\":\"$upstream_response_time\"}';")

    def __init__(self, folder, name, material, backend, prefix, workers, log):
        self.plain, self.tls = free_ports(2)
        ports = {"keep.bench": backend.keep, "close.bench": backend.close,
                 "full.bench": backend.close, "h2.bench": backend.keep}
        self.log = folder / f"{name}.access.log" if log else None
        # Written in batches, no later than ours: the cheapest way that nginx has.
        access = (f"{self.LOG}\n  access_log {self.log} json buffer=64k flush=100ms;" if log
                  else "access_log off;")
        servers = "".join(self._server(host, port) for host, port in ports.items())
        self.process = nginx_start(folder, name, f"""
worker_processes {workers};
http {{
  {access}
  keepalive_requests 100000000;
  keepalive_timeout 600s;
  tcp_nodelay on;
  ssl_certificate {material.front.certificate};
  ssl_certificate_key {material.front.key};
  ssl_protocols TLSv1.2 TLSv1.3;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_set_header X-Request-ID $request_id;
  proxy_set_header X-Real-IP $remote_addr;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Scheme $scheme;
  proxy_set_header X-Scheme $scheme;
  proxy_max_temp_file_size 0;
  proxy_buffers 16 16k;
  proxy_ssl_certificate {material.client.certificate};
  proxy_ssl_certificate_key {material.client.key};
  proxy_ssl_trusted_certificate {material.ca};
  proxy_ssl_verify on;
  proxy_ssl_name {BACKEND_NAME};
  proxy_ssl_server_name on;
  proxy_ssl_protocols TLSv1.2 TLSv1.3;
{servers}
}}
""", prefix)
        wait_until_it_accepts(self.process, self.tls)

    def _server(self, host, port):
        # Options of a socket are said once.
        options = " reuseport backlog=4096" if host == HOSTS[0] else ""
        reuse = "off" if host == "full.bench" else "on"
        return f"""
  upstream {host} {{
    server 127.0.0.1:{port};
    keepalive 64;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{self.plain}{options};
    listen 127.0.0.1:{self.tls} ssl http2{options};
    server_name {host};
    proxy_ssl_session_reuse {reuse};
    location / {{ proxy_pass https://{host}; }}
  }}
"""


class Haproxy(Contestant):
    LOG = ('log-format \'{"time":"%tr","client":"%ci","method":"%HM","host":"%[var(txn.host)]",'
           '"target":"%HU","protocol":"%HV","status":%ST,"duration":%Ta,"request_bytes":%U,'
           '"response_bytes":%B,"request_id":"%ID","user_agent":"%[var(txn.agent)]",'
           '"referer":"%[var(txn.referer)]","tls_version":"%sslv","tls_cipher":"%sslc",'
           '"tls_server_name":"%[ssl_fc_sni]","upstream":"%si:%sp","upstream_time":%Tr}\'')

    def __init__(self, folder, name, material, backend, prefix, workers, log):
        self.plain, self.tls = free_ports(2)
        place = folder / name
        place.mkdir()
        server = (f"ssl crt {material.client.together()} ca-file {material.ca} verify required "
                  f"verifyhost {BACKEND_NAME} sni str({BACKEND_NAME}) pool-purge-delay 600s")
        servers = {"keep.bench": f"{backend.keep} {server}",
                   "close.bench": f"{backend.close} {server}",
                   "full.bench": f"{backend.close} {server} no-ssl-reuse",
                   "h2.bench": f"{backend.http2} {server} alpn h2"}
        backends = "".join(f"backend {host}\n  server one 127.0.0.1:{rest}\n"
                           for host, rest in servers.items())
        logging = f"""  option httplog
  log global
  {self.LOG}
  http-request set-var(txn.host) req.hdr(host)
  http-request set-var(txn.agent) req.hdr(user-agent)
  http-request set-var(txn.referer) req.hdr(referer)
""" if log else ""
        choice = "".join(f"  use_backend {host} if {{ req.hdr(host) -i {host} }}\n"
                         for host in HOSTS)
        frontend = f"""
{logging}  unique-id-format %[uuid()]
  unique-id-header X-Request-ID
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Proto SCHEME
  http-request set-header X-Forwarded-Scheme SCHEME
  http-request set-header X-Scheme SCHEME
{choice}"""
        path = place / "haproxy.cfg"
        path.write_text(f"""
global
  nbthread {workers}
  maxconn 8000
  {'log stdout format raw local0' if log else ''}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  http-reuse always
frontend plain
  bind 127.0.0.1:{self.plain} backlog 4096{frontend.replace('SCHEME', 'http')}
frontend tls
  bind 127.0.0.1:{self.tls} backlog 4096 ssl crt {material.front.together()} alpn h2,http/1.1{
      frontend.replace('SCHEME', 'https')}
{backends}""")
        self.log = folder / f"{name}.access.log"  # of HAProxy's targets, its stdout alone is a file
        with open(self.log, "ab") as out:
            self.process = Process([*prefix, "haproxy", "-db", "-f", path], place, name=name,
                                   stdout=out)
        wait_until_it_accepts(self.process, self.tls)


class Handfast(Contestant):
    """`crl`: the list that the backend's certificate is looked up in."""

    def __init__(self, binaries, folder, name, material, backend, prefix, workers, log, crl=None,
                 flags=()):
        place = folder / name
        (place / "manifests").mkdir(parents=True)
        self._write(place / "manifests" / "bench.yaml", material, backend, crl)
        self.log = folder / f"{name}.access.log" if log else None
        self.process = Process(
            [*prefix, binaries / "handfast", "run", place / "manifests", "--state-dir",
             place / "state", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--metrics",
             "127.0.0.1:0", "--admin", "off", "--workers", workers, "--access-log",
             self.log or "off", "--keep-alive-requests", "0", "--default-ssl-certificate",
             "bench/front", *flags], place, name=name)
        ports = [int(wait_for_line(self.process, name, message="listening", listener=listener)
                     ["address"].rpartition(":")[2]) for listener in ("http", "https")]
        self.plain, self.tls = ports
        self._proxy = eventually(self._find_proxy, f"the proxy of {name}")

    def _find_proxy(self):
        return next((pid for pid in family(self.process.pid)[1:]
                     if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "handfast-proxy"),
                    None)

    def pids(self):
        """The data plane: the controller sleeps meanwhile, and is no part of a peer either."""
        return [self._proxy]

    @staticmethod
    def _write(path, material, backend, crl):
        annotations = {"backend-protocol": "HTTPS", "proxy-ssl-secret": "bench/upstream",
                       "proxy-ssl-verify": "on", "proxy-ssl-name": BACKEND_NAME,
                       "ssl-redirect": "false"}
        ports = {"keep": backend.keep, "close": backend.close, "full": backend.close,
                 "h2": backend.http2}
        objects = [manifests.ingress_class(),
                   manifests.secret("upstream", namespace="bench",
                                    tls_crt=material.client.certificate.read_bytes(),
                                    tls_key=material.client.key.read_bytes(),
                                    ca_crt=material.ca.read_bytes(), ca_crl=crl),
                   manifests.secret("front", namespace="bench",
                                    tls_crt=material.front.certificate.read_bytes(),
                                    tls_key=material.front.key.read_bytes())]
        for name, port in ports.items():
            more = {"handfast.dev/upstream-http2": "true"} if name == "h2" else {}
            objects.append(manifests.ingress(name, f"{name}.bench", namespace="bench",
                                             annotations={**annotations, **more}))
            objects += manifests.service(name, port, namespace="bench")
        path.write_text(manifests.dump(*objects))


class Floor(Contestant):
    """The relay of ours that parses nothing; one port, plain or TLS."""

    def __init__(self, binaries, folder, name, material, backend, prefix, tls):
        place = folder / name
        place.mkdir()
        [port] = free_ports(1)
        self.plain, self.tls = (None, port) if tls else (port, None)
        front = [material.front.certificate, material.front.key] if tls else []
        self.process = Process([*prefix, binaries / "bench_floor", port, backend.keep, material.ca,
                                material.client.certificate, material.client.key, *front], place,
                               name=name)
        wait_until_it_accepts(self.process, port)
