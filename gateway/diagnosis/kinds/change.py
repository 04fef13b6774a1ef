"""change: better or worse since something was done.

Claims      The days after an event differ from the days before it by more than chance and by more than they differ among
            themselves. Events are another point of the device that says something new (its firmware), or what somebody noted: a
            visit, a remedy, a service. Better is told as gladly as worse; each event is told of once, or not at all.
Assumes     Nothing else changed at about the same time, and the days are alike: for a point that follows the weather the load
            should be watched, not the temperature.
Method      One number a day, so that the rhythm of the day cancels out: the mean of some 48 readings without the outer tenths,
            taken at times spread by the golden ratio. Before against after by Cliff's delta ("Dominance statistics",
            Psychological Bulletin 1993): the chance that a day after is higher than a day before, less the chance that it is lower.
            With 7 days on each side 0.8 comes by chance less than once in a hundred times. The medians must also lie further apart
            than twice the median deviation of the days, so that what is told is worth telling. The day of the event is left out.
Sleeps      From one wanted reading to the next, for half an hour each.

What became worse stays open until three days in a row are as they were before, or another event begins a new comparison.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from statistics import median
from typing import Annotated, Any, Literal

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Value
from gateway.diagnosis.contract import STATE, Difference, Kind, Phase, PointInfo, RuleKeys
from gateway.diagnosis.hours import DAY
from gateway.diagnosis.watch import ANYTHING, REPLACED, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import duration

SAMPLES = 48  # readings a day that are enough
GOLDEN = 0.6180339887498949
FULL = 0.5  # of the most samples that a day has had: with fewer it is left out
TRIM = 0.1  # of a day's samples, at either end
KEEP = 28  # days before
DELTA = 0.8  # Cliff's delta, of 1
SPREADS = 2.0  # median absolute deviations that the medians must lie apart
BACK = 3  # days in a row as before
PATIENCE = 3  # times the days asked for; if they have not come by then, it is left

EVENTS = ("visit", "remedy", "service", REPLACED)
"""What can be noted of a device (`Engine.note`)."""

GLOBS = ("event",)
"""Keys that name points; see `diagnosis.load_kind`."""


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "change"."""

    event: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description='Points of the same device whose news is an event, as "*/firmware"; or what is noted: "visit", "remedy".',
        ),
    ]
    better: Annotated[Literal["lower", "higher"], Meta(description="Which way is better.")]
    days: Annotated[int, Meta(ge=5, le=60, description="Days after the event that are compared, and at least before it.")] = 7
    least: Annotated[Difference | None, Meta(description='A smaller difference is not worth telling: "0.2 kWh".')] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lasting is not None:
            raise KeyMistake("lasting", "a second time to wait", "only days")
        for event in self.event:
            if "/" not in event and event not in EVENTS:
                raise KeyMistake("event", f'"{event}"', f'a point as "*/firmware", or one of {", ".join(EVENTS)}')
        if self.least is not None and self.least.value <= 0:
            raise KeyMistake("least", f"{self.least.value:g}", "a difference greater than 0")


def fits(point: PointInfo) -> str | None:
    """Why this kind can do nothing with a point; None where it can."""
    return "a text is neither higher nor lower" if point.type == "text" else None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point, with an eye on each point of its device that tells of events."""
    keys = rule.keys
    assert isinstance(keys, Keys)
    telling = [point for point in points if point.name != STATE and any(fnmatchcase(point.id, glob) for glob in keys.event)]
    for point in matching(rule, points, fits):
        watch = Change(rule, point, to_unit)
        watch.eyes = [News(rule, other, watch) for other in telling if other.device == point.device and other.id != point.id]
        if watch.eyes or any("/" not in event for event in keys.event):
            yield watch
            yield from watch.eyes


class Days:
    """One number for each day of readings; days begin at the time of the first reading."""

    __slots__ = ("begun_at", "most", "place", "samples", "spoilt", "wanted_at")

    def __init__(self) -> None:
        self.begun_at: float | None = None
        self.samples: list[float] = []
        self.place = 0  # of the next wanted reading among those of the day
        self.wanted_at = 0.0
        self.spoilt = False  # something happened on this day
        self.most = 0  # samples that a day has had

    def add(self, at: float, value: float) -> float | None:
        """Take a reading in, if one is wanted; returns the number of the day that it ended, if enough of that was seen."""
        done = None
        if self.begun_at is None:
            self.begun_at = self.wanted_at = at
        elif at >= self.begun_at + DAY:
            done = self._end()
            self.begun_at += (at - self.begun_at) // DAY * DAY
            self.place, self.wanted_at = 0, self.begun_at
        if at >= self.wanted_at:
            self.samples.append(value)
            while self.wanted_at <= at:
                self.place += 1
                self.wanted_at = self.begun_at + (self.place + self.place * GOLDEN % 1.0) * DAY / SAMPLES
            self.wanted_at = min(self.wanted_at, self.begun_at + DAY)
        return done

    def _end(self) -> float | None:
        values = sorted(self.samples)
        self.samples = []
        if self.spoilt:
            self.spoilt = False
            return None
        self.most = max(self.most, len(values))
        if not values or len(values) < FULL * self.most:
            return None
        cut = int(TRIM * len(values))
        inner = values[cut : len(values) - cut]
        return sum(inner) / len(inner)

    def memory(self) -> Any:
        """Itself as plain data."""
        return [self.begun_at, self.samples, self.place, self.wanted_at, self.spoilt, self.most]

    def recall(self, memory: Any, shift: float) -> None:
        """Take up what `memory` gave."""
        begun_at, self.samples, self.place, wanted_at, self.spoilt, self.most = memory
        self.begun_at = None if begun_at is None else begun_at + shift
        self.wanted_at = wanted_at + shift


class Change(Watch):
    """The days before, and those since the last event."""

    __slots__ = ("after", "before", "days", "event", "event_at", "keys", "latest", "least", "news", "verdict", "was")

    GATHERS = True

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit) -> None:
        super().__init__(rule, point)
        assert isinstance(rule.keys, Keys)
        self.keys = rule.keys
        self.least = to_unit(self.keys.least, point.unit, difference=True) if self.keys.least else 0.0
        self.days = Days()
        self.before: deque[float] = deque(maxlen=KEEP)
        self.after: list[float] = []
        self.event_at: float | None = None  # of the event that is being compared; None while there is none
        self.event = ""  # in words
        self.was: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of what is told: median before, median after, delta
        self.latest: deque[float] = deque(maxlen=BACK)  # days since something worse was told
        self.news: dict[str, str] = {}  # what each point that tells of events said last
        self.verdict = Verdict.WELL

    @property
    def lasting(self) -> float:
        """See `Watch.lasting`: when something is told, it has lasted for days."""
        return 0.0

    @property
    def kind(self) -> Kind:
        """See `Watch.kind`."""
        return "milestone" if self._is_better() else "problem"

    def _is_better(self) -> bool:
        return (self.was[1] < self.was[0]) is (self.keys.better == "lower")

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        assert not isinstance(value, str)
        self.low, self.high = ANYTHING
        done = self.days.add(at, float(value))
        self.due = self.days.wanted_at
        if done is None:
            return self.verdict
        if self.event_at is None:
            self.before.append(done)
            if self.verdict is Verdict.UNHAPPY:
                self._look_back(done)
            return self.verdict
        self.after.append(done)
        if len(self.after) < self.keys.days and at < self.event_at + PATIENCE * self.keys.days * DAY:
            return Verdict.WELL
        return self._compare()

    def _compare(self) -> Verdict:
        """The days are there. What was after is what will have been before the next event."""
        before, after = list(self.before), self.after
        self.event_at, self.after = None, []
        told = len(after) >= self.keys.days and len(before) >= self.keys.days and self._differ(before, after)
        if told and not self._is_better():
            self.verdict = Verdict.UNHAPPY
            self.latest.clear()
        self.before = deque(after if len(after) >= self.keys.days else before + after, maxlen=KEEP)
        return Verdict.UNHAPPY if told else Verdict.WELL

    def _differ(self, before: Sequence[float], after: Sequence[float]) -> bool:
        higher = sum((b > a) - (b < a) for a in before for b in after)
        delta = higher / (len(before) * len(after))
        was, now = median(before), median(after)
        spread = median([abs(day - was) for day in before] + [abs(day - now) for day in after])
        self.was = was, now, delta
        return abs(delta) >= DELTA and abs(now - was) > max(SPREADS * spread, self.least)

    def _look_back(self, day: float) -> None:
        """Whether it is as it was before it became worse."""
        self.latest.append(day)
        was, now, _ = self.was
        if len(self.latest) == BACK and all(abs(each - was) < abs(each - now) for each in self.latest):
            self.verdict = Verdict.WELL

    def happen(self, event: str, at: float) -> Verdict:
        """Something was done: from now on it is after."""
        self.verdict = Verdict.WELL  # what it was like since the last event is what this one is held against
        if len(self.after) >= self.keys.days // 2:  # or else the days before the last event say more
            self.before = deque(self.after, maxlen=KEEP)
        self.event, self.event_at, self.after = event, at, []
        self.days.spoilt = True
        return self.verdict

    def noted(self, event: str, at: float) -> None:
        """See `Watch.noted`."""
        if event in self.keys.event:
            self.happen(f"the {event}", at)

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`: the day at hand is lost if too much of it is missing; the event stays when it was."""

    # ------------------------------------------------------------ in words

    def since(self, at: float) -> float:
        """See `Watch.since`."""
        return at

    def value(self, value: Outcome | None) -> Outcome | None:  # noqa: ARG002
        """See `Watch.value`: a day after, and not the reading that ended it."""
        return self.was[1]

    def limit(self) -> str:
        """See `Watch.limit`: a day before."""
        return self.written(self.was[0], self.was[1])

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        was, now, _ = self.was
        if phase is Phase.CLOSED:
            return "{point} is no longer held against {limit}."
        share = f" ({abs(now / was - 1):.0%} {'less' if now < was else 'more'})".replace("%", " %") if was > 0 < now else ""
        side = "better" if self._is_better() else "worse"
        return f"{{point}} is {side} since {self.event}: {{value}} on a median day, {{limit}} before{share}."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        was, now, delta = self.was
        if phase is Phase.CLOSED:
            return "it is as it was before, or something else was done"
        side = "higher" if now > was else "lower"
        return (
            f"the median day went from {self.written(was, now)} to {self.written(now, was)}; days since then were {side} than days "
            f"before in {(1 + abs(delta)) / 2:.0%}".replace("%", " %")
            + f" of pairs; it took {duration(self.keys.days * DAY)} to be sure"
        )

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Watch.memory`."""
        past = [list(self.before), self.after, list(self.latest)]
        return [self.days.memory(), past, self.event_at, self.event, list(self.was), self.news, int(self.verdict)]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        days, past, event_at, self.event, was, self.news, verdict = memory
        self.days.recall(days, shift)
        self.before.extend(past[0])
        self.after = past[1]
        self.latest.extend(past[2])
        self.event_at = None if event_at is None else event_at + shift
        self.was = was[0], was[1], was[2]
        self.verdict = Verdict(verdict)


class News(Watch):
    """An eye on a point whose news is an event."""

    __slots__ = ()

    TEXT = True

    def __init__(self, rule: Rule, point: PointInfo, head: Change) -> None:
        super().__init__(rule, point)
        self.head = head

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        head = self.head
        assert isinstance(head, Change)
        said = self.written(value)
        if isinstance(value, str):
            self.low, self.high = ANYTHING
        else:
            self.low = self.high = value
        before = head.news.get(self.point.id)
        head.news[self.point.id] = said
        if before is None or before == said:
            return head.verdict
        return head.happen(f"{self.point.label} went from {before} to {said}", at)

    def lost(self, at: float) -> Verdict:  # noqa: ARG002
        """See `Watch.lost`: nothing new."""
        assert isinstance(self.head, Change)
        return self.head.verdict
