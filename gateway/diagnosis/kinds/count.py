"""count: how many of several are in some state, and is it too many, or too few.

Claims      Of the points that the rule is written for, all together or those of each bus by themselves, more than `at_most` or
            fewer than `at_least` are in the state that is counted: a text (`is`), `above` or `below` a level, or on. Of the
            states of devices, those are counted that answer, so that the rule tells how many share a line or a network.
Assumes     The points are read about equally often; what was read last holds until the next reading.
Method      Counting, with three values: a point of which nothing is known may be in the state or not. Something is claimed only
            if it holds either way.
Sleeps      Each point up to its level, or until its text changes.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from drivers.contract import KeyMistake, Outcome, Value
from gateway.diagnosis.contract import AWAY, STATE, Phase, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.watch import ANYTHING, NEVER, WIDEST, Rule, ToUnit, Verdict, Watch, matching
from gateway.diagnosis.words import quantity

NAMED = 5  # of what is counted, in the reason


class Keys(RuleKeys, frozen=True, kw_only=True):
    """`[rule.NAME]` with kind = "count"."""

    at_most: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="Too many beyond this.")] = None
    at_least: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Too few below this.")] = None
    is_: Annotated[
        tuple[str, ...], Meta(description='Texts that are counted: "mute", or ["mute", "parked"]; of a state those that answer.')
    ] = ()
    above: Annotated[Quantity | None, Meta(description="Counted above this; of flags those that are on.")] = None
    below: Annotated[Quantity | None, Meta(description="Counted below this.")] = None
    per: Annotated[Literal["bus", "all"], Meta(description="Counted on each bus by itself, or all together.")] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.at_most is None) == (self.at_least is None):
            found = "no bound" if self.at_most is None else "two bounds"
            raise KeyMistake("" if self.at_most is None else "at_least", found, "either at_most = 30 or at_least = 3")
        if sum((bool(self.is_), self.above is not None, self.below is not None)) > 1:
            key = "below" if self.below is not None else "above"
            raise KeyMistake(key, "two things to count by", "one of is, above and below")


def fits(point: PointInfo) -> str | None:  # noqa: ARG001
    """Any point can be counted."""
    return None


def watches(rule: Rule, points: Sequence[PointInfo], to_unit: ToUnit) -> Iterator[Watch]:
    """A head for each group of points, with an eye on each."""
    keys = rule.keys
    assert isinstance(keys, Keys)
    groups: dict[str, list[PointInfo]] = {}
    for point in matching(rule, points, fits):
        bus = point.bus if keys.per == "bus" else ""
        if keys.per == "all" or bus:
            groups.setdefault(bus, []).append(point)
    for bus, group in groups.items():
        head = Count(rule, _together(keys, bus, group), {point.id: point.device_label for point in group})
        head.eyes = [Counted(rule, point, to_unit, head) for point in group]
        yield from head.eyes
        yield head


def _together(keys: Keys, bus: str, group: Sequence[PointInfo]) -> PointInfo:
    """The point that stands for a group. Nobody reads it."""
    devices = {point.device for point in group}
    device = f"bus.{bus}" if bus else group[0].device if len(devices) == 1 else keys.on[0].partition("/")[0]
    names = {point.name for point in group}
    name = names.pop() if len(names) == 1 else "*"
    label = f"bus {bus}" if bus else group[0].device_label if len(devices) == 1 else device
    return PointInfo(f"{device}/{name}#count", device, name, "", label, label)


class Count(Watch):
    """How many, as the eyes see it."""

    __slots__ = ("counting", "labels", "standing", "states")

    def __init__(self, rule: Rule, point: PointInfo, labels: dict[str, str]) -> None:
        super().__init__(rule, point)
        self.labels = labels  # point -> what people call its device
        self.states: dict[str, bool] = {}  # of the points of which something is known: whether they count
        self.counting = 0  # how many count for certain
        self.standing = Verdict.UNKNOWN

    def see(self, point: str, counts: bool | None, at: float) -> Verdict:
        """What an eye sees of its point."""
        self.counting += bool(counts) - self.states.pop(point, False)
        if counts is not None:
            self.states[point] = counts
        verdict = self.verdict()
        if verdict is not self.standing:  # what was read last holds, so time alone may bring about the next step
            self.standing = verdict
            self.due = NEVER
            if verdict is Verdict.UNHAPPY:
                self.due = at + self.lasting
            elif verdict is Verdict.WELL and self.episode is not None:
                self.due = at + (self.rule.keys.clear_lasting or 0.0)
        return verdict

    def start(self, now: float) -> None:  # noqa: ARG002
        """See `Watch.start`."""
        self.low, self.high = ANYTHING
        if self.episode is not None:
            self.due = self.episode.due

    def elapse(self, at: float) -> Verdict:
        """See `Watch.elapse`."""
        self.due = self.episode.due if self.episode is not None and self.episode.due > at else NEVER
        return self.standing

    def verdict(self) -> Verdict:
        """Whether the bound holds, whatever the points do of which nothing is known."""
        keys = self.rule.keys
        assert isinstance(keys, Keys)
        least = self.counting
        most = least + len(self.eyes) - len(self.states)
        if keys.at_most is not None:
            certain, possible = least > keys.at_most, most > keys.at_most
        else:
            assert keys.at_least is not None
            certain, possible = most < keys.at_least, least < keys.at_least
        return Verdict.UNHAPPY if certain else Verdict.UNKNOWN if possible else Verdict.WELL

    def value(self, value: Outcome | None) -> Outcome | None:  # noqa: ARG002
        """See `Watch.value`."""
        return self.counting

    def limit(self) -> str:
        """See `Watch.limit`."""
        keys = self.rule.keys
        assert isinstance(keys, Keys)
        return str(keys.at_least if keys.at_most is None else keys.at_most)

    def _what(self) -> str:
        """What is counted, in words."""
        keys = self.rule.keys
        assert isinstance(keys, Keys)
        if keys.is_:
            return " or ".join(keys.is_)
        if keys.above is not None or keys.below is not None:
            side, level = ("above", keys.above) if keys.above is not None else ("below", keys.below)
            assert level is not None
            return f"{side} {quantity(level.value, level.unit)}"
        return "there" if self.point.name == STATE else "on"

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        keys = self.rule.keys
        assert isinstance(keys, Keys)
        sign = "more than" if keys.at_most is not None else "fewer than"
        where = "on {device}" if keys.per == "bus" else f"at {' and '.join(keys.on)}"
        what = f"{len(self.eyes)} {where} are {self._what()}"
        if phase is Phase.CLOSED:
            return f"{{value}} of {what} again, after {{lasting}}."
        return f"{{value}} of {what}, {sign} {{limit}}."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        keys = self.rule.keys
        assert isinstance(keys, Keys)
        wanted = keys.at_most is not None  # name those that are in the state, or those that are missing from it
        names = [label for point, label in self.labels.items() if self.states.get(point, not wanted) is wanted]
        named = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        bound = f"allowed are at most {self.limit()}" if wanted else f"there should be at least {self.limit()}"
        return f"{bound}; {'they are' if wanted else 'missing are'} {named or 'none'}"

    def memory(self) -> Any:
        """See `Watch.memory`."""
        return self.states or None

    def recall(self, memory: Any, shift: float) -> None:  # noqa: ARG002
        """See `Watch.recall`: a point that is no longer covered does not count."""
        self.states = {point: counts for point, counts in memory.items() if point in self.labels}
        self.counting = sum(self.states.values())
        self.standing = self.verdict()


class Counted(Watch):
    """An eye on one point."""

    __slots__ = ("over", "texts", "under")

    TEXT = True

    def __init__(self, rule: Rule, point: PointInfo, to_unit: ToUnit, head: Count) -> None:
        super().__init__(rule, point)
        keys = rule.keys
        assert isinstance(keys, Keys)
        self.head = head
        self.texts = frozenset(keys.is_)
        self.under = to_unit(keys.below, point.unit) if keys.below else None
        self.over = to_unit(keys.above, point.unit) if keys.above else 0.0

    def _counts(self, value: Value) -> bool:
        """Whether a value is in the state that is counted; states the band in which that does not change."""
        if isinstance(value, str) or self.texts:
            self.low, self.high = ANYTHING
            return value in self.texts if self.texts else value not in AWAY
        if self.under is not None:
            counts = value < self.under
            self.low, self.high = (-WIDEST, math.nextafter(self.under, -NEVER)) if counts else (self.under, WIDEST)
        else:
            counts = value > self.over
            self.low, self.high = (math.nextafter(self.over, NEVER), WIDEST) if counts else (-WIDEST, self.over)
        return counts

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:  # noqa: ARG002
        """See `Watch.look`."""
        assert isinstance(self.head, Count)
        return self.head.see(self.point.id, self._counts(value), at)

    def lost(self, at: float) -> Verdict:
        """See `Watch.lost`."""
        assert isinstance(self.head, Count)
        return self.head.see(self.point.id, None, at)
