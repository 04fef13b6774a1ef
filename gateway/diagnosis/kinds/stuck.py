"""stuck: a value that never moves, though it should.

Claims      All readings of at least `lasting` lay within `tolerance` of the first of them (were equal to it, where none is given).
Assumes     The real quantity does move by more than that within `lasting`: a room does, a setpoint does not.
Method      A run test against an anchor. When a value leaves the anchor soon, the point is plainly alive and nobody looks for a
            quarter of `lasting`; then the next value is the new anchor. So a point that moves at every reading costs some
            eight looks per `lasting`, and a stuck one is told between 1 and 1 1/4 times `lasting` after it last moved. What is
            told is the run that was seen, which is never longer than the true one.
Sleeps      Around its anchor, or for that quarter.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from msgspec import Meta

from drivers.contract import Outcome, Seconds, Value
from gateway.diagnosis.contract import STATE, Difference, Phase, PointInfo, RuleKeys
from gateway.diagnosis.watch import ANYTHING, NEVER, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import duration

REST = 0.25  # of `lasting`: how long nobody looks at a point that has just moved


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "stuck"."""

    lasting: Annotated[Seconds, Meta(ge=1, description="How long without moving is too long.")] = 3600.0
    tolerance: Annotated[Difference | None, Meta(description='What is not yet a movement: "0.05 °C".')] = None


def fits(point: PointInfo) -> str | None:
    """Why this kind can do nothing with a point; None where it can."""
    return "the state of a device is meant to stay as it is" if point.name == STATE else None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """One watch a point."""
    for point in matching(rule, points, fits):
        yield Stuck(rule, point, to_unit)


class Stuck(Watch):
    """Has an anchor while it looks, and none while it rests."""

    __slots__ = ("anchor", "anchored_at", "still", "tolerance")

    TEXT = True

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit) -> None:
        super().__init__(rule, point)
        keys = rule.keys
        assert isinstance(keys, Keys)
        self.still = keys.lasting
        self.tolerance = to_unit(keys.tolerance, point.unit, difference=True) if keys.tolerance else 0.0
        self.anchor: Value | None = None
        self.anchored_at = -NEVER  # since when it holds; without an anchor: when to look for the next

    @property
    def lasting(self) -> float:
        """See `Watch.lasting`: when the verdict is unhappy, it has lasted already."""
        return 0.0

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        if self.anchor is None:
            if at >= self.anchored_at:
                self._anchor(value, at)
            else:
                self._rest(self.anchored_at)
        elif self._holds(value):
            due = self.anchored_at + self.still
            self.due = due if at < due else NEVER
            return Verdict.WELL if at < due else Verdict.UNHAPPY
        elif at - self.anchored_at < REST * self.still:
            self._rest(at + REST * self.still)
        else:
            self._anchor(value, at)
        return Verdict.WELL

    def elapse(self, at: float) -> Verdict | None:
        """See `Watch.elapse`: an anchor is given the long deadline only once it has proved to be one."""
        due = self.anchored_at + self.still
        if self.anchor is None or due <= at:
            return super().elapse(at)
        self.due = due
        return None

    def _rest(self, until: float) -> None:
        self.anchor = None
        self.anchored_at = self.due = until
        self.low, self.high = ANYTHING

    def _anchor(self, value: Value, at: float) -> None:
        self.anchor = value
        self.anchored_at = at
        self.due = at + REST * self.still
        self._holds(value)

    def _holds(self, value: Value) -> bool:
        """Whether a value is still at the anchor; also states the band around it."""
        anchor = self.anchor
        if isinstance(anchor, str) or isinstance(value, str) or anchor is None:
            self.low, self.high = ANYTHING
            return value == anchor
        self.low, self.high = anchor - self.tolerance, anchor + self.tolerance
        return self.low <= value <= self.high

    def since(self, at: float) -> float:  # noqa: ARG002
        """See `Watch.since`."""
        return self.anchored_at

    def limit(self) -> str:
        """See `Watch.limit`."""
        return duration(self.still)

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            return "{point} moves again after {lasting}: {value}."
        return "{point} has not moved from {value} for {lasting}."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:
        """See `Watch.because`."""
        if phase is Phase.CLOSED:
            return f"{self.written(value)} is another value"
        same = f"within {self.written(self.tolerance)} of" if self.tolerance else "equal to"
        anchor = self.written(self.anchor)
        return f"all readings were {same} {anchor} for {duration(lasting)}; the rule waits {duration(self.still)}"

    def memory(self) -> Any:
        """See `Watch.memory`."""
        return None if self.anchored_at == -NEVER else [self.anchor, self.anchored_at]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        self.anchor, anchored_at = memory
        self.anchored_at = anchored_at + shift
        if self.anchor is None:
            self.due = self.anchored_at
