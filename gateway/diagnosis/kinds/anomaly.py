"""anomaly: unlike anything that this point has shown before.

Claims      Some view of the point (its value, its mean over some or many readings, a step, its time of day) goes clearly beyond
            everything it has shown since the hub began to watch it. It is told once: while it lasts, and if it never ends, it
            becomes the new normal, which the closing says.
Assumes     More good than bad while it learns (`learn`), during which it says nothing; readings at a fairly steady pace, which
            it finds out; the clock on the wall for the rhythm of a day. A value that never moves is for `stuck`, one that leaves
            its normal too slowly to be seen is for `drift`, one that is on its way to a limit is for `trend`.
Method      `normal.py`: records of a few views, judged by how far the best so far is beaten. Two weeks of records and a surprise of
            3.8 make a false alarm about every second month on real series; noise with heavy tails (bursts of a hundred times
            the usual) is told more often than that.
Sleeps      Never: every reading is looked at, a few µs each; readings faster than once a second are averaged to that first.

With `jointly` the points of one device share one episode: each is judged by itself, the one that leaves first speaks, and all
must be back before it closes.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from drivers.contract import Outcome, Seconds, Value
from gateway.diagnosis.contract import STATE, Phase, PointInfo, RuleKeys
from gateway.diagnosis.normal import WARM, Normal
from gateway.diagnosis.pace import Pace
from gateway.diagnosis.rhythm import HALF_HOUR
from gateway.diagnosis.watch import ANOTHER, ANYTHING, NEVER, REPLACED, Rule, ToUnit, Verdict, Watch, all_of, matching
from gateway.diagnosis.words import duration, rough, span

ADOPT = 600  # readings after which a change is the new normal, where no time is written
ADOPT_LEAST = 3600.0  # s
QUIET = 100  # readings for which a point that has been told of is not told of again
QUIET_MOST = 6 * 3600.0  # s
HUGE = 1e150  # beyond this, sums of squares end
NEW_NORMAL = "new normal"
RHYTHMS = {"day": "anything at this time of day", "week": "anything at this time of the week"}


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "anomaly"."""

    learn: Annotated[Seconds, Meta(ge=1, description="How long it learns what is normal before it says anything.")] = 86400.0
    jointly: Annotated[bool, Meta(description="One episode for all points of a device; otherwise one for each point.")] = False
    surprise: Annotated[
        float,
        Meta(ge=1, le=20, description="How surprising it must be to be told: 3.3 tells twice as often, 5 only what is gross."),
    ] = 3.8
    adopt: Annotated[
        Seconds | None,
        Meta(description="How long a change lasts until it is the new normal; 600 readings, and an hour at least, if not given."),
    ] = None


def fits(point: PointInfo) -> str | None:
    """Why this kind can do nothing with a point; None where it can."""
    return "a text has no usual size" if point.type == "text" or point.name == STATE else None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:  # noqa: ARG001
    """One watch a point; with `jointly` and several points of a device, a head for them."""
    assert isinstance(rule.keys, Keys)
    groups: dict[str, list[PointInfo]] = {}
    for point in matching(rule, points, fits):
        groups.setdefault(point.device if rule.keys.jointly else point.id, []).append(point)
    for group in groups.values():
        eyes = [Anomaly(rule, point) for point in group]
        if len(eyes) > 1:
            yield Jointly(rule, eyes)
        yield from eyes


class Departure(NamedTuple):
    """What is told of a departure, as it was when it began."""

    view: str  # "value", "mean", "step", "day" or "week"
    value: float  # the reading, or the mean that left
    level: float  # what it is held against
    low: float  # the usual range then
    high: float
    hourly: bool  # that range is of this time of day
    size: float  # of the view, in the unit of the point; for the rhythm in usual distances
    record: float  # the best before
    odds: float  # of so many records that are beaten, one is beaten that far
    span: float  # of the mean (s)
    readings: int  # seen so far, and for how long (s)
    seen: float
    surprise: float


class Anomaly(Watch):
    """Watches one point, alone or as an eye of `Jointly`."""

    __slots__ = (
        *("absent", "departure", "ended", "group", "half_hour", "half_hour_ends", "normal", "pace", "returned_at", "threshold"),
    )

    LEARNS = True

    def __init__(self, rule: Rule, point: PointInfo) -> None:
        super().__init__(rule, point)
        self.group: Anomaly | Jointly = self
        self.absent = 0  # how many of the group are away
        self.pace = Pace()
        self.normal: Normal | None = None  # None while the pace is not known
        self.returned_at = -NEVER
        self.half_hour: int | None = None  # of the week, by local time, and when it ends
        self.half_hour_ends = -NEVER
        self.departure: Departure | None = None
        self.ended = "by itself"
        self.threshold = self.keys.surprise

    @property
    def keys(self) -> Keys:
        """Its rule's."""
        assert isinstance(self.rule.keys, Keys)
        return self.rule.keys

    @property
    def needed(self) -> float:
        """Readings that it must have seen before it says anything."""
        return max(WARM, round(self.keys.learn / self.pace.step)) if self.pace.step else math.inf

    @property
    def learning(self) -> float:
        """See `Watch.learning`."""
        return min(1.0, self.normal.count / self.needed) if self.normal else 0.0

    # ------------------------------------------------------------ readings

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        before = self.pace.at
        if (before is None or at > before) and -HUGE < value < HUGE:  # type: ignore[operator]
            self._take(float(value), at)
        return Verdict.UNHAPPY if self.group.absent else Verdict.WELL

    def _take(self, value: float, at: float) -> None:
        pace, normal = self.pace, self.normal
        if normal is None:
            kept = pace.wait(at, value)
            if not kept:
                return
            self.normal = Normal(pace.step)
            for when, each in kept:
                self._take(each, when)
            return
        due = pace.take(at, value)
        if due is None:
            return
        steps, value = due
        surprise = normal.take(at, self._half_hour(at), value, steps)
        if normal.away >= 0:
            self._follow(normal, value, at)
        elif surprise > self.threshold and normal.count > self.needed:
            if self.group.absent or at - self.returned_at > min(QUIET * pace.step, QUIET_MOST):
                self._leave(normal, value, at, surprise)
        elif pace.changed:
            self.pace, self.normal = Pace(), None

    def noted(self, event: str, at: float) -> None:  # noqa: ARG002
        """See `Watch.noted`."""
        if event == REPLACED:
            self.group.absent -= self.normal is not None and self.normal.away >= 0
            self.pace, self.normal, self.departure, self.ended = Pace(), None, None, "by itself"
            self.returned_at = -NEVER

    def _half_hour(self, at: float) -> int | None:
        if at >= self.half_hour_ends:
            local = self.sight.local(at)
            if local is None:
                return None
            self.half_hour = int(local // HALF_HOUR)
            self.half_hour_ends = at + HALF_HOUR - local % HALF_HOUR
        return self.half_hour

    def _leave(self, normal: Normal, value: float, at: float, surprise: float) -> None:
        self.departure = self._describe(normal, value, at, surprise)
        normal.leave(at, value)
        self.group.enter(self)

    def _follow(self, normal: Normal, value: float, at: float) -> None:
        self.returned_at = at
        if normal.is_back(value):
            self.ended = "by itself"
        elif at - normal.since_at > self._adopt():
            normal.adopt()
            self.ended = NEW_NORMAL
        else:
            return
        self.group.absent -= 1

    def _adopt(self) -> float:
        written = self.keys.adopt
        return max(ADOPT * self.pace.step, ADOPT_LEAST) if written is None else written

    def enter(self, eye: "Anomaly") -> None:  # noqa: ARG002  (a group knows who)
        """It has left its normal."""
        self.absent += 1

    # ------------------------------------------------------------ what people are told

    def _describe(self, normal: Normal, value: float, at: float, surprise: float) -> Departure:
        """The departure that the last reading began."""
        record, view = normal.records[normal.view], normal.named(normal.view)
        low, high, hourly = normal.usual(self._half_hour(at))
        mean = normal.level + record.value
        return Departure(
            view=view,
            value=mean if view == "mean" else value,
            level=value - record.value if view == "step" else normal.level,
            low=low,
            high=high,
            hourly=hourly,
            size=record.value,
            record=record.beaten(),
            odds=record.odds(),
            span=normal.span(normal.view) * self.pace.step,
            readings=normal.count,
            seen=at - normal.began,
            surprise=surprise,
        )

    def limit(self) -> str:
        """See `Watch.limit`: the usual range."""
        told = self.departure
        if told is None:
            return "what is usual"
        return span(told.low, told.high, self.point.unit)

    def _usual(self) -> str:
        if self.normal is None:
            return "what was usual"
        low, high, hourly = self.normal.usual(self.half_hour)
        return f"{span(low, high, self.point.unit)}, as is usual{' at this hour' if hourly else ''}"

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            if self.ended == NEW_NORMAL and self.normal:
                return f"{{point}} has stayed around {self.written(self.normal.settled)} for {{lasting}}: that is its new normal."
            if self.normal is None:
                return "{point} is learnt anew."
            return "{point} is as usual again after {lasting}: {value}."
        told = self.departure
        if told is None:
            return "{point} is unlike anything in the past: {value}."
        usual = f"{'at this hour it is' if told.hourly else 'it is'} usually {{limit}}."
        if told.view == "mean":
            side = "high" if told.size > 0 else "low"
            return f"{{point}} has been unusually {side} for {duration(told.span)}, {self.written(told.value)} on average; {usual}"
        if told.view == "step":
            did = "rose" if told.size > 0 else "fell"
            return f"{{point}} {did} from {self.written(told.level)} to {{value}}, further at once than ever before; {usual}"
        what = RHYTHMS.get(told.view, "anything in the past")
        return f"{{point}} is {{value}}, unlike {what}; {usual}"

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        told = self.departure
        if phase is Phase.CLOSED and self.normal is None:
            return ANOTHER
        if told is None:
            return "it was unusual when it began, and the rule has changed since"
        if phase is Phase.CLOSED:
            return "it did not come back" if self.ended == NEW_NORMAL else f"it is back near {self._usual()}"
        past = f"in {told.readings} readings over {duration(told.seen)}"
        odds = f"of records that are beaten, one in {rough(max(2.0, told.odds))} is beaten that far"
        if told.view in RHYTHMS:
            size, record = rough(abs(told.size)), rough(told.record)
            return f"it is {size} times as far off as is usual at this hour; {past} it was never more than {record} times; {odds}"
        side = "above" if told.size > 0 else "below"
        it = "on average it" if told.view == "mean" else "it"
        what = "the readings just before" if told.view == "step" else f"its level of {self.written(told.level)}"
        size, record = rough(abs(told.size), self.point.unit), rough(told.record, self.point.unit)
        return f"{it} is {size} {side} {what}; {past} it was never more than {record} {side}; {odds}"

    def confidence(self) -> float | None:
        """See `Watch.confidence`: a half for a surprise of 4, then halfway to certainty with each 4 more."""
        return 1.0 - math.pow(2.0, -self.departure.surprise / 4.0) if self.departure else None

    def how(self) -> str:
        """See `Watch.how`."""
        return self.ended

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Watch.memory`."""
        if self.pace.at is None:
            return None
        return {
            "pace": self.pace.state(),
            "normal": self.normal.state() if self.normal else None,
            "returned_at": None if self.returned_at == -NEVER else self.returned_at,
            "half_hour": [self.half_hour, self.half_hour_ends] if self.half_hour is not None else None,
            "departure": self.departure,
            "ended": self.ended,
        }

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        self.pace.restore(memory["pace"], shift)
        if memory["normal"] is not None:
            self.normal = Normal(self.pace.step)
            self.normal.restore(memory["normal"], shift)
            self.group.absent += self.normal.away >= 0
        self.returned_at = -NEVER if memory["returned_at"] is None else memory["returned_at"] + shift
        if memory["half_hour"] is not None:
            self.half_hour, ends = memory["half_hour"]
            self.half_hour_ends = ends + shift
        self.departure = memory["departure"] and Departure(*memory["departure"])
        self.ended = memory["ended"]


class Jointly(Watch):
    """The points of one device together: one episode, which the eye that left first speaks for."""

    __slots__ = ("absent", "spokesman")

    LEARNS = True

    def __init__(self, rule: Rule, eyes: Sequence[Anomaly]) -> None:
        super().__init__(rule, all_of([eye.point for eye in eyes]))
        self.low, self.high = ANYTHING
        self.eyes = eyes
        self.absent = 0  # how many eyes are away
        self.spokesman = eyes[0]
        for eye in eyes:
            eye.head = eye.group = self

    def enter(self, eye: Anomaly) -> None:
        """An eye has left its normal."""
        if not self.absent and self.episode is None:
            self.spokesman = eye
        self.absent += 1

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        return Verdict.UNHAPPY if self.absent else Verdict.WELL

    @property
    def about(self) -> PointInfo:
        """See `Watch.about`."""
        return self.spokesman.point

    def value(self, value: Outcome | None) -> Outcome | None:
        """See `Watch.value`: the spokesman's, whoever brought the change."""
        last = self.spokesman.sight.last()
        return last[0] if last else value

    def limit(self) -> str:
        """See `Watch.limit`."""
        return self.spokesman.limit()

    def says(self, phase: Phase, lasting: float) -> str:
        """See `Watch.says`."""
        return self.spokesman.says(phase, lasting)

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:
        """See `Watch.because`."""
        return self.spokesman.because(phase, value, lasting)

    def confidence(self) -> float | None:
        """See `Watch.confidence`."""
        return self.spokesman.confidence()

    def how(self) -> str:
        """See `Watch.how`."""
        return self.spokesman.ended

    def memory(self) -> Any:
        """See `Watch.memory`."""
        return self.spokesman.point.id if self.episode else None

    def recall(self, memory: Any, shift: float) -> None:  # noqa: ARG002
        """See `Watch.recall`."""
        for eye in self.eyes:
            if isinstance(eye, Anomaly) and eye.point.id == memory:
                self.spokesman = eye
