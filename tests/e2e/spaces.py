"""Namespaces and cgroups of our own, and that nothing of them outlives us.

What start() starts is the first process of its namespace: with it all others end, mounts and
interfaces too. It dies with its parent, however that ends. Cgroups are folders of a name of ours; a
keeper outside of all removes them, and the folder of the run, when we are gone.
"""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

CGROUPS = pathlib.Path("/sys/fs/cgroup")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(RuntimeError):
    """Something that the run needs didn't work; the text says all."""


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(kinds, command, **options):
    """`kinds`: flags of unshare(1), --pid among them."""
    return subprocess.Popen(
        ["unshare", *kinds, "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
         *map(str, command)], stdin=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=_die_with_parent, **options)


def first_process(child):
    """Its number outside of the namespace; None while there is none."""
    try:
        children = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text()
    except OSError:
        return None
    return int(children) if children.strip() else None


def stop(child, patience=15):
    """By SIGTERM to the first process, then without mercy."""
    first = first_process(child)
    if first is not None:
        os.kill(first, signal.SIGTERM)
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def kill(child):
    """And with it everything in its namespace."""
    child.kill()
    child.wait()


def enter(child, command):
    """The command inside of the namespaces that `child` was started with, but for the user's."""
    first = first_process(child) if isinstance(child, subprocess.Popen) else child
    return ["nsenter", "--target", str(first), "--net", "--mount", "--pid", "--uts", "--ipc",
            "--wdns=" + os.getcwd(), "--", *map(str, command)]


def wait_until(check, patience, what, child, log):
    deadline = time.monotonic() + patience
    while not check():
        if child.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"{what} {'ended' if child.poll() is not None else 'is not ready'}:\n"
                         f"{pathlib.Path(log).read_text(errors='replace')[-6000:]}")
        time.sleep(0.1)


# --- cgroups ------------------------------------------------------------------------------------

def hierarchies():
    """One of version 2, or several of version 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [one for one in sorted(CGROUPS.iterdir())
            if one.is_dir() and not one.is_symlink() and one.name != "unified"]


def make_cgroup(name):
    for top in hierarchies():
        folder = top / name
        folder.mkdir(exist_ok=True)
        if (top / "cgroup.controllers").exists():
            for controller in (top / "cgroup.controllers").read_text().split():
                _enable(top, controller)
                _enable(folder, controller)
        if (folder / "cpuset.cpus").exists() and top.name == "cpuset":
            for file in ("cpuset.cpus", "cpuset.mems"):
                (folder / file).write_text((top / file).read_text())


def _enable(folder, controller):
    try:
        (folder / "cgroup.subtree_control").write_text(f"+{controller}")
    except OSError:
        pass  # of the machine's choice; the kubelet says what it misses


def remove_cgroup(name, patience=20):
    deadline = time.monotonic() + patience
    while True:
        # containerd makes one in a hierarchy of version 2 beside those of version 1 too.
        left = [top / name for top in (CGROUPS, *CGROUPS.iterdir()) if (top / name).exists()]
        for folder in left:
            for path, _, _ in os.walk(folder, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    pass  # its processes are ending
        if not left or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def keep(name, folder):
    """Starts the keeper: when the pipe that it reads ends, for whatever reason, the cgroup and the
    folder go."""
    return subprocess.Popen([sys.executable, "-B", __file__, name, folder], stdin=subprocess.PIPE,
                            start_new_session=True)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    remove_cgroup(sys.argv[1])
    shutil.rmtree(sys.argv[2], ignore_errors=True)
