"""Visits: a technician is on site, and the devices that they work on are not themselves meanwhile.

Promises
- While a visit is on, nothing is told of what it is about: openings and ends of cases are kept. When it ends, what is open then is
  told, with the mark that it began meanwhile; what came and went is counted. None is lost, also not by a restart.
- What a visit is not about is told as ever.
- A visit ends: at the latest after the time that it was given. Exactly one moment tells of it.
- What it put right is credited to it, and must prove itself: that a case has come back is told under its old number.

One visit is on at a time. Devices that it is about are polled faster (`pace`); what was done to them the diagnosis is told of
(`deeds`), so that a device that was replaced begins to learn afresh.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.commands import Answer, CommandError
from gateway.config.model import Config
from gateway.config.problems import nearest, quoted
from gateway.diagnosis.contract import HUB, Phase
from gateway.diagnosis.words import duration
from gateway.service.casebook import Case, Casebook
from gateway.service.contract import NEVER, Deed, Facts, Numbered, Statement
from gateway.service.held import Held, hold, release
from gateway.service.records import Records
from gateway.service.visit import COMPARED, CREDITED, MENTIONED, Ended, Kept, Mention, Replacement, Visit, is_about, typical
from gateway.service.visit_commands import MOST, End, Found, Note, Replaced, Serviced, Start

ENDS = (Phase.CLOSED, Phase.WITHDRAWN)
ALONE = {"milestone", "visit", "digest"}  # good to know at any time
MOST_STEPS = 20  # of a case that are kept
FASTER = 5  # times, and
FASTEST = 1.0  # s: how often the devices that a visit is about are read
CREDIT = {"prediction": 30 * 86400.0}  # s for which what was open at the end of a visit may still turn out to be put right by it
CREDIT_ELSE = 86400.0


class Visits:
    """The part that knows of visits. `deeds` are what the diagnosis is to be told; whoever has the service at work takes them."""

    def __init__(self, config: Config, facts: Facts, book: Casebook, records: Records) -> None:
        self._config = config
        self._facts = facts
        self._book = book
        self._records = records
        self._visit: Visit | None = None
        self._count = 0  # visits so far
        self._untold: dict[str, Held] = {}  # openings that came and went during a visit, of cases that must still prove themselves
        self._credited: dict[str, float] = {}  # until when a case that was open at the end of a visit may be credited to it
        self.deeds: list[Deed] = []

    @property
    def next_due(self) -> float:
        """See `Part.next_due`."""
        return min(self._visit.until if self._visit else NEVER, *self._credited.values(), NEVER)

    def pace(self) -> dict[str, float]:
        """Devices that are to be read faster, and how often (s)."""
        if self._visit is None:
            return {}
        configured = {name: device.common.every for name, device in self._config.devices.items() if self._is_about(name)}
        return {name: min(every, max(FASTEST, every / FASTER)) for name, every in configured.items()}

    def waits(self, key: str) -> bool:
        """Whether nobody has been told of a case yet, because it began during a visit."""
        kept = self._visit.kept.get(key) if self._visit else None
        return key in self._untold or (kept is not None and kept.opening is not None)

    def account(self, now: float) -> Iterator[str]:
        """What there is to say of the present, for a person at a terminal."""
        if visit := self._visit:
            yield f"visit by {visit.by} for {duration(now - visit.since)}, ends by itself in {duration(visit.until - now)}"

    # ------------------------------------------------------------ commands

    def start(self, command: Start, now: float) -> tuple[Answer, Iterable[Statement]]:
        """See `Start`."""
        if visit := self._visit:
            raise CommandError("busy", f"a visit by {visit.by} is on; end it first with: canary visit end")
        self._check(command.on)
        self._count += 1
        self._visit = visit = Visit(
            key=f"visit#{self._count}",
            by=_clean(command.by),
            on=tuple(command.on),
            since=now,
            until=now + command.for_,
            open_before=[],
            were_open=0,
            read={},
        )
        self._mark_work()
        cases = self._open_cases()
        visit.were_open = len(cases)
        visit.open_before = [Mention(case.key, case.point, case.says) for case in cases[:MENTIONED]]
        for point in list(dict.fromkeys(case.point for case in cases))[:COMPARED]:
            if (value := typical(point, self._facts, now)) is not None:
                visit.read[point] = value
        for case in cases:
            self._credited.pop(case.key, None)
            if not case.credit or case.credit.startswith(CREDITED):
                case.credit = visit.credit
        until = self._facts.wall(visit.until)
        answer = {"devices": len(self._devices()), "open": len(cases), "for_s": command.for_}
        return answer | ({"until": until.isoformat(timespec="minutes")} if until else {}), ()

    def note(self, command: Note, now: float) -> tuple[Answer, Iterable[Statement]]:  # noqa: ARG002  (see `asked.Carry`)
        """See `Note`."""
        visit = self._on()
        return {"notes": _written_down(visit.done, command.text, "notes")}, ()

    def found(self, command: Found, now: float) -> tuple[Answer, Iterable[Statement]]:  # noqa: ARG002
        """See `Found`."""
        visit = self._on()
        return {"findings": _written_down(visit.found, command.text, "findings")}, ()

    def replaced(self, command: Replaced, now: float) -> tuple[Answer, Iterable[Statement]]:
        """See `Replaced`."""
        visit, device = self._on(), self._device(command.device)
        was, serial = self._records.serial(device), _clean(command.serial)
        _room(visit.replaced, "replacements")
        visit.replaced.append(Replacement(device=device, serial=serial, was=was))
        self._records.replaced(device, serial, self._today(now))
        self.deeds.append(Deed("replaced", device, now))
        return {"was": was} if was else {}, ()

    def serviced(self, command: Serviced, now: float) -> tuple[Answer, Iterable[Statement]]:
        """See `Serviced`."""
        visit, device = self._on(), self._device(command.device)
        if device not in visit.serviced:
            _room(visit.serviced, "devices")
            visit.serviced.append(device)
            if today := self._today(now):
                self._records.had_maintenance(device, today)
            self.deeds.append(Deed("service", device, now))
        return {}, ()

    def end(self, command: End, now: float) -> tuple[Answer, Iterable[Statement]]:  # noqa: ARG002
        """See `End`."""
        visit = self._on()
        said = self._end(now, f"{visit.by} has ended the visit")
        still = len(self._open_cases())
        return {"were_open": visit.were_open, "are_open": still, "passed": visit.passed}, said

    def _on(self) -> Visit:
        if self._visit is None:
            raise CommandError("not-found", "no visit is on; begin one with: canary visit start --by NAME")
        return self._visit

    def _today(self, now: float) -> date | None:
        wall = self._facts.wall(now)
        return wall.date() if wall else None

    # ------------------------------------------------------------ whom it is about

    def _check(self, globs: Iterable[str]) -> None:
        known = [*self._config.devices, *(f"bus.{name}" for name in self._config.buses), HUB]
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in known):
                near = nearest(glob, known)
                raise CommandError("not-found", f"there is no device and no bus {quoted(glob)}", field="on", suggestion=near)

    def _device(self, name: str) -> str:
        if name not in self._config.devices:
            near = nearest(name, list(self._config.devices))
            raise CommandError("not-found", f"there is no device {quoted(name)}", field="device", suggestion=near)
        return name

    def _is_about(self, device: str) -> bool:
        """Whether the visit that is on is about a device, "bus.NAME" or part of the hub."""
        known = self._config.devices.get(device)
        return self._visit is not None and is_about(self._visit.on, device, f"bus.{known.common.bus}" if known else "")

    def _devices(self) -> list[str]:
        return [name for name in self._config.devices if self._is_about(name)]

    def _mark_work(self) -> None:
        """Let the other parts know what somebody is at work on: they keep their hands off."""
        names = [*self._config.devices, *(f"bus.{name}" for name in self._config.buses)]
        self._book.at_work = frozenset(name for name in names if self._is_about(name))
        about = {case.key for case in self._cases()}
        for case in self._book:
            case.visit = self._visit.key if self._visit and case.key in about else ""

    def _cases(self) -> list[Case]:
        return [case for case in self._book if self._is_about(case.point.partition("/")[0])]

    def _open_cases(self) -> list[Case]:
        """Those that it is about and that are not well."""
        return [case for case in self._cases() if case.stage == "open"]

    # ------------------------------------------------------------ what the parts before say

    def take(self, statement: Statement) -> Iterator[Statement]:
        """See `Part.take`."""
        change = statement.change
        kept = self._visit.kept.get(change.episode) if self._visit else None
        if self._is_about(change.point.device) and not statement.once and change.kind not in ALONE:
            if kept and kept.closing and change.phase is Phase.OPENED:  # another case, which has the key of one that is over
                yield from self._over(change.episode)
            self._keep(statement)
        elif self._visit and kept and kept.opening and change.phase not in ENDS:  # it turns out to be about something else
            del self._visit.kept[change.episode]
            yield _first(statement)
        elif kept:
            self._keep(statement)
        elif change.episode in self._untold:
            yield from self._late(statement)
        else:
            if change.phase in ENDS:
                self._unmention(change.episode)
            yield statement

    def _keep(self, statement: Statement) -> None:
        """Something happens to what the visit is about."""
        assert self._visit is not None
        change, all_kept = statement.change, self._visit.kept
        if case := self._book.get(change.episode):
            case.visit = self._visit.key
        kept = all_kept.get(change.episode) or Kept(opening=self._untold.pop(change.episode, None))
        all_kept[change.episode] = kept
        if kept.opening and change.phase in ENDS:
            del all_kept[change.episode]
            self._visit.passed += 1
        elif kept.opening:
            kept.opening = _updated(kept.opening, hold(statement))
        elif change.phase in ENDS:
            kept.closing = hold(statement)
        elif change.phase is Phase.OPENED and not kept.steps:
            kept.opening = hold(statement)
        else:
            if change.phase is not Phase.HANDED_OVER:
                kept.steps = [step for step in kept.steps if step.phase is Phase.HANDED_OVER]
            kept.steps = [*kept.steps[-MOST_STEPS:], hold(statement)]

    def _over(self, key: str) -> Iterator[Statement]:
        """A case has ended, and must be told of before the visit does."""
        assert self._visit is not None
        kept = self._visit.kept.pop(key)
        self._unmention(key)
        for held in (*kept.steps, kept.closing):
            if held and held.phase in (Phase.HANDED_OVER, *ENDS):
                yield release(held, self._config.rules, self._facts)

    def _unmention(self, key: str) -> None:
        """When the visit ends, the number of a case will not be known any more."""
        if self._visit:
            self._visit.open_before = [one for one in self._visit.open_before if one.key != key]

    def _late(self, statement: Statement) -> Iterator[Statement]:
        """A case that came and went during a visit, which is over: it ends, or comes back."""
        change = statement.change
        opening = self._untold.pop(change.episode)
        if change.phase is Phase.HANDED_OVER:
            self._untold[change.episode] = replace(opening, owner=statement.owner)
        elif change.phase not in ENDS:
            because = f"{change.because}; it had begun during a visit, and was well when that ended"
            yield _first(replace(statement, change=replace(change, because=because)))

    # ------------------------------------------------------------ the end

    def tick(self, now: float) -> Iterator[Statement]:
        """See `Part.tick`."""
        for key in [key for key, until in self._credited.items() if until <= now]:
            del self._credited[key]
            case = self._book.get(key)
            if case and case.stage == "open" and case.credit.startswith(CREDITED):
                case.credit = ""
        if self._visit and self._visit.until <= now:
            yield from self._end(now, f"it has ended by itself after {duration(self._visit.until - self._visit.since)}")

    def _end(self, now: float, because: str) -> list[Statement]:
        """What is told of the visit, and of what has been kept; what has ended last, so that the account can name its number."""
        visit = self._visit
        assert visit is not None
        told: list[Statement] = []
        ended: list[Statement] = []
        for key, kept in visit.kept.items():
            case = self._book.get(key)
            is_well = kept.closing is not None or (case is not None and case.stage == "proving")
            if kept.opening and is_well:
                assert case is not None
                case.told_well = True  # or nobody would be told if it came back
                self._untold[key] = kept.opening
                visit.passed += 1
            elif kept.opening:
                told.append(self._begun(kept.opening, visit, now))
            steps = [step for step in kept.steps if step.phase is Phase.HANDED_OVER or not is_well]
            told += [release(step, self._config.rules, self._facts) for step in steps]
            if kept.closing:
                ended.append(release(kept.closing, self._config.rules, self._facts))
        self._give_credit(visit, now)
        account = Ended(visit, now, self._devices(), self._open_cases(), because)
        self.deeds += [Deed("visit", device, now) for device in account.devices]
        self._visit = None
        self._mark_work()
        return [*told, account.statement(self._config, self._facts), *ended]

    def _begun(self, opening: Held, visit: Visit, now: float) -> Statement:
        """The opening of a case that began during the visit, now that it is told."""
        held = replace(opening, at=now, because=f"{opening.because}; it began during the visit of {visit.by}, and is still open")
        statement = release(held, self._config.rules, self._facts)
        return replace(statement, adds={**statement.adds, "during": Numbered(visit.key)})

    def _give_credit(self, visit: Visit, now: float) -> None:
        """What is well since the visit began has its moment to tell so; what is still open may yet turn out to be put right."""
        for case in self._cases():
            if case.stage == "open" and case.credit == visit.credit:
                self._credited[case.key] = now + CREDIT.get(case.kind, CREDIT_ELSE)
            elif case.stage == "proving" and (case.well_since or now) >= visit.since:
                case.credit, case.told_well = case.credit or visit.credit, True

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Part.memory`."""
        return msgspec.to_builtins(
            Memory(
                visit=self._visit, count=self._count, untold=self._untold, credited=self._credited, records=self._records.memory()
            )
        )

    def recall(self, memory: Any, shift: float, now: float) -> Iterator[Statement]:  # noqa: ARG002
        """See `Part.recall`."""
        known = msgspec.convert(memory, Memory)
        self._visit, self._count = known.visit, known.count
        if self._visit:
            self._visit.shift(shift)
        self._untold = {key: held.shifted(shift) for key, held in known.untold.items()}
        self._credited = {key: until + shift for key, until in known.credited.items()}
        self._records.recall(known.records)
        self._mark_work()
        yield from ()


class Memory(msgspec.Struct, kw_only=True):
    """What must survive a restart."""

    visit: Visit | None
    count: int
    untold: dict[str, Held]
    credited: dict[str, float]
    records: dict[str, Any] = {}


def _first(statement: Statement) -> Statement:
    """A step of a case as the first that anybody hears of it, who never heard of an owner that had it before."""
    adds = {name: value for name, value in statement.adds.items() if name != "handed_over"}
    return replace(statement, change=replace(statement.change, phase=Phase.OPENED), adds=adds)


def _updated(opening: Held, step: Held) -> Held:
    """An opening that nobody has been told of, after a further step of its case."""
    if step.phase is Phase.HANDED_OVER:
        return replace(opening, owner=step.owner, caused_by=step.caused_by, fault=step.fault)
    return replace(step, phase=Phase.OPENED, since=opening.since)


def _written_down(texts: list[str], text: str, what: str) -> int:
    _room(texts, what)
    texts.append(_clean(text))
    return len(texts)


def _room(entries: Sequence[Any], what: str) -> None:
    if len(entries) >= MOST:
        raise CommandError("failed", f"this visit has {MOST} {what} already; end it and start another one for more")


def _clean(text: str) -> str:
    """One line without signs that cannot be seen."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
