"""What the hub saw, thinned to what a person needs to see it too."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from gateway.diagnosis.contract import Evidence

MOST = 60  # values


class Sample(NamedTuple):
    """A stretch of the past: it began at `at` and held so many `readings` between `low` and `high` (low > high: no number)."""

    at: float
    readings: int
    low: float
    high: float


def thin(samples: Sequence[Sample], unit: str, digits: int) -> Evidence | None:
    """At most MOST values at equal steps, rounded to `digits` significant ones.

    Of a step that holds several values the one nearest to its neighbour before is taken, so that the line is calm; but the least
    and the greatest of all are always among them. None where there was no number at all.
    """
    known = [sample for sample in samples if sample.low <= sample.high and sample.high - sample.low < math.inf]
    if not known:
        return None
    first = known[0].at
    span = known[-1].at - first
    gaps = sorted(after.at - before.at for before, after in pairwise(known))
    every = max(gaps[len(gaps) // 2], span / (MOST - 1)) if gaps else 0.0
    steps: list[tuple[float, float] | None] = [None] * (round(span / every) + 1 if every else 1)
    for at, _, low, high in known:
        index = round((at - first) / every) if every else 0
        there = steps[index]
        steps[index] = (min(low, there[0]), max(high, there[1])) if there else (low, high)
    values: list[float | None] = []
    before = known[0].low
    for step in steps:
        if step is not None:
            before = min(step, key=lambda value: abs(value - before))
        values.append(None if step is None else before)
    least = min(range(len(steps)), key=lambda index: steps[index][0] if steps[index] else math.inf)  # type: ignore[index]
    most = max(range(len(steps)), key=lambda index: steps[index][1] if steps[index] else -math.inf)  # type: ignore[index]
    _put(values, least, min(sample.low for sample in known), apart_from=-1)
    _put(values, most, max(sample.high for sample in known), apart_from=least)
    rounded = tuple(None if value is None else float(f"{value:.{digits}g}") for value in values)
    return Evidence(unit, first, every, rounded, sum(sample.readings for sample in known))


def _put(values: list[float | None], index: int, value: float, apart_from: int) -> None:
    """Set one value; a step that must keep both extremes gives one to its neighbour."""
    if index == apart_from and values[index] != value:
        if len(values) == 1:
            values.append(None)
        index = index + 1 if index + 1 < len(values) else index - 1
    values[index] = value
