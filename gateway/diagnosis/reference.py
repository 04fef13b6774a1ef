"""What the days of a point were like while it was well, and how far they have gone from that since.

Method      The first days make the reference: a level for each day of the week where weekdays differ clearly, one for all where
            they do not; the mean distance of days from it; and the correlation of neighbouring days, shrunk towards PRIOR, because
            a month tells little of it. From then on a two-sided cumulative sum (Page, "Continuous inspection schemes", 1954) adds
            up how far each day is off, in long-run deviations (the distance of days, widened for days that follow each other)
            and less ALLOWANCE. Above BOUND something lasting goes on; the median of the last RECENT days then says how much, and
            that must be NEED distances of days at least, and WIDE long-run deviations.
Assumes     Weeks alike. What a season brings is followed as far as the caller allows so much a day; a season that brings more, and
            a point that wanders without ever coming back, cannot be told from a drift by anything that knows only the point.

On made-up days without a drift this speaks less than once in 25 years where neighbouring days are correlated by up to 0.8, and once
in 5 at 0.9; a drift of one distance of days a week is told after 4 weeks, of a fifth of that after 16.
"""

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

WEEK = 7  # days
CLEARLY = 0.6  # weekdays differ, if days are that much nearer to their weekday than to all days
PRIOR, WEIGHT = 0.3, 10.0  # correlation of neighbouring days to expect, and how many days it takes to believe otherwise
MOST = 0.9  # correlation that is believed
TO_DEVIATION = 1.2533  # from a mean distance to a standard deviation, for a normal law
ALLOWANCE = 0.5  # long-run deviations a day
OUTLIER = 4.0  # long-run deviations; one day counts for no more
BOUND = 8.0  # long-run deviations
RECENT = 14  # days
NEED = 3.0  # distances of days
WIDE = 2.5  # long-run deviations
BACK = 0.5  # of what was needed: below this it is over


class Day(NamedTuple):
    """One day: its number since the beginning, and its level."""

    number: int
    level: float


class Reference:
    """The days that were well, as far as they matter."""

    __slots__ = ("deviation", "level", "spread", "weekdays")

    def __init__(self, days: Sequence[Day]) -> None:
        levels = [day.level for day in days]
        self.level = median(levels)
        self.weekdays = array("d", [0.0] * WEEK)  # what a weekday is off the level
        alike = [level - self.level for level in levels]
        apart, weekdays = _by_weekday(days, self.level)
        distance = _mean_size(alike)
        within = _mean_size(apart) if apart else distance
        if within < CLEARLY * distance:
            self.weekdays = weekdays
            alike, distance = [day.level - self.expects(day.number) for day in days], within
        self.spread = TO_DEVIATION * distance  # of days
        correlation = _correlation(alike)
        self.deviation = self.spread * math.sqrt((1.0 + correlation) / (1.0 - correlation))  # in the long run

    def expects(self, number: int) -> float:
        """The level of a day."""
        return self.level + self.weekdays[number % WEEK]

    def memory(self) -> list[Any]:
        """Itself as plain data."""
        return [self.level, self.spread, self.deviation, self.weekdays.tolist()]

    @classmethod
    def recall(cls, memory: Sequence[Any]) -> "Reference":
        """What `memory` gave."""
        reference = cls.__new__(cls)
        reference.level, reference.spread, reference.deviation, weekdays = memory
        reference.weekdays = array("d", weekdays)
        return reference


def _by_weekday(days: Sequence[Day], level: float) -> tuple[list[float], "array[float]"]:
    """How far each day is off the mean of its weekday, made good for that mean being its own; and those means less the level."""
    groups: dict[int, list[float]] = {}
    for number, value in days:
        groups.setdefault(number % WEEK, []).append(value)
    means = {weekday: sum(group) / len(group) for weekday, group in groups.items()}
    if len(groups) < WEEK:
        return [], array("d")
    fair = {weekday: math.sqrt(len(group) / max(len(group) - 1, 1)) for weekday, group in groups.items() if len(group) > 1}
    apart = [(value - means[number % WEEK]) * fair[number % WEEK] for number, value in days if number % WEEK in fair]
    return apart, array("d", (means[weekday] - level for weekday in range(WEEK)))


def _mean_size(values: Sequence[float]) -> float:
    return sum(map(abs, values)) / len(values)


def _correlation(values: Sequence[float]) -> float:
    """Of neighbours, on the safe side."""
    squares = sum(value * value for value in values)
    products = sum(before * after for before, after in pairwise(values))
    count = len(values)
    seen = products / squares if squares else 0.0
    return max(0.0, min((seen * count + PRIOR * WEIGHT) / (count + WEIGHT) + 1.0 / count, MOST))


class Watchman:
    """Holds days against a reference."""

    __slots__ = ("down", "down_since", "followed", "recent", "reference", "up", "up_since")

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.up = self.down = 0.0  # the cumulative sums
        self.up_since = self.down_since = 0  # the days on which they last left zero
        self.followed = 0.0  # what the season has brought
        self.recent = array("d")  # how far the last RECENT days were off

    def take(self, day: Day, season: float, least: float) -> bool:
        """Take in a day; whether it has drifted. `season` may come and go each day, `least` is what is worth telling."""
        reference = self.reference
        off = day.level - reference.expects(day.number) - self.followed
        self.followed += max(-season, min(off, season))
        self.recent.append(off)
        if len(self.recent) > RECENT:
            del self.recent[0]
        if not reference.deviation:  # all days were the same: there is nothing to measure by
            return False
        if self.up <= 0.0:
            self.up_since = day.number
        if self.down <= 0.0:
            self.down_since = day.number
        scaled = max(-OUTLIER, min(off / reference.deviation, OUTLIER))
        self.up = max(0.0, self.up + scaled - ALLOWANCE)
        self.down = max(0.0, self.down - scaled - ALLOWANCE)
        gone = self.gone()
        return max(self.up, self.down) > BOUND and len(self.recent) == RECENT and abs(gone) > self.needed(least)

    @property
    def since(self) -> int:
        """The day on which the days began to leave."""
        return self.up_since if self.up > self.down else self.down_since

    def needed(self, least: float) -> float:
        """From which distance on it is told."""
        return max(NEED * self.reference.spread, WIDE * self.reference.deviation, least)

    def gone(self, days: int = RECENT) -> float:
        """How far the last days were off."""
        return median(self.recent[-days:]) if self.recent else 0.0

    def is_back(self, least: float) -> bool:
        """Whether the days of the last week were near the reference again."""
        return abs(self.gone(WEEK)) < BACK * self.needed(least)

    def forget(self) -> None:
        """It is back: begin to add up anew."""
        self.up = self.down = 0.0

    def memory(self) -> list[Any]:
        """Itself as plain data."""
        sums = [self.up, self.down, self.up_since, self.down_since, self.followed]
        return [self.reference.memory(), sums, self.recent.tolist()]

    @classmethod
    def recall(cls, memory: Sequence[Any]) -> "Watchman":
        """What `memory` gave."""
        watchman = cls(Reference.recall(memory[0]))
        watchman.up, watchman.down, watchman.up_since, watchman.down_since, watchman.followed = memory[1]
        watchman.recent = array("d", memory[2])
        return watchman
