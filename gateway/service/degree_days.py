"""Energy at equal degree-days: whether a building needs more or less than a year ago, whatever the weather was.

Method      Degree-days are summed from the hourly temperature outdoors, as the mean of what it is short of the base temperature
            ("mean degree-hours"), and a month's energy is divided by them. What is used in months in which next to nothing is
            heated (hot water, pumps) does not depend on the weather, and is taken off first: the ratio is of heating alone. This is
            the monitoring method of CIBSE TM41:2006, "Degree-days: theory and application", chapters 2 and 4; the base load from
            the summer months is its "baseload".
Assumes     The meter measures one building's heating, with or without its hot water, and only rises.
Memory      Thirteen months of three numbers each, and the day at hand.

A day counts when its temperature was known in nearly all of its hours and the meter at both of its ends; so a hub that was off for
a week has a month with fewer days, and not with less heating. A month is judged by what a degree-day took, so days may be missing.
"""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from msgspec import Struct, field

HOURS = 22  # of a day in which the temperature must be known; 23 is a day on which the clock is put forward
LATE = timedelta(hours=2)  # by which the first look at a day may be late, or the day before is lost
LEAST_DAYS = 15  # of a month that is compared
LEAST_DEGREE_DAYS = 60.0  # K d: below, a change of habits weighs more than the weather
SUMMER = 1.0  # K d a day: in a month with fewer, nothing is heated
KEPT = 13  # months: the one at hand, and those of the year before it


class Month(Struct, kw_only=True):
    """What was used in the days of a month that count, in the unit of the meter, and their degree-days (K d)."""

    days: int = 0
    used: float = 0.0
    degree_days: float = 0.0


class Verdict(NamedTuple):
    """A month against the same month last year: what a degree-day took, and what was taken off for each day before."""

    now: float
    before: float
    degree_days: float
    degree_days_before: float
    base_load: float

    @property
    def share(self) -> float:
        """How much more it took than a year ago: -0.2 is a fifth less."""
        return self.now / self.before - 1.0


class Day(Struct, kw_only=True):
    """The day at hand. meter: what it stood at when the day began; None where that is not known."""

    date: date
    meter: float | None = None
    hours: int = 0
    short: float = 0.0  # K h below the base


class Diary(Struct, kw_only=True):
    """What is known of one building. Months are named "2026-03". of: what it was read from, and the base temperature."""

    of: list[str | float] = field(default_factory=list)
    months: dict[str, Month] = field(default_factory=dict)
    told: str = ""  # the last month that was judged

    def close(self, day: Day, meter: float | None) -> None:
        """A day is over; `meter` is what the meter stands at."""
        if day.meter is None or meter is None or meter < day.meter or day.hours < HOURS:
            return
        month = self.months.setdefault(_name(day.date), Month())
        month.days += 1
        month.used += meter - day.meter
        month.degree_days += day.short / day.hours
        while len(self.months) > KEPT:
            del self.months[min(self.months)]

    def judge(self, today: date) -> Verdict | None:
        """The month before this one against the same month last year: once, and only where both can be judged."""
        name = _name(today.replace(day=1) - timedelta(days=1))
        if self.told == name:
            return None
        self.told = name
        now, before = self.months.get(name), self.months.get(f"{int(name[:4]) - 1}{name[4:]}")
        if now is None or before is None or not (_is_enough(now) and _is_enough(before)):
            return None
        base_load = self._base_load()
        took, had_taken = ((one.used - base_load * one.days) / one.degree_days for one in (now, before))
        if min(took, had_taken) <= 0.0:  # what the weather decides is lost in what it does not
            return None
        return Verdict(took, had_taken, now.degree_days, before.degree_days, base_load)

    def _base_load(self) -> float:
        """What a day takes without heating: of the months in which next to nothing was heated; 0 where there were none."""
        summer = [month for month in self.months.values() if month.days >= LEAST_DAYS and month.degree_days < SUMMER * month.days]
        return sum(month.used for month in summer) / sum(month.days for month in summer) if summer else 0.0


class Days:
    """Reads the day at hand, hour by hour; in memory only, since a day that is cut by a restart does not count."""

    def __init__(self) -> None:
        self._day: Day | None = None

    def look(self, wall: datetime | None, meter: float | None, short: float | None, diary: Diary) -> None:
        """Once an hour. wall: local time; short: by how much it is colder than the base (K), 0 where it is not; None: not known."""
        if wall is None:
            self._day = None
            return
        today = wall.date()
        if self._day is None:
            self._day = Day(date=today)  # not from its beginning, so the meter then is not known
        elif self._day.date != today:
            is_early = timedelta(hours=wall.hour, minutes=wall.minute) < LATE
            if is_early and self._day.date == today - timedelta(days=1):
                diary.close(self._day, meter)
            self._day = Day(date=today, meter=meter if is_early else None)
        if short is not None:
            self._day.hours += 1
            self._day.short += short


def _is_enough(month: Month) -> bool:
    return month.days >= LEAST_DAYS and month.degree_days >= LEAST_DEGREE_DAYS


def _name(day: date) -> str:
    return f"{day.year:04}-{day.month:02}"
