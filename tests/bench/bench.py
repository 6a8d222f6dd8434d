"""`./dev bench`: Handfast beside nginx and HAProxy, row by row, in interleaved rounds.

  bench.py --bin DIR [--rows a,b] [--rounds N] [--seconds S] [--json FILE] [--keep]

What is measured, how, and why so is in docs/performance.md. Everything runs on loopback, on ports
that were free, in one temporary directory, and ends with this program.
"""

import argparse
import concurrent.futures
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import load  # noqa: E402
import proxies  # noqa: E402
import report  # noqa: E402
from arithmetic import Sample, in_turn  # noqa: E402
from material import BODIES, Material  # noqa: E402
from rows import FLOOR, OURS, ROWS  # noqa: E402

# Opened before the memory is read for the first time: what is made once is then made.
SETTLED_CONNECTIONS = 200
# The load runs so much longer than what is measured, on each side, in seconds.
LEAD = 0.5


def pinned(core):
    return ["taskset", "-c", str(core)] if os.cpu_count() > 1 else []


class Bench:
    def __init__(self, folder, binaries, seconds):
        self.folder, self.binaries, self.seconds = folder, binaries, seconds
        self.material = Material(folder)
        # Load and backend share a core, the proxy has the other for itself.
        self.load_prefix, self.proxy_prefix = pinned(0), pinned(1)
        self.backend = proxies.Backend(folder, self.material, self.load_prefix)
        self.running = {}
        self.reasons = {}  # (row, column) -> why it is n/a

    # --- contestants ------------------------------------------------------------------------------

    def contestant(self, row, column, fresh=False):
        """The running one; a fresh one is for who asks, and ends with it."""
        variant = ("tls" if row.tls else "plain") if column == FLOOR else row.instance
        if fresh:
            return self._start(column, variant, f"{column}-{variant}-{time.monotonic_ns()}")
        key = (column, variant)
        if key not in self.running:
            self.running[key] = self._start(column, variant, f"{column}-{variant}")
        return self.running[key]

    def _start(self, column, variant, name):
        common = (self.folder, name, self.material, self.backend)
        if column == FLOOR:
            return proxies.Floor(self.binaries, *common, self.proxy_prefix, variant == "tls")
        options = {"prefix": [] if variant == "two" else self.proxy_prefix,
                   "workers": 2 if variant == "two" else 1, "log": variant != "silent"}
        if column == OURS:
            return proxies.Handfast(self.binaries, *common, **options)
        return {"nginx": proxies.Nginx, "haproxy": proxies.Haproxy}[column](*common, **options)

    # --- what can be measured ---------------------------------------------------------------------

    def ask(self, contestant, host, path, tls, http2):
        """(status, version, size, body) of one request."""
        port = contestant.tls if tls else contestant.plain
        scheme = "https" if tls else "http"
        with tempfile.NamedTemporaryFile(dir=self.folder) as body:
            done = subprocess.run(
                ["curl", "-sk", "-m", "10", "-o", body.name, "-w",
                 "%{http_code} %{http_version} %{size_download}",
                 "--http2" if http2 else "--http1.1", "--resolve", f"{host}:{port}:127.0.0.1",
                 "-H", f"Host: {host}", f"{scheme}://{host}:{port}{path}"],
                capture_output=True, text=True, check=False)
            status, version, size = done.stdout.split()
            return int(status), version, int(size), pathlib.Path(body.name).read_bytes()[:200]

    def obstacle(self, row, column):
        """Why the row can't be measured for this contestant; empty if it can."""
        contestant = self.contestant(row, column)
        host = row.host(column)
        deadline = time.monotonic() + 10
        while True:
            status, version, size, _ = self.ask(contestant, host, row.path, row.tls, row.http2)
            if (status, size) == (200, BODIES[row.path]) or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        if row.http2 and version != "2":
            return "no HTTP/2 to clients"
        if (status, size) != (200, BODIES[row.path]):
            return f"status {status}, {size} bytes"
        if row.needs == "all" or row.needs == column:
            body = self.ask(contestant, host, "/protocol", row.tls, row.http2)[3]
            if not body.startswith(b"HTTP/2"):
                return "no HTTP/2 to backends"
        return ""

    def columns(self, row):
        found = []
        for column in (*row.columns, *([FLOOR] if row.floor else [])):
            reason = self.obstacle(row, column)
            if reason:
                self.reasons[row.name, column] = reason
            else:
                found.append(column)
        return found

    # --- measuring --------------------------------------------------------------------------------

    def measure(self, row, column):
        if row.load.startswith("idle"):
            return self.measure_idle(row, column)
        contestant = self.contestant(row, column)
        contestant.forget_log()
        self.warm_up(row, column, contestant)
        pids = contestant.pids()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            outcome = pool.submit(self.generate, row, column, contestant)
            time.sleep(LEAD)
            first = self.snapshot(pids)
            time.sleep(self.seconds)
            last = self.snapshot(pids)
            result = outcome.result()
        requests, proxy, backend, machine, elapsed = (b - a for a, b in zip(first, last))
        if requests <= 0 or result.requests == 0:
            raise load.Failed(f"{row.name}, {column}: not one request succeeded")
        return Sample(cost=proxy / requests * 1e6, rate=requests / elapsed, p99=result.p99,
                      busy=proxy / elapsed, rss=proxies.resident_kilobytes(pids),
                      requests=requests, errors=result.errors,
                      # The load generator's own share isn't known before it ends: an estimate.
                      others=max(0.0, (machine - proxy - backend) / elapsed -
                                 result.cpu_seconds / result.elapsed))

    def warm_up(self, row, column, contestant):
        """Opens the connections to the backend that keep-alive rows are about: who still had some
        from the round before would look better."""
        if row.load == "connects" or row.host(column) in ("close.bench", "full.bench"):
            return
        scheme, port = ("https", contestant.tls) if row.tls else ("http", contestant.plain)
        clients, streams = (8, row.connections // 8) if row.http2 else (row.connections, 1)
        load.run([*self.load_prefix, "h2load", *([] if row.http2 else ["--h1"]), "-t1",
                  f"-n{10 * row.connections}", f"-c{clients}", f"-m{streams}",
                  f"--connect-to=127.0.0.1:{port}",
                  f"{scheme}://{row.host(column)}{row.path}"], 60)

    def snapshot(self, pids):
        """Requests are counted by the backend, so that all are counted alike, whatever the load
        generator calls a request, and the beginning and the end are left out."""
        return (self.backend.requests(), proxies.cpu_seconds(pids),
                proxies.cpu_seconds(self.backend.pids()), proxies.machine_busy_seconds(),
                time.monotonic())

    def generate(self, row, column, contestant):
        host = row.host(column)
        port = contestant.tls if row.tls else contestant.plain
        prefix = [] if row.instance == "two" else self.load_prefix
        seconds = self.seconds + round(2 * LEAD)
        if row.load == "wrk":
            scheme = "https" if row.tls else "http"
            return load.wrk(prefix, f"{scheme}://127.0.0.1:{port}{row.path}", host,
                            row.connections, seconds)
        if row.load == "h2load":
            return load.h2load(prefix, port, host, row.path, 8, row.connections // 8,
                               seconds, self.folder / "h2load.log")
        return load.connects(prefix, self.binaries / "bench_connects", port, host, row.path,
                             row.connections, seconds)

    def measure_idle(self, row, column):
        contestant = self.contestant(row, column, fresh=True)
        idle = load.Idle(contestant.tls, row.host(column), row.path, row.http2)
        try:
            time.sleep(0.5)  # ours has read its generation by then
            pids = contestant.pids()
            idle.open(SETTLED_CONNECTIONS)
            before = proxies.resident_kilobytes(pids)
            idle.open(row.connections)
            after = proxies.resident_kilobytes(pids)
            return Sample(cost=(after - before) * 1024 / row.connections, rss=after,
                          requests=row.connections)
        finally:
            idle.close()
            contestant.close()

    def run(self, rows, rounds, tell):
        """{row name: [{column: Sample}]}, one dictionary a round."""
        plan = {row.name: self.columns(row) for row in rows}
        found = {row.name: [{} for _ in range(rounds)] for row in rows}
        for number in range(rounds):
            for row in rows:
                # A row of the peers alone tells nothing about us, but what there is to reach.
                for column in in_turn(plan[row.name], number) if plan[row.name] else []:
                    sample = self.measure(row, column)
                    found[row.name][number][column] = sample
                    tell(f"round {number + 1}/{rounds} {row.name:16} {column:9} "
                         f"{sample.cost:9.1f} {row.unit}  {sample.rate:8.0f}/s"
                         f"  p99 {sample.p99:7.2f} ms  busy {sample.busy:4.2f}"
                         f"  strangers {sample.others:4.2f}")
        return found

    def close(self):
        close(self.running, self.backend)


def close(contestants, backend):
    for contestant in contestants.values():
        contestant.close()
    backend.process.stop()


def unwind_when_told_to_end():
    """SIGTERM and SIGHUP too end what this program started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))


def argument_parser(prog, rounds):
    """What every bench takes."""
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("--bin", type=lambda text: pathlib.Path(text).resolve(), required=True,
                        help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=int, default=2, help="of load for each measurement")
    return parser


def parse_arguments():
    parser = argument_parser("./dev bench", 5)
    parser.add_argument("--rows", default="", help="names, separated by commas; default all: " +
                        ", ".join(row.name for row in ROWS))
    parser.add_argument("--json", type=pathlib.Path, help="write what was measured there too")
    parser.add_argument("--keep", action="store_true", help="leave the temporary directory")
    arguments = parser.parse_args()
    known = {row.name: row for row in ROWS}
    names = [name for name in arguments.rows.split(",") if name] or list(known)
    for name in names:
        if name not in known:
            parser.error(f"no row is named {name}; there are {', '.join(known)}")
    arguments.chosen = [known[name] for name in names]
    return arguments


def main():
    unwind_when_told_to_end()
    arguments = parse_arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20000)), hard))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="handfast-bench-"))
    bench = None
    try:
        bench = Bench(folder, arguments.bin, arguments.seconds)
        found = bench.run(arguments.chosen, arguments.rounds,
                          lambda line: print(line, file=sys.stderr, flush=True))
        result = report.summarise(arguments.chosen, found, bench.reasons, arguments)
    finally:
        if bench is not None:
            bench.close()
        if arguments.keep:
            print(f"left: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(report.table(result))
    if arguments.json:
        report.write(arguments.json, result)


if __name__ == "__main__":
    main()
