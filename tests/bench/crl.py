"""`./dev bench crl`: what a revocation list costs each new connection to a backend.

  crl.py --bin DIR [--rounds N] [--seconds S]

Proxies with the same route, one without a list, one with a list of one entry and one with 100,000;
none resumes sessions, and the backend closes each connection, so that every request is a handshake
and a verification. In interleaved rounds, as bench.py does it, which this shares its parts with."""

import concurrent.futures
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import load  # noqa: E402
import proxies  # noqa: E402
from arithmetic import in_turn  # noqa: E402
from bench import LEAD, argument_parser, close, pinned, unwind_when_told_to_end  # noqa: E402
from material import Material  # noqa: E402

SIZES = {"no list": None, "1 entry": 1, "100,000 entries": 100_000}
LIMIT = 300.0  # microseconds more than without a list
HOST = "close.bench"


def make_list(material, entries):
    """The CRL of the bench's authority, by openssl, whose database is a text file."""
    folder = material.folder / f"crl-{entries}"
    folder.mkdir()
    (folder / "index.txt").write_text("".join(
        f"R\t360101000000Z\t250101000000Z\t{2**68 + number:X}\tunknown\t/CN={number}\n"
        for number in range(entries)))
    (folder / "number").write_text("01\n")
    (folder / "ca.cnf").write_text(f"[ca]\ndefault_ca = one\n[one]\ndatabase = {folder}/index.txt\n"
                                   f"crlnumber = {folder}/number\ndefault_md = sha256\n"
                                   "default_crl_days = 30\n")
    out = folder / "ca.crl"
    subprocess.run(["openssl", "ca", "-gencrl", "-config", folder / "ca.cnf", "-cert", material.ca,
                    "-keyfile", material.folder / "ca.key", "-out", out], check=True,
                   capture_output=True)
    return out.read_bytes()


class Bench:
    def __init__(self, folder, binaries, seconds):
        self.seconds = seconds
        self.load_prefix, proxy_prefix = pinned(0), pinned(1)
        material = Material(folder)
        self.backend = proxies.Backend(folder, material, self.load_prefix)
        self.contestants = {}
        for number, (title, entries) in enumerate(SIZES.items()):
            self.contestants[title] = proxies.Handfast(
                binaries, folder, f"proxy-{number}", material, self.backend, proxy_prefix, 1, False,
                crl=entries and make_list(material, entries),
                flags=("--upstream-session-resumption", "off"))
        for contestant in self.contestants.values():
            self.generate(contestant, 1)  # which has read its generation by then

    def generate(self, contestant, seconds):
        result = load.wrk(self.load_prefix, f"http://127.0.0.1:{contestant.plain}/1k", HOST, 16,
                          seconds)
        return result.errors

    def measure(self, title):
        """Microseconds of the proxy's CPU a request."""
        contestant = self.contestants[title]
        pids = contestant.pids()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            outcome = pool.submit(self.generate, contestant, self.seconds + round(2 * LEAD))
            time.sleep(LEAD)
            requests, cpu = self.backend.requests(), proxies.cpu_seconds(pids)
            time.sleep(self.seconds)
            cpu = proxies.cpu_seconds(pids) - cpu
            requests = self.backend.requests() - requests
            errors = outcome.result()
        if errors:
            raise load.Failed(f"{title}: {errors} requests failed")
        return cpu / requests * 1e6

    def close(self):
        close(self.contestants, self.backend)


def main():
    unwind_when_told_to_end()
    arguments = argument_parser("./dev bench crl", 7).parse_args()
    found = {title: [] for title in SIZES}
    with tempfile.TemporaryDirectory(prefix="handfast-bench-") as folder:
        bench = Bench(pathlib.Path(folder), arguments.bin, arguments.seconds)
        try:
            for number in range(arguments.rounds):
                for title in in_turn(list(SIZES), number):
                    found[title].append(bench.measure(title))
                    print(f"round {number + 1}/{arguments.rounds} {title:16} "
                          f"{found[title][-1]:8.1f} us", file=sys.stderr, flush=True)
        finally:
            bench.close()
    base = found["no list"]
    for title, costs in found.items():
        more = statistics.median(cost - without for cost, without in zip(costs, base))
        print(f"{title:16} {statistics.median(costs):8.1f} us/connection  {more:+8.1f}")
    if more > LIMIT:
        sys.exit(f"more than {LIMIT:.0f} us above a connection without a list")


if __name__ == "__main__":
    main()
