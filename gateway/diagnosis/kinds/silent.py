"""silent: no value for too long.

Claims      For at least `after` no reading with a value came. A device that answers without a value (sensor open, void) lets that
            point fall silent; a device that does not answer is silent as a whole.
Assumes     The hub was at work all the time; while it is off, the time stands still.
Method      A watchdog timer, wound up lazily: readings cost nothing; when the deadline comes, it looks how long ago the last was.
Sleeps      Always, while all is well.

When a rule covers the state of a device too (`on = "freezer-1/*"`), a device that is silent as a whole is told once, about the
device, and not for each of its points. A bus, which has no other points, is silent while its state says that it is down; while that
says nothing new there is nothing to wait for, and it sleeps.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from msgspec import Meta

from drivers.contract import KeyMistake, NoValue, Outcome, Seconds, Value
from gateway.diagnosis.contract import AWAY, LONGEST_PROOF, SHORTEST_PROOF, STATE, Phase, PointInfo, RuleKeys
from gateway.diagnosis.watch import ANYTHING, NEVER, NOTHING, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import duration

AFTER = 600.0  # s that are too long where nothing is written,
PERIODS = 3.0  # unless a device is asked less often than so many times in them


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "silent"."""

    after: Annotated[
        Annotated[Seconds, Meta(ge=1)] | None,
        Meta(description="How long without a value is too long; 10 min if not given, or three times the device's `every`."),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lasting is not None:
            raise KeyMistake("lasting", "a second time to wait", "only after")

    @property
    def proven_after(self) -> float:
        """See `RuleKeys.proven_after`: what had to be silent for so long must be heard for as long."""
        return min(max(self.after or AFTER, SHORTEST_PROOF), LONGEST_PROOF) if self.proof is None else self.proof


def fits(point: PointInfo) -> str | None:  # noqa: ARG001
    """Any point may fall silent."""
    return None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:  # noqa: ARG001
    """One watch a point, one a device where its state is covered."""
    mine = list(matching(rule, points, fits))
    whole = {point.device for point in mine if point.name == STATE}
    for point in mine:
        yield SilentDevice(rule, point) if point.name == STATE else SilentPoint(rule, point, point.device in whole)


class Silent(Watch):
    """What a silent point and a silent device have in common."""

    __slots__ = ("after",)

    TEXT = True

    def __init__(self, rule: Rule, point: PointInfo) -> None:
        super().__init__(rule, point)
        assert isinstance(rule.keys, Keys)
        self.after = max(AFTER, PERIODS * point.every) if rule.keys.after is None else rule.keys.after

    @property
    def absence(self) -> bool:
        """See `Watch.absence`."""
        return True

    def heard(self, at: float) -> float:
        """When it was last heard, as known at `at`."""
        raise NotImplementedError

    def deadline(self, at: float) -> float:
        """When it will have been silent for too long, as known at `at`; NEVER where it is not waited for."""
        return self.heard(at) + self.after

    def start(self, now: float) -> None:
        """See `Watch.start`."""
        self.low, self.high = NOTHING if self.episode else ANYTHING
        if self.due == NEVER:
            self.due = self.deadline(now)

    def elapse(self, at: float) -> Verdict:
        """See `Watch.elapse`."""
        due = self.deadline(at)
        if due > at:
            self.due = due
            return Verdict.WELL
        return self.overdue(at)

    def overdue(self, at: float) -> Verdict:
        """It has not been heard for too long."""
        raise NotImplementedError

    def lost(self, at: float) -> Verdict:
        """See `Watch.lost`: a deadline that came with this very reading took it for a value."""
        if self.due != NEVER:
            self.due = min(self.due, self.heard(at) + self.after)
        return Verdict.UNHAPPY if self.episode else Verdict.WELL

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`: at a deadline that had stayed behind, what was last heard would look like news."""
        self.due += seconds

    def since(self, at: float) -> float:
        """See `Watch.since`: silence begins with the last that was heard."""
        return self.heard(at)

    def limit(self) -> str:
        """See `Watch.limit`."""
        return duration(self.after)

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:
        """See `Watch.because`."""
        if phase is Phase.CLOSED:
            return f"it is heard again after {duration(lasting)}"
        reason = f" ({value.reason})" if isinstance(value, NoValue) else ""
        return f"no value came for {duration(lasting)}{reason}; the rule waits {duration(self.after)}"


class SilentPoint(Silent):
    """A point without a value."""

    __slots__ = ("leave_to_device",)

    def __init__(self, rule: Rule, point: PointInfo, leave_to_device: bool) -> None:
        super().__init__(rule, point)
        self.leave_to_device = leave_to_device

    def heard(self, at: float) -> float:  # noqa: ARG002
        """See `Silent.heard`."""
        return self.sight.seen()

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`: any value will do."""
        self.low, self.high = ANYTHING
        if self.due == NEVER:
            self.due = at + self.after
        return Verdict.WELL

    def overdue(self, at: float) -> Verdict:
        """See `Silent.overdue`."""
        others = self.sight.device_seen()
        if self.leave_to_device and (others is None or others + self.after <= at):
            self.due = at + self.after
            return Verdict.UNHAPPY if self.episode else Verdict.WELL
        self.low, self.high = NOTHING
        self.due = NEVER
        return Verdict.UNHAPPY

    def memory(self) -> Any:
        """See `Watch.memory`: the deadline, where it was put off for the device's sake."""
        return self.due if self.heard(0.0) + self.after < self.due < NEVER else None

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        self.due = memory + shift

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        return "{point} is back after {lasting}: {value}." if phase is Phase.CLOSED else "{point} has had no value for {lasting}."


class SilentDevice(Silent):
    """A device of which no point has a value, or a bus that is down. Watches the point that tells its state."""

    __slots__ = ("away_at",)

    def __init__(self, rule: Rule, point: PointInfo) -> None:
        super().__init__(rule, point)
        self.away_at: float | None = None  # since when its state says that it is away

    def heard(self, at: float) -> float:
        """See `Silent.heard`."""
        seen = self.sight.device_seen()
        if seen is not None:
            return seen
        return at if self.away_at is None else self.away_at

    def deadline(self, at: float) -> float:
        """See `Silent.deadline`: a bus is waited for from when it is away."""
        return NEVER if self.is_bus() and self.away_at is None else super().deadline(at)

    def is_bus(self) -> bool:
        """Whether its state is all that there is to hear of it."""
        return self.sight.device_seen() is None

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:
        """See `Watch.look`: the state has changed."""
        self.low, self.high = ANYTHING
        if value not in AWAY:
            self.away_at = None
        elif self.away_at is None:
            self.away_at = at
            if self.due == NEVER:
                self.due = self.deadline(at)
        return Verdict.UNHAPPY if is_open and self.heard(at) + self.after <= at else Verdict.WELL

    def overdue(self, at: float) -> Verdict:
        """See `Silent.overdue`: where nobody tells the state of a device, it is looked at again now and then."""
        self.due = NEVER if self.is_bus() else at + self.after / 8
        return Verdict.UNHAPPY

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        return "{device} is heard again after {lasting}." if phase is Phase.CLOSED else "{device} has been silent for {lasting}."

    def memory(self) -> Any:
        """See `Watch.memory`."""
        return None if self.away_at is None and self.episode is None else [self.away_at, self.due if self.due < NEVER else None]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        away_at, due = memory
        self.away_at = None if away_at is None else away_at + shift
        self.due = NEVER if due is None else due + shift

    def pause(self, seconds: float) -> None:
        """See `Watch.pause`."""
        super().pause(seconds)
        self.away_at = None if self.away_at is None else self.away_at + seconds
