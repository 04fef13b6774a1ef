"""What is usual at this time of day.

Method      A profile of the day in half hours: mean and mean distance of each, forgotten at 5 % a day, one reading weighing no more
            than CLIP distances. What a reading is apart from its half hour, in distances of that half hour, is a view like any
            other and judged by its record.
Assumes     The clock on the wall is right (its time is passed in) and life goes by it. Nothing is said before eight days, and only
            where the profile explains a good part of what the point does; a point without a rhythm is left to the other views.
"""

# ruff: noqa: FURB136  (what runs at every reading compares in place: a call of min costs more than what it does)

from array import array
from collections.abc import Iterator

from gateway.diagnosis.records import Independence, Record

DAY = 86400.0  # s
BINS = 48  # of a day
BIN = DAY / BINS  # s
PLENTY = 255  # readings of a bin; more are not counted
ENOUGH = 3  # readings of a bin before it is held against anything
RECORD_AGE = 4 * DAY  # s until residuals are recorded
SPEAK_AGE = 8 * DAY  # s until they count
GAIN = 0.6  # the residual must be below this share of the plain departure
FORGET = 0.05  # of a bin, with each reading: a reading a bin and day is the slowest case
RIPE = 1.0 / FORGET - 1.0  # readings of a bin from which on it forgets
LEAST = 0.3  # of the mean residual: no bin is taken to be calmer
CLIP = 6.0  # distances; a single reading weighs no more
FLOOR = 4.0
PENALTY = 1.0
GAP = 14.0
TINY = 1e-300


class Rhythm:
    """Mean and mean distance for each half hour of the day."""

    __slots__ = ("count", "independence", "mean", "plain", "record", "residual", "spread")

    def __init__(self) -> None:
        self.mean = array("d", [0.0] * BINS)
        self.spread = array("d", [0.0] * BINS)
        self.count = array("B", [0] * BINS)  # readings of each, up to PLENTY
        self.residual = 0.0  # mean distance from the profile
        self.plain = 0.0  # mean distance from the level, for comparison
        self.independence = Independence()
        self.record = Record(GAP, FLOOR, PENALTY)

    def judge(
        self, half_hour: int, value: float, apart: float, bound: float, rate: float, age: float, count: int, log: float
    ) -> float:
        """Learn a value read in a half hour of the week; returns how surprising it is at this time of day.

        `apart` and `bound` are the size of its plain departure and what a size is clipped to; `age` is since the first reading.
        """
        index = half_hour % BINS
        seen = self.count[index]
        mean, distance = self.mean[index], self.spread[index]
        residual = value - mean
        size = residual if residual >= 0.0 else -residual
        if seen < PLENTY:
            self.count[index] = seen + 1
        if seen < ENOUGH:
            self.mean[index] = mean + residual / (seen + 1)
            self.spread[index] = distance + (size - distance) / (seen + 1)
            return 0.0
        self.residual += rate * ((size if size < bound else bound) - self.residual)
        self.plain += rate * ((apart if apart < bound else bound) - self.plain)
        least = LEAST * self.residual
        spread = (distance if distance > least else least) or TINY
        most = CLIP * spread
        clipped = residual if size < most else (most if residual > 0.0 else -most)
        self.independence.learn(clipped / spread, rate)
        surprise = self.record.judge(residual / spread, rate, count, log) if age > RECORD_AGE else 0.0
        weight = FORGET if seen > RIPE else 1.0 / (seen + 1.0)
        self.mean[index] = mean + weight * clipped
        self.spread[index] = distance + weight * ((size if size < most else most) - distance)
        if surprise > 0.0 and age > SPEAK_AGE and self.explains():
            return surprise * self.independence.trust(count)
        return 0.0

    def explains(self) -> bool:
        """Whether the profile says much about what the point does."""
        return self.residual < GAIN * self.plain

    def usual(self, half_hour: int) -> tuple[float, float] | None:
        """Mean and mean distance in a half hour of the week; None where it is not known."""
        index = half_hour % BINS
        if self.count[index] <= ENOUGH or not self.explains():
            return None
        return self.mean[index], max(self.spread[index], LEAST * self.residual)

    def state(self) -> list[float]:
        """Itself as numbers."""
        learnt = [self.residual, self.plain, *self.independence.state(), *self.record.state()]
        return [*self.mean, *self.spread, *self.count, *learnt]

    def restore(self, numbers: Iterator[float]) -> None:
        """Take up what `state` gave."""
        for index in range(BINS):
            self.mean[index] = next(numbers)
        for index in range(BINS):
            self.spread[index] = next(numbers)
        for index in range(BINS):
            self.count[index] = int(next(numbers))
        self.residual, self.plain = next(numbers), next(numbers)
        self.independence.restore(numbers)
        self.record.restore(numbers)
