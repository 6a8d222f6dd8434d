"""`./dev bench scale`: what a large configuration costs, and what a change of it does.

  scale.py --bin DIR [--source manifests|api] [--apps N] [--changes N] [--seconds S] [--admission]
           [--cache DIR] [--perf DIR] [--keep-logs DIR] [--json FILE]

Controller and proxy over N Ingresses, N Services, N TLS Secrets and 2 N EndpointSlices, as a
directory of manifests or in a real API server, the state directory on tmpfs: how long until the proxy is ready, how much memory the two take with it, how
much CPU while 100 endpoints a second change, and how long a change takes from its delivery until
the proxy enforces it, as the backend sees it: at another address, with another client
certificate. With --admission the controller is a webhook too, and reviews of one more Ingress are
timed, over one connection as the API server keeps it. docs/performance.md tells more."""

import argparse
import http.client
import json
import os
import pathlib
import socket
import socketserver
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import cluster_set  # noqa: E402
from cluster_api import ApiServer  # noqa: E402

MEBI = 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")
CHURN = 100  # endpoints a second
PATIENCE = 600
REVIEWS = 2_000


class Backend(socketserver.ThreadingTCPServer):
    """Answers at which address it was asked, and by which certificate."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder, pairs):
        super().__init__(("0.0.0.0", 0), None)
        files = {"ca.pem": pairs.ca, "pair.pem": "".join(pairs.backend)}
        for name, text in files.items():
            (folder / name).write_text(text)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH,
                                                   cafile=folder / "ca.pem")
        self._context.load_cert_chain(folder / "pair.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        try:
            request.settimeout(60)
            with self._context.wrap_socket(request, server_side=True) as stream:
                self._answer(stream)
        except OSError:
            pass

    def handle_error(self, request, client_address):
        pass

    @staticmethod
    def _answer(stream):
        body = json.dumps({"address": stream.getsockname()[0],
                           "serial": stream.getpeercert()["serialNumber"]}).encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = stream.recv(65536)
                if not more:
                    return
                data += more
            data = data.split(b"\r\n\r\n", 1)[1]
            stream.sendall(answer)


class Program:
    def __init__(self, folder, name, *command, environment=None):
        self.log = folder / f"{name}.log"
        self.began = time.monotonic()
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen([str(part) for part in command], stderr=log,
                                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                          env={**os.environ, **(environment or {})})
        self.pid = self.child.pid

    def cpu(self):
        """Seconds, user and system."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def pss(self):
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return 1024 * next(int(line.split()[1]) for line in text.splitlines()
                           if line.startswith("Pss:"))

    def lines(self, message):
        return [line for line in map(json.loads, self.log.read_text().splitlines())
                if line.get("message", line.get("msg")) == message]

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_until(what, check, patience=PATIENCE, pause=0.02):
    deadline = time.monotonic() + patience
    while True:
        try:
            found = check()
            if found:
                return found
        except (OSError, http.client.HTTPException):
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(pause)


def status(port, target):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", target)
        return connection.getresponse().status
    finally:
        connection.close()


def tree_bytes(folder):
    """What it takes on a tmpfs: whole pages, and about a kilobyte for each inode. A file with several
    names is there once."""
    pages = {}
    for path, _, files in os.walk(folder):
        for name in (*files, "."):
            found = os.lstat(os.path.join(path, name))
            pages[found.st_ino] = found.st_blocks * 512
    return sum(pages.values()), len(pages)


class Scale:
    def __init__(self, options, folder, state):
        self.options, self.state = options, state
        print("generating …", file=sys.stderr)
        self.pairs = cluster_set.Pairs(pathlib.Path(options.cache), options.apps + 1)
        self.backend = Backend(folder, self.pairs)
        self.port = self.backend.server_address[1]
        self.delivery = (ApiServer() if options.source == "api" else
                         cluster_set.Directory(folder / "manifests"))
        self.delivery.load(
            thing for _, thing in cluster_set.everything(options.apps, self.pairs, self.port))
        self.folder, self.turns = folder, {}
        self.controller = self.proxy = None
        self.http, self.metrics, self.webhook = free_port(), free_port(), free_port()
        self.connection = None

    def start(self):
        binaries = pathlib.Path(self.options.bin).resolve()
        control = self.folder / "control.sock"
        common = ("--state-dir", self.state, "--control", control)
        self.controller = Program(
            self.folder, "controller", binaries / "handfast-controller",
            *self.delivery.controller_arguments, *common, "--metrics", "off",
            *(self.webhook_arguments() if self.options.admission else ()),
            environment=self.delivery.environment)
        self.proxy = Program(
            self.folder, "proxy", binaries / "handfast-proxy", *common, "--workers", "1",
            "--http", f"127.0.0.1:{self.http}", "--https", "127.0.0.1:0", "--metrics",
            f"127.0.0.1:{self.metrics}", "--admin", "off", "--access-log", "off")
        wait_until("the proxy", lambda: status(self.metrics, "/readyz") == 200)
        wait_until("the last app", lambda: self.ask(self.options.apps - 1))
        return time.monotonic() - self.controller.began

    def webhook_arguments(self):
        for end, text in zip(("crt", "key"), self.pairs.backend):
            (self.folder / f"webhook.{end}").write_text(text)
        return ("--validating-webhook", f"127.0.0.1:{self.webhook}",
                "--validating-webhook-certificate", self.folder / "webhook.crt",
                "--validating-webhook-key", self.folder / "webhook.key")

    def programs(self):
        return {"controller": self.controller, "proxy": self.proxy}

    def ask(self, number):
        """What the backend saw; None: it was not asked."""
        for _ in range(2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=5)
            try:
                self.connection.request("GET", "/", headers={
                    "Host": cluster_set.host(number), "X-Forwarded-Proto": "https"})
                answer = self.connection.getresponse()
                body = answer.read()
                return json.loads(body) if answer.status == 200 else None
            except (OSError, http.client.HTTPException):
                self.connection.close()
                self.connection = None
        return None

    # --- changes ----------------------------------------------------------------------------------

    def move_endpoints(self, number):
        turn = self.turns[number] = self.turns.get(number, 0) + 1
        for which in range(cluster_set.SLICES):
            self.delivery.put(cluster_set.endpoint_slice(number, which, self.port, turn))
        return {cluster_set.address(number, which, turn) for which in range(cluster_set.SLICES)}

    def seconds_until(self, number, is_seen, began):
        while not is_seen(self.ask(number) or {}):
            if time.monotonic() - began > PATIENCE:
                raise SystemExit("a change was never enforced")
            time.sleep(0.001)
        return time.monotonic() - began

    def endpoint_changes(self, count):
        times = []
        for i in range(count):
            number = (i * 37 + 11) % self.options.apps
            began = time.monotonic()
            wanted = self.move_endpoints(number)
            written = time.monotonic() - began
            times.append((self.seconds_until(
                number, lambda seen: seen.get("address") in wanted, began), written))
            time.sleep(0.02)
        return times

    def secret_changes(self, count):
        times = []
        for i in range(count):
            number = (i * 53 + 5) % self.options.apps
            before = self.ask(number)["serial"]
            pair = (number + i + 1) % (self.options.apps + 1)
            began = time.monotonic()
            self.delivery.put(cluster_set.secret(number, self.pairs, pair))
            written = time.monotonic() - began
            times.append((self.seconds_until(
                number, lambda seen: seen.get("serial", before) != before, began), written))
            time.sleep(0.02)
        return times

    def churn(self, seconds):
        """CPU of each program, in cores, while endpoints change; and how many did each second."""
        before = {name: each.cpu() for name, each in self.programs().items()}
        began, changed = time.monotonic(), 0
        while (now := time.monotonic()) - began < seconds:
            if changed > (now - began) * CHURN:
                time.sleep(0.002)
                continue
            number = (changed * 71 + 3) % self.options.apps
            which, turn = changed % cluster_set.SLICES, changed // self.options.apps + 1
            self.delivery.put(cluster_set.endpoint_slice(number, which, self.port, turn))
            changed += 1
        took = time.monotonic() - began
        cores = {name: (each.cpu() - before[name]) / took for name, each in self.programs().items()}
        return cores, changed / took

    def costed(self, work, count):
        """Times of `count` changes, and the CPU of each program for one, in milliseconds."""
        before = {name: each.cpu() for name, each in self.programs().items()}
        times = work(count)
        return {**spread(times), "cpu_ms": {
            name: (each.cpu() - before[name]) / count * 1000
            for name, each in self.programs().items()}}

    def admission(self):
        """Milliseconds of each review: of a new Ingress that is allowed, of one whose host another
        has, in turn."""
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.check_hostname = False
        connection = http.client.HTTPSConnection("127.0.0.1", self.webhook, context=context)
        times = {"allowed": [], "refused": []}
        for turn in range(REVIEWS):
            wanted = ("allowed", "refused")[turn % 2]
            number = turn % self.options.apps if wanted == "refused" else self.options.apps + turn
            one = cluster_set.ingress(number)
            one["metadata"]["name"] = f"new-{turn}"
            body = json.dumps({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
                    "uid": str(turn), "operation": "CREATE", "object": one, "kind": {
                        "group": "networking.k8s.io", "version": "v1", "kind": "Ingress"}}})
            began = time.monotonic()
            connection.request("POST", "/validate", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())["response"]
            times[wanted].append((time.monotonic() - began) * 1000)
            if answer["allowed"] != (wanted == "allowed"):
                raise SystemExit(f"{wanted} was expected: {answer}")
        return {wanted: {"p50": statistics.median(each), "p99": sorted(each)[len(each) * 99 // 100]}
                for wanted, each in times.items()}

    # --- profiles ---------------------------------------------------------------------------------

    def profiled(self, name, work, *arguments):
        if not self.options.perf:
            return work(*arguments)
        folder = pathlib.Path(self.options.perf)
        folder.mkdir(parents=True, exist_ok=True)
        running = [subprocess.Popen(
            ["perf", "record", "-q", "-F", "499", "-g", "-o", folder / f"{name}-{each}.data", "-p",
             str(program.pid)], stderr=subprocess.DEVNULL)
            for each, program in self.programs().items()]
        try:
            return work(*arguments)
        finally:
            for each in running:
                each.send_signal(2)
                each.wait()

    def stop(self):
        for program in (self.controller, self.proxy):
            if program is not None:
                program.stop()
        self.delivery.close()


def spread(times):
    """Of (how long it took, how long of that its delivery took)."""
    ordered = sorted(times)
    at = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))][0]  # noqa: E731
    longest, written = ordered[-1]
    return {"p50": statistics.median(each for each, _ in ordered) * 1000, "p99": at(0.99) * 1000,
            "written_p50": statistics.median(each for _, each in ordered) * 1000,
            "longest": longest * 1000, "longest_written": written * 1000}


def enter_namespace():
    """Starts this program again in a network namespace in which all of cluster_set.NETWORK is."""
    inside = "HANDFAST_BENCH_NAMESPACE"
    if inside not in os.environ:
        os.environ[inside] = "1"
        rights = () if os.geteuid() == 0 else ("--map-root-user",)
        os.execvp("unshare", ["unshare", "--net", *rights, sys.executable, "-B", *sys.argv])
    own = cluster_set.NETWORK[-2]
    for command in ("link set lo up", f"addr add {own}/32 dev lo",
                    f"route add local {cluster_set.NETWORK} dev lo",
                    f"route add default dev lo src {own}"):
        subprocess.run(["ip", *command.split()], check=True)


def measure(options, folder, state):
    scale = Scale(options, folder, state)
    found = {"apps": options.apps, "source": options.source}
    try:
        found["ready_s"] = scale.start()
        found["start_cpu_s"] = {name: each.cpu() for name, each in scale.programs().items()}
        time.sleep(3)
        pages, inodes = tree_bytes(state)
        found["memory_mib"] = {**{name: each.pss() / MEBI for name, each in scale.programs().items()},
                               "state": pages / MEBI, "inodes": inodes}
        found["memory_mib"]["all"] = sum(found["memory_mib"][name]
                                         for name in ("controller", "proxy", "state"))
        found["endpoint_ms"] = scale.profiled("endpoint", scale.costed, scale.endpoint_changes,
                                              options.changes)
        found["secret_ms"] = scale.profiled("secret", scale.costed, scale.secret_changes,
                                            options.changes)
        cores, rate = scale.profiled("churn", scale.churn, options.seconds)
        found["churn"] = {"changes_per_s": rate, "cores": cores}
        if options.admission:
            found["admission_ms"] = scale.admission()
        found["memory_mib"]["later"] = {name: each.pss() / MEBI
                                        for name, each in scale.programs().items()}
    finally:
        scale.stop()
        if options.keep_logs:
            for name in ("controller", "proxy"):
                target = pathlib.Path(options.keep_logs) / f"{name}.log"
                target.write_bytes((folder / f"{name}.log").read_bytes())
    return found


def change_text(found):
    return ("p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {longest:.0f} ms; of these its delivery "
            "{written_p50:.0f} ms, {longest_written:.0f} ms of the longest; CPU "
            ).format(**found) + ", ".join(
        f"{name} {spent:.1f} ms" for name, spent in found["cpu_ms"].items())


def table(found):
    memory, churn = found["memory_mib"], found["churn"]
    rows = [
        ("start to ready", f"{found['ready_s']:.1f} s; CPU " + ", ".join(
            f"{name} {spent:.1f} s" for name, spent in found["start_cpu_s"].items())),
        ("memory: controller, proxy, state directory",
         f"{memory['controller']:.0f} + {memory['proxy']:.0f} + {memory['state']:.0f} MiB "
         f"= {memory['all']:.0f} MiB ({memory['inodes']} inodes)"),
        ("one endpoint, until enforced", change_text(found["endpoint_ms"])),
        ("one Secret, until enforced", change_text(found["secret_ms"])),
        (f"CPU while {churn['changes_per_s']:.0f} endpoints/s change",
         ", ".join(f"{name} {cores:.2f}" for name, cores in churn["cores"].items()) + " cores"),
    ]
    rows += [(f"a review, {wanted}", "p50 {p50:.1f} ms, p99 {p99:.1f} ms".format(**took))
             for wanted, took in found.get("admission_ms", {}).items()]
    width = max(len(title) for title, _ in rows)
    return "\n".join(f"{title:<{width}}  {value}" for title, value in rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--source", choices=("manifests", "api"), default="manifests")
    parser.add_argument("--apps", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--admission", action="store_true")
    parser.add_argument("--cache", default=os.path.join(
        os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "handfast", "scale"))
    parser.add_argument("--perf", help="folder for profiles of perf")
    parser.add_argument("--keep-logs", help="folder for the programs' logs")
    parser.add_argument("--json")
    options = parser.parse_args()
    enter_namespace()
    with tempfile.TemporaryDirectory(prefix="handfast-scale-") as folder, \
            tempfile.TemporaryDirectory(prefix="handfast-scale-", dir="/dev/shm") as state:
        found = measure(options, pathlib.Path(folder), pathlib.Path(state))
    print(table(found))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
