#!/usr/bin/env python3
"""The demo's load: keep-alive clients that count what fails and under which serial they were served.

    load.py ADDR:PORT HOST [--clients 2] [--settle 300] [--deadline 30]

Prints "running" once each client has been answered 100 times; ends when each client has been
answered `settle` times under a serial that is not the first one; exit 0 if nothing failed, no
answer came under the old serial once the client had been served under the new one, and no client
connection had to be opened twice.
"""

import argparse
import collections
import http.client
import re
import sys
import threading
import time


class Client(threading.Thread):
    def __init__(self, options, stop_at):
        super().__init__(daemon=True)
        self.options, self.stop_at = options, stop_at
        self.answers = collections.Counter()  # by serial, in the order first seen
        self.failures = []
        self.went_back = 0
        self.answered = 0

    def run(self):
        address, port = self.options.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(address, int(port), timeout=10)
        connection.auto_open = 0  # a connection that the proxy closes is a failure, not a retry
        try:
            connection.connect()
            while not self.settled() and time.monotonic() < self.stop_at:
                self.ask(connection)
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(f"{type(error).__name__} {error}")

    def ask(self, connection):
        connection.request("GET", "/load", headers={"Host": self.options.host})
        response = connection.getresponse()
        text = response.read().decode("latin-1")
        serial = re.search(r"serial=(\w+)", text)
        if response.status != 200 or not serial:
            self.failures.append(f"status {response.status}")
            return
        if len(self.answers) > 1 and serial[1] == next(iter(self.answers)):
            self.went_back += 1
        self.answers[serial[1]] += 1
        self.answered += 1

    def settled(self):
        return len(self.answers) > 1 and list(self.answers.values())[-1] >= self.options.settle


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("host")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--settle", type=int, default=300)
    parser.add_argument("--deadline", type=float, default=30)
    options = parser.parse_args()

    started = time.monotonic()
    clients = [Client(options, started + options.deadline) for _ in range(options.clients)]
    for client in clients:
        client.start()
    while any(client.is_alive() and client.answered < 100 for client in clients):
        time.sleep(0.01)
    print("running", flush=True)
    for client in clients:
        client.join()

    answers = collections.Counter()
    for client in clients:
        answers.update(client.answers)
    failures = [failure for client in clients for failure in client.failures]
    went_back = sum(client.went_back for client in clients)
    seconds = time.monotonic() - started
    print(f"requests {answers.total() + len(failures)} in {seconds:.1f} s over {options.clients} "
          f"keep-alive connections, failed {len(failures)}")
    for serial, count in answers.items():
        print(f"  {count} answered under serial {serial}")
    for failure, count in collections.Counter(failures).items():
        print(f"  {count} x {failure}")
    if went_back:
        print(f"  {went_back} under the old serial after the new one")
    return 0 if not failures and not went_back and all(c.settled() for c in clients) else 1


if __name__ == "__main__":
    sys.exit(main())
