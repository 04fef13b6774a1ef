"""Maintenance windows: when nobody wants to hear of some points, because somebody is at work on them."""

from datetime import date, time
from typing import Annotated, Literal, get_args

from msgspec import Meta

from drivers.contract import KeyMistake, Keys
from gateway.diagnosis.mute import Window

MONDAY = date(1970, 1, 5)  # from which the diagnosis counts days

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Maintenance(Keys, frozen=True, kw_only=True):
    """`[maintenance.NAME]`: a time in which nothing is told of some points. What is still open at its end is told then."""

    on: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description='Points, as "device/point", or devices, "bus.NAME" or rules by their names; globs allowed.'),
    ]
    days: Annotated[tuple[Weekday, ...], Meta(description="Days of the week on which it begins; every day if not given.")] = ()
    from_: Annotated[time, Meta(description="When it begins, local time: 22:00:00, without quotes.")] = time(0)
    to: Annotated[time, Meta(description="When it ends; on the next day, where that is not later.")] = time(0)
    first: Annotated[date | None, Meta(description="The first day on which it begins: 2026-07-01, without quotes.")] = None
    last: Annotated[date | None, Meta(description="The last one.")] = None

    def __post_init__(self) -> None:
        if self.first and self.last and self.last < self.first:
            raise KeyMistake("last", f"{self.last}, before the first day", f"{self.first} or later")

    def window(self) -> Window:
        """Itself as the diagnosis knows it."""
        days = frozenset(get_args(Weekday).index(day) for day in self.days) or frozenset(range(7))
        return Window(self.on, days, _seconds(self.from_), _seconds(self.to), _number(self.first), _number(self.last))


def _number(day: date | None) -> int | None:
    return None if day is None else (day - MONDAY).days


def _seconds(at: time) -> float:
    return at.hour * 3600.0 + at.minute * 60.0 + at.second
