"""drift: its days are no longer what they were.

Claims      The days of a point have left what its first days were like, by more than days differ anyway, and for good: a sensor
            that loses its calibration, a machine that loses its strength. Told once; what has settled then is the new normal,
            which the closing says. A jump that stays is told too, with the day on which it was; `anomaly` is quicker there.
Assumes     Days and weeks alike while it learns (`learn`), and nothing wrong then. What the seasons bring within a month may be
            written (`season`); where it is not, or they bring more, a season is told like a drift: nobody who knows only the
            point can tell them apart, nor a load that has grown from a machine that has grown weak. Of days that are all the same
            to the last digit nothing is told, as there is nothing to measure by.
Method      A robust level for each day (`buckets.py`), a reference of the first days and a cumulative sum of what is off
            (`reference.py`).
Sleeps      Between samples: 72 readings a day are enough, however many there are.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Seconds, Value
from gateway.diagnosis.buckets import SAMPLES, SLOTS, Bucket
from gateway.diagnosis.contract import STATE, Difference, Phase, PointInfo, RuleKeys
from gateway.diagnosis.foreseen import Sampler
from gateway.diagnosis.reference import RECENT, WEEK, Day, Reference, Watchman
from gateway.diagnosis.watch import ANOTHER, NEVER, REPLACED, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import rough

DAY = 86400.0
MONTH = 30.0  # days
SLOT = DAY / SLOTS
HUGE = 1e100
NEW_NORMAL = "new normal"


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "drift"."""

    learn: Annotated[Seconds, Meta(ge=14 * DAY, description="How long it learns what its days are like.")] = 28 * DAY
    season: Annotated[
        Difference | None, Meta(description='What the seasons may bring within 30 days without being told: "2 °C".')
    ] = None
    least: Annotated[Difference | None, Meta(description='The least that is worth telling: "0.5 °C".')] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, amount in (("season", self.season), ("least", self.least)):
            if amount is not None and amount.value <= 0:
                raise KeyMistake(key, f"{amount.value:g}", "an amount greater than 0")
        if self.lasting is not None:
            raise KeyMistake("lasting", "a time to wait", "none: a drift lasts by itself")


def fits(point: PointInfo) -> str | None:
    """Why this kind can do nothing with a point; None where it can."""
    return None if point.type == "number" and point.name != STATE else f"a {point.type} has no level"


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point."""
    for point in matching(rule, points, fits):
        yield Drift(rule, point, to_unit)


class Drift(Watch):
    """Learns some days, then holds each day against them. Inside, times are seconds since the first reading."""

    __slots__ = (
        *("began", "bucket", "days", "ended", "is_away", "least", "needed", "old", "new", "sampler", "season", "wanted"),
        "watchman",
    )

    LEARNS = True

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit) -> None:
        super().__init__(rule, point)
        keys = rule.keys
        assert isinstance(keys, Keys)
        self.wanted = round(keys.learn / DAY)  # days
        self.season = to_unit(keys.season, point.unit, difference=True) / MONTH if keys.season else 0.0
        self.least = to_unit(keys.least, point.unit, difference=True) if keys.least else 0.0
        self.began = NEVER  # when its first reading was
        self.sampler = Sampler()
        self.bucket = Bucket()
        self.days: list[Day] = []  # that may become the reference: the first, and those since it was told
        self.watchman: Watchman | None = None
        self.is_away = False
        self.old = self.new = 0.0  # the level that it has left, and the one that it has come to
        self.needed = 0.0  # how far apart they had to be
        self.ended = "by itself"

    @property
    def learning(self) -> float:
        """See `Watch.learning`."""
        return 1.0 if self.watchman else len(self.days) / self.wanted

    # ------------------------------------------------------------ readings

    def start(self, now: float) -> None:  # noqa: ARG002
        """See `Watch.start`."""
        self.sampler.rest(self)

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        if at >= self.sampler.wanted and -HUGE < value < HUGE:  # type: ignore[operator]
            self._take(float(value), at)
        self.sampler.rest(self)
        return Verdict.UNHAPPY if self.is_away else Verdict.WELL

    def _take(self, value: float, at: float) -> None:
        if self.began == NEVER:
            self.began = at
        ended = self.bucket.add(at - self.began, value, SLOT, SLOTS)
        self.sampler.take(at, SLOT / SAMPLES, self.bucket.next_in(SLOT))
        if ended is not None:
            self._end_day(Day(int((ended.at + DAY / 2) // DAY), ended.value))

    def _end_day(self, day: Day) -> None:
        if self.watchman is None:
            self._learn(day)
        elif not self.is_away:
            self.is_away = self.watchman.take(day, self.season, self.least)
            if self.is_away:
                self.old = self.watchman.reference.level + self.watchman.followed
                self.new = self.old + self.watchman.gone()
                self.needed = self.watchman.needed(self.least)
        else:
            self._follow(self.watchman, day)

    def noted(self, event: str, at: float) -> None:  # noqa: ARG002
        """See `Watch.noted`."""
        if event == REPLACED:
            self.began, self.sampler, self.bucket, self.days, self.watchman = NEVER, Sampler(), Bucket(), [], None
            self.is_away, self.ended = False, "by itself"
            self.sampler.rest(self)

    def _follow(self, watchman: Watchman, day: Day) -> None:
        """Another day of a drift that has been told."""
        watchman.take(day, self.season, self.least)
        self.new = self.old + watchman.gone(WEEK)
        if watchman.is_back(self.least):
            watchman.forget()
            self.days = []
            self.is_away, self.ended = False, "by itself"
        elif self._learn(day):
            self.is_away, self.ended = False, NEW_NORMAL

    def _learn(self, day: Day) -> bool:
        """A day of what is normal, or may become it; whether it is known now."""
        self.days.append(day)
        if len(self.days) < self.wanted:
            return False
        self.watchman = Watchman(Reference(self.days))
        self.new = self.watchman.reference.level
        self.days = []
        return True

    # ------------------------------------------------------------ what people are told

    def since(self, at: float) -> float:
        """See `Watch.since`: the day on which it began to leave."""
        return at if self.watchman is None else self.began + (self.watchman.since - 0.5) * DAY

    def value(self, value: Outcome | None) -> Outcome | None:  # noqa: ARG002
        """See `Watch.value`: the level that its days have come to."""
        return self.new

    def limit(self) -> str:
        """See `Watch.limit`: how far it had to go."""
        return rough(self.needed, self.point.unit)

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if phase is not Phase.CLOSED:
            return f"{{point}} has gone from {self.written(self.old, self.new)} to {{value}} in {{lasting}}, and stays away."
        if self.watchman is None:
            return "{point} is learnt anew."
        if self.ended == NEW_NORMAL:
            return "{point} has settled around {value}: that is its new normal."
        return f"{{point}} is back where it was after {{lasting}}: around {{value}}, {self.written(self.old)} before."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        if self.watchman is None:
            return ANOTHER
        apart = rough(abs(self.new - self.old), self.point.unit)
        side = "above" if self.new > self.old else "below"
        if phase is Phase.CLOSED and self.ended == NEW_NORMAL:
            return f"its days have been around there for {self.wanted} days, {apart} {side} those before"
        needed = f"by chance they would differ by less than {self.limit()}"
        if phase is Phase.CLOSED:
            return f"its days are no longer far from what they were; {needed}"
        return f"the last {RECENT} days are {apart} {side} what such days were when the rule learnt them; {needed}"

    def confidence(self) -> float | None:
        """See `Watch.confidence`: a half where it is just enough, then halfway to certainty with as much again."""
        return 1.0 - 0.5 ** (abs(self.new - self.old) / self.needed) if self.needed else None

    def how(self) -> str:
        """See `Watch.how`."""
        return self.ended

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Watch.memory`."""
        if self.began == NEVER:
            return None
        learnt = [self.days, self.watchman.memory() if self.watchman else None]
        told = [self.is_away, self.ended, self.old, self.new, self.needed]
        return [self.began, self.sampler.memory(), self.bucket.memory(), learnt, told]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        began, sampler, bucket, (days, watchman), told = memory
        self.began = began + shift
        self.sampler.recall(sampler, shift)
        self.bucket.recall(bucket)
        self.days = [Day(*day) for day in days]
        self.watchman = Watchman.recall(watchman) if watchman else None
        self.is_away, self.ended, self.old, self.new, self.needed = told
