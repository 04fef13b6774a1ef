"""A curve in one line of text."""

from collections.abc import Sequence

BARS = " ▁▂▃▄▅▆▇█"


def chart(name: str, values: Sequence[float]) -> str:
    """The name, the curve from 0 to its highest value, and that value."""
    most = max(values, default=0.0)
    line = "".join(BARS[round(value / most * (len(BARS) - 1))] if most else BARS[0] for value in values)
    return f"{name:<20}{line}  at most {most:.0f}"
