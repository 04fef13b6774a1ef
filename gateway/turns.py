"""What a poller knows of the devices of its bus: when each is due, how it is doing, and how late polls are.

A device that answers keeps to its own grid. One that does not is asked after pauses that double, up to `SLOWEST`.
"""

from collections.abc import Sequence
from typing import NamedTuple

WELL, LATE, MUTE, PARKED, DOWN = "well", "late", "mute", "parked", "down"
"""State of a device. well: answers in time. late: its bus cannot keep up. mute: does not answer, and is asked again soon. parked:
silent for long, asked once in a while. A bus is `well` or `down`."""

MUTE_AFTER = 2  # one lost frame is nothing to talk about; two in a row are
PARK_AFTER = 8  # failures in a row
SLOWEST = 300.0  # s between two questions to a parked device,
SLOWEST_HURRIED = 30.0  # and while somebody waits for it to answer again
JITTER = 0.1  # share of a pause that is left to chance, so that devices that fell silent together do not come back together
SLOTS = 8  # parts of a period over which the devices of a bus are spread: bursts save CPU, spreading saves jitter


class Schedule(NamedTuple):
    """How often a device is asked (or expected to speak) and how long it may take to answer, in seconds."""

    every: float
    timeout: float


class Turn:
    """One device in the queue of its bus."""

    __slots__ = ("due", "every", "failures", "name", "phase", "points", "slowest", "state", "timeout")

    def __init__(self, name: str, points: tuple[str, ...], schedule: Schedule, due: float) -> None:
        self.name = name
        self.points = points
        self.every, self.timeout = schedule
        self.due = due
        self.phase = 0.0  # s by which its grid is later than that of the first on its bus; 0 once it is on it
        self.failures = 0
        self.slowest = SLOWEST
        self.state = ""

    def pause(self, chance: float) -> float:
        """Seconds until it is asked again after a failure; doubles once it is mute. `chance` is 0..1."""
        doublings = min(max(self.failures - MUTE_AFTER, 0), 16)
        return min(self.every * 2.0**doublings, max(self.slowest, self.every)) * (1 + JITTER * chance)


class Voice:
    """One device that speaks by itself."""

    __slots__ = ("every", "last", "name", "state")

    def __init__(self, name: str, schedule: Schedule, now: float) -> None:
        self.name = name
        self.every = schedule.every
        self.last = now
        self.state = ""


def spread(turns: Sequence[Turn]) -> None:
    """Have turns that are due at once share the period from then on."""
    for place, turn in enumerate(turns):
        turn.phase = turn.every * (place * SLOTS // len(turns)) / SLOTS


class Lateness:
    """How late polls began, as counts in classes that double: constant memory, and good enough for a p99."""

    __slots__ = ("counts", "skipped")
    FIRST = 0.0005  # s: upper bound of the first class

    def __init__(self) -> None:
        self.counts = [0] * 24
        self.skipped = 0

    def add(self, seconds: float) -> None:
        """Count one poll that began this late."""
        self.counts[min(max(int(seconds / self.FIRST), 0).bit_length(), 23)] += 1

    def quantile(self, share: float) -> float:
        """Upper bound, in seconds, of the class in which this share of all polls lies; 0 before the first poll."""
        left = share * sum(self.counts)
        for index, number in enumerate(self.counts):
            left -= number
            if number and left <= 0:
                return float(self.FIRST * 2**index)
        return 0.0
