"""When the next digest is due, by the calendar and the clock of the hub's site.

Promises
- At the hour and on the day that the config says, local time, whatever summer time does: an hour that is left out comes when the
  clock has been put forward, one that comes twice counts the first time.
- One for each period, however late the last one was: what a digest covers is never shorter than half of a period, so that one that
  was missed is made once, and the next in its turn.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import get_args

from gateway.config.digest import Digest
from gateway.config.maintenance import Weekday

LEAST = {"daily": timedelta(hours=12), "weekly": timedelta(days=3.5), "monthly": timedelta(days=14)}
DAY = timedelta(days=1)


def due(keys: Digest, since: datetime) -> datetime | None:
    """When the digest is due that covers what happened from `since` on, local time of the site; in UTC. None: never."""
    if keys.every == "off":
        return None
    earliest = since.astimezone(UTC) + LEAST[keys.every]
    day = earliest.astimezone(since.tzinfo).date()
    while True:
        # A time that is left out, of fold 0, is by the zone's rules as much later as the clock is put forward (PEP 495).
        at = datetime.combine(day, time(keys.hour), since.tzinfo).astimezone(UTC)
        if at >= earliest and _is_its_day(keys, day):
            return at
        day += DAY


def _is_its_day(keys: Digest, day: date) -> bool:
    if keys.every == "daily":
        return True
    is_weekday = day.weekday() == get_args(Weekday).index(keys.day)
    return is_weekday and (keys.every == "weekly" or day.day <= 7)
