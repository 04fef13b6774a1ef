"""cycling: starts too often, runs too long, or stands still too long.

Claims      More than `starts` starts fell within the last `within`, until no more than three quarters of them are left; or it has
            run for longer than `runs` without a pause; or it has stood still for longer than `stands`. Each start costs a motor, a
            compressor or a relay life; a run without end means that it does not reach what it runs for.
Assumes     Readings come several times in the shortest run and the shortest pause that count. A `counter` of starts that the
            machine keeps itself misses none, but knows nothing of runs.
Method      Edges with hysteresis (`on_above`, `off_below`), and those that do not hold for `least_run` or `least_pause` taken for
            noise. Starts are counted exactly, by keeping the times of the last so many. How many are too many is in the maker's
            manual: most allow a compressor 6 to 10 an hour, and NEMA MG 10 has a table for motors.
Sleeps      Until it starts or stops, or a time is up.

What is told are starts in that time, and how long the mean run was.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Seconds, Value
from gateway.diagnosis.contract import Phase, PointInfo
from gateway.diagnosis.running import Running, RunningKeys
from gateway.diagnosis.watch import NEVER, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import duration

CALM = 0.75  # of the starts that are allowed: with no more it is well again, so that an episode does not come and go at the bound


class Keys(RunningKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "cycling"."""

    starts: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None, Meta(description="Too often if it starts more often than this.")
    ] = None
    within: Annotated[Seconds, Meta(ge=1, description="The time within which it does.")] = 3600.0
    runs: Annotated[
        Annotated[Seconds, Meta(gt=0)] | None, Meta(description="Too long if it runs for longer than this without a pause.")
    ] = None
    stands: Annotated[
        Annotated[Seconds, Meta(gt=0)] | None, Meta(description="Too long if it stands still for longer than this.")
    ] = None
    least_run: Annotated[Seconds, Meta(description="A shorter run is noise.")] = 0.0
    least_pause: Annotated[Seconds, Meta(description="A shorter pause is noise.")] = 0.0
    counter: Annotated[bool, Meta(description="The point is the machine's own counter of starts.")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.starts is None and self.runs is None and self.stands is None:
            raise KeyMistake("", "no bound", 'starts = 6, runs = "6 h" or stands = "2 d"')
        if self.counter:
            for key in ("runs", "least_run", "least_pause", "on_above", "is_"):
                if getattr(self, key):
                    raise KeyMistake(
                        key, "something that a counter of starts does not know", "it only for a point that says when it runs"
                    )
        if self.lasting is not None:
            raise KeyMistake("lasting", "a second time to wait", "only within, runs or stands")


def fits(point: PointInfo) -> str | None:  # noqa: ARG001
    """Any point may tell that something runs; a text by what it says."""
    return None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point."""
    assert isinstance(rule.keys, Keys)
    kind = CountedCycling if rule.keys.counter else Cycling
    for point in matching(rule, points, fits):
        if point.type != "text" or not rule.keys.counter:
            yield kind(rule, point, to_unit)


class Cycling(Watch):
    """What it does, since when, and its last starts with the runs that followed."""

    __slots__ = ("keys", "latest", "lost_at", "raw", "raw_at", "running", "runs", "since_at", "times", "why")

    TEXT = True

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit) -> None:
        super().__init__(rule, point)
        assert isinstance(rule.keys, Keys)
        self.keys = rule.keys
        self.running = Running(self.keys, point.unit, to_unit)
        self.raw: bool | None = None  # what the last reading said
        self.raw_at = 0.0  # since when
        self.runs: bool | None = None  # what is believed; None at first, and while nothing is known
        self.since_at = 0.0  # since when
        self.times: deque[tuple[float, float]] = deque(maxlen=(self.keys.starts or 0) + 1)  # of starts, and how long each run was
        self.lost_at: float | None = None  # since when nothing is known
        self.why = ""  # "starts", "runs" or "stands"
        self.latest = 0.0  # when it was last judged

    @property
    def lasting(self) -> float:
        """See `Watch.lasting`: when the verdict is unhappy, it has lasted already."""
        return 0.0

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:
        """See `Watch.look`."""
        self._resume(at)
        raw = self.running.at(value, self.raw)
        if raw is not self.raw:
            self.raw, self.raw_at = raw, at
        self.low, self.high = self.running.band(raw)
        self.due = NEVER
        if raw is not self.runs:
            self.due = self.raw_at + (self.keys.least_run if raw else self.keys.least_pause)
            if self.runs is None or at >= self.due:
                self._turn(raw)
                self.due = NEVER
        return self.judge(at, is_open)

    def _resume(self, at: float) -> None:
        """Take up where nothing was known any more. What does the same as before is taken to have done so; its time stood still."""
        if self.lost_at is not None:
            self.since_at += at - self.lost_at
            self.raw_at += at - self.lost_at
            self.lost_at = None

    def _turn(self, runs: bool) -> None:
        """It has started or stopped, at the time of the edge."""
        if self.runs is False and runs:
            self.times.append((self.raw_at, 0.0))
        elif self.runs and self.times:
            start, _ = self.times.pop()
            self.times.append((start, self.raw_at - start))
        self.runs, self.since_at = runs, self.raw_at

    def judge(self, at: float, is_open: bool) -> Verdict:
        """Hold what is known against the bounds; the deadline is at most the one that is stated already."""
        self.latest = at
        keys = self.keys
        if keys.starts is not None:
            allowed = int(CALM * keys.starts) if is_open and self.why == "starts" else keys.starts
            if len(self.times) > allowed and at < self.times[-allowed - 1][0] + keys.within:
                self.why = "starts"
                self.due = min(self.due, self.times[-allowed - 1][0] + keys.within)
                return Verdict.UNHAPPY
        bound = keys.runs if self.runs else keys.stands
        if bound is None or self.runs is None:
            return Verdict.WELL
        if at - self.since_at > bound:
            self.why = "runs" if self.runs else "stands"
            return Verdict.UNHAPPY
        self.due = min(self.due, self.since_at + bound)
        return Verdict.WELL

    def lost(self, at: float) -> Verdict:
        """See `Watch.lost`."""
        if self.lost_at is None:
            self.lost_at = at
        return Verdict.UNKNOWN

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`: no start was seen, so the time of the last ones stands still too."""
        self.times = deque(((start + seconds, run) for start, run in self.times), maxlen=self.times.maxlen)
        self.since_at += seconds
        self.raw_at += seconds
        if self.lost_at is not None:
            self.lost_at += seconds

    def since(self, at: float) -> float:  # noqa: ARG002
        """See `Watch.since`: the first of the starts, or when it began to run or to stand."""
        return self.times[0][0] if self.why == "starts" else self.since_at

    # ------------------------------------------------------------ in words

    def limit(self) -> str:
        """See `Watch.limit`."""
        if self.why == "starts":
            return f"{self.keys.starts} starts in {duration(self.keys.within)}"
        return duration((self.keys.runs if self.why == "runs" else self.keys.stands) or 0.0)

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if self.why == "starts":
            if phase is Phase.CLOSED:
                return "{point} no longer starts too often, after {lasting}."
            return f"{{point}} starts too often: {self._starts()}, more than {{limit}}."
        does = "run without a pause" if self.why == "runs" else "stood still"
        if phase is Phase.CLOSED:
            return f"{{point}} {'has stopped' if self.why == 'runs' else 'runs again'}; it had {does} for {{lasting}}."
        return f"{{point}} has {does} for {{lasting}}."

    def _starts(self) -> str:
        """The starts that were seen, and the pace that they make."""
        span = self.latest - self.times[0][0]
        return f"{len(self.times)} starts in {duration(span)}"

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:
        """See `Watch.because`."""
        if phase is Phase.CLOSED:
            return f"it is well within {self.limit()} again" if self.why == "starts" else f"it is {self.written(value)}"
        if self.why == "starts":
            runs = [run for _, run in self.times if run]
            mean = f"; the mean run was {duration(sum(runs) / len(runs))}" if runs else ""
            return f"{self._starts()}; allowed are {self.limit()}{mean}"
        return f"it has lasted for {duration(lasting)}; allowed are {self.limit()}"

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Watch.memory`."""
        times = [list(pair) for pair in self.times]
        return [self.raw, self.raw_at, self.runs, self.since_at, times, self.why, self.latest, self.lost_at]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        self.raw, raw_at, self.runs, since_at, times, self.why, latest, lost_at = memory
        self.raw_at, self.since_at, self.latest = raw_at + shift, since_at + shift, latest + shift
        self.lost_at = None if lost_at is None else lost_at + shift
        self.times.extend((start + shift, run) for start, run in times)


class CountedCycling(Cycling):
    """Starts as the machine counts them."""

    __slots__ = ("counted",)

    TEXT = False

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit) -> None:
        super().__init__(rule, point, to_unit)
        self.counted: float | None = None

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:
        """See `Watch.look`: standing still is to be without a start."""
        assert not isinstance(value, str)
        if self.lost_at is not None and at - self.lost_at >= self.keys.within:
            self.counted = None  # when the starts since then were is not known
        self._resume(at)
        self.due = NEVER
        self.low = self.high = value
        if self.counted is None:
            self.runs, self.since_at = False, at
        elif value > self.counted:
            more = min(round(value - self.counted), self.times.maxlen or 0)
            self.times.extend([(at, 0.0)] * more)
            self.since_at = at
        self.counted = float(value)
        return self.judge(at, is_open)

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`."""
        super().pause(seconds)
        self.counted = None

    def memory(self) -> Any:
        """See `Watch.memory`."""
        return [self.counted, super().memory()]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        self.counted, rest = memory
        super().recall(rest, shift)
