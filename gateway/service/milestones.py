"""Milestones: good news that is worth telling.

- A season of a device without a fault: since its last one, or since it was installed. Days on which one is foretold do not count.
  Devices that come to it on the same day are told in one moment.
- Fewer cases in the month since a visit or a change of firmware than in the month before.
- A case that came back again and again, and has not come back for much longer than it used to take.

Promises
- Each is told once, also after a restart: a season once for each time that a device has been without a fault.
- A day counts for a device only if the hub was at work and has heard it; so neither a hub that is off nor a device that is silent
  brings good news.
- What is remembered is a few numbers for each device, and of what comes back as much as `RETURNING` allows. It changes once a day,
  and when something is told.

Fewer cases: both spans are equally long, so if nothing had changed each case would as likely be in the one as in the other, and the
number after is binomial; it is told where so few would come by chance in one of ten (the conditional test of two Poisson counts:
J. Przyborowski and H. Wilenski, "Homogeneity of results in testing samples from Poisson series", Biometrika 31, 1940).
Longer than it used to: after n gaps that came to S together, the next of gaps that are exponential is longer than x by chance in
(1 + x/S)^-n (it is F-distributed with 2 and 2n degrees of freedom: J. F. Lawless, "Statistical Models and Methods for Lifetime
Data", prediction for the exponential distribution); it is told where that is one of twenty.
"""

from collections.abc import Iterator, Sequence
from math import comb
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from gateway.config.model import Config
from gateway.diagnosis.contract import STATE, THE_HUB, Phase, PointInfo
from gateway.diagnosis.words import age, listed, quantity
from gateway.service.casebook import Casebook
from gateway.service.contract import NEVER, Facts, Statement, one_off
from gateway.service.visit import Ended

DAY = 86400.0
SETTLING = 3600.0  # s after a start before it is asked who was heard
SEASON = 91  # days: a quarter of a year
MONTH = 30  # days before and after a change that are held against each other
BY_CHANCE_FEWER = 0.1
BY_CHANCE_LONGER = 0.05
LEAST_GAPS = 3
LEAST_QUIET = 7  # days
REMEMBERED = 20  # cases of a device in a month; of more, the newest
RETURNING = 100  # pairs of rule and point that have had a case in the last year
FORGOTTEN = 366.0 * DAY
NAMED = 8  # devices in one moment


class Since(Struct, kw_only=True):
    """A change of a device that may have made it better. days: on which the hub has heard the device since."""

    what: Literal["visit", "firmware"]
    before: int  # cases in the month before
    after: int = 0
    days: int = 0


class Record(Struct, kw_only=True):
    """What is known of one device. days: without a fault on which it was heard."""

    days: int = 0
    had_fault: bool = False
    is_told: bool = False
    openings: list[float] = field(default_factory=list)  # of cases in the last month, s of the timeline
    firmware: str = ""
    since: Since | None = None


class Returning(Struct, kw_only=True):
    """Cases of one rule on one point. quiet: days without one on which the device was heard."""

    count: int = 1
    first: float
    last: float
    quiet: int = 0
    is_told: bool = False

    def is_over(self) -> bool:
        """Whether it has stayed away for so long that chance does not explain it."""
        gaps, known = self.count - 1, self.last - self.first
        if self.is_told or gaps < LEAST_GAPS or self.quiet < LEAST_QUIET:
            return False
        chance: float = (1 + self.quiet * DAY / max(known, 1.0)) ** -gaps
        return chance <= BY_CHANCE_LONGER


class Memory(Struct, kw_only=True):
    """What survives a restart. look_at: when to ask next who was heard (s of the timeline)."""

    look_at: float | None = None
    devices: dict[str, Record] = field(default_factory=dict)
    returning: dict[str, Returning] = field(default_factory=dict)  # "rule point"


class Milestones:
    """A part of the service."""

    def __init__(self, config: Config, facts: Facts, book: Casebook) -> None:
        self._config = config
        self._facts = facts
        self._book = book
        self._known = Memory()
        self._adopt()
        self.next_due = -NEVER

    def _adopt(self) -> None:
        """Keep records of the devices of this config, and of no others."""
        known = self._known.devices
        self._known.devices = {
            name: known.get(name) or Record(firmware=device.common.firmware) for name, device in self._config.devices.items()
        }

    # ------------------------------------------------------------ what happens

    def take(self, statement: Statement) -> Iterator[Statement]:
        """See `Part.take`."""
        yield statement
        change = statement.change
        ended = statement.adds.get("visit")
        if isinstance(ended, Ended):
            self._visited(ended)
        record = self._known.devices.get(change.point.device)
        if record and change.kind == "problem" and change.phase is Phase.OPENED and not change.caused_by:
            self._opened(f"{change.rule_id} {change.point.id}", record, change.at)

    def _visited(self, ended: Ended) -> None:
        for name in ended.devices:
            self._changed(name, "visit", ended.at)
        for one in ended.visit.replaced:
            if record := self._known.devices.get(one.device):  # its season begins with its first day
                record.days, record.had_fault, record.is_told = 0, False, False

    def _opened(self, key: str, record: Record, at: float) -> None:
        record.days, record.is_told = 0, False
        record.had_fault = True
        record.openings = [*_within(record.openings, at), at][-REMEMBERED:]
        if record.since:
            record.since.after += 1
        returning = self._known.returning
        known = returning.pop(key, None)
        if known is None or known.is_told or at - known.last > FORGOTTEN:
            known = Returning(first=at, last=at)
        else:
            known.count += 1
            known.last, known.quiet = at, 0
        returning[key] = known  # the newest last
        while len(returning) > RETURNING:
            del returning[next(iter(returning))]

    def _changed(self, name: str, what: Literal["visit", "firmware"], at: float) -> None:
        """Something was done to a device that may have made it better; the latest counts."""
        if record := self._known.devices.get(name):
            record.since = Since(what=what, before=len(_within(record.openings, at)))

    # ------------------------------------------------------------ once a day

    def tick(self, now: float) -> Iterator[Statement]:
        """See `Part.tick`."""
        known = self._known
        if known.look_at is None:
            known.look_at = now + DAY
        if now < known.look_at:
            self.next_due = known.look_at
            return
        known.look_at = self.next_due = now + DAY
        heard = {name for name in known.devices if self._is_heard(name, now)}
        ill = {name for name in known.devices if self._book.of_device(name)}
        for name in heard:
            self._firmware(name, now)
        yield from self._seasons(heard - ill, now)
        yield from self._better("visit", heard, now)
        yield from self._better("firmware", heard, now)
        yield from self._stayed_away(heard - ill, now)

    def _is_heard(self, name: str, now: float) -> bool:
        """Whether a device has said anything in the last day, or in the time that it may take."""
        device = self._config.devices[name]
        last = (self._facts.last(f"{name}/{point}") for point in device.points)
        return any(one is not None and one[1] > now - max(DAY, 3 * device.common.every) for one in last)

    def _firmware(self, name: str, now: float) -> None:
        """Whether a device has other firmware than yesterday."""
        record = self._known.devices[name]
        version = firmware(self._config, self._facts, name)
        if version and record.firmware and version != record.firmware:
            self._changed(name, "firmware", now)
        record.firmware = version or record.firmware

    def _seasons(self, well: set[str], now: float) -> Iterator[Statement]:
        ripe = []
        for name, record in self._known.devices.items():
            record.days += name in well and record.days < SEASON
            if record.days == SEASON and not record.is_told:
                record.is_told = True
                ripe.append(name)
        if not ripe:
            return
        had = [name for name in ripe if self._known.devices[name].had_fault]
        if len(ripe) == 1:
            since = "since its last one" if had else "from its first day with this hub"
            says = f"{self._titles(ripe)} has worked for a season without a fault, {since}."
        else:
            which = "All" if len(ripe) == len(self._known.devices) else "The"
            says = f"{which} {len(ripe)} devices have worked for a season without a fault: {self._titles(ripe)}."
        because = f"on {SEASON} days the hub heard {'it' if len(ripe) == 1 else 'each of them'} and no case about it was open"
        if had and len(ripe) > 1:
            because += f"; there had been one about {self._titles(had)}"
        yield self._milestone("season", self._point(ripe), now, SEASON * DAY, says, because)

    def _better(self, what: Literal["visit", "firmware"], heard: set[str], now: float) -> Iterator[Statement]:
        """The devices that have had a month since a change, and fewer cases in it than in the month before."""
        better = {}
        for name in heard:
            record = self._known.devices[name]
            since = record.since
            if since is None or since.what != what:
                continue
            since.days += 1
            if since.days >= MONTH:
                record.since = None
                if chance_of_so_few(since.before, since.after) <= BY_CHANCE_FEWER:
                    better[name] = since
        if not better:
            return
        names = [name for name in self._known.devices if name in better]
        before, after = (sum(getattr(one, side) for one in better.values()) for side in ("before", "after"))
        verb, change = ("is", "its firmware was changed") if len(names) == 1 else ("are", "their firmware was changed")
        since_when = change if what == "firmware" else "the visit"
        says = (
            f"{self._titles(names)} {verb} better since {since_when}: {_cases(before)} in the {MONTH} days before, "
            f"{after or 'none'} in the {MONTH} days after."
        )
        chance = quantity(100 * max(chance_of_so_few(one.before, one.after) for one in better.values()), "%")
        because = f"if nothing had changed, so few would come after it in {chance} of such months"
        yield self._milestone(f"better-since-{what}", self._point(names), now, MONTH * DAY, says, because)

    def _stayed_away(self, well: set[str], now: float) -> Iterator[Statement]:
        for key, known in self._known.returning.items():
            rule_id, _, point_id = key.partition(" ")
            if known.count <= LEAST_GAPS or known.is_told or point_id.partition("/")[0] not in well:
                continue
            known.quiet += 1
            if not known.is_over():
                continue
            known.is_told = True
            point = self._facts.point(point_id) or self._point([point_id.partition("/")[0]])
            mean = (known.last - known.first) / (known.count - 1)
            says = (
                f'{point.label} has been well for {age(known.quiet * DAY)}; before that, "{rule_id}" came back every {age(mean)}.'
            )
            because = f"{known.count} cases in {age(known.last - known.first)}, and none since then"
            yield self._milestone("stays-away", point, now, known.quiet * DAY, says, because)

    # ------------------------------------------------------------ in words

    def _milestone(self, name: str, point: PointInfo, now: float, lasted: float, says: str, because: str) -> Statement:
        return one_off("milestone", f"milestone.{name}", point, now, says, because, rule=name, since=now - lasted)

    def _titles(self, names: Sequence[str]) -> str:
        return listed([self._config.devices[name].title for name in names], NAMED)

    def _point(self, names: Sequence[str]) -> PointInfo:
        """What stands for a device as a whole; for several of them, the hub."""
        if len(names) > 1:
            return THE_HUB
        (name,) = names
        title = self._config.devices[name].title
        return self._facts.point(f"{name}/{STATE}") or PointInfo(f"{name}/{STATE}", name, STATE, "", title, title, "text")

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Part.memory`."""
        return msgspec.to_builtins(self._known)

    def recall(self, memory: Any, shift: float, now: float) -> Iterator[Statement]:
        """See `Part.recall`. Who was heard is asked when all have had time to speak."""
        self._known = known = msgspec.convert(memory, Memory)
        for record in known.devices.values():
            record.openings = [at + shift for at in record.openings]
        for returning in known.returning.values():
            returning.first += shift
            returning.last += shift
        known.look_at = None if known.look_at is None else max(known.look_at + shift, now + SETTLING)
        self._adopt()
        self.next_due = now
        yield from ()


def chance_of_so_few(before: int, after: int) -> float:
    """How likely it is that so few come after, of as many as came, if either time is as likely for each of them."""
    total = before + after
    return sum(comb(total, few) for few in range(after + 1)) / 2.0**total


def firmware(config: Config, facts: Facts, name: str) -> str:
    """The version of a device's firmware: as the device says, or as the config does; "" where nobody knows."""
    common = config.devices[name].common
    last = facts.last(f"{name}/{common.firmware_point}") if common.firmware_point else None
    is_known = last is not None and facts.known_since(f"{name}/{common.firmware_point}") is not None
    return str(last[0]) if last is not None and is_known else common.firmware


def _within(openings: list[float], at: float) -> list[float]:
    """Those of the last month."""
    return [one for one in openings if one > at - MONTH * DAY]


def _cases(number: int) -> str:
    return f"{number} case{'' if number == 1 else 's'}"
