"""Rules, points and readings for tests of the diagnosis, with as few words as possible."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drivers.contract import Batch, Outcome
from gateway.config.units import convert
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import Change, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.engine import Engine


def rule(kind: str, on: str = "*/*", **keys: Any) -> RuleKeys:
    """A rule that folds nothing, if not told otherwise; a plain number stands for a quantity in the point's own unit."""
    quantities = {"above", "below", "clear", "worse", "rises", "falls", "tolerance"}
    given = {key: Quantity(float(value), "") if key in quantities and not isinstance(value, Quantity) else value
             for key, value in keys.items()}  # fmt: skip
    made = load_kind(kind).Keys(**{"kind": kind, "on": (on,), "folds": 0} | given)
    assert isinstance(made, RuleKeys)
    return made


def point(point_id: str, unit: str = "", type: str = "number") -> PointInfo:  # noqa: A002
    device, name = point_id.split("/")
    return PointInfo(point_id, device, name, unit, f"{device} {name}", device, type)  # type: ignore[arg-type]


def engine(rules: Mapping[str, RuleKeys], *points: str | PointInfo, now: float = 0.0) -> Engine:
    return Engine(rules, [point(each) if isinstance(each, str) else each for each in points], convert, now)


def batch(at: float, **values: Outcome) -> Batch:
    """One batch of the device "d"."""
    return Batch("d", at, tuple(values), tuple(values.values()))


class Story:
    """An engine with rules on one point, d/x, that is fed one value after another."""

    def __init__(self, *rules: RuleKeys, unit: str = "", now: float = 0.0) -> None:
        self.engine = engine({f"r{number}": each for number, each in enumerate(rules)}, point("d/x", unit), now=now)
        self.told: list[Change] = []

    def read(self, readings: Iterable[tuple[float, Outcome]]) -> "Story":
        for at, value in readings:
            self.told += self.engine.feed(batch(at, x=value))
        return self

    def wait(self, until: float) -> "Story":
        self.told += self.engine.tick(until)
        return self

    def phases(self) -> list[tuple[float, str]]:
        """What was told: when, and what."""
        return [(change.at, change.phase.value) for change in self.told]


def every(seconds: float, values: Sequence[Outcome], start: float = 0.0) -> list[tuple[float, Outcome]]:
    """Values at equal steps, the first one step after `start`."""
    return [(start + seconds * number, value) for number, value in enumerate(values, 1)]
