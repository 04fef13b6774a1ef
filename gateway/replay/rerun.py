"""Recorded readings through the very engine, desk and message of the hub, in the time that was recorded."""

import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from drivers.contract import Batch
from gateway import __version__, moments
from gateway.clock import wall_time, week_time
from gateway.config.model import Config
from gateway.config.units import convert
from gateway.diagnosis.contract import Change
from gateway.diagnosis.engine import Engine
from gateway.service.contract import Statement
from gateway.service.desk import Desk
from gateway.service.facts import HubFacts
from gateway.service.service import Service
from gateway.store import Store

BINS = 1200  # of a point's course: more than a page has pixels
MONTH = 30 * 86400.0


class RecordedClock:
    """Time as it was when the readings were taken; the hub's timeline is seconds since 1970."""

    timeline = "recorded"

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        """The time of the batch at hand."""
        return self.at

    def utc(self, at: float) -> datetime:
        """See `Clock.utc`."""
        return datetime.fromtimestamp(at, UTC)

    def synced(self) -> bool:
        """Recorded times are taken at their word."""
        return True


class Course:
    """Least and greatest value of a point over even stretches of time that double when there are too many: O(1) memory."""

    __slots__ = ("every", "highs", "lows", "readings", "start")

    def __init__(self, start: float) -> None:
        self.start = start
        self.every = 1.0
        self.lows = array("d")
        self.highs = array("d")
        self.readings = 0

    def add(self, at: float, value: float) -> None:
        """One reading; what lies before the start belongs to the first stretch."""
        self.readings += 1
        place = max(0, int((at - self.start) / self.every))
        while place >= BINS:
            self._double()
            place = int((at - self.start) / self.every)
        missing = place + 1 - len(self.lows)
        if missing > 0:
            self.lows.extend([float("inf")] * missing)
            self.highs.extend([float("-inf")] * missing)
        self.lows[place] = min(self.lows[place], value)
        self.highs[place] = max(self.highs[place], value)

    def _double(self) -> None:
        self.every *= 2
        odd = len(self.lows) % 2
        lows, highs = self.lows + array("d", [float("inf")] * odd), self.highs + array("d", [float("-inf")] * odd)
        self.lows = array("d", map(min, lows[::2], lows[1::2]))
        self.highs = array("d", map(max, highs[::2], highs[1::2]))

    def spans(self) -> Iterator[tuple[float, float, float]]:
        """(time, least, greatest) of each stretch that has a reading."""
        for place, (low, high) in enumerate(zip(self.lows, self.highs, strict=True)):
            if low <= high:
                yield self.start + (place + 0.5) * self.every, low, high


class Told(NamedTuple):
    """A change and the moment about it."""

    change: Change
    moment: moments.Moment


class Account(NamedTuple):
    """What a rerun came to. `strangers` counts readings of devices or points that the config does not know, by their name."""

    told: list[Told]
    courses: dict[str, Course]
    readings: int
    late: int
    strangers: Counter[str]
    first: float
    last: float
    devices: int

    @property
    def device_months(self) -> float:
        """Months of 30 days, times devices that were read."""
        return max((self.last - self.first) / MONTH, 1e-9) * max(self.devices, 1)


def _ignore(_: object) -> None:
    """Nobody wants to know."""


def rerun(
    config: Config,
    batches: Iterator[Batch],
    progress: Callable[[float], None] = _ignore,
    told: Callable[[Told], None] = _ignore,
) -> Account:
    """Feed every batch to an engine made of the config; `progress(time)` after each, `told` for each moment as it is made."""
    with tempfile.TemporaryDirectory(prefix="canary-replay-") as folder, Store.open(Path(folder) / "replay.db") as store:
        return _Run(config, store).over(batches, progress, told)


class _Run:
    """One rerun."""

    def __init__(self, config: Config, store: Store) -> None:
        self._clock = RecordedClock()
        self._desk = Desk(config, store, self._clock, lambda: moments.Hub(clock="synced", version=__version__))
        self._config = config
        self._known = {(point.device, point.name): point.id for point in config.points()}
        self._told: list[Told] = []
        self._courses: dict[str, Course] = {}
        self._strangers: Counter[str] = Counter()
        self._seen: set[str] = set()

    def over(self, batches: Iterator[Batch], progress: Callable[[float], None], told: Callable[[Told], None]) -> Account:
        """Through all of it."""
        first = next(batches, None)
        if first is None:
            return Account([], {}, 0, 0, Counter(), 0.0, 0.0, 0)
        self._clock.at = first.at
        config = self._config
        zone = ZoneInfo(config.hub.time_zone)
        local = week_time(self._clock, zone)
        surroundings = config.surroundings(wall_time(self._clock, zone))
        # A recording may be coarser than the polls were: that nobody was heard for a while says nothing but this.
        rules = {name: rule for name, rule in config.rules.items() if rule.kind != "silent" or name not in config.built_in}
        engine = Engine(rules, config.points(), convert, first.at, local, surroundings)
        self._service = Service(config, HubFacts(config, engine, self._clock))
        last = first.at
        for batch in chain((first,), batches):
            last = max(last, batch.at)
            self._take(engine, batch, told)
            progress(batch.at)
        self._pass(engine, last, told)
        return Account(self._told, self._courses, engine.readings, engine.late, self._strangers, first.at, last, len(self._seen))

    def _take(self, engine: Engine, batch: Batch, told: Callable[[Told], None]) -> None:
        if batch.at > self._clock.at:
            while (due := min(engine.next_due, self._service.next_due)) < batch.at:  # is told at its own time
                self._clock.at = max(self._clock.at, due)
                self._pass(engine, self._clock.at, told)
            self._clock.at = batch.at
        self._seen.add(batch.device)
        for point, value in zip(batch.points, batch.values, strict=True):
            known = self._known.get((batch.device, point))
            if known is None:
                self._strangers[f"{batch.device}/{point}"] += 1
            elif isinstance(value, int | float):
                self._courses.setdefault(known, Course(batch.at)).add(batch.at, float(value))
        if changes := engine.feed(batch):
            self._tell(self._service.take(changes), told)

    def _pass(self, engine: Engine, at: float, told: Callable[[Told], None]) -> None:
        self._tell(self._service.take(engine.tick(at)), told)
        self._tell(self._service.tick(at), told)

    def _tell(self, statements: Sequence[Statement], told: Callable[[Told], None]) -> None:
        for statement in statements:
            made = Told(statement.change, self._desk.write(statement))
            self._told.append(made)
            told(made)
