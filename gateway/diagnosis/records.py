"""How far a number goes beyond everything it has shown before, and how much that is worth.

Method      A view of a signal (its departure from the usual level, a mean of that, a step) has a *record* on each side: the best
            peak of all bursts that are over. Peaks nearer to each other than `gap` readings are one burst: the declustering of
            Leadbetter, "On a basis for peaks over threshold modeling" (1991). What is running now is no record yet, so a slow
            climb keeps its whole height. The excess over the record is taken as ln(size / record), which for tails of the Pareto
            kind is exponential (Hill, "A simple general approach to inference about the tail of a distribution", 1975; in
            streams: Siffer et al., "Anomaly detection in streams with extreme value theory", 2017). One record does not tell the
            rate of that exponential, so a Gamma prior stands for it; the law to expect is then Lomax's:

                P(excess > l) = (1 + l / SOFT) ** -SHAPE

            In steady noise the next reading is a record with probability 1/n (Rényi, 1962), of which CREDIT is believed:

                surprise = CREDIT * ln n - penalty + SHAPE * ln(1 + excess / SOFT)

            A record is never taken lower than `floor` typical sizes, or the first hours would be full of records.
Assumes     That bursts, not readings, are what comes independently. Nothing is assumed about the shape of the noise but its tail;
            scaling or shifting the signal changes nothing.
"""

# ruff: noqa: FURB136  (what runs at every reading compares in place: a call of min costs more than what it does)

import math
from collections.abc import Iterator

CREDIT = 0.3  # of the surprise that a record after n readings is in itself
SHAPE = 4.0  # of the Gamma prior
SOFT = 0.6  # its scale, in logarithms of size
OUTLIER = 10.0  # typical sizes; more than this counts as this much for what is typical
HALF = 6.0  # independent values with which half of a surprise is believed

_log, _log1p = math.log, math.log1p


class Side:
    """One direction of a view: the record, and the burst that may become one."""

    __slots__ = ("best", "burst", "burst_at")

    def __init__(self) -> None:
        self.best = 0.0
        self.burst = 0.0  # the best peak of the burst that is running; 0 for none
        self.burst_at = 0  # the reading that was last near that peak

    def furthest(self) -> float:
        """How far it ever was on this side, the burst that is running included."""
        return max(self.best, self.burst)

    def state(self) -> list[float]:
        """Itself as numbers."""
        return [self.best, self.burst, self.burst_at]

    def restore(self, numbers: Iterator[float]) -> None:
        """Take up what `state` gave."""
        self.best, self.burst, self.burst_at = next(numbers), next(numbers), int(next(numbers))


class Record:
    """One view of a point: its typical size, and the best it has shown on either side."""

    __slots__ = ("down", "excess", "floor", "gap", "penalty", "typical", "up", "value")

    def __init__(self, gap: float, floor: float, penalty: float = 0.0) -> None:
        self.gap = gap  # readings
        self.floor = floor  # typical sizes
        self.penalty = penalty
        self.value = 0.0  # the view now
        self.typical = 0.0  # its mean size
        self.excess = 0.0  # by which it last beat its record
        self.up = Side()
        self.down = Side()

    def learn(self, value: float, rate: float) -> None:
        """Take a value in before records count: only the typical size is learnt."""
        self.value = value
        self.typical += rate * (abs(value) - self.typical)

    def judge(self, value: float, rate: float, count: int, log_count: float) -> float:
        """Learn a value, the view's `count`-th; returns the surprise, 0 while it is within the record."""
        self.value = value
        side, size = (self.up, value) if value >= 0.0 else (self.down, -value)
        typical = self.typical
        if side.burst > 0.0 and count - side.burst_at > self.gap:
            side.best = side.furthest()
            side.burst = 0.0
        most = OUTLIER * typical or size
        self.typical = typical + rate * ((size if size < most else most) - typical)
        record = side.best
        if size <= record:
            return 0.0
        if size > side.burst:
            side.burst = size
            side.burst_at = count
        elif size > 0.5 * side.burst:
            side.burst_at = count
        record = max(record, self.floor * typical)  # as it was before: a size is not judged by itself
        if size > record > 0.0:
            self.excess = _log(size / record) / SOFT
            return CREDIT * log_count - self.penalty + SHAPE * _log1p(self.excess)
        return 0.0

    def beaten(self) -> float:
        """The best on the side where the view is now, without the burst that is running."""
        return self.up.best if self.value >= 0.0 else self.down.best

    def odds(self) -> float:
        """Of so many records that are beaten, one is beaten that far."""
        return math.pow(1.0 + self.excess, SHAPE)

    def forget_burst(self, count: int) -> None:
        """What is running became the new normal: it is no record."""
        for side in (self.up, self.down):
            if count - side.burst_at > self.gap:  # long over, though nobody has looked
                side.best = side.furthest()
            side.burst = 0.0

    def accept_burst(self) -> None:
        """What is running may go on: it is a record now."""
        for side in (self.up, self.down):
            side.best = side.furthest()
            side.burst = 0.0

    def state(self) -> list[float]:
        """Itself as numbers."""
        return [self.value, self.typical, *self.up.state(), *self.down.state()]

    def restore(self, numbers: Iterator[float]) -> None:
        """Take up what `state` gave."""
        self.value, self.typical = next(numbers), next(numbers)
        self.up.restore(numbers)
        self.down.restore(numbers)


class Independence:
    """How many independent values a signal that wanders has shown: n (1 - rho) / (1 + rho), rho the correlation of neighbours."""

    __slots__ = ("before", "product", "square")

    def __init__(self) -> None:
        self.square = self.product = self.before = 0.0

    def learn(self, value: float, rate: float) -> None:
        """Take in a value of mean zero."""
        self.square += rate * (value * value - self.square)
        self.product += rate * (value * self.before - self.product)
        self.before = value

    def trust(self, count: int) -> float:
        """The share of a surprise to believe after `count` values."""
        rho = self.product / self.square if self.square > 0.0 else 0.0
        rho = max(0.0, min(rho, 0.999))
        independent = count * (1.0 - rho) / (1.0 + rho)
        return independent / (independent + HALF)

    def state(self) -> list[float]:
        """Itself as numbers."""
        return [self.square, self.product, self.before]

    def restore(self, numbers: Iterator[float]) -> None:
        """Take up what `state` gave."""
        self.square, self.product, self.before = next(numbers), next(numbers), next(numbers)
