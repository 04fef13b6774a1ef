"""Series of made-up points on their way to a limit, and rules on them."""

import math
import random
from collections.abc import Iterator
from typing import Any

from rules_of import Story, rule

from gateway.diagnosis.contract import RuleKeys

DAY = 86400.0


def falling(
    days: float, *, start: float = 100.0, per_day: float = 0.5, noise: float = 1.0, per: int = 8, seed: int = 1
) -> list[tuple[float, float]]:
    """A level that falls steadily, read `per` times a day."""
    chance = random.Random(seed)
    return [(n * DAY / per, round(start - per_day * n / per + chance.gauss(0, noise), 6)) for n in range(1, int(days * per) + 1)]


def daily(series: list[tuple[float, float]], swing: float) -> list[tuple[float, float]]:
    """The same with a rhythm of a day on it."""
    return [(at, value + swing * math.sin(2 * math.pi * at / DAY)) for at, value in series]


def spiked(series: list[tuple[float, float]], share: float, size: float) -> list[tuple[float, float]]:
    """The same with wild values in it, to either side."""
    chance = random.Random(7)
    return [(at, value + chance.choice((-size, size)) if chance.random() < share else value) for at, value in series]


def gapped(series: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same with two stretches of days missing."""
    return [(at, value) for at, value in series if not (20 < at / DAY < 25 or 60 < at / DAY < 63.3)]


def told(series: list[tuple[float, float]], **keys: Any) -> Story:
    return Story(trend(**keys)).read(series)


def trend(**keys: Any) -> RuleKeys:
    return rule("trend", **({"below": 50} | keys))


def openings(story: Story) -> Iterator[tuple[float, float]]:
    """Each announcement: its day, and the day that it names."""
    for change in story.told:
        if change.phase == "opened":
            assert change.forecast is not None
            yield change.at / DAY, (change.at + change.forecast.in_s) / DAY
