"""Load, in the client's pod: what well-behaved clients see while something happens.

    load.py URL_HOST PORT HOST KEEPING FRESH RATE      until a line comes on stdin

KEEPING clients ask over one connection as long as the answers allow it; FRESH ones take a new
connection for each request. RATE is requests a second for all. Whatever isn't a whole 200 is a
failure, also a connection that the proxy closes under a request. One JSON line at the end:
{"requests": N, "failures": [...], "connections": N, "answers": {text: number}}.
"""

import http.client
import json
import sys
import threading
import time


class Load:
    def __init__(self, to, port, host, rate, clients):
        self.to, self.port, self.host = to, int(port), host
        self.pause = clients / rate
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.requests, self.connections, self.failures, self.answers = 0, 0, [], {}

    def ask(self, connection):
        """Whether the connection may go on."""
        connection.request("GET", "/", headers={"Host": self.host})
        response = connection.getresponse()
        body = response.read().decode()
        with self.lock:
            self.requests += 1
            self.answers[body] = self.answers.get(body, 0) + 1
            if response.status != 200:
                self.failures.append(f"{response.status}: {body[:200]}")
        return not response.will_close

    def client(self, number, keeps):
        due = time.monotonic() + number * self.pause / 10
        connection, asked = None, 0
        while not self.stop.is_set():
            time.sleep(max(0, due - time.monotonic()))
            due = max(due + self.pause, time.monotonic() - self.pause)
            try:
                if connection is None:
                    connection, asked = http.client.HTTPConnection(self.to, self.port,
                                                                   timeout=20), 0
                    with self.lock:
                        self.connections += 1
                goes_on = self.ask(connection) and keeps
                asked += 1
            except (OSError, http.client.HTTPException) as error:
                goes_on = False
                with self.lock:
                    self.failures.append(f"{time.strftime('%X')}: {error!r} after {asked} answers "
                                         f"on the connection, {'keeping' if keeps else 'fresh'}")
            if not goes_on:
                connection.close()
                connection = None


def main():
    to, port, host, keeping, fresh, rate = sys.argv[1:]
    count = int(keeping) + int(fresh)
    load = Load(to, port, host, float(rate), count)
    threads = [threading.Thread(target=load.client, args=(number, number < int(keeping)))
               for number in range(count)]
    for thread in threads:
        thread.start()
    while load.requests < count and not load.failures:
        time.sleep(0.05)
    print("running", flush=True)
    sys.stdin.readline()
    load.stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"requests": load.requests, "connections": load.connections,
                      "failures": load.failures, "answers": load.answers}), flush=True)


if __name__ == "__main__":
    main()
