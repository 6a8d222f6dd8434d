"""Child processes that never outlive the test, and their output as it grows."""

import atexit
import json
import os
import pathlib
import signal
import subprocess
import tempfile

from .waiting import eventually

_running = set()


class Process:
    """A program in a session of its own, its output in files that can be read while it runs."""

    def __init__(self, command, folder=None, name=None, env=None, pass_fds=(), stdout=None):
        self.command = [str(part) for part in command]
        self.name = name or pathlib.Path(self.command[0]).name
        self._own_folder = None
        if folder is None:
            self._own_folder = tempfile.TemporaryDirectory(prefix="handfast-it-")
            folder = self._own_folder.name
        stem = pathlib.Path(folder) / f"{self.name}-{len(os.listdir(folder))}"
        self.out, self.err = Output(f"{stem}.out"), Output(f"{stem}.err")
        environment = dict(os.environ, **(env or {}))
        with open(self.out.path, "wb") as out, open(self.err.path, "wb") as err:
            self._child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=err,
                                           stdout=out if stdout is None else stdout,
                                           start_new_session=True, env=environment,
                                           pass_fds=pass_fds)
        self.pid = self._child.pid
        _running.add(self)

    @property
    def exit_code(self):
        """None while it runs; minus the signal that ended it."""
        return self._child.poll()

    def is_running(self):
        return self._child.poll() is None

    def signal(self, number):
        if self.is_running():
            os.kill(self.pid, number)

    def wait(self, patience=20):
        try:
            return self._child.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, patience=20):
        """SIGTERM, then SIGKILL for it and for whatever it left in its session; the exit code of
        the first, or None if it had to be killed."""
        self.signal(signal.SIGTERM)
        code = self.wait(patience)
        self.kill()
        return code

    def kill(self):
        """Ends the whole session at once."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self._child.wait()
        _running.discard(self)

    def logged(self, **fields):
        """The JSON lines on stderr that have these fields."""
        return self.err.lines_with(**fields)

    def tail(self):
        return (f"--- {' '.join(self.command)}: exit {self.exit_code}\n"
                f"{self.out.text()[-2000:]}\n{self.err.text()[-6000:]}")


class Output:
    """A file that a process writes; the JSON lines of it, each decoded once."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._offset = 0
        self._rest = b""
        self._records = []

    def text(self):
        return self.path.read_text(errors="replace") if self.path.exists() else ""

    def records(self):
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                self._records.append(record)
        return self._records

    def lines_with(self, **fields):
        return [record for record in self.records()
                if all(record.get(key) == value for key, value in fields.items())]


def wait_for_line(process, what, **fields):
    def check():
        found = process.logged(**fields)
        if not found and not process.is_running():
            raise RuntimeError(f"{what}\n{process.tail()}")
        return found

    return eventually(check, what)[-1]


@atexit.register
def _end_all():
    for process in list(_running):
        process.kill()
