"""How long a hub waits before it connects again, and how many moments it has in flight.

Promises
- A fleet does not come back all at once: each pause is drawn by lot over its whole range, which doubles with each failure up to a
  longest ("full jitter"). Already the first is long enough that the hubs of a broker which was gone for a second arrive spread out,
  and those of a town in which the power is back.
- A broker that says it is busy is given the longest range at once; where only a person can help, attempts are a quarter of an hour
  apart, give or take a half.
- A broker that has had enough for now gets half as many at once, after a pause that doubles while it says so again; each one that
  it takes brings a little back.
"""

from collections.abc import Callable

from gateway.dial import UplinkFault

PATIENCE = 900.0  # s between attempts where only a person can help
STEADY = 60.0  # s that a connection must last before the pauses start from the first again
WINDOW = 32  # moments in flight: at most 256 KiB, and at 100 ms there and back 320 moments a second
FIRST_HOLD, LONGEST_HOLD = 2.0, 120.0  # s without sending, after a broker has had enough


class Backoff:
    """The pauses of one hub. first, longest: of the range, in seconds. random: uniform in [0, 1)."""

    def __init__(self, first: float, longest: float, random: Callable[[], float]) -> None:
        self._first = first
        self._longest = longest
        self._random = random
        self._failures = 0

    def before_the_first(self) -> float:
        """Seconds to wait before the first attempt of all, where others begin at the same time."""
        return self._random() * self._first

    def pause(self, fault: UplinkFault, lasted: float = 0.0) -> float:
        """Seconds to wait after this fault, which ended a connection that lasted so many seconds."""
        if fault.patient:
            return PATIENCE * (0.5 + self._random() / 2)
        if lasted > STEADY:
            self._failures = 0
        span = self._longest if fault.busy else min(self._longest, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return self._random() * span


class Pace:
    """How many moments may be in flight, and from when on. Times are of one clock, in seconds."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._places = float(WINDOW)
        self._holds = 0
        self.hold_until = 0.0

    @property
    def places(self) -> int:
        """How many may be in flight."""
        return int(self._places)

    def taken(self, number: int) -> None:
        """The broker has taken so many."""
        self._holds = 0
        self._places = min(WINDOW, self._places + number / self._places)

    def enough(self, now: float) -> None:
        """The broker has had enough for now."""
        if now < self.hold_until:  # of those in flight, each may say so
            return
        self._places = max(1.0, self._places / 2)
        self.hold_until = now + min(LONGEST_HOLD, FIRST_HOLD * 2.0**self._holds) * (0.5 + self._random() / 2)
        self._holds = min(self._holds + 1, 30)

    def one_by_one(self) -> None:
        """Something in flight is not to be borne: find out which."""
        self._places = 1.0
