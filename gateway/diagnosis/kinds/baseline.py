"""baseline: never came to rest, though it should.

Claims      Of all readings within the last `within` (or within the `hours` of one day) none was at or below `rest`. Then something
            flows, draws or runs all the time: a tap that drips, a valve that does not close, a machine that is never switched off.
            The lowest reading of that time is told, and what it makes a day.
Assumes     The thing rests for longer than it takes from reading to reading. Of a meter (`counter`), whose reading stands still
            between two pulses: that it rests for `rests_for` at least once.
Method      Minimum night flow, as water companies find leaks by (Lambert, "Accounting for losses: the bursts and background
            concept", 1994), with each reading as the sample; for a meter its rise over stretches of `rests_for`, as the leak alarm
            of water meters has it. Hours that were seen for less than three quarters are not judged.
Sleeps      Above the lowest reading so far; outside of its hours; and once it has rested, until the next time it must.

One reading at rest ends the episode, at any hour. Times for which nothing was known do not count.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Seconds, Value
from gateway.diagnosis.contract import Phase, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.hours import DAY, RECHECK, Hours, HoursText
from gateway.diagnosis.watch import ANYTHING, NEVER, NOTHING, WIDEST, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import duration, quantity

PULSES = 900.0  # s without a rise that are rest for a meter, if the rule does not say
UNSEEN = 0.25  # of the hours, or of `within`, for which nothing may be known


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "baseline"."""

    rest: Annotated[Quantity | None, Meta(description='At rest at or below this: "0.05 l/min"; 0 if left out.')] = None
    counter: Annotated[bool, Meta(description="It is a meter, which rests while it does not rise.")] = False
    rests_for: Annotated[
        Annotated[Seconds, Meta(ge=1)] | None,
        Meta(description="How long a rest must be to count; for a meter 15 min, otherwise one reading."),
    ] = None
    within: Annotated[Seconds, Meta(ge=60, description="It must come to rest within each such time.")] = DAY
    hours: Annotated[
        tuple[HoursText, ...],
        Meta(description='Or: it must come to rest within these hours of each day: "01:00..05:00", "Mon-Fri 22:00..06:00".'),
    ] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        Hours(self.hours)
        if self.lasting is not None:
            raise KeyMistake("lasting", "a second time to wait", "only within, or hours")
        if self.rests_for is not None and not self.hours and self.rests_for > self.within / 2:
            raise KeyMistake("rests_for", duration(self.rests_for), "a time of at most half of within")


def fits(point: PointInfo) -> str | None:
    """Why this kind can do nothing with a point; None where it can."""
    return "a text has no lowest value" if point.type == "text" else None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point."""
    assert isinstance(rule.keys, Keys)
    kind = DailyBaseline if rule.keys.hours else Baseline
    for point in matching(rule, points, fits):
        yield kind(rule, point, to_unit)


class Baseline(Watch):
    """How long it has not been at rest, and the lowest that was seen since."""

    __slots__ = (
        "awake_at",
        "lost_at",
        "lowest",
        "mark",
        "mark_at",
        "meter",
        "rest",
        "resting_at",
        "rests_for",
        "verdict",
        "within",
    )

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit) -> None:
        super().__init__(rule, point)
        keys = rule.keys
        assert isinstance(keys, Keys)
        self.meter = keys.counter
        self.rest = to_unit(keys.rest, point.unit, difference=self.meter) if keys.rest else 0.0
        self.rests_for = keys.rests_for or 0.0
        self.within = keys.within
        self.mark: float | None = None  # of a meter: what it read when the stretch at hand began
        self.mark_at = 0.0
        self.resting_at: float | None = None  # since when it rests; None while it does not
        self.awake_at: float | None = None  # since when it has not been at rest for long enough
        self.lowest = WIDEST  # since then; of a meter per second
        self.lost_at: float | None = None
        self.verdict = Verdict.WELL

    @property
    def stretch(self) -> float:
        """Of a meter: over how long its rise is taken (s)."""
        return self.rests_for or PULSES

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        assert not isinstance(value, str)
        if self.lost_at is not None:
            self.skip(at - self.lost_at)
            self.lost_at = None
        if not self.enter(at):
            return Verdict.UNKNOWN
        if self.meter:
            self._look_at_meter(value, at)
        elif value <= self.rest:
            self._rests(at)
        else:
            self.resting_at = None
            self.moves(float(value), at)
        self.judge(at)
        if self.meter:
            self.low, self.high = ANYTHING
            self.due = min(self.due, self.mark_at + self.stretch)
        return self.verdict

    def enter(self, at: float) -> bool:  # noqa: ARG002
        """A reading is about to be judged; False where that cannot be done."""
        return True

    def _look_at_meter(self, value: float, at: float) -> None:
        """Its rise over the stretch that is over, if one is."""
        if self.mark is not None:
            took = at - self.mark_at
            if took < self.stretch:
                return
            rise = value - self.mark
            if 0.0 <= rise <= self.rest:
                self.rested()
            elif rise > 0.0 and took < 2 * self.stretch:  # over a longer one it may well have rested
                self.moves(rise / took, at)
            else:
                self.skip(took)
        if self.awake_at is None:
            self.awake_at = at
        self.mark, self.mark_at = float(value), at

    def _rests(self, at: float) -> None:
        if self.resting_at is None:
            self.resting_at = at
        if at - self.resting_at >= self.rests_for:
            self.rested()

    def rested(self) -> None:
        """It has been at rest for long enough."""
        self.awake_at, self.lowest = None, WIDEST
        self.verdict = Verdict.WELL

    def moves(self, value: float, at: float) -> None:
        """It is not at rest, but at this value."""
        if self.awake_at is None:
            self.awake_at = at
        self.lowest = min(self.lowest, value)

    def judge(self, at: float) -> None:
        """State verdict, band and deadline."""
        self.due = NEVER
        if self.resting_at is not None:
            self.low, self.high = -WIDEST, self.rest
            if self.awake_at is not None:
                self.due = self.resting_at + self.rests_for
            return
        self.low, self.high = self.lowest, WIDEST
        if self.awake_at is not None and self.lowest < WIDEST and self.verdict is Verdict.WELL:
            self.due = self.awake_at + self.within
            if at >= self.due:
                self.verdict, self.due = Verdict.UNHAPPY, NEVER

    def skip(self, seconds: float) -> None:
        """Nothing was known for so long, up to now."""
        self.resting_at = None
        if self.verdict is Verdict.WELL and self.awake_at is not None:
            if seconds > UNSEEN * self.within:
                self.awake_at, self.lowest = None, WIDEST
            else:
                self.awake_at += seconds

    def lost(self, at: float) -> Verdict:
        """See `Watch.lost`."""
        if self.lost_at is None:
            self.lost_at = at
        self.mark = None
        return Verdict.UNKNOWN

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`."""
        self.mark = None
        self.skip(seconds)
        if self.lost_at is not None:
            self.lost_at += seconds

    def since(self, at: float) -> float:
        """See `Watch.since`."""
        return at if self.awake_at is None else self.awake_at

    @property
    def lasting(self) -> float:
        """See `Watch.lasting`: when the verdict is unhappy, it has lasted already."""
        return 0.0

    # ------------------------------------------------------------ in words

    def value(self, value: Outcome | None) -> Outcome | None:
        """See `Watch.value`: the lowest, while it is about that."""
        return value if self.lowest == WIDEST or self.meter else self.lowest

    def limit(self) -> str:
        """See `Watch.limit`."""
        return self.written(self.rest)

    def period(self) -> str:
        """Within which time it should have come to rest."""
        return f"for {duration(self.within)}"

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            return "{point} has come to rest again after {lasting}."
        daily = self.daily()
        return f"{{point}} has not come to rest {self.period()}: {self.at_least()}{f', about {daily}' if daily else ''}."

    def at_least(self) -> str:
        """The lowest that was seen, in words."""
        return f"it never stood still for {duration(self.stretch)}" if self.meter else f"never below {self.written(self.lowest)}"

    def daily(self) -> str:
        """What the lowest makes a day; empty where the unit does not say."""
        unit = self.point.unit
        if self.lowest == WIDEST:
            return ""
        if self.meter:
            return f"{quantity(_rounded(self.lowest * DAY), unit)} a day"
        of, _, per = unit.rpartition("/")
        seconds = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": DAY}.get(per)
        if of and seconds:
            return f"{quantity(_rounded(self.lowest * DAY / seconds), of)} a day"
        if unit in ("W", "kW"):
            return f"{quantity(_rounded(self.lowest * 24 / (1000 if unit == 'W' else 1)), 'kWh')} a day"
        return ""

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        rest = f"a rise of no more than {self.limit()} in {duration(self.stretch)}" if self.meter else f"{self.limit()} or less"
        if phase is Phase.CLOSED:
            return f"it was at rest, which is {rest}"
        slowest = f"; at its slowest it made {self.daily()}" if self.meter else ""
        return f"{self.at_least()} {self.period()}, and rest is {rest}{slowest}"

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Watch.memory`."""
        lowest = None if self.lowest == WIDEST else self.lowest
        return [self.mark, self.mark_at, self.resting_at, self.awake_at, lowest, self.lost_at, int(self.verdict)]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        self.mark, mark_at, resting_at, awake_at, lowest, lost_at, verdict = memory[:7]
        self.mark_at = mark_at + shift
        self.resting_at = None if resting_at is None else resting_at + shift
        self.awake_at = None if awake_at is None else awake_at + shift
        self.lost_at = None if lost_at is None else lost_at + shift
        self.lowest = WIDEST if lowest is None else lowest
        self.verdict = Verdict(verdict)


class DailyBaseline(Baseline):
    """Judged once its hours are over."""

    __slots__ = ("begun_at", "ends_at", "has_rested", "hours", "unseen")

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit) -> None:
        super().__init__(rule, point, to_unit)
        assert isinstance(rule.keys, Keys)
        self.hours = Hours(rule.keys.hours)
        self.begun_at: float | None = None  # when the hours at hand began, while they last
        self.ends_at = 0.0  # when they end; outside of them, when they begin
        self.unseen = 0.0  # for how long of them nothing was known
        self.has_rested = False

    def enter(self, at: float) -> bool:
        """See `Baseline.enter`."""
        local = self.sight.local(at)
        if local is None:
            self.begun_at = None
            self.low, self.high = NOTHING  # until the clock is known
            return False
        inside, into, left = self.hours.at(local)
        if self.begun_at is not None and (not inside or at > self.ends_at + RECHECK):
            self._over(at)
        if inside and self.begun_at is None:
            self.begun_at, self.unseen = at - into, into
            self.has_rested, self.resting_at, self.lowest = False, None, WIDEST
        self.ends_at = at + left
        return True

    def _over(self, at: float) -> None:
        assert self.begun_at is not None
        late = at > self.ends_at + DAY / 2  # so that it is not known what they came to
        seen = self.unseen <= UNSEEN * (self.ends_at - self.begun_at)
        if self.lowest < WIDEST and seen and not late and not self.has_rested and self.verdict is Verdict.WELL:
            self.verdict, self.awake_at = Verdict.UNHAPPY, self.begun_at
        self.begun_at = None

    def rested(self) -> None:
        """See `Baseline.rested`."""
        super().rested()
        self.has_rested = True

    def moves(self, value: float, at: float) -> None:  # noqa: ARG002
        """See `Baseline.moves`: only within the hours it counts how low."""
        if self.begun_at is not None and not self.has_rested:
            self.lowest = min(self.lowest, value)

    def judge(self, at: float) -> None:
        """See `Baseline.judge`."""
        self.due = min(self.ends_at, at + RECHECK)
        waits = self.verdict is not Verdict.WELL or (self.begun_at is not None and not self.has_rested)
        if not waits:
            self.low, self.high = ANYTHING
        elif self.resting_at is not None:
            self.low, self.high = -WIDEST, self.rest
            self.due = min(self.due, self.resting_at + self.rests_for)
        elif self.begun_at is not None:
            self.low, self.high = self.lowest, WIDEST
        else:
            self.low, self.high = math.nextafter(self.rest, NEVER), WIDEST

    def skip(self, seconds: float) -> None:
        """See `Baseline.skip`."""
        self.resting_at = None
        self.unseen += seconds

    def period(self) -> str:
        """See `Baseline.period`."""
        assert isinstance(self.rule.keys, Keys)
        return f"within {' and '.join(self.rule.keys.hours)}"

    def memory(self) -> Any:
        """See `Watch.memory`."""
        return [*super().memory(), self.begun_at, self.ends_at, self.unseen, self.has_rested]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        super().recall(memory, shift)
        begun_at, ends_at, self.unseen, self.has_rested = memory[7:]
        self.begun_at = None if begun_at is None else begun_at + shift
        self.ends_at = ends_at + shift


def _rounded(amount: float) -> float:
    """Two digits: it is an estimate."""
    return float(f"{amount:.2g}")
