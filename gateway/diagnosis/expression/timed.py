"""The terms of a condition that keep time: what the clock says, how long something has held, and what has been.

Each is the same however often it is asked: twice at one time, or in between, changes nothing. What it keeps is of constant size.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from drivers.contract import Value
from gateway.diagnosis.expression.terms import Now, Term
from gateway.diagnosis.watch import NEVER

PARTS = 8  # of a stretch of time: what is known of it is exact to one part
HOUR = 3600.0
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Timed:
    """A term whose value may change by itself: at `due`, as far as is known now."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = NEVER

    def __call__(self, now: Now) -> Any:
        """Its value now."""
        raise NotImplementedError

    def memory(self) -> list[Any]:
        """Itself as plain data; empty where it remembers nothing."""
        return []

    def recall(self, memory: list[Any], shift: float) -> None:
        """Take up what `memory` gave; `shift` is to be added to its times."""

    def pause(self, seconds: float) -> None:
        """For so long, until now, nothing was read: it counts for nothing."""


class WallClock(Timed):
    """The hour (0 to 23), whether it is a weekday, or the name of the day, where the hub stands."""

    __slots__ = ("word",)

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def __call__(self, now: Now) -> float | bool | str | None:
        """Its value now."""
        week = now.local(now.at)
        if week is None:
            self.due = now.at + 60.0  # whether the clock is trusted by then
            return None
        self.due = now.at + HOUR - week % HOUR
        day, seconds = divmod(week, 24 * HOUR)
        if self.word == "hour":
            return seconds // HOUR
        return day < 5 if self.word == "weekday" else DAYS[int(day)]


class Lasting(Timed):
    """A condition that has been true for some time. While it is unknown the time stands still."""

    __slots__ = ("held_at", "of", "seconds", "since")

    def __init__(self, of: Term, seconds: float) -> None:
        super().__init__()
        self.of = of
        self.seconds = seconds
        self.since: float | None = None  # when it became true
        self.held_at: float | None = None  # since when it is unknown

    def __call__(self, now: Now) -> bool | None:
        """Its value now."""
        answer = self.of(now)
        self.due = NEVER
        if answer is None:
            if self.held_at is None:
                self.held_at = now.at
            return None
        if not answer:
            self.since = self.held_at = None
            return False
        if self.since is None:
            self.since = now.at
        elif self.held_at is not None:
            self.since += max(0.0, now.at - self.held_at)
        self.held_at = None
        if now.at >= self.since + self.seconds:
            return True
        self.due = self.since + self.seconds
        return False

    def memory(self) -> list[Any]:
        """See `Timed.memory`."""
        return [] if self.since is None else [self.since, self.held_at]

    def recall(self, memory: list[Any], shift: float) -> None:
        """See `Timed.recall`."""
        self.since, self.held_at = _shifted(memory, shift)

    def pause(self, seconds: float) -> None:
        """See `Timed.pause`."""
        self.since, self.held_at = _shifted([self.since, self.held_at], seconds)


class Changed(Timed):
    """Whether a point has changed within some time. While it has been known for less, and has not, that is unknown."""

    __slots__ = ("changed_at", "of", "seconds", "seen_at", "value")

    def __init__(self, of: Term, seconds: float) -> None:
        super().__init__()
        self.of = of
        self.seconds = seconds
        self.value: Value | None = None
        self.seen_at: float | None = None  # for the first time
        self.changed_at: float | None = None

    def __call__(self, now: Now) -> bool | None:
        """Its value now."""
        value = self.of(now)
        self.due = NEVER
        if value is None:
            return None
        if self.seen_at is None:
            self.seen_at = now.at
        elif value != self.value:
            self.changed_at = now.at
        self.value = value
        due = (self.seen_at if self.changed_at is None else self.changed_at) + self.seconds
        if now.at >= due:
            return False
        self.due = due
        return None if self.changed_at is None else True

    def memory(self) -> list[Any]:
        """See `Timed.memory`."""
        return [] if self.seen_at is None else [self.value, self.seen_at, self.changed_at]

    def recall(self, memory: list[Any], shift: float) -> None:
        """See `Timed.recall`."""
        self.value, *times = memory
        self.seen_at, self.changed_at = _shifted(times, shift)

    def pause(self, seconds: float) -> None:
        """See `Timed.pause`."""
        self.seen_at, self.changed_at = _shifted([self.seen_at, self.changed_at], seconds)


class Part:
    """A part of a stretch of time: extremes of the values that stood in it, and how long they stood."""

    __slots__ = ("area", "high", "known", "low", "number")

    def __init__(self, number: int, value: float) -> None:
        self.number = number
        self.low = self.high = value
        self.area = self.known = 0.0

    def stand(self, value: float, seconds: float) -> None:
        """A value stood for so long, in this part."""
        self.low = min(self.low, value)
        self.high = max(self.high, value)
        self.area += value * seconds
        self.known += seconds


class Past(Timed):
    """Least, greatest or mean value over the last `seconds`, in parts of an eighth.

    A value stands until the next one comes, so the mean is one over time, whatever the pace of the readings. It is over the last
    eight parts that are over; the extremes are over the last seven and the one at hand. So they change with a value or a part, and
    with nothing in between. Unknown while there is no value, until it has been seen for the whole time, and while more than half of
    that is not known.
    """

    __slots__ = ("at", "began", "of", "parts", "seconds", "value", "what")

    def __init__(self, what: str, of: Term, seconds: float) -> None:
        super().__init__()
        self.what = what
        self.of = of
        self.seconds = seconds
        self.began: float | None = None
        self.at = 0.0  # up to when `parts` tell
        self.value: float | None = None  # that stands since then
        self.parts: deque[Part] = deque(maxlen=PARTS + 1)

    def __call__(self, now: Now) -> float | None:
        """Its value now."""
        value = self.of(now)
        if isinstance(value, str):
            value = None
        if self.began is None:
            if value is None:
                return None
            self.began = self.at = now.at
        self._stand(max(now.at, self.at))
        self.value = value
        number = self._number(self.at)
        self.due = self._begins(number + 1)
        if value is None:
            return None
        self._part(number, value).stand(value, 0.0)
        while self.parts[0].number < number - PARTS:
            self.parts.popleft()
        over = [part for part in self.parts if part.number < number]
        known = sum(part.known for part in over)
        if number < PARTS or known < self.seconds / 2:
            return None
        if self.what == "avg":
            mean = sum(part.area for part in over) / known
            return mean if math.isfinite(mean) else None
        young = [part for part in self.parts if part.number > number - PARTS]
        return min(part.low for part in young) if self.what == "min" else max(part.high for part in young)

    def _begins(self, number: int) -> float:
        """When a part begins."""
        assert self.began is not None
        return self.began + number * (self.seconds / PARTS)

    def _number(self, at: float) -> int:
        """In which part a time lies."""
        assert self.began is not None
        number = int((at - self.began) // (self.seconds / PARTS))
        return number + (at >= self._begins(number + 1)) - (at < self._begins(number))  # rounding

    def _stand(self, until: float) -> None:
        """The value that there was went on until then."""
        if self.value is not None:
            last = self._number(until)
            for number in range(max(self._number(self.at), last - PARTS), last + 1):
                stood = min(self._begins(number + 1), until) - max(self._begins(number), self.at)
                if stood > 0:
                    self._part(number, self.value).stand(self.value, stood)
        self.at = until

    def _part(self, number: int, value: float) -> Part:
        if not self.parts or self.parts[-1].number < number:
            self.parts.append(Part(number, value))
        return self.parts[-1]

    def memory(self) -> list[Any]:
        """See `Timed.memory`."""
        if self.began is None:
            return []
        parts = [[part.number, part.low, part.high, part.area, part.known] for part in self.parts]
        return [self.began, self.at, self.value, parts]

    def recall(self, memory: list[Any], shift: float) -> None:
        """See `Timed.recall`."""
        began, at, self.value, parts = memory
        self.began, self.at = began + shift, at + shift
        self.parts.clear()
        for number, low, high, area, known in parts:
            part = Part(number, low)
            part.high, part.area, part.known = high, area, known
            self.parts.append(part)

    def pause(self, seconds: float) -> None:
        """See `Timed.pause`."""
        if self.began is not None:
            self.began += seconds
            self.at += seconds


def _shifted(times: Sequence[float | None], seconds: float) -> list[float | None]:
    return [None if time is None else time + seconds for time in times]
