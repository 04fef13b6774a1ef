"""Insights: what is worth knowing though nothing is wrong, and no rule is there to say it.

- Energy: a month took more, or less, for each degree-day than the same month last year (`degree_days.py`). Less is a milestone.
- Left behind: things with a tag that are still there when everybody has gone.
- Lines: a bus has more devices than it can carry, or more polls than it has time for.
- Firmware: some devices have an older version than others of their maker and model.

Promises
- Each is told once: energy once a month, what is left behind once a night, a line once for each load of it, firmware once for each
  set of versions; also after a restart.
- What is not known says nothing: nobody's clock, nobody's hours; a reading that is missing is not a thing that is gone.

A line carries 32 devices where the config says nothing: an RS-485 driver must drive 32 unit loads (TIA-485-A), and so many are
allowed on a Modbus line without a repeater ("MODBUS over Serial Line", V1.02, 3.4.1). Devices with a quarter or an eighth of a unit
load, or a repeater, allow more: `carries`. How many connections a Bluetooth adapter carries does not matter here: each is let go of
before the next is made, and what is too much shows as lateness.
"""

import re
from calendar import month_name
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct, field

from gateway.config import insights as keys
from gateway.config.model import Config, DeviceConfig
from gateway.config.units import convert
from gateway.diagnosis.contract import AWAY, STATE, THE_HUB, Kind, PointInfo, Quantity
from gateway.diagnosis.hours import Hours
from gateway.diagnosis.watch import is_meant
from gateway.diagnosis.words import duration, listed, number, quantity
from gateway.service.contract import NEVER, Facts, Statement, one_off
from gateway.service.degree_days import Days, Diary, Verdict
from gateway.service.milestones import firmware

HOUR, DAY = 3600.0, 86400.0
SETTLING = 900.0  # s after a start in which devices have time to speak
UNKNOWN_CLOCK = 300.0  # s until hours are looked up again while nobody knows the time
AT_LEAST = 1.0  # s between two looks, however local time is rounded
LATE = "late"  # state of a device that its bus has no time for
MARKED = 0.1  # a share of energy from which on it is told
RS485 = {"modbus-rtu", "modbus-rtu-over-tcp"}
UNIT_LOADS = 32
NAMED = 8
LONGEST = 64  # characters of a version that are looked at
CROWDED = (
    "Divide the line in two, or put a repeater in.",
    "If its devices are of less than a unit load each, say so by `carries` in the bus's table.",
)
OVERBOOKED = ("Ask its devices less often (`every`), or divide the line in two.",)


class Memory(Struct, kw_only=True):
    """What survives a restart.

    look_at: when lines and firmware are looked at next (s). diaries: of energy, by name. nights: the last for which it was asked
    what was left behind, by name. crowded, late: of the loads of buses, what was told. firmware: the versions of devices that were
    known last. versions: of makers and models, what was told.
    """

    look_at: float | None = None
    diaries: dict[str, Diary] = field(default_factory=dict)
    nights: dict[str, date] = field(default_factory=dict)
    crowded: dict[str, int] = field(default_factory=dict)
    late: dict[str, float] = field(default_factory=dict)
    firmware: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


class Insights:
    """A part of the service."""

    def __init__(self, config: Config, facts: Facts) -> None:
        self._config = config
        self._facts = facts
        self._known = Memory()
        self._energy = {name: one for name, one in config.insights.items() if isinstance(one, keys.Energy)}
        self._left = {name: one for name, one in config.insights.items() if isinstance(one, keys.LeftBehind)}
        self._days = {name: Days() for name in self._energy}
        self._hours = {name: Hours(one.hours) for name, one in self._left.items()}
        points = config.points() if self._left else []
        self._tags = {name: [point for point in points if is_meant(point.id, one.on)] for name, one in self._left.items()}
        self._energy_at = -NEVER if self._energy else NEVER
        self._night_at = -NEVER if self._left else NEVER
        self.next_due = -NEVER

    def take(self, statement: Statement) -> Iterator[Statement]:
        """See `Part.take`."""
        yield statement

    def tick(self, now: float) -> Iterator[Statement]:
        """See `Part.tick`."""
        known = self._known
        if known.look_at is None:
            known.look_at = now + SETTLING
        wall = self._facts.wall(now)
        if now >= self._energy_at:
            self._energy_at = now + HOUR
            yield from self._look_at_energy(wall, now)
        if now >= self._night_at:
            yield from self._look_for_tags(wall, now)
        if now >= known.look_at:
            known.look_at = now + DAY
            yield from self._look_at_lines(now)
            yield from self._look_at_firmware(now)
        self.next_due = min(known.look_at, self._energy_at, self._night_at)

    # ------------------------------------------------------------ energy

    def _look_at_energy(self, wall: datetime | None, now: float) -> Iterator[Statement]:
        for name, one in self._energy.items():
            base = convert(one.base, "°C")
            diary = self._known.diaries.get(name)
            if diary is None or diary.of != [one.meter, one.outdoor, base]:  # another meter has another past
                self._known.diaries[name] = diary = Diary(of=[one.meter, one.outdoor, base])
            outdoor = self._number(one.outdoor, "°C")
            short = None if outdoor is None else max(base - outdoor, 0.0)
            self._days[name].look(wall, self._number(one.meter), short, diary)
            if wall is not None and (verdict := diary.judge(wall.date())) and abs(verdict.share) >= MARKED:
                month = wall.date().replace(day=1) - timedelta(days=1)
                yield self._about_energy(name, one, verdict, month, now)

    def _about_energy(self, name: str, one: keys.Energy, verdict: Verdict, month: date, now: float) -> Statement:
        point = self._facts.point(one.meter)
        assert point is not None, "the config knows it"
        less = verdict.share < 0
        unit = f"{point.unit} a degree-day"
        says = (
            f"In {month_name[month.month]} {month.year}, {point.device_label} took {number(round(abs(verdict.share) * 100))} % "
            f"{'less' if less else 'more'} energy than a year before, at equal degree-days: {quantity(verdict.now, unit)} against "
            f"{number(verdict.before, verdict.now)}."
        )
        because = f"{number(round(verdict.degree_days))} degree-days, {number(round(verdict.degree_days_before))} a year before"
        if verdict.base_load:
            because += f"; {quantity(verdict.base_load, point.unit)} a day that does not depend on the weather was taken off"
        kind: Kind = "milestone" if less else "insight"
        return one_off(kind, f"insight.{name}", point, now, says, because, since=now - 30 * DAY, value=verdict.now)

    def _number(self, point_id: str, unit: str = "") -> float | None:
        """What a point reads now, in `unit`; None where that is not known."""
        last, point = self._facts.last(point_id), self._facts.point(point_id)
        if last is None or point is None or self._facts.known_since(point_id) is None:
            return None
        value = last[0]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return convert(Quantity(float(value), point.unit), unit) if unit else float(value)

    # ------------------------------------------------------------ left behind

    def _look_for_tags(self, wall: datetime | None, now: float) -> Iterator[Statement]:
        self._night_at = now + HOUR
        if wall is None:
            self._night_at = now + UNKNOWN_CLOCK
            return
        for name, one in self._left.items():
            midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
            place = self._hours[name].at(wall.weekday() * DAY + (wall.replace(tzinfo=None) - midnight).total_seconds())
            wait = one.lasting - place.into if place.inside else place.left + one.lasting
            if wait > 0:
                self._night_at = min(self._night_at, now + max(wait, AT_LEAST))
                continue
            night = (wall - timedelta(seconds=place.into)).date()
            if self._known.nights.get(name) != night:
                self._known.nights[name] = night
                if there := [point for point in self._tags[name] if self._is_there(point)]:
                    yield self._about_tags(name, there, place.into, now)

    def _is_there(self, point: PointInfo) -> bool:
        """Whether the thing with this tag is there, as far as is known."""
        last = self._facts.last(point.id)
        return last is not None and self._facts.known_since(point.id) is not None and last[0] not in AWAY and bool(last[0])

    def _about_tags(self, name: str, there: Sequence[PointInfo], into: float, now: float) -> Statement:
        labels = list(dict.fromkeys(point.device_label for point in there))
        says = f"Left behind after hours: {_named(labels)}."
        because = f"{'it was' if len(labels) == 1 else 'they were'} still there {duration(into)} after closing"
        point = there[0] if len(there) == 1 else THE_HUB
        return one_off("insight", f"insight.{name}", point, now, says, because, since=now - into, value=len(labels))

    # ------------------------------------------------------------ lines

    def _look_at_lines(self, now: float) -> Iterator[Statement]:
        for bus in self._config.buses:
            on_it = [device for device in self._config.devices.values() if device.common.bus == bus]
            point = self._facts.point(f"bus.{bus}/{STATE}") or THE_HUB
            yield from self._crowded(bus, on_it, point, now)
            yield from self._overbooked(bus, on_it, point, now)

    def _crowded(self, bus: str, on_it: Sequence[DeviceConfig], point: PointInfo, now: float) -> Iterator[Statement]:
        line = self._config.buses[bus].common
        carries = line.carries or (UNIT_LOADS if line.driver in RS485 else None)
        loads = len({getattr(device.keys, "unit", device.name) for device in on_it})
        if carries is None or loads <= carries:
            self._known.crowded.pop(bus, None)
        elif loads != self._known.crowded.get(bus):
            self._known.crowded[bus] = loads
            says = f"{point.device_label} has {loads} devices, and can carry {carries}."
            because = "the config says how many" if line.carries else "an RS-485 line carries 32 unit loads, one for each device"
            yield one_off("insight", "line-crowded", point, now, says, because, value=loads, advice=CROWDED)

    def _overbooked(self, bus: str, on_it: Sequence[DeviceConfig], point: PointInfo, now: float) -> Iterator[Statement]:
        late = [device.title for device in on_it if self._is_late(device.name, now)]
        polls = round(sum(1.0 / device.common.every for device in on_it), 3)
        if late and polls != self._known.late.get(bus):
            self._known.late[bus] = polls
            says = f"{point.device_label} cannot keep up: {len(late)} of its {len(on_it)} devices are read late ({_named(late)})."
            because = f"{number(polls)} polls a second are asked of it, and these begin more than half of their period late"
            yield one_off("insight", "line-late", point, now, says, because, value=len(late), advice=OVERBOOKED)

    def _is_late(self, name: str, now: float) -> bool:
        """Whether a device has been late for long enough that it is no hiccup."""
        state = self._facts.last(f"{name}/{STATE}")
        return state is not None and state[0] == LATE and state[1] <= now - SETTLING / 2

    # ------------------------------------------------------------ firmware

    def _look_at_firmware(self, now: float) -> Iterator[Statement]:
        before = self._known.firmware
        self._known.firmware = {
            name: firmware(self._config, self._facts, name) or before.get(name, "") for name in self._config.devices
        }
        siblings: dict[str, dict[str, str]] = {}
        for name, device in self._config.devices.items():
            version = self._known.firmware[name]
            if device.common.model and numbers(version):
                siblings.setdefault(f"{device.common.maker} {device.common.model}".strip(), {})[name] = version
        for model, versions in siblings.items():
            newest = max(versions.values(), key=numbers)
            older = {name: version for name, version in versions.items() if numbers(version) < numbers(newest)}
            told = ", ".join([*(f"{name} {version}" for name, version in older.items()), newest])
            if not older:
                self._known.versions.pop(model, None)
            elif told != self._known.versions.get(model):
                self._known.versions[model] = told
                yield self._about_firmware(model, older, newest, len(versions), now)

    def _about_firmware(self, model: str, older: dict[str, str], newest: str, total: int, now: float) -> Statement:
        titles = [f"{self._config.devices[name].title} ({version})" for name, version in older.items()]
        has = "has" if len(older) == 1 else "have"
        newer = "1 other" if total - len(older) == 1 else f"{total - len(older)} others"
        says = f"{_named(titles)} {has} older firmware than {newer} of the same model ({newest})."
        because = f"of {total} devices of the model {model} the version is known"
        point = (self._facts.point(f"{next(iter(older))}/{STATE}") if len(older) == 1 else None) or THE_HUB
        return one_off("insight", "firmware-older", point, now, says, because, value=len(older))

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Part.memory`."""
        return msgspec.to_builtins(self._known)

    def recall(self, memory: Any, shift: float, now: float) -> Iterator[Statement]:
        """See `Part.recall`. Devices have time to speak before anything is asked of them."""
        self._known = known = msgspec.convert(memory, Memory)
        soon = now + SETTLING
        known.look_at = soon if known.look_at is None else max(min(known.look_at + shift, now + DAY), soon)
        known.diaries = {name: diary for name, diary in known.diaries.items() if name in self._energy}
        known.nights = {name: night for name, night in known.nights.items() if name in self._left}
        known.crowded = {bus: loads for bus, loads in known.crowded.items() if bus in self._config.buses}
        known.late = {bus: polls for bus, polls in known.late.items() if bus in self._config.buses}
        self._night_at = soon if self._left else NEVER
        self.next_due = now
        yield from ()


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers: "v1.10.0-rc2" is (1, 10); nothing where there is no number in it."""
    found = re.search(r"\d+(?:[._-]\d+)*", version[:LONGEST], re.ASCII)
    parts = [int(part) for part in re.split(r"[._-]", found[0])] if found else []
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _named(titles: Sequence[str]) -> str:
    return listed(titles, NAMED)
