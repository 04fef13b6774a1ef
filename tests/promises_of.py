"""What must hold of every kind of rule whatever it is fed; each kind's tests call it with rules and readings of their own."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from rules_of import point

from drivers.contract import Batch, NoValue, Outcome
from gateway.config.units import convert
from gateway.diagnosis.contract import Change, PointInfo, RuleKeys
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.watch import NOTHING

WEEK = 604800.0
Event = tuple[float, str, dict[str, Outcome] | None]
"""Seconds since the event before; a device and what it says, or None where only time passes."""

HOSTILE: Sequence[Outcome] = [NoValue("sensor open"), float("nan"), float("inf"), float("-inf"), 10**400, "text"]


def happenings(
    rows: st.SearchStrategy[dict[str, Outcome]],
    *,
    devices: str = "d",
    steps: Sequence[float] = (1.0, 2.0, 0.5, 8.0),
    waits: Sequence[float] = (0.25, 5.0, 50.0),
    most: int = 60,
) -> st.SearchStrategy[list[Event]]:
    """Events of devices that are read, at one of the steps (s), and times in between (waits, s) in which only time passes."""
    read = st.tuples(st.sampled_from(steps), st.sampled_from(devices), rows)
    wait = st.tuples(st.sampled_from(waits), st.just(devices[0]), st.none())
    return st.lists(read | wait, max_size=most)


def engine(rules: dict[str, RuleKeys], points: Sequence[PointInfo | str], now: float = 0.0, to_unit: Any = convert) -> Engine:
    """Time 0 is a Monday, 00:00, wherever the timeline begins."""
    known = [point(each) if isinstance(each, str) else each for each in points]
    return Engine(rules, known, to_unit, now, lambda at: (at - now) % WEEK)


def run(
    subject: Engine, events: Sequence[Event], start: float = 0.0, each: Callable[[Engine], None] = lambda _: None
) -> list[Change]:
    told: list[Change] = []
    at = start
    shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
    for seconds, device, values in events:
        at += seconds
        each(subject)
        if values is None:
            told += subject.tick(at)
        else:
            told += subject.feed(Batch(device, at, shapes.setdefault(tuple(values), tuple(values)), tuple(values.values())))
    return told


def sleepless(subject: Engine) -> None:
    """Wake every rule, whether it concerns it or not."""
    for watch in subject._watches:
        watch.low, watch.high = NOTHING
    for column in subject._columns.values():
        column.wake()


def keeps(rules: dict[str, RuleKeys], points: Sequence[PointInfo | str], events: Sequence[Event], cut: int) -> list[Change]:
    """Check all promises on these events; returns what is told."""
    whole = run(engine(rules, points), events)
    for change in whole:
        assert change.says
        assert change.because
        assert "{" not in change.says + change.because
        assert change.at >= change.since
    assert run(engine(rules, points), events, each=sleepless) == whole, "a rule that sleeps tells the same"

    before = engine(rules, points)
    told = run(before, events[:cut])
    at = sum(seconds for seconds, _, _ in events[:cut])
    state = json.loads(json.dumps(before.state()))
    after = Engine(rules, [point(each) if isinstance(each, str) else each for each in points], convert, at, lambda at: at % WEEK)
    assert not after.restore(state)
    assert told + run(after, events[cut:], at) == whole, "a run that is cut tells the same"

    shifted = run(engine(rules, points, now=4096.0), events, 4096.0)
    assert [(each.at - 4096.0, each.says, each.phase) for each in shifted] == [(each.at, each.says, each.phase) for each in whole]

    twice = [again for event in events for again in (event, (0.0, *event[1:]))]
    assert run(engine(rules, points), twice) == whole, "what comes twice changes nothing"
    return whole


def scales(rules: dict[str, RuleKeys], points: Sequence[str], events: Sequence[Event], scale: float = 4.0) -> None:
    """Another unit scales limits and nothing else."""

    def to_unit(quantity: Any, unit: str, *, difference: bool = False) -> float:
        return quantity.value * (scale if unit.startswith("other") else 1.0)

    def scaled(values: dict[str, Outcome] | None) -> dict[str, Outcome] | None:
        return values and {
            name: value * scale if isinstance(value, (int, float)) and abs(value) < 1e9 else value for name, value in values.items()
        }

    told = run(engine(rules, [point(each) for each in points], to_unit=to_unit), events)
    other = [(seconds, device, scaled(values)) for seconds, device, values in events]
    there = run(engine(rules, [point(each, "other") for each in points], to_unit=to_unit), other)
    assert [(each.at, each.episode, each.phase) for each in there] == [(each.at, each.episode, each.phase) for each in told]
