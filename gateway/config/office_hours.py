"""Hours in which somebody can be reached: "mon-fri 08:00-17:00", "sat 09:00-12:30", "22:00-06:00" (every night).

Local time of the site. What ends at or before the time at which it begins ends on the next day.
"""

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from functools import cache
from typing import NamedTuple

from gateway.config.problems import Unfit, nearest, quoted

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EXPECTED = 'days and times such as "mon-fri 08:00-17:00"'
WHOLE_DAY = 24 * 60

_FORM = re.compile(r"(?:(?P<days>[a-z]{3}(?:[-,][a-z]{3})*) )?(?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d)")
_TIME = r"\d{1,2}(?:[:.h]\d\d)?"
_LOOSE = re.compile(rf"(?P<days>[^\d]*?)[\s:]*(?P<from>{_TIME})h?\s*(?:-|–|to|until)\s*(?P<to>{_TIME})h?")


class OfficeHours(NamedTuple):
    """Days of the week (0 is Monday), and minutes after midnight; an end beyond 24 h is on the next day."""

    days: frozenset[int]
    begins: int
    ends: int

    def holds(self, local: datetime) -> bool:
        """Whether a local time is within."""
        minute = local.hour * 60 + local.minute
        today = local.weekday() in self.days and self.begins <= minute < self.ends
        return today or ((local.weekday() - 1) % 7 in self.days and minute < self.ends - WHOLE_DAY)

    def next(self, local: datetime) -> datetime:
        """When they begin after a local time."""
        clock = time(self.begins // 60, self.begins % 60, tzinfo=local.tzinfo)
        days = (local.date() + timedelta(days=ahead) for ahead in range(9))
        begins = (datetime.combine(day, clock) for day in days if day.weekday() in self.days)
        return next(moment for moment in begins if moment > local)


@cache
def parse(text: str) -> OfficeHours:
    """What such a text says. Raises Unfit, with what was probably meant."""
    hours = _read(text)
    if hours is None:
        raise Unfit(f"found {quoted(text)}", EXPECTED, _meant(text))
    return hours


def reachable(texts: Iterable[str], local: datetime) -> datetime | None:
    """`local` where it is within any of these hours, else when the next of them begin; None where there are none."""
    several = [parse(text) for text in texts]
    if any(hours.holds(local) for hours in several):
        return local
    return min((hours.next(local) for hours in several), default=None)


def _read(text: str) -> OfficeHours | None:
    match = _FORM.fullmatch(text)
    days = _days(match["days"] or "") if match else None
    begins, ends = (_minute(match[name]) if match else None for name in ("from", "to"))
    if days is None or begins is None or ends is None or begins >= WHOLE_DAY:
        return None
    return OfficeHours(days, begins, ends if ends > begins else ends + WHOLE_DAY)


def _days(text: str) -> frozenset[int] | None:
    """The days that such a text names, all where it is empty; None where it is wrong."""
    found: set[int] = set()
    for part in text.split(",") if text else ["mon-sun"]:
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            return None
        start = DAYS.index(first)
        found.update((start + ahead) % 7 for ahead in range((DAYS.index(last or first) - start) % 7 + 1))
    return frozenset(found)


def _minute(text: str) -> int | None:
    hours, minutes = map(int, text.split(":"))
    minute = hours * 60 + minutes
    return minute if minutes < 60 and minute <= WHOLE_DAY else None


def _meant(text: str) -> str:
    """The same in the proper form, where that can be guessed: from "Monday to Friday 8-17" or "mo-fr 8.00-17.00"."""
    match = _LOOSE.fullmatch(text.strip().casefold())
    if not match:
        return ""
    words = re.sub(r"\s*(?:\bto\b|\buntil\b|–|-)\s*", "-", match["days"].strip())
    words = re.sub(r"\s*(?:\band\b|[,;&+/])\s*", ",", words)
    days = ",".join("-".join(map(_day, part.split("-"))) for part in words.split(",")) if words else ""
    guess = f"{days} {_clock(match['from'])}-{_clock(match['to'])}".strip()
    return quoted(guess) if _read(guess) else ""


def _day(word: str) -> str:
    return next((day for day in DAYS if word[:3] == day or (len(word) == 2 and day.startswith(word))), nearest(word, DAYS))


def _clock(text: str) -> str:
    hours, _, minutes = re.sub(r"[.h]", ":", text).partition(":")
    return f"{int(hours):02d}:{minutes or '00'}"
