"""What nobody wants to hear of for a while: muted by a person until a time, or by a maintenance window of the config.

Muted is recorded, not lost. When the time is over, what is still open is told, and what came and went meanwhile is counted in one
account. A window by the clock on the wall is in force only while that clock is trusted: who cannot tell the time hides nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeAlias

from gateway.diagnosis.contract import HUB, Change, Phase, PointInfo, RuleKeys
from gateway.diagnosis.watch import NEVER, Watch, is_meant
from gateway.diagnosis.words import listed

Wall: TypeAlias = Callable[[float], datetime | None]
"""From a time of the hub's timeline to local time (without a zone), as the clock on the wall there shows it; None while unknown."""

REVIEW = 3600.0  # s: a window's next edge is worked out anew so often, because clocks are set, and summer time begins and ends
NAMED = 20  # rules and points that an account can name
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Window(NamedTuple):
    """A maintenance window: on some days of the week from one time of day to another, or from one date and time to another.

    Where `end` is not after `begin`, it ends on the next day. `days` count from Monday, 0, by the day on which it begins.
    """

    on: tuple[str, ...]
    days: frozenset[int] = frozenset(range(7))
    begin: time = time(0)
    end: time = time(0)
    first: date | None = None
    last: date | None = None  # the last day on which it begins

    def spans(self, near: date) -> list[tuple[datetime, datetime]]:
        """When it is in force, of those that begin within eight days of a day."""
        found = []
        for step in range(-1, 9):
            day = near + timedelta(days=step)
            if day.weekday() in self.days and (self.first or day) <= day <= (self.last or day):
                begin, end = datetime.combine(day, self.begin), datetime.combine(day, self.end)
                found.append((begin, end if end > begin else end + timedelta(days=1)))
        return found

    def edge(self, now: datetime | None) -> tuple[bool, float]:
        """Whether it is in force, and the seconds until that may be otherwise."""
        if now is None:
            return False, REVIEW / 60
        now += timedelta(milliseconds=1)  # who comes at the edge is beyond it, however times are rounded
        spans = self.spans(now.date())
        edges = [(edge - now).total_seconds() for span in spans for edge in span if edge > now]
        return any(begin <= now < end for begin, end in spans), min([REVIEW, *edges])


class Mute:
    """One silence that is or will be in force: of a window by its name, or of what a person has muted."""

    __slots__ = ("count", "is_on", "missed", "name", "on", "until", "window")

    def __init__(self, name: str, on: Sequence[str], window: Window | None = None) -> None:
        self.name = name
        self.on = on
        self.window = window
        self.until = NEVER  # when it ends, of what a person has muted; when to look again, of a window
        self.is_on = False
        self.count = 0  # accounts given so far
        self.missed: dict[str, list[Any]] = {}  # what came and went: "rule: label" -> [times, point]

    def covers(self, watch: Watch) -> bool:
        """Whether it is about this rule, point, device or bus."""
        point = watch.about
        names = {watch.rule.id, point.device, f"bus.{point.bus}" if point.bus else point.device}
        return self.is_on and (
            is_meant(point.id, self.on) or any(fnmatchcase(name, glob) for name in names for glob in self.on if "/" not in glob)
        )

    def miss(self, watch: Watch) -> None:
        """Something came and went."""
        name = f"{watch.rule.id} on {watch.about.label}"
        if name not in self.missed and len(self.missed) >= NAMED:
            name = "others"
        self.missed.setdefault(name, [0, list(watch.about)])[0] += 1

    def account(self, at: float) -> Change | None:
        """What came and went, told when it is over; None where nothing did."""
        missed, self.missed = self.missed, {}
        if not missed:
            return None
        self.count += 1
        number = sum(times for times, _ in missed.values())
        names = [f"{name} ({times} times)" if times > 1 else name for name, (times, _) in missed.items()]
        points = [PointInfo(*point) for _, point in missed.values()]
        everything = PointInfo(f"{HUB}/*", HUB, "*", "", "The hub", "The hub", "text")
        what = f"maintenance {self.name}" if self.window else f"{self.name} was muted"
        came = "1 episode" if number == 1 else f"{number} episodes"
        rule_id = f"maintenance.{self.name}" if self.window else f"mute.{self.name}"
        return Change(
            episode=f"{rule_id}#{self.count}",
            rule_id=rule_id,
            rule=RuleKeys(kind="maintenance" if self.window else "mute", on=tuple(self.on), severity="info"),
            point=points[0] if len(missed) == 1 else everything,
            kind="insight",
            phase=Phase.CLOSED,
            severity="info",
            at=at,
            since=at,
            value=None,
            says=f"{came} came and went {'during' if self.window else 'while'} {what}: {listed(names, 6)}.",
            because="it was kept back, as asked; all of it is over",
            how="by itself",
        )

    def memory(self) -> dict[str, Any]:
        """Itself as plain data."""
        until = None if self.until == NEVER else self.until
        return {"on": list(self.on), "until": until, "is_on": self.is_on, "count": self.count, "missed": self.missed}

    def recall(self, memory: Mapping[str, Any], shift: float) -> None:
        """Take up what `memory` gave."""
        self.until = self.until if memory["until"] is None else memory["until"] + shift
        self.is_on, self.count = memory["is_on"], memory["count"]
        self.missed = {name: list(missed) for name, missed in memory["missed"].items()}


class Mutes:
    """All of them. `next` is when some begin or end, as far as is known."""

    def __init__(self, windows: Mapping[str, Window], wall: Wall) -> None:
        self._wall = wall
        self._all = {f"maintenance.{name}": Mute(name, window.on, window) for name, window in windows.items()}
        self.next = NEVER

    def start(self, at: float) -> None:
        """Which windows are in force, to begin with."""
        for mute in self._all.values():
            if mute.window:
                mute.is_on, wait = mute.window.edge(self._wall(at))
                mute.until = at + wait
        self._plan()

    def mute(self, what: str, until: float) -> None:
        """Hear nothing of a rule, device, bus or point (globs allowed) until a time."""
        mute = self._all.setdefault(f"mute.{what}", Mute(what, (what,)))
        mute.is_on, mute.until = True, until
        self._plan()

    def of(self, watch: Watch) -> Mute | None:
        """The first that covers a rule on a point now."""
        return next((mute for mute in self._all.values() if mute.covers(watch)), None)

    def elapse(self, at: float) -> list[Change]:
        """What begins and ends at this time; returns the accounts of what has ended."""
        accounts = []
        for mute in self._all.values():
            if mute.until > at:
                continue
            was_on, mute.is_on, mute.until = mute.is_on, False, NEVER
            if mute.window:
                mute.is_on, wait = mute.window.edge(self._wall(at))
                mute.until = at + wait
            if was_on and not mute.is_on:
                account = mute.account(at)
                accounts += [account] if account else []
        self._plan()
        return accounts

    def _plan(self) -> None:
        self.next = min((mute.until for mute in self._all.values()), default=NEVER)

    def memory(self) -> dict[str, Any]:
        """All as plain data."""
        return {name: mute.memory() for name, mute in self._all.items() if mute.is_on or mute.count or mute.missed}

    def recall(self, memory: Mapping[str, Any], shift: float, now: float) -> None:
        """Take up what `memory` gave. Windows are looked at again at once: they may be others now, or gone."""
        for name, kept in memory.items():
            sort, _, what = name.partition(".")
            mute = self._all.setdefault(name, Mute(what, kept["on"]))
            mute.recall(kept, shift)
            if sort == "maintenance":
                mute.until = now
        self._plan()
