"""What nobody wants to hear of for a while: muted by a person until a time, or by a maintenance window of the config.

Muted is recorded, not lost. When the time is over, what is still open is told, and what came and went meanwhile is counted in one
account. A window by the clock on the wall is in force only while that clock is trusted: who cannot tell the time hides nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeAlias

from gateway.diagnosis.contract import THE_HUB, Change, Phase, PointInfo, RuleKeys
from gateway.diagnosis.watch import NEVER, Watch, is_meant
from gateway.diagnosis.words import listed

Wall: TypeAlias = Callable[[float], float | None]
"""From a time of the hub's timeline to what the clock on the wall there shows: seconds since the Monday that began on 1970-01-05,
local time, of which each day has 86,400; None while nobody knows."""

DAY, WEEK = 86400.0, 7
REVIEW = 3600.0  # s: a window's next edge is worked out anew so often, because clocks are set, and summer time begins and ends
ALIKE = 1e-3  # s: who comes at an edge is beyond it, however times are rounded
WINDOW, PERSON = "maintenance", "mute"  # kinds of rules that an account is given of: there is one moment of it, and no other
NAMED = 20  # rules and points that an account can name


class Window(NamedTuple):
    """A maintenance window: on some days, from one time of day to another (s); where that is not later, on the next day.

    Days are counted from 1970-01-05, and those of the week from Monday, 0; a window belongs to the day on which it begins.
    """

    on: tuple[str, ...]
    days: frozenset[int] = frozenset(range(WEEK))
    begin: float = 0.0
    end: float = 0.0
    first: int | None = None
    last: int | None = None  # the last day on which it begins

    def spans(self, day: int) -> list[tuple[float, float]]:
        """When it is in force, of those that begin the day before and in the week after."""
        lasts = self.end - self.begin if self.end > self.begin else self.end - self.begin + DAY
        starts = [one for one in range(day - 1, day + WEEK + 1) if one % WEEK in self.days and self._is_in(one)]
        return [(one * DAY + self.begin, one * DAY + self.begin + lasts) for one in starts]

    def _is_in(self, day: int) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def edge(self, now: float | None) -> tuple[bool, float]:
        """Whether it is in force, and the seconds until that may be otherwise."""
        if now is None:
            return False, REVIEW / 60
        now += ALIKE
        spans = self.spans(int(now // DAY))
        edges = [edge - now + ALIKE for span in spans for edge in span if edge > now]
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
        what = f"maintenance {self.name}" if self.window else f"{self.name} was muted"
        came = "1 episode" if number == 1 else f"{number} episodes"
        rule_id = f"maintenance.{self.name}" if self.window else f"mute.{self.name}"
        return Change(
            episode=f"{rule_id}#{self.count}",
            rule_id=rule_id,
            rule=RuleKeys(kind=WINDOW if self.window else PERSON, on=tuple(self.on), severity="info"),
            point=points[0] if len(missed) == 1 else THE_HUB,
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

    def muted(self) -> list[tuple[str, float]]:
        """What persons have muted, and until when."""
        return [(mute.name, mute.until) for mute in self._all.values() if mute.is_on and mute.window is None]

    def of(self, watch: Watch) -> Mute | None:
        """The first that covers a rule on a point now."""
        return next((mute for mute in self._all.values() if mute.covers(watch)), None)

    def elapse(self, at: float) -> list[Change]:
        """What begins and ends at this time; returns the accounts of what has ended."""
        accounts = []
        for name, mute in list(self._all.items()):
            if mute.until > at:
                continue
            was_on, mute.is_on, mute.until = mute.is_on, False, NEVER
            if mute.window:
                mute.is_on, wait = mute.window.edge(self._wall(at))
                mute.until = at + wait
            if was_on and not mute.is_on:
                account = mute.account(at)
                accounts += [account] if account else []
            if mute.window is None:  # whatever is muted in the course of years, only what is in force takes memory
                del self._all[name]
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
