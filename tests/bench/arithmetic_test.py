"""The arithmetic of the bench, and the reading of what the load generators print."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from arithmetic import Sample, in_turn, judge, medians, percentile  # noqa: E402
from load import parse_duration, parse_h2load, parse_wrk  # noqa: E402

WRK = """Running 2s test @ http://127.0.0.1:1/1k
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.99ms  431.51us  15.95ms   94.33%
  Latency Distribution
     50%    2.90ms
     99%    4.55ms
  42674 requests in 2.01s, 52.61MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  21247.35
"""
H2LOAD = """finished in 2.03s, 12000.50 req/s, 13.00MB/s
requests: 24001 total, 24065 started, 24001 done, 23990 succeeded, 11 failed, 0 errored, 0 timeout
"""


def rounds(*costs):
    return [{name: Sample(cost=cost) for name, cost in one.items()} for one in costs]


class Arithmetic(unittest.TestCase):
    def test_a_row_is_judged_by_the_median_of_the_ratios_of_its_rounds(self):
        verdict = judge(rounds({"handfast": 8, "nginx": 10, "haproxy": 20},
                               {"handfast": 16, "nginx": 20, "haproxy": 40},
                               {"handfast": 90, "nginx": 10, "haproxy": 20}),
                        "handfast", ["nginx", "haproxy"], 0.8)

        self.assertEqual(verdict.peer, "nginx")
        self.assertAlmostEqual(verdict.ratio, 0.8)
        self.assertTrue(verdict.met)
        self.assertTrue(verdict.ahead)

    def test_the_peer_with_the_lower_median_is_the_better_one(self):
        verdict = judge(rounds({"handfast": 30, "nginx": 21, "haproxy": 20},
                               {"handfast": 30, "nginx": 19, "haproxy": 20},
                               {"handfast": 30, "nginx": 22, "haproxy": 20}),
                        "handfast", ["nginx", "haproxy"], 0.8)

        self.assertEqual((verdict.peer, verdict.met, verdict.ahead), ("haproxy", False, False))

    def test_what_lies_above_the_floor_may_meet_the_target_too(self):
        verdict = judge(rounds({"handfast": 25, "nginx": 30, "floor": 22}), "handfast", ["nginx"],
                        0.8, floor="floor")

        self.assertEqual(verdict.above_floor, 0.38)
        self.assertFalse(verdict.met)
        verdict = judge(rounds({"handfast": 24.5, "nginx": 30, "floor": 22}), "handfast", ["nginx"],
                        0.8, floor="floor")
        self.assertTrue(verdict.met)

    def test_without_us_or_without_a_peer_there_is_no_verdict(self):
        self.assertIsNone(judge(rounds({"nginx": 1}), "handfast", ["nginx"], 1.0))
        self.assertIsNone(judge(rounds({"handfast": 1}), "handfast", ["nginx"], 1.0))
        self.assertIsNone(judge([], "handfast", ["nginx"], 1.0))

    def test_medians_are_taken_field_by_field(self):
        middle = medians([Sample(cost=1, rate=9), Sample(cost=5, rate=7), Sample(cost=3, rate=8)])

        self.assertEqual((middle.cost, middle.rate), (3, 8))

    def test_percentiles_and_the_order_of_rounds(self):
        self.assertEqual(percentile(range(1, 101), 0.99), 100)
        self.assertEqual(percentile([], 0.99), 0.0)
        self.assertEqual([in_turn(["a", "b", "c"], number)[0] for number in range(4)],
                         ["a", "b", "c", "a"])


class Parsing(unittest.TestCase):
    def test_reads_what_wrk_prints(self):
        result = parse_wrk(WRK)

        self.assertEqual((result.requests, result.p99, result.errors), (42674, 4.55, 15))

    def test_reads_what_h2load_prints(self):
        result = parse_h2load(H2LOAD, [1000, 3000])

        self.assertEqual((result.requests, result.p99, result.errors), (23990, 3.0, 11))

    def test_reads_durations(self):
        texts = ("250.00us", "1.50ms", "2.00s", "1.00m")

        self.assertEqual([parse_duration(text) for text in texts], [0.25, 1.5, 2000, 60000])


if __name__ == "__main__":
    unittest.main()
