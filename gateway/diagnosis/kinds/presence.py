"""presence: a tag, a beacon or a device that left, stayed, or came back.

Claims      What should be here has been away, or what should be away has been here, for at least `after`; and where `hours` are
            given, within them. It closes when it is as it should be, or when the hours are over.
Assumes     Of the point `state`: that the bus tells a device that is gone from one that speaks rarely. Of any other point: that it
            is heard more often than every `after` while it is here, and, with `above`, that a weak signal means far away.
Method      A state is believed until it changes. Any other point is a watchdog timer, wound up lazily: away is what has not been
            heard for `after`, since it was last heard.
Sleeps      Always; only deadlines, a state that changes and a signal that crosses `above` wake it.

With `tell = "insight"` nothing is wrong: somebody only wants to know.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Seconds, Value
from gateway.diagnosis.contract import AWAY, STATE, Phase, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.hours import RECHECK, Hours, HoursText
from gateway.diagnosis.watch import ANYTHING, NEVER, NOTHING, WIDEST, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import duration

UNKNOWN_CLOCK = 300.0  # s until the hours are looked up again while nobody knows the time


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "presence"."""

    expect: Annotated[Literal["here", "away"], Meta(description="How it should be.")] = "here"
    after: Annotated[Seconds, Meta(ge=1, description="How long it may be otherwise.")] = 600.0
    hours: Annotated[
        tuple[HoursText, ...],
        Meta(description='Only within these hours: "18:00..07:00", "Mon-Fri 08:00..17:00"; always if left out.'),
    ] = ()
    above: Annotated[Quantity | None, Meta(description='Here only while the signal is above this: "-80 dBm".')] = None
    is_: Annotated[tuple[str, ...], Meta(description="Of a point that tells text: what it says of a thing that is here.")] = ()
    tell: Annotated[Literal["problem", "insight"], Meta(description="What it is when it is otherwise.")] = "problem"

    def __post_init__(self) -> None:
        super().__post_init__()
        Hours(self.hours)
        if self.lasting is not None:
            raise KeyMistake("lasting", "a second time to wait", "only after")
        if self.is_ and self.above:
            raise KeyMistake("is", "texts beside a level", 'either is = "..." or above = "..."')


def fits(point: PointInfo) -> str | None:  # noqa: ARG001
    """Any point may tell that its device is here."""
    return None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point."""
    keys = rule.keys
    assert isinstance(keys, Keys)
    for point in matching(rule, points, fits):
        if point.name == STATE or keys.is_:
            yield (Said if keys.tell == "problem" else SaidInsight)(rule, point)
        else:
            level = to_unit(keys.above, point.unit) if keys.above else -WIDEST
            yield (Heard if keys.tell == "problem" else HeardInsight)(rule, point, level)


class Presence(Watch):
    """Whether it is here, and since when."""

    __slots__ = ("here_at", "hours", "hours_at", "keys", "verdict")

    TEXT = True

    def __init__(self, rule: Rule, point: PointInfo) -> None:
        super().__init__(rule, point)
        assert isinstance(rule.keys, Keys)
        self.keys = rule.keys
        self.hours = Hours(rule.keys.hours) if rule.keys.hours else None
        self.hours_at: float | None = None  # when the hours at hand began; None outside of them
        self.here_at: float | None = None  # since when it is here; None while it is away
        self.verdict = Verdict.UNKNOWN

    def wrong_at(self, at: float) -> float | None:
        """Since when it is not as it should be; NEVER while it is. None where that is not known."""
        raise NotImplementedError

    def look_again(self, at: float) -> float:  # noqa: ARG002
        """When to look again whether it is still here."""
        return NEVER

    @property
    def absence(self) -> bool:
        """See `Watch.absence`: who misses a tag may be deaf."""
        return self.keys.expect == "here"

    @property
    def lasting(self) -> float:
        """See `Watch.lasting`: when the verdict is unhappy, it has lasted already."""
        return 0.0

    def start(self, now: float) -> None:
        """See `Watch.start`."""
        self.low, self.high = ANYTHING
        self.due = now

    def elapse(self, at: float) -> Verdict:
        """See `Watch.elapse`: what was said last holds, so a deadline decides."""
        return self.judge(at)

    def judge(self, at: float) -> Verdict:
        """Whether it is as it should be, and when that may change by itself."""
        self.due = self.look_again(at)
        wrong_at = self.wrong_at(at)
        if wrong_at is None:
            self.verdict = Verdict.UNKNOWN
        elif self._is_off(at):
            self.verdict = Verdict.WELL
        elif self.hours is not None and self.hours_at is None:
            self.verdict = Verdict.UNKNOWN
        else:
            told_at = max(wrong_at, wrong_at if self.hours_at is None else self.hours_at) + self.keys.after
            self.verdict = Verdict.UNHAPPY if at >= told_at else Verdict.WELL
            if at < told_at:
                self.due = min(self.due, told_at)
        return self.verdict

    def _is_off(self, at: float) -> bool:
        """Whether it is outside of the hours."""
        if self.hours is None:
            return False
        local = self.sight.local(at)
        if local is None:
            self.hours_at = None
            self.due = min(self.due, at + UNKNOWN_CLOCK)
            return False
        inside, into, left = self.hours.at(local)
        self.due = min(self.due, at + min(left, RECHECK))
        if not inside:
            self.hours_at = None
        elif self.hours_at is None:
            self.hours_at = at - into
        return not inside

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`."""
        if self.here_at is not None:
            self.here_at += seconds

    # ------------------------------------------------------------ in words

    def since(self, at: float) -> float:
        """See `Watch.since`: of what stayed, the time from which it should have been away."""
        wrong_at = self.wrong_at(at)
        assert wrong_at is not None
        return max(wrong_at, self.hours_at) if self.hours_at is not None and self.keys.expect == "away" else wrong_at

    def limit(self) -> str:
        """See `Watch.limit`."""
        return duration(self.keys.after)

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if self.keys.expect == "here":
            back = "{device} is back after {lasting}."
            return back if phase is Phase.CLOSED else "{device} has been away for {lasting}."
        return "{device} has left after {lasting}." if phase is Phase.CLOSED else "{device} is still here, for {lasting} now."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        within = f" within {' and '.join(self.keys.hours)}" if self.hours else ""
        if phase is Phase.CLOSED and self.hours is not None and self.hours_at is None:
            return f"it matters only{within}, and that is over"
        if phase is Phase.CLOSED:
            return f"it is {self.keys.expect}, as it should be{within}"
        return f"it should be {self.keys.expect}{within}; the rule waits {self.limit()}"


class Said(Presence):
    """A point that says in words whether something is here: a device's state, or a text of its own."""

    __slots__ = ("away_at", "texts")

    def __init__(self, rule: Rule, point: PointInfo) -> None:
        super().__init__(rule, point)
        self.texts = frozenset(self.keys.is_)
        self.away_at: float | None = None

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        here = value in self.texts if self.texts else value not in AWAY
        if not here:
            self.here_at = None
            self.away_at = at if self.away_at is None else self.away_at
        else:
            self.away_at = None
            self.here_at = at if self.here_at is None else self.here_at
        return self.judge(at)

    def lost(self, at: float) -> Verdict:
        """See `Watch.lost`."""
        self.here_at = self.away_at = None
        return self.judge(at)

    def wrong_at(self, at: float) -> float | None:  # noqa: ARG002
        """See `Presence.wrong_at`."""
        if self.here_at is None and self.away_at is None:
            return None
        wrong_at = self.away_at if self.keys.expect == "here" else self.here_at
        return NEVER if wrong_at is None else wrong_at

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`."""
        super().pause(seconds)
        if self.away_at is not None:
            self.away_at += seconds

    def memory(self) -> Any:
        """See `Watch.memory`."""
        return [self.here_at, self.hours_at, self.away_at]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        self.here_at, self.hours_at, self.away_at = (None if at is None else at + shift for at in memory)


class Heard(Presence):
    """A point that is here while it is heard, and loud enough."""

    __slots__ = ("faded_at", "level")

    def __init__(self, rule: Rule, point: PointInfo, level: float) -> None:
        super().__init__(rule, point)
        self.level = level
        self.faded_at: float | None = None  # since when it is too weak

    def start(self, now: float) -> None:
        """See `Watch.start`."""
        super().start(now)
        self.low, self.high = NOTHING

    def judge(self, at: float) -> Verdict:
        """See `Presence.judge`: what is away is here with the next that is heard of it."""
        verdict = super().judge(at)
        if self.faded_at is not None:
            self.low, self.high = -WIDEST, self.level
        elif self.here_at is None:
            self.low, self.high = NOTHING
        else:
            self.low, self.high = (self.level if self.level == -WIDEST else math.nextafter(self.level, NEVER)), WIDEST
        return verdict

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        if isinstance(value, str) or value > self.level or self.level == -WIDEST:
            self.faded_at = None
            self.here_at = at if self.here_at is None else self.here_at
        elif self.faded_at is None:
            self.faded_at = at
        return self.judge(at)

    def lost(self, at: float) -> Verdict:
        """See `Watch.lost`: what is not heard is not here, as soon as `after` is over."""
        return self.judge(at)

    def _heard(self) -> float:
        return self.sight.seen() if self.faded_at is None else self.faded_at

    def look_again(self, at: float) -> float:
        """See `Presence.look_again`."""
        gone_at = self._heard() + self.keys.after
        return gone_at if gone_at > at and self.here_at is not None else NEVER

    def wrong_at(self, at: float) -> float:
        """See `Presence.wrong_at`."""
        heard = self._heard()
        if heard + self.keys.after <= at:
            self.here_at = None
        if self.keys.expect == "here":
            return heard
        return NEVER if self.here_at is None else self.here_at

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`."""
        super().pause(seconds)
        if self.faded_at is not None:
            self.faded_at += seconds

    def memory(self) -> Any:
        """See `Watch.memory`."""
        return [self.here_at, self.hours_at, self.faded_at]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        self.here_at, self.hours_at, self.faded_at = (None if at is None else at + shift for at in memory)


class SaidInsight(Said):
    """The same, and nothing is wrong."""

    __slots__ = ()

    KIND = "insight"


class HeardInsight(Heard):
    """The same, and nothing is wrong."""

    __slots__ = ()

    KIND = "insight"
