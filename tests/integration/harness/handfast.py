"""The programs under test: `handfast run` over a directory, or controller and proxy apart."""

import itertools
import os
import pathlib
import re
import signal
import socket
import tempfile
import time

from . import clients, manifests
from .processes import Process, wait_for_line
from .waiting import PATIENCE, eventually

ROOT = pathlib.Path(__file__).resolve().parents[3]
# HANDFAST_BIN decides; ctest tells where its own build lies.
BIN = pathlib.Path(os.environ.get("HANDFAST_BIN") or os.environ.get("HANDFAST_BIN_DEFAULT") or
                   ROOT / "build/release/bin").resolve()

# Fresh connections that must all agree before a change counts as seen: with SO_REUSEPORT the
# kernel spreads them over the workers.
STREAK = 8

# Clients here hold on to a connection: that one closes in order would be a failure of many tests.
NO_LIMITS = ("--keep-alive-requests", "0")

SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")


def free_port():
    """For the one listener that can't bind port 0 and tell: the controller's metrics."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Manifests:
    """A directory of manifests; each file comes and changes by one rename."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self._numbers = itertools.count()
        self._staging = self.folder.parent / f"{self.folder.name}.staging"
        self._staging.mkdir(exist_ok=True)

    def apply(self, file, *objects):
        flat = [one for group in objects
                for one in (group if isinstance(group, list) else [group])]
        self.write(file, manifests.dump(*flat))

    def write(self, file, text):
        place = self._place(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        new = self._staging / f"{next(self._numbers)}"
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.rename(place)

    def delete(self, file):
        self._place(file).unlink()

    def _place(self, file):
        return self.folder / (file if file.endswith((".yaml", ".yml", ".json")) else
                              f"{file}.yaml")


class Metrics:
    """A scrape of /metrics."""

    LINE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
    LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            match = self.LINE.match(line)
            if match:
                self.samples.append((match[1], dict(self.LABEL.findall(match[2] or "")),
                                     float(match[3])))

    def all(self, name, **labels):
        return [(found, value) for sample, found, value in self.samples
                if sample == name and all(found.get(k) == v for k, v in labels.items())]

    def value(self, name, **labels):
        """The sum over the series that match; None if there is none."""
        found = self.all(name, **labels)
        return sum(value for _, value in found) if found else None


class Front:
    """What both forms have in common: listeners, requests, logs, metrics."""

    proxy = None  # the process whose output is the proxy's
    name = "handfast"
    endpoint_host = "127.0.0.1"  # where backends are, as the proxy sees them
    listeners = ("http", "https", "metrics")

    def __init__(self):
        self._markers = itertools.count()
        self.http = self.https = self.metrics_address = None

    def _read_listeners(self, process):
        found = {}
        for listener in self.listeners:
            line = wait_for_line(process, f"the listener {listener}", message="listening",
                                 listener=listener)
            host, _, port = line["address"].rpartition(":")
            found[listener] = (host.strip("[]"), int(port))
        self.http, self.https = found.get("http"), found["https"]
        self.metrics_address = found["metrics"]

    # --- requests -------------------------------------------------------------------------------

    def connect(self, tls=None, server_name=None, **options):
        return clients.RawConnection(self.https if tls else self.http, tls=tls,
                                     server_name=server_name, **options)

    def get(self, host, target="/", method="GET", headers=(), body=None, tls=None, **options):
        address = self.https if tls else self.http
        return clients.fetch(address, host, target, method, headers, body, tls=tls, **options)

    def wait_for(self, host, status, target="/", text=None, tls=None, streak=STREAK,
                 patience=PATIENCE, **options):
        """Until `streak` fresh connections in a row answer `status` (and hold `text`)."""
        def check():
            for _ in range(streak):
                answer = self.get(host, target, tls=tls, **options)
                if answer.status != status or (text and text.encode() not in answer.body):
                    raise AssertionError(f"{host}: {answer!r}")
            return answer

        return eventually(check, f"{status} from {host}{target} {text or ''}", patience)

    # --- what it tells --------------------------------------------------------------------------

    def metrics(self):
        return Metrics(clients.fetch(self.metrics_address, "metrics", "/metrics").body.decode())

    def controller_metrics(self):
        return Metrics(clients.fetch(self.controller_address, "metrics",
                                     "/metrics").body.decode())

    def generation(self):
        return int(self.metrics().value("handfast_generation") or 0)

    def is_ready(self):
        return clients.fetch(self.metrics_address, "metrics", "/readyz").status == 200

    def access_log(self, host=None, target=None):
        return [line for line in self.proxy.out.records()
                if host in (None, line.get("host")) and target in (None, line.get("target"))]

    def last_log(self, host, target=None, **fields):
        """The newest line of the access log for a host, once it has these fields."""
        def check():
            found = self.access_log(host, target)
            if not found or any(found[-1].get(k) != v for k, v in fields.items()):
                raise AssertionError(f"{found[-1:]}")
            return found[-1]

        return eventually(check, f"an access log line of {host} with {fields}", patience=10)

    def reason(self, host, target=None):
        """The word that the last request's log line has, after it was written."""
        return self.last_log(host, target).get("upstream_tls_error")


class Handfast(Front):
    """`handfast run` over a directory that tests write."""

    def __init__(self, *flags, workers=2, folder=None, start=True, controller_metrics=False,
                 stdout=None):
        super().__init__()
        self.stdout = stdout
        self.controller_address = ("127.0.0.1", free_port()) if controller_metrics else None
        if controller_metrics:
            flags = (*flags, "--controller-metrics", f"127.0.0.1:{self.controller_address[1]}")
        self._temporary = tempfile.TemporaryDirectory(prefix="handfast-it-")
        self.folder = pathlib.Path(folder or self._temporary.name)
        self.manifests = Manifests(self.folder / "manifests")
        self.state = self.folder / "state"
        self.flags = [*flags]
        self.workers = workers
        self.proxy = None
        if start:
            self.start()

    def start(self, wait_ready=True):
        self.proxy = Process(
            [BIN / "handfast", "run", self.manifests.folder, "--http", "127.0.0.1:0", "--https",
             "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--admin", "off", "--state-dir",
             self.state, "--workers", self.workers, *NO_LIMITS, *self.flags], self.folder,
            stdout=self.stdout)
        self._read_listeners(self.proxy)
        if wait_ready:
            eventually(self.is_ready, "readiness")
        return self

    def apply(self, file, *objects):
        self.manifests.apply(file, *objects)

    def delete(self, file):
        self.manifests.delete(file)

    def findings(self, **fields):
        return self.proxy.logged(message="finding", **fields)

    def child(self, program):
        """The process id of a child of `handfast run`."""
        def find():
            for status in pathlib.Path("/proc").glob("[0-9]*/status"):
                try:
                    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                except OSError:
                    continue
                if int(fields["PPid"]) == self.proxy.pid and fields["Name"].strip() == program[:15]:
                    return int(status.parent.name)
            return None

        return eventually(find, f"the process {program}")

    def barrier(self):
        """Returns when what was written before is decided and every worker serves the outcome:
        an Ingress written after it is served."""
        host = f"marker-{next(self._markers)}.test"
        self.apply("marker", manifests.ingress("marker", host, namespace="marker", service="none",
                                               annotations={"enable-global-auth": "false"}))
        self.wait_for(host, 503, streak=16)

    def stop(self):
        """Ends it; an exit code other than 0 or a sanitizer's report is an error."""
        if self.proxy is None:
            return
        code = self.proxy.stop(patience=60)
        tail = self.proxy.tail()
        errors = self.proxy.err.text()
        self.proxy = None
        if SANITIZER.search(errors):
            raise AssertionError(f"a sanitizer complained\n{errors[-20000:]}")
        if code != 0:
            raise AssertionError(f"exit {code}\n{tail}")

    def close(self):
        try:
            self.stop()
        finally:
            self._temporary.cleanup()


class Pair(Front):
    """Controller and proxy as processes of their own, to be killed and restarted apart."""

    def __init__(self, *controller_flags, workers=2, folder=None):
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory(prefix="handfast-it-")
        self.folder = pathlib.Path(folder or self._temporary.name)
        self.manifests = Manifests(self.folder / "manifests")
        self.state = self.folder / "state"
        self.controller_flags = [*controller_flags]
        self.workers = workers
        self.controller = self.proxy = None
        self.past = []  # processes that ended

    def start_controller(self):
        self.controller = Process(
            [BIN / "handfast-controller", "--manifests", self.manifests.folder, "--state-dir",
             self.state, "--metrics", "off", *self.controller_flags], self.folder)

    def start_proxy(self, wait=True):
        self.proxy = Process(
            [BIN / "handfast-proxy", "--state-dir", self.state, "--http", "127.0.0.1:0", "--https",
             "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--admin", "off", "--workers",
             self.workers], self.folder)
        if wait:
            self.find_proxy()

    def find_proxy(self):
        self._read_listeners(self.proxy)

    def start(self):
        self.start_controller()
        eventually(self.state.exists, "the state directory")
        self.start_proxy()
        eventually(self.is_ready, "readiness")
        return self

    def kill_proxy(self):
        self.proxy.signal(signal.SIGKILL)
        self.proxy.kill()
        self.past.append(self.proxy)
        self.proxy = None

    def kill_controller(self):
        self.controller.signal(signal.SIGKILL)
        self.controller.kill()
        self.past.append(self.controller)
        self.controller = None

    def close(self):
        try:
            codes = {}
            for process in (self.proxy, self.controller):
                if process is None:
                    continue
                # One that was started this moment knows of no signals yet, and dies of any.
                eventually(process.err.text, f"the start of {process.name}")
                codes[process.name] = process.stop(patience=60)
                self.past.append(process)
            self.proxy = self.controller = None
            for process in self.past:
                errors = process.err.text()
                if SANITIZER.search(errors):
                    raise AssertionError(f"a sanitizer complained\n{errors[-20000:]}")
            if any(code != 0 for code in codes.values()):
                raise AssertionError(f"exit codes {codes}\n{self.past[-1].tail()}")
        finally:
            self._temporary.cleanup()


def resident_kilobytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def settled_descriptors(pid, expected=None, patience=30):
    """How many are open once the number stays for two seconds, or is the expected one."""
    deadline = time.monotonic() + patience
    count, since = descriptors(pid), time.monotonic()
    while count != expected and time.monotonic() < deadline:
        time.sleep(0.05)
        now = descriptors(pid)
        if now != count:
            count, since = now, time.monotonic()
        elif expected is None and time.monotonic() - since > 2:
            break
    return count


def is_sanitized():
    """Whether the programs are built with a sanitizer, whose own memory drowns theirs."""
    program = (BIN / "handfast-proxy").read_bytes()
    return any(symbol in program for symbol in (b"__asan_init", b"__tsan_init"))


def run_lint(*paths, flags=()):
    """`handfast lint`; answers (exit code, what it printed)."""
    process = Process([BIN / "handfast", "lint", *flags, *paths])
    code = process.wait(60)
    text = process.out.text() + process.err.text()
    process.kill()
    if SANITIZER.search(text):
        raise AssertionError(text)
    return code, text
