"""Polling with a deadline: no test sleeps for a fixed time."""

import time

# A machine that builds at the same time is slow; what works takes milliseconds.
PATIENCE = 30.0


class NeverHappened(AssertionError):
    pass


def eventually(check, what, patience=PATIENCE, every=0.01):
    """The first true answer of `check`; its exceptions (of a server that isn't there yet) are only
    the last thing told when the deadline passes."""
    deadline = time.monotonic() + patience
    last = None
    while True:
        try:
            last = check()
            if last:
                return last
        except (OSError, ValueError, LookupError, AssertionError) as error:
            last = error
        if time.monotonic() > deadline:
            raise NeverHappened(f"{what}: not within {patience:g} s; last: {last!r}")
        time.sleep(every)
        every = min(every * 1.2, 0.1)
