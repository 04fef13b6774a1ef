"""How often a point is read, found out from its readings.

What is learnt of a signal is counted in readings: means over 8 and 64 of them, records of so many. So the first WAIT readings are
kept until the median of their distances, the *step*, is known. Readings that come faster than FOLD are averaged over that time:
nothing worth telling is shorter, and a point that is read ten times a second costs no more than one that is read once.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

WAIT = 16  # distances
FOLD = 1.0  # s
NEAR, FAR = 0.5, 2.0  # steps: a distance outside of this is an odd one
ODD = 200  # odd distances in a row: the point is read at another pace now
LEAST, MOST = 0.2, 4.0  # steps that a distance counts for, whatever it is


class Pace:
    """The step of one point (s), 0 until it is known; and its readings one a step."""

    __slots__ = ("at", "folded_at", "known", "number", "odd", "step", "sum", "waiting")

    def __init__(self) -> None:
        self.step = 0.0  # between the readings that count
        self.known = 0.0  # between readings
        self.at: float | None = None  # of the last reading
        self.folded_at = 0.0  # of the last that counted
        self.sum = 0.0  # of the readings since, and their number
        self.number = 0
        self.odd = 0
        self.waiting: list[tuple[float, float]] = []

    def wait(self, at: float, value: float) -> Sequence[tuple[float, float]]:
        """Take a reading in while the step is not known; returns all so far once it is, to be taken in order."""
        self.at = at
        self.waiting.append((at, value))
        if len(self.waiting) <= WAIT:
            return ()
        kept, self.waiting = self.waiting, []
        times = [when for when, _ in kept]
        self.known = median(after - before for before, after in pairwise(times))
        self.step = max(self.known, FOLD)
        self.folded_at = times[0] - self.step
        self.at = times[0] - self.known
        return kept

    def take(self, at: float, value: float) -> tuple[float, float] | None:
        """Take a reading in; returns what counts now as (steps since the last that counted, value), or None."""
        assert self.at is not None
        apart, self.at = at - self.at, at
        self.odd = 0 if NEAR * self.known <= apart <= FAR * self.known else self.odd + 1
        passed = at - self.folded_at
        if self.known < FOLD:
            self.sum += value
            self.number += 1
            if passed < FOLD - 0.5 * self.known:
                return None
            value = self.sum / self.number
            self.sum, self.number = 0.0, 0
        self.folded_at = at
        return max(LEAST, min(passed / self.step, MOST)), value

    @property
    def changed(self) -> bool:
        """Whether the point is read at another pace now, so that what was learnt means nothing any more."""
        return self.odd >= ODD

    def state(self) -> list[object]:
        """Itself as plain data."""
        return [self.step, self.known, self.at, self.folded_at, self.sum, self.number, self.odd, self.waiting]

    def restore(self, state: Sequence[Any], shift: float) -> None:
        """Take up what `state` gave; `shift` is added to its times."""
        self.step, self.known, at, folded_at, self.sum, self.number, self.odd, waiting = state
        self.at = None if at is None else at + shift
        self.folded_at = folded_at + shift
        self.waiting = [(when + shift, value) for when, value in waiting]
