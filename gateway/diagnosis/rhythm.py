"""What is usual at this time of day, and of the week.

Method      A profile of the day in hours, and one of the week in parts of three hours, which learns a mean value each half hour:
            mean and mean distance of each part, one value weighing no more than CLIP distances, forgotten at a twentieth a day
            and a seventh a week. What a value is apart from its part, in distances of that part, is a view like any other and
            judged by its record. The week speaks instead of the day where it explains much more, as in an office.
Assumes     The clock on the wall is right (its time is passed in) and life goes by it. Nothing is said by the day before eight
            days and by the week before four weeks, and only where a profile explains a good part of what the point does; a point
            without a rhythm is left to the other views.
"""

# ruff: noqa: FURB136  (what runs at every reading compares in place: a call of min costs more than what it does)

import math
from array import array
from collections.abc import Iterator

from gateway.diagnosis.records import Independence, Record

DAY = 86400.0  # s
HALF_HOUR = 1800.0  # s
HALF_HOURS = 48  # of a day
DAY_PARTS, WEEK_PARTS = 24, 56
DAY_FORGETS, WEEK_FORGETS = 0.05, 0.15  # of a part, at each time round
DAY_RECORDS, WEEK_RECORDS = 4 * DAY, 15 * DAY  # age from which on residuals are recorded
DAY_SPEAKS, WEEK_SPEAKS = 8 * DAY, 28 * DAY  # and from which on they count
PENALTY = 1.0
WEEK_MEMORY = 3360  # half hours, ten weeks of them: what is typical of a week forgets like that
ENOUGH = 3  # values of a part before it is held against anything
GAIN = 0.6  # the residual must be below this share of the plain departure
BETTER = 0.7  # and that of the week below this share of the day's
LEAST = 0.3  # of the mean residual: no part is taken to be calmer
CLIP = 6.0  # distances; a single value weighs no more
FLOOR = 4.0
GAP = 14.0
TINY = 1e-300


class Profile:
    """Mean and mean distance for each part of a cycle."""

    __slots__ = ("count", "forgets", "independence", "mean", "plain", "record", "residual", "spread")

    def __init__(self, parts: int, forgets: float) -> None:
        self.forgets = forgets  # of a part, with each value
        self.mean = array("d", [0.0] * parts)
        self.spread = array("f", [0.0] * parts)
        self.count = array("I", [0] * parts)
        self.residual = 0.0  # mean distance from the profile
        self.plain = 0.0  # mean distance from the level, for comparison
        self.independence = Independence()
        self.record = Record(GAP, FLOOR, PENALTY)

    def judge(
        self, part: int, value: float, level: float, bound: float, rate: float, count: int, log_count: float, is_recorded: bool
    ) -> float:
        """Learn a value of a part, the `count`-th in all; returns how surprising it is there.

        `level` is what it is without a rhythm, `bound` what a departure is clipped to.
        """
        mean, distance, seen = self.mean[part], self.spread[part], self.count[part]
        off = value - mean
        size = off if off >= 0.0 else -off
        self.count[part] = seen + 1
        if seen < ENOUGH:
            self.mean[part] = mean + off / (seen + 1)
            self.spread[part] = distance + (size - distance) / (seen + 1)
            return 0.0
        plain = value - level if value >= level else level - value
        self.residual += rate * ((size if size < bound else bound) - self.residual)
        self.plain += rate * ((plain if plain < bound else bound) - self.plain)
        least = LEAST * self.residual
        spread = (distance if distance > least else least) or TINY
        most = CLIP * spread
        clipped = off if size < most else (most if off > 0.0 else -most)
        self.independence.learn(clipped / spread, rate)
        weight = max(1.0 / (seen + 1), self.forgets)
        self.mean[part] = mean + weight * clipped
        self.spread[part] = distance + weight * ((size if size < most else most) - distance)
        if not is_recorded:
            return 0.0
        surprise = self.record.judge(off / spread, rate, count, log_count)
        return surprise * self.independence.trust(count) if surprise > 0.0 and self.explains() else 0.0

    def explains(self) -> bool:
        """Whether the profile says much about what the point does."""
        return self.residual < GAIN * self.plain

    def usual(self, part: int) -> tuple[float, float] | None:
        """Mean and mean distance of a part; None where it is not known."""
        if self.count[part] <= ENOUGH or not self.explains():
            return None
        return self.mean[part], max(self.spread[part], LEAST * self.residual)

    def state(self) -> list[float]:
        """Itself as numbers."""
        learnt = [self.residual, self.plain, *self.independence.state(), *self.record.state()]
        return [*self.mean, *self.spread, *self.count, *learnt]

    def restore(self, numbers: Iterator[float]) -> None:
        """Take up what `state` gave."""
        parts = range(len(self.mean))
        self.mean = array("d", [next(numbers) for _ in parts])
        self.spread = array("f", [next(numbers) for _ in parts])
        self.count = array("I", [int(next(numbers)) for _ in parts])
        self.residual, self.plain = next(numbers), next(numbers)
        self.independence.restore(numbers)
        self.record.restore(numbers)


class Rhythm:
    """Day and week of a point whose readings come every `step` seconds. Half hours are numbered from Monday, by local time."""

    __slots__ = ("age", "day", "half_hour", "half_hours", "number", "sum", "surprise", "week")

    def __init__(self, step: float) -> None:
        readings = max(1.0, HALF_HOURS * HALF_HOUR / DAY_PARTS / step)  # of a part
        self.day = Profile(DAY_PARTS, DAY_FORGETS / readings)
        self.week = Profile(WEEK_PARTS, WEEK_FORGETS * WEEK_PARTS / (7 * HALF_HOURS))
        self.age = 0.0  # s since the first reading
        self.half_hour = -1  # at hand: its number, and the sum of so many readings
        self.sum, self.number = 0.0, 0
        self.half_hours = 0  # seen so far
        self.surprise = 0.0  # of the last whole one, in the week

    def judge(
        self, half_hour: int, value: float, level: float, bound: float, rate: float, age: float, count: int, log_count: float
    ) -> float:
        """Learn a value read in a half hour of the week; returns how surprising it is then. For the others see `Profile`."""
        self.age = age
        if half_hour != self.half_hour:
            self.surprise = self._end_half_hour(level, bound, rate) if self.number else 0.0
            self.half_hour, self.sum, self.number = half_hour, 0.0, 0
        self.sum += value
        self.number += 1
        part = half_hour % HALF_HOURS * DAY_PARTS // HALF_HOURS
        surprise = self.day.judge(part, value, level, bound, rate, count, log_count, age > DAY_RECORDS)
        if self.is_weekly():
            surprise, self.surprise = self.surprise, 0.0
            return surprise
        return surprise if age > DAY_SPEAKS else 0.0

    def _end_half_hour(self, level: float, bound: float, rate: float) -> float:
        self.half_hours = count = self.half_hours + 1
        if rate:
            rate = 1.0 / min(count, WEEK_MEMORY)
        part = self.half_hour * WEEK_PARTS // (7 * HALF_HOURS)
        mean = self.sum / self.number
        return self.week.judge(part, mean, level, bound, rate, count, math.log(count), self.age > WEEK_RECORDS)

    def is_weekly(self) -> bool:
        """Whether the week says more than the day."""
        return self.age > WEEK_SPEAKS and self.week.residual < BETTER * self.day.residual and self.week.explains()

    def usual(self, half_hour: int) -> tuple[float, float] | None:
        """Mean and mean distance in a half hour of the week; None where it is not known."""
        if self.is_weekly():
            return self.week.usual(half_hour * WEEK_PARTS // (7 * HALF_HOURS))
        return self.day.usual(half_hour % HALF_HOURS * DAY_PARTS // HALF_HOURS)

    def state(self) -> list[float]:
        """Itself as numbers."""
        at_hand = [self.age, self.half_hour, self.sum, self.number, self.half_hours, self.surprise]
        return [*at_hand, *self.day.state(), *self.week.state()]

    def restore(self, numbers: Iterator[float]) -> None:
        """Take up what `state` gave."""
        self.age, self.half_hour, self.sum, self.number = next(numbers), int(next(numbers)), next(numbers), int(next(numbers))
        self.half_hours, self.surprise = int(next(numbers)), next(numbers)
        self.day.restore(numbers)
        self.week.restore(numbers)
