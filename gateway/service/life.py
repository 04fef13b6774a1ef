"""Warranty and maintenance: what the calendar has to do with what is foreseen, and what falls due by itself.

Promises
- Who hears of a forecast hears with it that the warranty ends before it comes true, or that a maintenance which is due before that
  may prevent it. Who hears of anything within the last weeks of a warranty hears of its end.
- What comes at another time is an insight of its own: that a warranty ends soon while something is open, or that a maintenance is
  overdue. Each is told once for a device and a date, and only so many at a time.
- Dates are those of the clock on the wall there; while that is not known, nothing is said of them.
"""

import math
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, NamedTuple

from msgspec.structs import replace

from gateway.config.model import Config, DeviceConfig
from gateway.diagnosis.contract import Change, Phase, PointInfo
from gateway.diagnosis.words import duration
from gateway.service.casebook import Casebook
from gateway.service.contract import NEVER, Facts, Statement, one_off
from gateway.service.records import Records

DAY = 86400.0
SOON = (30, 60)  # days before the end of a warranty at which it is told
LOOK = 6 * 3600.0  # s between two looks at the calendar
RETRY = 600.0  # s until the clock is asked again, where it was not known
MOST = 5  # insights of one look: the rest are for the next


class Bearing(NamedTuple):
    """What else is at stake: "warranty" or "maintenance", the date that makes it the same again, and in words."""

    what: str
    date: str
    says: str


class Life:
    """The part that knows the dates of devices."""

    def __init__(self, config: Config, facts: Facts, book: Casebook, records: Records) -> None:
        self._devices = config.devices
        self._facts = facts
        self._book = book
        self._records = records
        self._said: dict[str, str] = {}  # "freezer-1 warranty" -> the date, and how soon, that was last told
        self.next_due = -NEVER

    # ------------------------------------------------------------ with what others say

    def take(self, statement: Statement) -> Iterator[Statement]:
        """See `Part.take`."""
        change = statement.change
        device = self._devices.get(change.point.device)
        today = self._today(change.at)
        told = change.kind in ("problem", "prediction") and change.phase in (Phase.OPENED, Phase.WORSENED, Phase.EASED)
        if device is None or today is None or not told:
            yield statement
            return
        bearings = [
            bearing
            for bearing in self._bearings(device, change, today)
            if change.phase is Phase.OPENED or self._said.get(f"{device.name} {bearing.what}") != bearing.date
        ]
        for bearing in bearings:
            self._said[f"{device.name} {bearing.what}"] = bearing.date
        if bearings:
            says = " ".join([change.says, *(bearing.says for bearing in bearings)])
            adds = {**statement.adds, "bears_on": tuple(bearing.what for bearing in bearings)}
            statement = replace(statement, change=replace(change, says=says), adds=adds)
        yield statement

    def _bearings(self, device: DeviceConfig, change: Change, today: date) -> Iterator[Bearing]:
        foreseen = _foreseen(change, today)
        until, due = device.common.warranty_until, self._due(device)
        if until and today <= until:
            left = (until - today).days
            if foreseen and foreseen > until:
                says = f"The warranty ends on {until}, before that: ask the maker while it lasts."
                yield Bearing("warranty", f"{until} {_step(left)}", says)
            elif left <= max(SOON):
                yield Bearing("warranty", f"{until} {_step(left)}", f"The warranty ends on {until}, {_in(left)}.")
        if due and foreseen and due < foreseen:
            when = f"was due on {due}" if due <= today else f"is due on {due}, before that"
            yield Bearing("maintenance", f"{due}", f"Its maintenance {when}, and may prevent this.")

    # ------------------------------------------------------------ by itself

    def tick(self, now: float) -> Iterator[Statement]:
        """See `Part.tick`: a look at the calendar."""
        today = self._today(now)
        if today is None:
            self.next_due = now + RETRY
            return
        self.next_due = now + LOOK
        told = 0
        for device in self._devices.values():
            for bearing, because in self._insights(device, today):
                key = f"{device.name} {bearing.what}"
                if self._said.get(key) == bearing.date:
                    continue
                if told == MOST:
                    return
                told += 1
                self._said[key] = bearing.date
                yield self._insight(device, bearing, because, now)

    def _insights(self, device: DeviceConfig, today: date) -> Iterator[tuple[Bearing, str]]:
        until, due = device.common.warranty_until, self._due(device)
        if until and today <= until <= today + timedelta(days=max(SOON)):
            left = (until - today).days
            cases = [case for case in self._book.of_device(device.name) if case.stage == "open"]
            if cases:
                number = "1 case about it is" if len(cases) == 1 else f"{len(cases)} cases about it are"
                says = f"The warranty of {device.title} ends on {until}, {_in(left)}, and {number} open."
                yield Bearing("warranty", f"{until} {_step(left)}", says), cases[0].says
        if due and due < today:
            since = self._records.new_since(device.name)
            every = duration(device.common.maintenance_every or 0.0)
            late = (today - due).days
            says = f"The maintenance of {device.title} was due on {due}, {late} {'day' if late == 1 else 'days'} ago."
            yield (
                Bearing("maintenance", f"{due}", says),
                f"since {since} there has been none, and it wants one every {every}",
            )

    def _insight(self, device: DeviceConfig, bearing: Bearing, because: str, now: float) -> Statement:
        episode = f"life {device.name} {bearing.what} {bearing.date}"
        point = PointInfo(f"{device.name}/*", device.name, "*", "", device.title, device.title)
        adds = {"bears_on": (bearing.what,)}
        return one_off("insight", episode, point, now, bearing.says, because, rule=bearing.what, rule_kind="life", adds=adds)

    # ------------------------------------------------------------ dates

    def _today(self, at: float) -> date | None:
        wall = self._facts.wall(at)
        return wall.date() if wall else None

    def _due(self, device: DeviceConfig) -> date | None:
        """When its maintenance is due; None where nobody knows."""
        last, every = self._records.new_since(device.name), device.common.maintenance_every
        return last + timedelta(seconds=every) if last and every else None

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Part.memory`."""
        return dict(sorted(self._said.items()))

    def recall(self, memory: Any, shift: float, now: float) -> Iterator[Statement]:  # noqa: ARG002
        """See `Part.recall`."""
        self._said = {key: said for key, said in memory.items() if key.rpartition(" ")[0] in self._devices}
        yield from ()


def _foreseen(change: Change, today: date) -> date | None:
    """On which day a limit will be crossed; None where nothing is foreseen."""
    if change.forecast is None or not math.isfinite(change.forecast.in_s) or change.forecast.in_s > 100 * 365 * DAY:
        return None
    return today + timedelta(seconds=change.forecast.in_s)


def _step(left: int) -> str:
    """How soon it is, in steps that are told once each."""
    return f"{min((step for step in SOON if left <= step), default='')}"


def _in(left: int) -> str:
    return {0: "today", 1: "tomorrow"}.get(left, f"in {left} days")
