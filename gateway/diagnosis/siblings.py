"""Several points that should be alike, compared in rounds.

A round is a stretch of time. What a sibling read in it becomes one mean, so that only values of the same time meet; who read
nothing is left out. When the round is over, median and spread of the well ones say how far apart siblings may be, and each is
judged once. Who was found to differ is no longer among the well ones, so that a second and third fault are seen as the first was.

Where siblings are of different size, each is divided by its own usual share of the median, learnt while it does not differ.

State is constant for each sibling; a round costs one sort.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

CLEAR = 0.75  # of what is allowed apart: so near must come who differed, so that it does not come and go
HUGE = 1e100  # beyond it nothing is measured
SMALLEST, LARGEST = 0.1, 10.0  # share of the median that is taken for somebody's usual one
FADE = 7.0  # times the time to learn it: how slowly a usual share is unlearnt

NORMAL = 1.4826  # the median absolute deviation of a normal distribution is its standard deviation by this
# What makes it so for few values: Croux, Rousseeuw, "Time-efficient algorithms for two highly robust estimators of scale" (1992).
FEW = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}


class Terms(NamedTuple):
    """How siblings are compared."""

    times: float  # spreads apart that are allowed
    least: float  # apart that is always allowed
    share: float  # the same, as a share of the median
    above: float  # the median must be, or there is nothing to compare
    others: int  # well ones that it takes to judge one
    within: float  # s, of a round
    learns: float  # s of rounds before a usual share is known; 0 where all are of one size


class Found(NamedTuple):
    """What a round found of one sibling; levels are what it would be by its own usual share."""

    differs: bool
    value: float
    others: int  # well ones, itself apart
    low: float  # least of them
    high: float
    median: float
    allowed: float  # apart from the median


class Member:
    """One of the siblings."""

    __slots__ = ("count", "differs", "found", "gave", "norm", "seen", "total")

    def __init__(self) -> None:
        self.total = 0.0  # of its readings in this round
        self.count = 0
        self.differs = False
        self.found: Found | None = None  # in the last round; None where nothing is known
        self.gave = self.norm = 0.0  # sums of its values and of the medians, of rounds in which it did not differ
        self.seen = 0.0  # s of such rounds

    def forget(self) -> None:
        """It is another one now."""
        self.differs, self.found = False, None
        self.gave = self.norm = self.seen = 0.0

    def learn(self, value: float, median: float, terms: Terms) -> None:
        """It was well beside such a median."""
        keep = math.exp(-terms.within / (FADE * terms.learns))
        self.gave = self.gave * keep + value
        self.norm = self.norm * keep + median
        self.seen = min(terms.learns, self.seen + terms.within)

    def share(self, terms: Terms) -> float | None:
        """Its usual share of the median; None while that is not known."""
        if not terms.learns:
            return 1.0
        if self.seen < terms.learns or self.norm <= 0:
            return None
        return min(LARGEST, max(SMALLEST, self.gave / self.norm))


class Siblings:
    """All of them, and the round at hand."""

    __slots__ = ("began", "members", "number", "terms")

    def __init__(self, terms: Terms, size: int) -> None:
        self.terms = terms
        self.members = [Member() for _ in range(size)]
        self.began: float | None = None  # when the first round did
        self.number = 0  # of the round at hand

    def take(self, index: int, value: float, at: float) -> Found | None:
        """One of them read a value; returns what the last round found of it."""
        self._turn(at)
        member = self.members[index]
        member.total += max(-HUGE, min(HUGE, value))
        member.count += 1
        return member.found

    def _turn(self, at: float) -> None:
        """End the round if its time is up."""
        if self.began is None:
            self.began = at
            for member in self.members:
                member.total, member.count = 0.0, 0
        number = int((at - self.began) // self.terms.within)
        if number != self.number:
            self._end(is_fresh=number == self.number + 1)
            self.number = number

    def _end(self, *, is_fresh: bool) -> None:
        read: dict[Member, float] = {}
        for member in self.members:
            if member.count and is_fresh:
                read[member] = member.total / member.count
            member.found = None
            member.total, member.count = 0.0, 0
        shares = [member.share(self.terms) for member in self.members]
        is_learnt = len(shares) - shares.count(None) > self.terms.others
        sized = [
            (member, read[member], share)
            for member, share in zip(self.members, shares, strict=True)
            if share and is_learnt and member in read
        ]
        norm = sorted(value / share for member, value, share in sized if not member.differs) if is_learnt else sorted(read.values())
        if len(norm) < self.terms.others or (median := middle(norm)) <= self.terms.above:
            return
        self._judge(sized, norm)
        if self.terms.learns:
            inside = {member for member, _, _ in sized} if is_learnt else read.keys()
            for member, value in read.items():
                if not member.differs and len(norm) - (member in inside) >= self.terms.others:
                    member.learn(value, median, self.terms)

    def _judge(self, known: Sequence[tuple[Member, float, float]], well: Sequence[float]) -> None:
        """Who differs; `well` are the values of those who did not so far, in order, each divided by its share."""
        terms = self.terms
        median = middle(well)
        allowed = max(terms.times * spread(well), terms.least, terms.share * abs(median))
        for member, value, share in known:
            alike = value / share
            was_well = not member.differs
            others = len(well) - was_well
            if others < terms.others:
                continue
            member.differs = abs(alike - median) > allowed * (1.0 if was_well else CLEAR)
            low = well[1] if was_well and alike == well[0] else well[0]
            high = well[-2] if was_well and alike == well[-1] else well[-1]
            member.found = Found(member.differs, value, others, low * share, high * share, median * share, allowed * share)

    # ------------------------------------------------------------ across a restart

    def memory(self, index: int) -> list[Any]:
        """One of them as plain data; with the first goes what concerns all."""
        one = self.members[index]
        found = None if one.found is None else list(one.found)
        common = None if index or self.began is None else [self.began, self.number]
        return [one.total, one.count, one.differs, found, one.gave, one.norm, one.seen, common]

    def recall(self, index: int, memory: Sequence[Any], shift: float) -> None:
        """Take up what `memory` gave."""
        one = self.members[index]
        one.total, one.count, one.differs, found, one.gave, one.norm, one.seen, common = memory
        one.found = None if found is None else Found(*found)
        if common is not None:
            began, self.number = common
            self.began = began + shift

    def pause(self, index: int, seconds: float) -> None:
        """For so long, until now, nothing was read: the round stood still."""
        if not index and self.began is not None:
            self.began += seconds


def middle(values: Sequence[float]) -> float:
    """The median of values in order."""
    size = len(values)
    return (values[size // 2] + values[(size - 1) // 2]) / 2.0


def spread(values: Sequence[float]) -> float:
    """A robust standard deviation of values in order, nearly half of which may be wild: the median absolute deviation, scaled."""
    median = middle(values)
    size = len(values)
    return NORMAL * FEW.get(size, size / (size - 0.8)) * middle(sorted(abs(value - median) for value in values))
