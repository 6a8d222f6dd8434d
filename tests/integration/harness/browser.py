"""A real browser without a screen, driven over the DevTools protocol by a pair of pipes: Debian's
`chromium-headless-shell`, or another Chromium. `./dev install browser` brings it."""

import base64
import json
import os
import pathlib
import select
import shutil
import tempfile
import time

from .processes import Process

# A name that leads to this machine, as it would after DNS rebinding.
OTHER_SITE = "other-site.example"
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")


def program():
    """Where a browser is; None: there is none."""
    found = os.environ.get("HANDFAST_BROWSER")
    return found or next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One page of one browser. `problems` has what the page itself complained about: errors of
    scripts, and what its Content-Security-Policy forbade."""

    PATIENCE = 60

    def __init__(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="handfast-it-")
        child_reads, self._to = os.pipe()
        self._from, child_writes = os.pipe()
        # The protocol's pipes are descriptors 3 and 4. No sandbox: it needs more rights than a
        # container gives, and the page is ours.
        self.process = Process(
            ["bash", "-c", f'exec "$0" "$@" 3<&{child_reads} 4>&{child_writes}', program(),
             "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
             f"--host-resolver-rules=MAP {OTHER_SITE} 127.0.0.1",
             f"--user-data-dir={self._temporary.name}/profile", "--remote-debugging-pipe",
             "about:blank"], self._temporary.name, name="browser",
            pass_fds=(child_reads, child_writes))
        os.close(child_reads)
        os.close(child_writes)
        self._numbers = 0
        self._received = b""
        self._session = None
        self.events = []
        self.problems = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target,
                                  flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self):
        self.process.kill()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._temporary.name, ignore_errors=True)
        self._temporary.cleanup()

    def call(self, method, **params):
        self._numbers += 1
        number = self._numbers
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self.PATIENCE
        while True:
            answer = self._read(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]

    def _read(self, deadline):
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._from], [], [], max(0, deadline - time.monotonic()))
            got = os.read(self._from, 1 << 20) if ready else b""
            if not got:
                raise AssertionError(f"the browser says nothing\n{self.process.tail()}")
            self._received += got
        line, _, self._received = self._received.partition(b"\0")
        message = json.loads(line)
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(message["params"]["exceptionDetails"])
        elif message.get("method") == "Log.entryAdded":
            entry = message["params"]["entry"]
            if entry["level"] == "error":
                self.problems.append(entry)
        return message

    def look_like(self, width, height, dark=False, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=mobile)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, url):
        # A page that differs in its fragment alone would not be loaded anew.
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)

    def evaluate(self, script):
        """The value of an expression, or of what it promises."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, script, what):
        """Until an expression is true; its value."""
        deadline = time.monotonic() + self.PATIENCE
        while True:
            try:
                value = self.evaluate(script)
                if value:
                    return value
            except AssertionError:  # between two pages
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: {script} is never true; {self.problems}")
            time.sleep(0.02)

    def screenshot(self, file, selector=None, most=10_000):
        """Of an element, or of the whole page; `most`: pixels from its top."""
        clip = self.evaluate(
            "(({x, y, width, height}) => ({x, y: y + scrollY, width, height, scale: 1}))"
            f"(document.querySelector({json.dumps(selector or 'html')}).getBoundingClientRect())")
        clip["height"] = min(clip["height"], most)
        image = self.call("Page.captureScreenshot", format="png", clip=clip,
                          captureBeyondViewport=True)
        pathlib.Path(file).write_bytes(base64.b64decode(image["data"]))
