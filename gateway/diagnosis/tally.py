"""What can be counted of a machine: hours run, starts, what a meter rises by, and its age.

Each takes readings in, states the band in which a reading changes nothing, and tells the total at any later time.
"""

from typing import Any, ClassVar

from drivers.contract import Value
from gateway.diagnosis.counter import modulus
from gateway.diagnosis.running import Running
from gateway.diagnosis.watch import ANYTHING, NEVER, WIDEST
from gateway.diagnosis.words import duration, quantity

Band = tuple[float, float]
NEAR = 0.02  # of a meter's digits: it is looked at so rarely that it may have moved on by so much


class Tally:
    """One count. Times in seconds of the hub's timeline."""

    __slots__ = ("counted",)

    per: ClassVar[float] = 1.0  # how much of what it counts people call one: 3600 s are an hour

    def __init__(self, before: float) -> None:
        self.counted = before  # but for what `total` adds

    def take(self, value: Value, at: float) -> None:
        """Count a reading in."""
        raise NotImplementedError

    def mark(self) -> None:
        """What was taken last is what the next readings are held against. Called now and then."""

    def band(self, full: float) -> Band:
        """The readings that change nothing before the total is `full`."""
        raise NotImplementedError

    def lost(self, at: float) -> None:
        """Nothing is known from now on."""

    def total(self, at: float) -> float:  # noqa: ARG002
        """How much by then."""
        return self.counted

    def full_at(self, full: float) -> float:  # noqa: ARG002
        """When the total will be `full` if nothing changes."""
        return NEVER

    def begin(self, at: float) -> None:  # noqa: ARG002
        """Count anew."""
        self.counted = 0.0

    def pause(self, seconds: float) -> None:
        """The hub read nothing for so long."""

    def words(self, total: float) -> str:
        """So much, for people."""
        raise NotImplementedError

    def odd(self) -> str:
        """What a person should know of the count; mostly nothing."""
        return ""

    def memory(self) -> Any:
        """Itself as plain data."""
        raise NotImplementedError

    def recall(self, memory: Any, shift: float) -> None:
        """Take up what `memory` gave."""
        raise NotImplementedError


class HoursRun(Tally):
    """Time for which something runs (s)."""

    __slots__ = ("running", "since")

    per: ClassVar[float] = 3600.0

    def __init__(self, running: Running, before: float) -> None:
        super().__init__(before)
        self.running = running
        self.since: float | None = None  # since when it runs; None while it does not

    def take(self, value: Value, at: float) -> None:
        """See `Tally.take`."""
        runs = self.running.at(value, self.since is not None)
        if not runs:
            self.lost(at)
        elif self.since is None:
            self.since = at

    def band(self, full: float) -> Band:  # noqa: ARG002
        """See `Tally.band`."""
        return self.running.band(self.since is not None)

    def lost(self, at: float) -> None:
        """See `Tally.lost`."""
        self.counted = self.total(at)
        self.since = None

    def total(self, at: float) -> float:
        """See `Tally.total`."""
        return self.counted if self.since is None else self.counted + at - self.since

    def full_at(self, full: float) -> float:
        """See `Tally.full_at`."""
        return NEVER if self.since is None else self.since + full - self.counted

    def begin(self, at: float) -> None:
        """See `Tally.begin`."""
        self.counted = 0.0
        self.since = None if self.since is None else at

    def words(self, total: float) -> str:
        """See `Tally.words`."""
        return quantity(total / 3600.0, "h")

    def pause(self, seconds: float) -> None:
        """See `Tally.pause`."""
        if self.since is not None:
            self.since += seconds

    def memory(self) -> Any:
        """See `Tally.memory`."""
        return [self.counted, self.since]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Tally.recall`."""
        self.counted, since = memory
        self.since = None if since is None else since + shift


class Starts(Tally):
    """How often something starts. What runs when it is first seen has not started."""

    __slots__ = ("running", "runs")

    def __init__(self, running: Running, before: int) -> None:
        super().__init__(float(before))
        self.running = running
        self.runs: bool | None = None

    def take(self, value: Value, at: float) -> None:  # noqa: ARG002
        """See `Tally.take`."""
        runs = self.running.at(value, self.runs)
        self.counted += runs and self.runs is False
        self.runs = runs

    def band(self, full: float) -> Band:  # noqa: ARG002
        """See `Tally.band`."""
        return self.running.band(bool(self.runs))

    def lost(self, at: float) -> None:  # noqa: ARG002
        """See `Tally.lost`."""
        self.runs = None

    def words(self, total: float) -> str:
        """See `Tally.words`."""
        return f"{quantity(total)} starts"

    def pause(self, seconds: float) -> None:  # noqa: ARG002
        """See `Tally.pause`: whether it went on running is not known."""
        self.runs = None

    def memory(self) -> Any:
        """See `Tally.memory`."""
        return [self.counted, self.runs]

    def recall(self, memory: Any, shift: float) -> None:  # noqa: ARG002
        """See `Tally.recall`."""
        self.counted, self.runs = memory


class Risen(Tally):
    """By how much a meter has risen.

    That it went back is seen against what it read when last marked, so that it can be left alone in between.
    """

    __slots__ = ("latest", "marked", "start", "unit", "went_back")

    def __init__(self, unit: str, start: float | None) -> None:
        super().__init__(0.0)  # what meters before this one, or rounds of it, have risen by
        self.unit = unit
        self.start = start  # where it stood when counting began
        self.latest = 0.0
        self.marked: float | None = None
        self.went_back = ""

    def take(self, value: Value, at: float) -> None:  # noqa: ARG002
        """See `Tally.take`."""
        assert not isinstance(value, str)
        value = float(value)
        if self.start is None:
            self.start = value
        if self.marked is None:
            self.marked = value
        elif value < self.marked:
            self._went_back(self.marked, value)
        self.latest = value

    def band(self, full: float) -> Band:
        """See `Tally.band`."""
        assert self.marked is not None
        assert self.start is not None
        level = self.start + full - self.counted
        return self.marked, level if self.latest < level else WIDEST

    def _went_back(self, before: float, value: float) -> None:
        assert self.start is not None
        end = modulus(before, value, NEAR)
        self.counted = max(0.0, self.counted + (before if end is None else end) - self.start)
        self.start = value if end is None else 0.0
        self.marked = value
        if end is None:
            went = f"from {quantity(before, self.unit, value)} to {quantity(value, self.unit, before)}"
            self.went_back = f"its meter went back {went} and is counted on from there: was it replaced?"

    def mark(self) -> None:
        """See `Tally.mark`."""
        self.marked = self.latest

    def total(self, at: float) -> float:  # noqa: ARG002
        """See `Tally.total`."""
        return self.counted if self.start is None else max(0.0, self.counted + self.latest - self.start)

    def begin(self, at: float) -> None:  # noqa: ARG002
        """See `Tally.begin`."""
        self.counted, self.start, self.went_back = 0.0, None, ""

    def words(self, total: float) -> str:
        """See `Tally.words`."""
        return quantity(total, self.unit)

    def odd(self) -> str:
        """See `Tally.odd`."""
        return self.went_back

    def memory(self) -> Any:
        """See `Tally.memory`."""
        return [self.start, self.counted, self.latest, self.marked, self.went_back]

    def recall(self, memory: Any, shift: float) -> None:  # noqa: ARG002
        """See `Tally.recall`."""
        self.start, self.counted, self.latest, self.marked, self.went_back = memory


class Age(Tally):
    """Time that goes by (s)."""

    __slots__ = ("since",)

    per: ClassVar[float] = 86400.0

    def __init__(self, before: float) -> None:
        super().__init__(before)
        self.since: float | None = None

    def take(self, value: Value, at: float) -> None:
        """See `Tally.take`."""

    def band(self, full: float) -> Band:  # noqa: ARG002
        """See `Tally.band`."""
        return ANYTHING

    def total(self, at: float) -> float:
        """See `Tally.total`."""
        if self.since is None:
            self.since = at
        return self.counted + at - self.since

    def full_at(self, full: float) -> float:
        """See `Tally.full_at`."""
        return NEVER if self.since is None else self.since + full - self.counted

    def begin(self, at: float) -> None:
        """See `Tally.begin`."""
        self.counted, self.since = 0.0, at

    def words(self, total: float) -> str:
        """See `Tally.words`."""
        return duration(total)

    def memory(self) -> Any:
        """See `Tally.memory`."""
        return [self.counted, self.since]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Tally.recall`."""
        self.counted, since = memory
        self.since = None if since is None else since + shift
