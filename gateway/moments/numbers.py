"""Numbers and times of a moment: no finer than anybody needs, and never more of them than fit.

Promise: where values are thinned, their minimum and maximum stay among them.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from drivers.contract import Value


def second(moment: datetime) -> datetime:
    """Whole seconds: the finest grain that a person or a poll once a second can use, and seven bytes less a stamp."""
    return moment.astimezone(UTC).replace(microsecond=0)


def whole(seconds: float) -> int | None:
    """Whole seconds; None for an end that is open."""
    return round(seconds) if math.isfinite(seconds) else None


def significant(number: float) -> float:
    """Seven digits: all that a 32-bit float of a device holds, none of the noise that arithmetic in 64 bits adds."""
    return float(f"{number:.7g}")


def short(value: Value | None) -> Value | None:
    """The value without the noise of arithmetic; None where JSON has no form for it."""
    if not isinstance(value, float):
        return value
    return significant(value) if math.isfinite(value) else None


def rounded(values: Sequence[Value | None]) -> tuple[Value | None, ...]:
    """The values to four digits of their *span*: finer than any chart of them, whatever they sit on.

    Digits of the values themselves would flatten a leak of some litres on a meter that stands at 123,456.7 m3.
    """
    numbers = [value for value in values if isinstance(value, float) and math.isfinite(value)]
    span = max(numbers, default=0.0) - min(numbers, default=0.0)
    decimals = 3 - math.floor(math.log10(span)) if 0.0 < span < 1e300 else None  # beyond, rounding overflows

    def rounded(value: Value | None) -> Value | None:
        if decimals is None or not isinstance(value, float):
            return short(value)
        return round(value, decimals) if math.isfinite(value) else None

    return tuple(map(rounded, values))


def thin(values: Sequence[Value | None], most: int) -> tuple[list[Value | None], int, int]:
    """At most `most` (two or more) of the values, evenly spaced, minimum and maximum among them.

    Returns (values, index of the first one's nominal place, how many old steps a new step is).
    """
    factor = math.ceil(len(values) / most) or 1
    if factor == 1:
        return list(values), 0, 1
    groups = [values[start : start + factor] for start in range(0, len(values), factor)]
    kept = [_middle(group) for group in groups]
    places = [place for place, value in enumerate(values) if isinstance(value, int | float)]
    if places:
        low = min(places, key=lambda place: values[place])  # type: ignore[arg-type, return-value]
        high = max(places, key=lambda place: values[place])  # type: ignore[arg-type, return-value]
        first, last = sorted((low, high))
        # Two extremes in one group: the earlier moves one group ahead, or the later one back where there is none ahead.
        groups_of = [first // factor, last // factor]
        if groups_of[0] == groups_of[1] and low != high:
            groups_of = [groups_of[0] - 1, groups_of[1]] if groups_of[0] else [0, 1]
        kept[groups_of[0]], kept[groups_of[1]] = values[first], values[last]
    return kept, factor // 2, factor


def _middle(group: Sequence[Value | None]) -> Value | None:
    present = [value for value in group if value is not None]
    return present[len(present) // 2] if present else None
