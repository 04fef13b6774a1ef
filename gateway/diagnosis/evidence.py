"""What the hub saw, thinned to what a person needs to see it too."""

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from gateway.diagnosis.contract import Evidence

MOST = 60  # values


class Sample(NamedTuple):
    """A stretch of the past: it began at `at` and held so many `readings` between `low` and `high` (low > high: no number)."""

    at: float
    readings: int
    low: float
    high: float


def thin(samples: Sequence[Sample], unit: str) -> Evidence | None:
    """At most MOST values at equal steps.

    Of a step that holds several values the one nearest to its neighbour before is taken, so that the line is calm; but the least
    and the greatest of all are always among them. None where there was no number at all.
    """
    known = [sample for sample in samples if sample.low <= sample.high and sample.high - sample.low < math.inf]
    if not known:
        return None
    begin = known[0].at
    span = known[-1].at - begin
    gaps = sorted(after.at - before.at for before, after in pairwise(samples))
    every = max(gaps[(len(gaps) - 1) // 2], span / (MOST - 2)) if gaps else 0.0  # one may be added at the end

    def place(sample: Sample) -> float:
        return (sample.at - begin) / every if every else 0.0

    values: list[float | None] = [None] * (round(place(known[-1])) + 1)
    for step, group in groupby(known, lambda sample: round(place(sample))):
        before = values[step - 1] if step else None
        choice = [value for _, _, low, high in group for value in (low, high)]
        values[step] = choice[0] if before is None else min(choice, key=lambda value: abs(value - before))
    least, most = min(known, key=lambda sample: sample.low), max(known, key=lambda sample: sample.high)
    extremes = sorted([(place(least), least.low), (place(most), most.high)])
    first_step, last_step = (round(at) for at, _ in extremes)
    if first_step == last_step and least.low != most.high:  # a step that holds both gives one to its neighbour
        shift = -1 if extremes[0][0] < first_step else 0
        first_step, last_step = first_step + shift, first_step + shift + 1
    values += [None] * (last_step + 1 - len(values))
    values[first_step], values[last_step] = extremes[0][1], extremes[1][1]
    return Evidence(unit, begin, every, tuple(values), sum(sample.readings for sample in known))
