"""threshold: beyond a limit, for long enough.

Claims      The value was beyond the limit at every reading for at least `lasting`. Once told, the episode stays open until the
            value has been back at the `clear` level (the limit itself, where none is written) for `clear_lasting`.
Assumes     Readings come often enough that what happens between two of them does not matter.
Method      The on-delay, deadband and off-delay of industrial alarms (IEC 62682 / ISA-18.2): the delay keeps short excursions
            quiet, the deadband keeps noise around the limit from opening and closing one episode after another.
Sleeps      While well: up to the limit. While unhappy: beyond it, and once open beyond the clear level; a lasting alarm costs no
            more than none.

With `worse`, a second level beyond the limit, an open episode is told once more and is one severity up from then on.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Value
from gateway.diagnosis.contract import Phase, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.watch import NEVER, WIDEST, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import duration


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "threshold"."""

    above: Annotated[Quantity | None, Meta(description='Too high beyond this: "-15 °C".')] = None
    below: Annotated[Quantity | None, Meta(description='Too low beyond this: "1.2 bar".')] = None
    clear: Annotated[Quantity | None, Meta(description='Well again from here on: "-17 °C"; the limit itself if not given.')] = None
    worse: Annotated[Quantity | None, Meta(description="Told once more, one severity up, beyond this.")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.above is None and self.below is None:
            raise KeyMistake("", "no limit", 'above = "..." or below = "..."')
        if self.above is not None and self.below is not None:
            if self.clear is not None or self.worse is not None:
                key = "worse" if self.clear is None else "clear"
                raise KeyMistake(key, "one level for two limits", "one rule for above and one for below")
            return
        sign = 1 if self.above is not None else -1
        limit = self.above or self.below
        assert limit is not None
        if self.clear is not None and self.clear.unit == limit.unit and sign * (self.clear.value - limit.value) > 0:
            raise KeyMistake("clear", f"{self.clear.value:g}, beyond the limit", "a level on the well side of the limit")
        if self.worse is not None and self.worse.unit == limit.unit and sign * (self.worse.value - limit.value) <= 0:
            raise KeyMistake("worse", f"{self.worse.value:g}, within the limit", "a level beyond the limit")


def fits(point: PointInfo) -> str | None:
    """Why this kind can do nothing with a point; None where it can."""
    return "a text is neither above nor below a limit" if point.type == "text" else None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point."""
    for point in matching(rule, points, fits):
        yield Threshold(rule, point, to_unit)


class Threshold(Watch):
    """Two limits, either of which may be out of reach."""

    __slots__ = ("above", "below", "clear", "over", "worse")

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit) -> None:
        super().__init__(rule, point)
        keys = rule.keys
        assert isinstance(keys, Keys)

        def level(quantity: Quantity | None, otherwise: float) -> float:
            return otherwise if quantity is None else to_unit(quantity, point.unit)

        self.above = level(keys.above, WIDEST)
        self.below = level(keys.below, -WIDEST)
        self.over = keys.above is not None  # which of the two it is, or was last
        self.clear = None if keys.clear is None else to_unit(keys.clear, point.unit)
        self.worse = level(keys.worse, WIDEST if self.over else -WIDEST)

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        assert not isinstance(value, str)
        above, below = self.above, self.below
        if is_open and self.clear is not None:
            above, below = (self.clear, below) if self.over else (above, self.clear)
        if value > above:
            self.over = True
            worse = value > self.worse
            self.low = math.nextafter(above, NEVER)
            self.high = WIDEST if worse else self.worse
        elif value < below:
            self.over = False
            worse = value < self.worse
            self.low = -WIDEST if worse else self.worse
            self.high = math.nextafter(below, -NEVER)
        else:
            self.low, self.high = below, above
            return Verdict.WELL
        return Verdict.WORSE if worse else Verdict.UNHAPPY

    def _broken(self) -> float:
        return self.above if self.over else self.below

    def limit(self) -> str:
        """See `Watch.limit`."""
        return self.written(self._broken())

    def says(self, phase: Phase, lasting: float) -> str:
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            return "{point} is well again after {lasting}: {value}."
        side = "above" if self.over else "below"
        return f"{{point}} is {{value}}, {side} {{limit}}" + (" for {lasting}." if lasting else ".")

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        level = self._broken()
        if phase is Phase.WORSENED:
            level = self.worse
        elif phase is Phase.CLOSED and self.clear is not None:
            level = self.clear
        level_text = self.written(level, value if isinstance(value, (int, float)) else None)
        value_text = self.written(value, level)
        side, cleared = ("above", "no longer above") if self.over else ("below", "no longer below")
        if phase is Phase.CLOSED:
            clear_lasting = self.rule.keys.clear_lasting
            return f"{value_text} is {cleared} {level_text}" + (f", for {duration(clear_lasting)}" if clear_lasting else "")
        if phase is Phase.WORSENED:
            return f"{value_text} is {side} {level_text}, the second level"
        waits = f"; the rule waits {duration(self.lasting)}" if self.lasting else ""
        return f"{value_text} is {side} the limit of {level_text}" + waits

    def memory(self) -> Any:
        """See `Watch.memory`: which limit it is about."""
        return self.over if self.episode else None

    def recall(self, memory: Any, shift: float) -> None:  # noqa: ARG002
        """See `Watch.recall`."""
        self.over = bool(memory)
