"""Hours of the week, as people write them: "18:00..07:00", "Mon-Fri 08:00..17:30", "Sat 00:00..24:00".

Local time is in seconds since Monday 00:00, as the hub's clock on the wall has it.
"""

import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta

from drivers.contract import KeyMistake

DAY = 86400.0
WEEK = 7 * DAY
RECHECK = 3600.0
"""How long a boundary may be trusted that was worked out from local time (s): a clock may be put forward or back in between."""

_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = "(?:" + "|".join(_NAMES) + ")"
_TIME = "(?:[01][0-9]|2[0-4]):[0-5][0-9]"
PATTERN = rf"^(?:{_DAY}(?:-{_DAY})? )?{_TIME}\.\.{_TIME}$"

HoursText = Annotated[str, Meta(pattern=PATTERN, examples=["18:00..07:00"])]


class Place(NamedTuple):
    """Whether it is within the hours, since when (s), and for how long that stays so (s)."""

    inside: bool
    into: float
    left: float


class Hours:
    """Some hours of each week. Raises KeyMistake for hours that are none."""

    __slots__ = ("_spans",)

    def __init__(self, written: Sequence[str]) -> None:
        spans: list[tuple[float, float]] = []
        for text in written:
            match = re.fullmatch(rf"(?:({_DAY})(?:-({_DAY}))? )?({_TIME})\.\.({_TIME})", text)
            assert match is not None
            first, last = _NAMES.index(match[1] or "Mon"), _NAMES.index(match[2] or match[1] or "Sun")
            start, end = _seconds(match[3]), _seconds(match[4])
            if start == end or start > DAY or end > DAY:
                raise KeyMistake("hours", f'"{text}"', 'two times of a day such as "18:00..07:00"')
            for day in range(first, last + (1 if first <= last else 8)):
                begin = day % 7 * DAY + start
                spans.append((begin, begin + (end - start) % DAY if end != DAY else begin + DAY - start))
        self._spans = _merged(spans)

    def at(self, local: float) -> Place:
        """Where a local time lies."""
        ahead = WEEK
        for start, end in self._spans:
            into = (local - start) % WEEK
            if into < end - start:
                return Place(True, into, end - start - into)
            ahead = min(ahead, WEEK - into)
        return Place(False, 0.0, ahead)


def _seconds(text: str) -> float:
    hours, minutes = text.split(":")
    return int(hours) * 3600.0 + int(minutes) * 60.0


def _merged(spans: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Spans that touch are one, also across the end of the week."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    if len(merged) > 1 and merged[-1][1] >= merged[0][0] + WEEK:
        start, end = merged.pop()
        merged[0] = start - WEEK, max(merged[0][1], end - WEEK)
    return tuple(merged)
