"""What the table is computed with: no process is started and nothing is read here."""

import dataclasses
import statistics

# Besides its ratio a row is met by this part of what the better peer costs above the floor.
FLOOR_TARGET = 0.35


@dataclasses.dataclass
class Sample:
    """One contestant in one row and round."""

    cost: float              # what is compared: CPU us per request, or bytes per connection
    rate: float = 0.0        # requests a second
    p99: float = 0.0         # milliseconds
    busy: float = 0.0        # cores that the proxy used
    rss: int = 0             # kilobytes, all its processes
    requests: int = 0
    errors: int = 0
    others: float = 0.0      # cores that strangers used meanwhile


@dataclasses.dataclass
class Verdict:
    ratio: float             # median over the rounds of ours / better peer
    peer: str
    above_floor: float = None
    met: bool = False
    ahead: bool = False      # not worse than the better peer: the bar that always holds


def median(values):
    return statistics.median(values)


def medians(samples):
    """The sample whose fields are the medians of those of the samples."""
    return Sample(**{field.name: median([getattr(one, field.name) for one in samples])
                     for field in dataclasses.fields(Sample)})


def judge(rounds, ours, peers, target, floor=None):
    """`rounds` is a list of {contestant: Sample}. The better peer is the one with the lower median;
    then each round gives a ratio, since what disturbs one round disturbs all in it. None without a
    round in which both ran."""
    both = [one for one in rounds if ours in one and any(peer in one for peer in peers)]
    if not both:
        return None
    present = [peer for peer in peers if all(peer in one for one in both)]
    if not present:
        return None
    peer = min(present, key=lambda name: median([one[name].cost for one in both]))
    # What is printed is what is judged.
    ratio = round(median([one[ours].cost / one[peer].cost for one in both]), 2)
    verdict = Verdict(ratio=ratio, peer=peer, ahead=ratio <= 1.0,
                      met=target is not None and ratio <= target)
    if floor is not None:
        above = [(one[ours].cost - one[floor].cost) / (one[peer].cost - one[floor].cost)
                 for one in both if floor in one and one[peer].cost > one[floor].cost]
        if above:
            verdict.above_floor = round(median(above), 2)
            verdict.met = verdict.met or verdict.above_floor <= FLOOR_TARGET
    return verdict


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def in_turn(names, number):
    """The order of round `number`: each name comes first as often as the others."""
    shift = number % len(names)
    return names[shift:] + names[:shift]
