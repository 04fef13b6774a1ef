"""compare: differs from its siblings.

Claims      In every round of `within` for at least `lasting`, the mean of the point was further from the median of its siblings
            than `times` their spread, and than `least`. The episode lasts until it has come back to three quarters of that.
Assumes     The points of the rule measure the same and should be alike, or with `relative` in proportion. Most of them are well,
            and at least `siblings` others at the time. With too few, or nothing to compare (`above`), nothing opens or closes.
Method      Median and median absolute deviation (Hampel's identifier; Rousseeuw and Croux 1993): nearly half of the siblings may be
            wild before they mislead. Means over rounds, so that values of one time meet (`siblings.py`). Few siblings that agree by
            chance have no spread at all, so `least` is needed: what difference would be worth a visit.
Sleeps      For an eighth of a round after each reading that is taken.

With `relative` each sibling is compared by its usual share of the median, which is learnt over `learns` of rounds that had
something to compare, and goes on being learnt slowly while it does not differ. Until then the rule says nothing of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Seconds, Value
from gateway.diagnosis.contract import Margin, Phase, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.siblings import CLEAR, Found, Siblings, Terms
from gateway.diagnosis.watch import ANYTHING, NEVER, NOTHING, REPLACED, WIDEST, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import PLACEHOLDERS, duration, number

SAMPLES = 8  # readings of a round that are taken, at most


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "compare"."""

    WORDS: ClassVar[tuple[str, ...]] = (*PLACEHOLDERS, "siblings", "range")

    least: Annotated[Margin, Meta(description='A smaller difference is none: "2 °C", or a share of the median: "5 %".')]
    times: Annotated[float, Meta(ge=1, description="How many spreads of its siblings it may be away from their median.")] = 5.0
    above: Annotated[Quantity | None, Meta(description='Only while the median is above this, such as "200 W" by day.')] = None
    siblings: Annotated[int, Meta(ge=2, description="How many others must be well and read at the time.")] = 3
    within: Annotated[Seconds, Meta(ge=1, description="Whose means are compared; at least two readings of the slowest.")] = 300.0
    relative: Annotated[bool, Meta(description="They are of different size: each one's usual share is learnt.")] = False
    learns: Annotated[Seconds, Meta(ge=60, description="Of comparing, before a usual share is known.")] = 86400.0
    lasting: Annotated[Seconds, Meta(description="How long it must last before it is told.")] = 900.0
    clear_lasting: Annotated[Seconds, Meta(description="How long it must be well again before it is closed.")] = 900.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least.value <= 0:
            raise KeyMistake("least", f"{self.least.value:g}", "a difference greater than 0")
        if self.above is not None and self.above.value >= 0:
            return
        if self.relative:
            raise KeyMistake("relative", "shares of what may be nothing, or less", 'above = "..." of at least 0')
        if self.least.unit == "%":
            expected = 'above = "..." of at least 0; in the unit of the points, as a plain number, it is no share'
            raise KeyMistake("least", "a share of what may be nothing, or less", expected)


def fits(point: PointInfo) -> str | None:
    """Why this kind can do nothing with a point; None where it can."""
    return "texts have no median" if point.type == "text" else None


def unfit(keys: Keys, points: Iterable[PointInfo]) -> str | None:
    """Why a rule can do nothing with all the points that it is written for; None where it can."""
    several = {point.id: point for point in points if fits(point) is None}
    if not several:
        return None
    one, *others = several.values()
    other = next((point for point in others if point.unit != one.unit), None)
    if other:
        return f"{one.id} is in {one.unit or 'no unit'} and {other.id} in {other.unit or 'no unit'}: siblings have one unit"
    if len(several) <= keys.siblings:
        return f"{len(several)} points: each is compared with at least {keys.siblings} others"
    return None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point, which share what they know of each other."""
    keys = rule.keys
    assert isinstance(keys, Keys)
    mine = list(matching(rule, points, fits))
    mine = [point for point in mine if point.unit == mine[0].unit]
    if not mine:
        return
    unit, is_share = mine[0].unit, keys.least.unit == "%"
    terms = Terms(
        times=keys.times,
        least=0.0 if is_share else to_unit(keys.least, unit, difference=True),
        share=keys.least.value / 100.0 if is_share else 0.0,
        above=-WIDEST if keys.above is None else to_unit(keys.above, unit),
        others=keys.siblings,
        within=max(keys.within, 2 * max(point.every for point in mine)),
        learns=keys.learns if keys.relative else 0.0,
    )
    group = Siblings(terms, len(mine))
    for index, point in enumerate(mine):
        yield (Unequal if keys.relative else Sibling)(rule, point, group, index)


class Sibling(Watch):
    """One of several points that should be alike."""

    __slots__ = ("found", "group", "index", "wanted")

    def __init__(self, rule: Rule, point: PointInfo, group: Siblings, index: int) -> None:
        super().__init__(rule, point)
        self.group = group
        self.index = index
        self.found: Found | None = None  # as of the last reading that was taken
        self.wanted = -NEVER  # when the next is

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        assert not isinstance(value, str)
        if at >= self.wanted:
            self.found = self.group.take(self.index, float(value), at)
            self.wanted = at + self.group.terms.within / SAMPLES
        self.low, self.high = ANYTHING
        self.due = self.wanted
        if self.found is None:
            return Verdict.UNKNOWN
        return Verdict.UNHAPPY if self.found.differs else Verdict.WELL

    def start(self, now: float) -> None:  # noqa: ARG002
        """See `Watch.start`."""
        if self.wanted > -NEVER:
            self.low, self.high = ANYTHING
            self.due = self.wanted

    def value(self, value: Outcome | None) -> Outcome | None:
        """See `Watch.value`: its mean, as it was compared."""
        return self.found.value if self.found else value

    def limit(self) -> str:
        """See `Watch.limit`: how far apart they may be."""
        return self.written(self.found.allowed) if self.found else ""

    def words(self, at: float) -> Mapping[str, str]:  # noqa: ARG002
        """See `Watch.words`."""
        found = self.found
        if found is None:
            return {}
        low, high = number(found.low), self.written(found.high)
        return {"siblings": f"{found.others}", "range": high if self.written(found.low) == high else f"{low} to {high}"}

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            return "{point} is like its {siblings} siblings again after {lasting}: {value}."
        return "{point} is {value} while its {siblings} siblings are {range}, for {lasting}."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        found = self.found
        if found is None:
            return "the rule has been changed since, and compares anew"
        mean = f"its mean over {duration(self.group.terms.within)} is"
        norm = f"{self._norm()} {self.written(found.median)}"
        if phase is Phase.CLOSED:
            return f"{mean} within {self.written(CLEAR * found.allowed)} of {norm}"
        apart = self.written(abs(found.value - found.median))
        return f"{mean} {apart} {'above' if found.value > found.median else 'below'} {norm}; allowed are {self.limit()}"

    def _norm(self) -> str:
        return "the median of its siblings,"

    def memory(self) -> Any:
        """See `Watch.memory`."""
        if self.group.began is None:
            return None
        wanted = None if self.wanted == -NEVER else self.wanted
        return [wanted, None if self.found is None else list(self.found), *self.group.memory(self.index)]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        wanted, found, *rest = memory
        self.wanted = -NEVER if wanted is None else wanted + shift
        self.found = None if found is None else Found(*found)
        self.group.recall(self.index, rest, shift)

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`."""
        self.group.pause(self.index, seconds)


class Unequal(Sibling):
    """One of several points that are of different size."""

    __slots__ = ()

    LEARNS: ClassVar[bool] = True

    @property
    def learning(self) -> float:
        """See `Watch.learning`."""
        return self.group.members[self.index].seen / self.group.terms.learns

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:
        """See `Watch.look`: what is not known yet does not differ."""
        verdict = super().look(value, at, is_open)
        return Verdict.WELL if verdict is Verdict.UNKNOWN and self.learning < 1.0 else verdict

    def noted(self, event: str, at: float) -> None:  # noqa: ARG002
        """See `Watch.noted`."""
        if event == REPLACED:
            self.group.members[self.index].forget()
            self.found, self.wanted = None, -NEVER
            self.low, self.high = NOTHING

    def says(self, phase: Phase, lasting: float) -> str:
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            return super().says(phase, lasting) if self.found else "{point} is learnt anew."
        return "{point} is {value}; by its {siblings} siblings it should be {range}, for {lasting}."

    def _norm(self) -> str:
        return "what is usual for it beside its siblings,"
