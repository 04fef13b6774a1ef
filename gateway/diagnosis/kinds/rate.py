"""rate: changes by more than it should within a time.

Claims      The value is higher (`rises`) or lower (`falls`) by more than the given amount than it was at some time within the last
            `within`. The episode lasts until no such time is left.
Assumes     Readings come several times per `within`; of two readings further apart nothing is claimed.
Method      Sliding minimum and maximum over eight parts of the time, from the history that the device keeps anyway. A part that
            lies half outside is left out, so a change is found for certain if it took less than seven eighths of `within`, and
            never claimed if it took longer than `within`.
Sleeps      Around the present value, in a band so narrow that no two values in it, and no value in it and one of the past, can be
            too far apart. A value that climbs steadily at half the allowed rate is looked at about twice per `within`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Seconds, Value
from gateway.diagnosis.contract import Difference, Phase, PointInfo, RuleKeys
from gateway.diagnosis.watch import NEVER, WIDEST, Extremes, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import duration


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "rate"."""

    rises: Annotated[Difference | None, Meta(description='Too fast if it rises by more than this: "5 °C".')] = None
    falls: Annotated[Difference | None, Meta(description='Too fast if it falls by more than this: "1 bar".')] = None
    within: Annotated[Seconds, Meta(ge=0.1, description="The time within which it does.")] = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rises is None and self.falls is None:
            raise KeyMistake("", "no amount", 'rises = "..." or falls = "..."')
        for key, amount in (("rises", self.rises), ("falls", self.falls)):
            if amount is not None and amount.value <= 0:
                raise KeyMistake(key, f"{amount.value:g}", "an amount greater than 0")


def fits(point: PointInfo) -> str | None:
    """Why this kind can do nothing with a point; None where it can."""
    return "a text neither rises nor falls" if point.type == "text" else None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point."""
    for point in matching(rule, points, fits):
        yield Rate(rule, point, to_unit)


class Rate(Watch):
    """Compares the present value with the extremes of the recent past."""

    __slots__ = ("began", "began_at", "falling", "falls", "rises", "within")

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit) -> None:
        super().__init__(rule, point)
        keys = rule.keys
        assert isinstance(keys, Keys)
        self.rises = to_unit(keys.rises, point.unit, difference=True) if keys.rises else WIDEST
        self.falls = to_unit(keys.falls, point.unit, difference=True) if keys.falls else WIDEST
        self.within = keys.within
        self.falling = keys.rises is None  # which of the two it does, or did last
        self.began = self.began_at = 0.0  # from which value, and when

    @property
    def window(self) -> float:
        """See `Watch.window`."""
        return self.within

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        assert not isinstance(value, str)
        past = self.sight.extremes(self.within, at) or Extremes(value, at, value, at)
        floor, ceiling = past.high - self.falls, past.low + self.rises
        falls, rises = value < floor, value > ceiling
        if not falls and not rises:
            reach = 0.499 * min(self.rises, self.falls)  # a hair less than half: rounding must not open the band
            self.low, self.high = max(value - reach, floor), min(value + reach, ceiling)
            self.due = NEVER
            return Verdict.WELL
        self.falling = falls and (self.falling or not rises)  # if it does both, it goes on doing what it did
        # Unhappy for certain as long as it stays beyond the bound, and the extreme is no older than `within`.
        if self.falling:
            self.began, self.began_at = past.high, past.high_at
            self.low, self.high = -WIDEST, math.nextafter(floor, -NEVER)
        else:
            self.began, self.began_at = past.low, past.low_at
            self.low, self.high = math.nextafter(ceiling, NEVER), WIDEST
        self.due = self.began_at + self.within
        return Verdict.UNHAPPY

    def since(self, at: float) -> float:  # noqa: ARG002
        """See `Watch.since`."""
        return self.began_at

    def limit(self) -> str:
        """See `Watch.limit`."""
        return f"{self.written(self.falls if self.falling else self.rises)} within {duration(self.within)}"

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            return "{point} is steady again after {lasting}: {value}."
        return f"{{point}} {'falls' if self.falling else 'rises'} by more than {{limit}}: {{value}}."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        if phase is Phase.CLOSED:
            return f"it has changed by no more than {self.limit()}"
        did = "fell" if self.falling else "rose"
        apart = self.written(abs(value - self.began)) if isinstance(value, (int, float)) else ""
        return f"it {did} from {self.written(self.began)} to {self.written(value)}, by {apart}; allowed are {self.limit()}"

    def memory(self) -> Any:
        """See `Watch.memory`."""
        return [self.falling, self.began, self.began_at] if self.episode else None

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        self.falling, self.began, began_at = memory
        self.began_at = began_at + shift
