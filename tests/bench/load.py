"""The load generators: each one run gives a Result; and connections that only lie there."""

import dataclasses
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

from arithmetic import percentile

# A plausible small request: what a browser or a client library adds.
HEADERS = ("User-Agent: Mozilla/5.0 (X11; Linux x86_64) bench/1.0", "Accept: */*",
           "Accept-Encoding: gzip, deflate, br", "Cookie: session=4d8f1f0a6b2c4e3f9a7d5c1b0e8f6a2d")
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}


@dataclasses.dataclass
class Result:
    requests: int
    p99: float  # milliseconds
    errors: int
    cpu_seconds: float = 0.0  # of the load generator
    elapsed: float = 1.0


class Failed(Exception):
    pass


def run(command, patience):
    """What it printed, its CPU time, and how long it ran."""
    started = time.monotonic()
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True) as child:
        watchdog = threading.Timer(patience, child.kill)
        watchdog.start()
        text = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        watchdog.cancel()
    if child.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit {child.returncode}\n{text}")
    return text, usage.ru_utime + usage.ru_stime, time.monotonic() - started


def parse_duration(text):
    """Milliseconds."""
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()
    return float(number) * UNITS[unit]


def parse_wrk(text):
    requests = int(re.search(r"(\d+) requests in", text)[1])
    p99 = re.search(r"99%\s+([\d.]+\w+)", text)
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text)))
    errors += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    return Result(requests, parse_duration(p99[1]) if p99 else 0.0, errors)


def parse_h2load(text, microseconds):
    succeeded, failed, errored, timeout = map(int, re.search(
        r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text).groups())
    return Result(succeeded, percentile(microseconds, 0.99) / 1000, failed + errored + timeout)


def wrk(prefix, url, host, connections, seconds):
    headers = [part for line in (f"Host: {host}", *HEADERS) for part in ("-H", line)]
    text, *cost = run([*prefix, "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency",
                       *headers, url], seconds + 30)
    return with_cost(parse_wrk(text), cost)


def h2load(prefix, port, host, path, clients, streams, seconds, log):
    headers = [part for line in HEADERS for part in ("-H", line)]
    text, *cost = run([*prefix, "h2load", "-t1", f"-c{clients}", f"-m{streams}", f"-D{seconds}",
                       f"--connect-to=127.0.0.1:{port}", f"--log-file={log}", *headers,
                       f"https://{host}{path}"], seconds + 30)
    with open(log, encoding="ascii") as lines:
        times = [int(line.split("\t")[2]) for line in lines]
    log.unlink()
    return with_cost(parse_h2load(text, times), cost)


def connects(prefix, program, port, host, path, threads, seconds):
    text, *cost = run([*prefix, program, port, host, path, threads, seconds], seconds + 30)
    found = json.loads(text)
    return with_cost(Result(found["requests"], found["p99"], found["errors"]), cost)


def with_cost(result, cost):
    result.cpu_seconds, result.elapsed = cost
    return result


class Idle:
    """TLS connections that had one request, or with HTTP/2 their settings, and then lie there."""

    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    SETTINGS_ACK = b"\0\0\0\4\1\0\0\0\0"

    def __init__(self, port, host, path, http2):
        self.address, self.host, self.path, self.http2 = ("127.0.0.1", port), host, path, http2
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        if http2:
            self.context.set_alpn_protocols(["h2"])
        self.held = []

    def open(self, count):
        for _ in range(count):
            raw = socket.create_connection(self.address, timeout=10)
            connection = self.context.wrap_socket(raw, server_hostname=self.host)
            self.held.append(connection)
            self._settle(connection) if self.http2 else self._ask(connection)

    def _ask(self, connection):
        connection.sendall(f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += self._receive(connection)
        head, _, body = got.partition(b"\r\n\r\n")
        missing = int(re.search(rb"(?i)content-length: (\d+)", head)[1]) - len(body)
        while missing > 0:
            missing -= len(self._receive(connection))

    def _settle(self, connection):
        connection.sendall(self.PREFACE)
        got = b""
        while len(got) < 9 or len(got) < 9 + int.from_bytes(got[:3], "big"):
            got += self._receive(connection)
        connection.sendall(self.SETTINGS_ACK)

    @staticmethod
    def _receive(connection):
        got = connection.recv(65536)
        if not got:
            raise Failed("the proxy closed an idle connection")
        return got

    def close(self):
        for connection in self.held:
            connection.close()
        self.held.clear()
