"""`./dev e2e`: an image, a cluster, a release, and what people do with them.

    run.py [--keep] [TEST…]     TEST: a file test_TEST.py, or one with a class: install.FirstRequest
    run.py --enter COMMAND…     in the cluster of a run with --keep, with kubectl and helm on the PATH

Prints what it does and when; 0 only if everything held. The cluster's programs are there already:
`./dev e2e` has built them. Needs root. Everything ends with it, also when it is killed: spaces.py.
"""

import argparse
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import images  # noqa: E402
import spaces  # noqa: E402

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or
                     pathlib.Path.home() / ".cache") / "handfast"
PATH = ":".join(map(str, (CACHE / "kube/bin", CACHE / "e2e/bin", CACHE / "helm")))
PLACE = ROOT / "build/e2e"
_begun = time.monotonic()


def say(what):
    print(f"e2e: {time.monotonic() - _begun:7.1f} s  {what}", flush=True)


def environment(folder):
    return dict(os.environ, PATH=f"{PATH}:{os.environ['PATH']}:/usr/sbin:/sbin",
                KUBECONFIG=f"{folder}/admin.kubeconfig", HANDFAST_E2E=str(folder),
                # helm's
                HOME=f"{folder}/home")


def start_cluster(folder, cgroup, archive):
    log = folder / "node.log"
    with open(log, "wb") as out:
        # The first process of a namespace gets its orphans: a shell takes them away.
        child = spaces.start(
            ["--net", "--mount", "--pid", "--uts", "--ipc"],
            ["bash", "-c", '"$@" & wait $!', "bash", sys.executable, "-B", HERE / "node.py",
             folder, cgroup, archive], stdout=out, stderr=out)
    (PLACE / "running").write_text(json.dumps({"child": child.pid, "folder": str(folder)}))
    spaces.wait_until((folder / "ready").exists, 400, "the cluster", child, log)
    return child


def run_tests(child, folder, tests):
    files = [f"test_{one}" for one in tests] or sorted(
        one.stem for one in HERE.glob("test_*.py"))
    return subprocess.run(spaces.enter(child, [sys.executable, "-B", HERE / "judge.py", *files]),
                          env=environment(folder), stdin=subprocess.DEVNULL).returncode


def keep_running(folder):
    say(f"kept: python3 {sys.argv[0]} --enter kubectl get pods -A; logs in {folder}/log; ^C ends it")
    signal.pause()


def run(options):
    cache = CACHE / "e2e"
    cgroup = f"handfast-e2e-{os.getpid()}"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=PLACE))
    keeper = spaces.keep(cgroup, folder)
    child = None
    try:
        spaces.make_cgroup(cgroup)
        if options.images:
            archive, found = cache / "images.tar", json.loads((cache / "images.json").read_text())
        else:
            archive, found = images.build(cache, f"/{cgroup}", say)
            (cache / "images.json").write_text(json.dumps(found))
        (folder / "home").mkdir()
        (folder / "image.json").write_text(json.dumps(found))
        child = start_cluster(folder, cgroup, archive)
        say("the cluster is up, and has the images")
        failed = run_tests(child, folder, options.test)
        say("FAILED" if failed else "all held")
        if options.keep:
            keep_running(folder)
        return failed
    finally:
        if child is not None:
            spaces.kill(child)
        (PLACE / "running").unlink(missing_ok=True)
        keeper.stdin.close()
        keeper.wait()
        say("everything is stopped")


def enter(command):
    running = json.loads((PLACE / "running").read_text())
    children = pathlib.Path(f"/proc/{running['child']}/task/{running['child']}/children")
    os.environ.update(environment(running["folder"]))
    call = spaces.enter(int(children.read_text()), command)
    os.execvp(call[0], call)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="the cluster runs on after the tests")
    parser.add_argument("--images", action="store_true", help="those of the last run, as they are")
    parser.add_argument("--enter", nargs=argparse.REMAINDER, metavar="COMMAND")
    parser.add_argument("test", nargs="*")
    options = parser.parse_args()
    if options.enter:
        enter(options.enter)
    PLACE.mkdir(parents=True, exist_ok=True)
    # Of all trees of this machine: the images have one place.
    lock = open(CACHE / "e2e/run.lock", "w")  # pylint: disable=consider-using-with
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("e2e: another run is under way")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        sys.exit(run(options))
    except spaces.Failed as error:
        sys.exit(f"e2e: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
