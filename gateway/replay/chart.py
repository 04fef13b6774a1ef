"""A moment's evidence on a terminal: eight rows of dots, with the scale beside it."""

import math
from collections.abc import Sequence
from datetime import tzinfo

from gateway.moments import Evidence

ROWS = 8
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille sign (U+2800), by row and column: four rows of two dots."""


def chart(evidence: Evidence, zone: tzinfo, width: int = 60) -> list[str]:
    """Lines that draw the values from left to right; empty where there is nothing to draw."""
    values = [float(value) if isinstance(value, int | float) else None for value in evidence.values]
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return []
    low, high = min(known), max(known)
    grid = _dots(values, low, (high - low) or 1.0, width)
    labels = {0: f"{high:.4g} {evidence.unit}".strip(), ROWS // 2 - 1: f"{low:.4g} {evidence.unit}".strip()}
    side = max(map(len, labels.values()))
    lines = [f"{labels.get(row, ''):>{side}} │{''.join(chr(0x2800 + cell) for cell in cells)}" for row, cells in enumerate(grid)]
    start = evidence.from_.astimezone(zone).strftime("%d %b %H:%M")
    return [*lines, f"{'':>{side}} └{start} + {_span(evidence.every_s * len(values))}"]


def _dots(values: Sequence[float | None], low: float, span: float, width: int) -> list[list[int]]:
    columns = min(width * 2, max(2, len(values)) * 4)
    rows = ROWS * 2
    grid = [[0] * math.ceil(columns / 2) for _ in range(ROWS // 2)]
    for column in range(columns):
        value = values[column * len(values) // columns]
        if value is not None:
            row = rows - 1 - round((value - low) / span * (rows - 1))
            grid[row // 4][column // 2] |= DOTS[row % 4][column % 2]
    return grid


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
