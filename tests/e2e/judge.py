"""Runs the named test files, and says of each test how long it took."""

import sys
import time
import unittest

import case


class Result(unittest.TextTestResult):
    def startTest(self, test):
        self._started = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln(f"ok, {time.monotonic() - self._started:.1f} s")
        self.stream.flush()

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._tell(self.failures)

    def addError(self, test, err):
        super().addError(test, err)
        self._tell(self.errors)

    def _tell(self, found):
        """At once, and how things stand in the cluster: in the end that is gone."""
        self.stream.writeln(found[-1][1])
        self.stream.writeln(case.state())
        self.stream.flush()


if __name__ == "__main__":
    unittest.main(module=None, argv=["e2e", *sys.argv[1:]], testRunner=unittest.TextTestRunner(
        resultclass=Result, stream=sys.stdout, verbosity=2))
