"""One visit as the hub remembers it, and the account that is given of it at its end."""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from statistics import median
from typing import Any, NamedTuple

import msgspec
from msgspec import field

from drivers.contract import Outcome
from gateway import moments
from gateway.config.model import Config
from gateway.diagnosis.contract import HUB, PointInfo
from gateway.diagnosis.words import duration, listed
from gateway.service import owners
from gateway.service.casebook import Case
from gateway.service.contract import Facts, Statement, one_off
from gateway.service.held import Held

BEFORE = 3600.0  # s before a visit over which a point is held against what it reads at its end
MENTIONED = 8  # cases that are named, of those that were open
COMPARED = 8
CREDITED = "by the visit of "


class Mention(msgspec.Struct, frozen=True):
    """A case: its key, its point, and what was said of it."""

    key: str
    point: str
    says: str


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """A device that another one has taken the place of: serial numbers, as far as they are known."""

    device: str
    serial: str
    was: str


class Kept(msgspec.Struct, kw_only=True):
    """What is kept of a case while a visit is on: its opening, if nobody has been told of it; else its last steps, and its end."""

    opening: Held | None = None
    steps: list[Held] = field(default_factory=list)  # every hand-over, and the last of what else there was
    closing: Held | None = None

    def shift(self, seconds: float) -> None:
        """Put it on another timeline."""
        self.opening = self.opening and self.opening.shifted(seconds)
        self.steps = [step.shifted(seconds) for step in self.steps]
        self.closing = self.closing and self.closing.shifted(seconds)


class Visit(msgspec.Struct, kw_only=True):
    """A visit that is on. Times in seconds of the hub's timeline.

    on: globs of devices and of "bus.NAME" with all that hangs on it; none stands for all. read: what points of open cases read in
    the hour before. kept: by the key of the case. passed: cases that came and went.
    """

    key: str
    by: str
    on: tuple[str, ...]
    since: float
    until: float
    open_before: list[Mention]
    were_open: int
    read: dict[str, float]
    done: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    replaced: list[Replacement] = field(default_factory=list)
    serviced: list[str] = field(default_factory=list)
    kept: dict[str, Kept] = field(default_factory=dict)
    passed: int = 0

    @property
    def credit(self) -> str:
        """What is said of a case that this visit put right."""
        return f"{CREDITED}{self.by}"

    def shift(self, seconds: float) -> None:
        """Put it on another timeline."""
        self.since += seconds
        self.until += seconds
        for kept in self.kept.values():
            kept.shift(seconds)


def is_about(on: Sequence[str], device: str, bus: str) -> bool:
    """Whether globs of devices and buses mean a device, "bus.NAME" or part of the hub, which itself must be named."""
    if device == HUB or device.startswith(f"{HUB}."):
        return any(fnmatchcase(device, glob) for glob in on if glob.startswith(HUB))
    return not on or any(fnmatchcase(name, glob) for glob in on for name in (device, bus) if name)


def typical(point_id: str, facts: Facts, now: float) -> float | None:
    """What a point read in the hour before: the median, or its last reading where there was none; None where it is no number."""
    point, last = facts.point(point_id), facts.last(point_id)
    if point is None or last is None or not is_number(last[0]):
        return None
    seen = facts.evidence(point, now - BEFORE, now)
    first = max(0, math.ceil((now - BEFORE - seen.from_at) / seen.every_s)) if seen and seen.every_s else 0
    numbers = [value for value in seen.values[first:] if is_number(value)] if seen else []
    return median(numbers) if numbers else last[0]  # type: ignore[type-var, return-value]


def is_number(value: Outcome | None) -> bool:
    """Whether a value can be held against another: not a flag, a text, or none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Ended(NamedTuple):
    """A visit that has ended: `open_after` are the cases that it was about and that are open now."""

    visit: Visit
    at: float
    devices: list[str]
    open_after: list[Case]
    because: str

    def statement(self, config: Config, facts: Facts) -> Statement:
        """The one moment that tells of it."""
        alone = self.devices[0] if len(self.devices) == 1 and self.visit.on else ""
        label = config.devices[alone].title if alone in config.devices else ""
        point_id = f"{alone}/*" if label else f"{HUB}/visit"
        point = PointInfo(point_id, alone or HUB, point_id.partition("/")[2], "", label or "visit", label or "the hub")
        return one_off(
            "visit",
            self.visit.key,
            point,
            self.at,
            self._says(config),
            self.because,
            rule="visit",
            since=self.visit.since,
            owner=owners.desk(config, "a visit is for the desk to know of"),
            adds={"visit": self, "comparisons": tuple(self._comparisons(facts))},
        )

    def _says(self, config: Config) -> str:
        visit, still = self.visit, len(self.open_after)
        titles = [config.devices[name].title for name in self.devices if name in config.devices]
        where = f", at {listed(titles)}" if visit.on and titles else ""
        said = [f"{visit.by} was on site for {duration(self.at - visit.since)}{where}."]
        if visit.were_open or still:
            said.append(f"{_cases(visit.were_open)} open before, {still or 'none'} after.")
        if visit.passed:
            said.append(f"{_cases(visit.passed)} came and went meanwhile.")
        return " ".join(said)

    def _comparisons(self, facts: Facts) -> Iterable[moments.Comparison]:
        for point_id, before in self.visit.read.items():
            point, last = facts.point(point_id), facts.last(point_id)
            known = last and facts.known_since(point_id) is not None and is_number(last[0])
            yield moments.Comparison(
                point=point_id,
                unit=point.unit if point else "",
                before=_short(before),
                after=_short(last[0]) if known and last else None,
            )

    def written(self, utc: Callable[[float], datetime], number: Callable[[str], str]) -> moments.Visit:
        """See `contract.Unwritten`."""
        visit = self.visit
        after = [Mention(case.key, case.point, case.says) for case in self.open_after[:MENTIONED]]
        return moments.Visit(
            by=visit.by,
            from_=utc(visit.since).replace(microsecond=0),
            until=utc(self.at).replace(microsecond=0),
            on=visit.on,
            were_open=visit.were_open,
            open_before=_mentioned(visit.open_before, number),
            are_open=len(self.open_after),
            open_after=_mentioned(after, number),
            passed=visit.passed,
            done=tuple(visit.done),
            found=tuple(visit.found),
            replaced=tuple(moments.Replaced(device=one.device, serial=one.serial, was=one.was) for one in visit.replaced),
            serviced=tuple(visit.serviced),
        )


def _mentioned(mentions: Iterable[Mention], number: Callable[[str], str]) -> tuple[moments.Mentioned, ...]:
    return tuple(moments.Mentioned(case=number(one.key), subject=one.point, says=one.says) for one in mentions)


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"


def _short(value: Any) -> float:
    return float(f"{value:.7g}")
