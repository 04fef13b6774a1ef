"""implausible: outside of physics, so it is the sensor or its wiring and not the machine.

Claims      The value cannot be true: it lies beyond what its unit allows (a temperature below absolute zero, a humidity of 130 %),
            it is a number by which sensors and their buses say that something is broken, a counter that only `rises` fell back, or
            it moved `faster` than the real thing can.
Assumes     The unit of the point is right. For a pressure: that it is no difference of two; then give it a `below` of its own.
Method      Plausible values and consistency in time, as weather services check their stations (Zahumenský, "Guidelines on
            quality control procedures for data from automatic weather stations", WMO 2004). After an impossible jump the last
            credible value stands, with a cone around it that widens at the allowed rate: the value is believed again when it could
            have got there. A counter that fell back is believed again when it is back where it was, or has counted on from its new
            place for an hour. Falling back where its digits run out is no fault.
Sleeps      Between its bounds. A counter is looked at whenever it moves, and `faster` at every reading.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Seconds, Value
from gateway.diagnosis.contract import Difference, Phase, PointInfo, Quantity, Rate, RuleKeys
from gateway.diagnosis.counter import modulus
from gateway.diagnosis.watch import ANYTHING, NEVER, NOTHING, WIDEST, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import duration

ACCEPTED = 3600.0  # s for which a counter must count on from a new place before that is taken for its new place
ROUNDED = 1e-6  # by how much a code may be off after scaling
NEAR = 0.01  # of its digits: a counter that fell back from so near their end, to so near their start, has begun anew


class Bounds(NamedTuple):
    """What a quantity cannot be, told by any unit of its measure."""

    unit: str
    below: float | None
    above: float | None
    law: str  # why, in words


BOUNDS = (
    Bounds("°C", -273.15, 3000.0, "nothing is colder than -273.15 °C, and no sensor outlives 3000 °C"),
    Bounds("%", 0.0, 100.0, "a share lies between 0 and 100 %"),
    Bounds("bar", -1.1, None, "no pressure is lower than a vacuum"),
    *(
        Bounds(unit, 0.0, None, "it cannot be negative")
        for unit in ("kWh", "kVAh", "m³", "kg", "s", "Hz", "Ω", "lx", "ppm", "g/m³", "µS/cm", "m²", "m³/g")
    ),
)

CODES = {  # in °C: numbers by which sensors and registers say that there is no temperature
    -127.0: "what a DS18B20 reads as that does not answer",
    327.67: "the highest number of a register",
    655.35: "a register full of ones",
}


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "implausible"."""

    below: Annotated[Quantity | None, Meta(description='Impossible below this: "-40 °C"; what the unit allows if left out.')] = None
    above: Annotated[Quantity | None, Meta(description='Impossible above this: "80 °C"; likewise.')] = None
    rises: Annotated[bool, Meta(description="It is a counter: it only rises.")] = False
    tolerance: Annotated[Difference | None, Meta(description='A counter that falls by no more has only been rounded: "1 Wh".')] = (
        None
    )
    faster: Annotated[Rate | None, Meta(description='Impossible if it moves faster than this: "5 °C/min".')] = None
    lasting: Annotated[Seconds | None, Meta(description="How long it must last before it is told.")] = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.below, self.above
        if low and high and low.unit == high.unit and low.value > high.value:
            raise KeyMistake("below", f"{low.value:g}, above `above`", "bounds with something between them")
        if self.tolerance and not self.rises:
            raise KeyMistake("tolerance", "a tolerance without a counter", "rises = true as well")
        if self.faster and self.faster.value <= 0:
            raise KeyMistake("faster", f"{self.faster.value:g}", "a rate greater than 0")


def fits(point: PointInfo) -> str | None:
    """Why this kind can do nothing with a point; None where it can."""
    return "a text has no physics" if point.type == "text" else None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point; none for one that nothing is known of."""
    for point in matching(rule, points, fits):
        watch = Implausible(rule, point, to_unit)
        if (watch.below, watch.above) != ANYTHING or watch.rises or watch.rate < NEVER:
            yield watch


class Implausible(Watch):
    """Bounds, and the last value that was credible."""

    __slots__ = (
        "above",
        "back_at",
        "below",
        "codes",
        "credible",
        "credible_at",
        "fault",
        "foot",
        "law",
        "plain",
        "rate",
        "rises",
        "tolerance",
    )

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit) -> None:
        super().__init__(rule, point)
        keys = rule.keys
        assert isinstance(keys, Keys)
        bounds = _bounds(point.unit, to_unit)
        self.below, self.above, self.law = -WIDEST, WIDEST, ""
        self.codes: list[float] = []
        if bounds:
            self.law = bounds.law
            self.below = -WIDEST if bounds.below is None else to_unit(Quantity(bounds.below, bounds.unit), point.unit)
            if bounds.above is not None and not (keys.rises and bounds.unit == "%"):
                self.above = to_unit(Quantity(bounds.above, bounds.unit), point.unit)
            if bounds.unit == "°C":
                self.codes = sorted(to_unit(Quantity(code, "°C"), point.unit) for code in CODES)
        self.below = to_unit(keys.below, point.unit) if keys.below else self.below
        self.above = to_unit(keys.above, point.unit) if keys.above else self.above
        self.rises = keys.rises
        self.tolerance = to_unit(keys.tolerance, point.unit, difference=True) if keys.tolerance else 0.0
        self.rate = to_unit(keys.faster, f"{point.unit}/s", difference=True) if keys.faster else NEVER  # per second
        self.plain = self.rises and self.rate == NEVER and not self.codes  # it is a counter, and nothing else is asked of it
        self.credible: float | None = None
        self.credible_at = 0.0
        self.back_at: float | None = None  # when a counter fell back last
        self.foot = 0.0  # where it has got to since
        self.fault = ""  # what is impossible now, or was last

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        assert not isinstance(value, str)
        self.due = NEVER
        if self.plain and self.credible is not None and self.credible <= value <= self.above:  # what nearly all readings do
            self.credible = self.low = self.high = float(value)
            self.back_at = None
            return Verdict.WELL
        fault = self._out_of_range(value) or self._out_of_step(float(value), at)
        if fault:
            self.fault = fault
            return Verdict.UNHAPPY
        self.credible, self.credible_at, self.back_at = float(value), at, None
        return Verdict.WELL

    def _out_of_range(self, value: float) -> str:
        """What is impossible about the value by itself; states the band in which that does not change."""
        if not self.below <= value <= self.above:
            low = value < self.below
            self.low, self.high = NOTHING if self.rises else _beyond(self.below, self.above, low=low)
            bound = self.below if low else self.above
            law = self.law or ("no less is possible" if low else "no more is possible")
            return f"{self.written(value, bound)} is {'below' if low else 'above'} {self.written(bound, value)}: {law}"
        place = bisect_left(self.codes, value - ROUNDED)  # the first code that is not below it
        self.low = max(self.below, math.nextafter(self.codes[place - 1] + ROUNDED, NEVER)) if place else self.below
        self.high = self.above
        if place < len(self.codes):
            code = self.codes[place] - ROUNDED
            if value >= code:
                self.low, self.high = code, code + 2 * ROUNDED
                return f"{self.written(value)} is {sorted(CODES.items())[place][1]}"
            self.high = min(self.above, math.nextafter(code, -NEVER))
        return ""

    def _out_of_step(self, value: float, at: float) -> str:
        """What is impossible about the value after the last credible one."""
        before = self.credible
        if self.rises:
            self.low = self.high = value
        if self.rate < NEVER:
            self.low, self.high = NOTHING
        if before is None:
            return ""
        if self.rises and value < before - self.tolerance:
            return self._fallen(before, value, at)
        if abs(value - before) > self.rate * (at - self.credible_at):
            step = f"{self.written(before)} to {self.written(value)}"
            return f"it went from {step} within {duration(at - self.credible_at)}, faster than the real thing can"
        return ""

    def _fallen(self, before: float, value: float, at: float) -> str:
        if modulus(before, value, NEAR) is not None:
            return ""
        if self.back_at is None or value < self.foot - self.tolerance:
            self.back_at = at
        self.foot = value
        self.low, self.high = (value, value) if self.rate == NEVER else NOTHING
        if at >= self.back_at + ACCEPTED:
            return ""
        self.due = self.back_at + ACCEPTED
        return f"it fell from {self.written(before, value)} to {self.written(value, before)}, and a counter only rises"

    def since(self, at: float) -> float:
        """See `Watch.since`."""
        return at

    def limit(self) -> str:
        """See `Watch.limit`."""
        bounds = [self.written(bound) for bound in (self.below, self.above) if abs(bound) < WIDEST]
        return " to ".join(bounds)

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            return "{point} is credible again after {lasting}: {value}."
        return f"{{point}} reads {{value}}, which cannot be: {self.fault}. Check the sensor and its wiring before the machine."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        if phase is Phase.CLOSED:
            return f"{self.written(value)} is possible" + (", and it counts on from there" if self.rises else "")
        return self.fault

    def memory(self) -> Any:
        """See `Watch.memory`."""
        keeps = self.rises or self.rate < NEVER or self.episode
        return [self.credible, self.credible_at, self.back_at, self.foot, self.fault] if keeps else None

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        self.credible, credible_at, back_at, self.foot, self.fault = memory
        self.credible_at = credible_at + shift
        self.back_at = None if back_at is None else back_at + shift


def _bounds(unit: str, to_unit: ToUnit) -> Bounds | None:
    """What physics says of a unit, if it says anything."""
    for bounds in BOUNDS if unit else ():
        try:
            to_unit(Quantity(0.0, bounds.unit), unit)
        except ValueError:  # another measure
            continue
        return bounds
    return None


def _beyond(below: float, above: float, *, low: bool) -> tuple[float, float]:
    return (-WIDEST, math.nextafter(below, -NEVER)) if low else (math.nextafter(above, NEVER), WIDEST)
