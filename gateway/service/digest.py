"""The digest: the periodic account of the service that nobody saw, to the customer and in the customer's language.

Promises
- It is the last part and counts every statement, whatever becomes of it further on. Its counts are a few numbers, however much
  happens, and they change only when something is told; readings are counted by the engine, and noted a few times a day.
- Text and numbers say the same, and name things by their labels. A quiet week is one sentence, not a table of zeros; and when
  nothing was read, nobody is told that all is well.
- It is made when it is due by the hub's calendar (`timetable.py`), and not before the hub knows what time it is. One that was
  missed is made once. The first covers what has happened since the hub was installed.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from gateway import moments
from gateway.commands import Answer, Command, CommandError
from gateway.config.model import Config
from gateway.diagnosis.contract import HUB, STATE, THE_HUB, Phase
from gateway.service import owners
from gateway.service.casebook import Case, Casebook
from gateway.service.casework import BY_CONFIG, BY_ITSELF
from gateway.service.catalogue import Catalogue
from gateway.service.contract import NEVER, Facts, Statement, one_off
from gateway.service.timetable import due
from gateway.service.visit import CREDITED, Ended

LOOK = 3600.0  # s at most between two looks at the clock: it may be set, or become known
NOTE = 6 * 3600.0  # s between two notes of how many readings there were: each is written to the card
LISTED = 5  # cases that are named
ASKED = 3  # things that are asked of the customer
LONGEST = 40  # characters of a label or a name
LONGEST_ASK = 140  # of what is asked
GRAVITY = {"critical": 0, "warning": 1, "info": 2}
CREDITS = {
    BY_ITSELF: "itself",
    "by the remedy ": "remedy",
    "by step ": "step",
    CREDITED: "visit",
    "by the owner ": "owner",
    BY_CONFIG: "settings",
}  # how the last moment of a case begins to say how it ended -> key of the catalogue


class Ask(Command, frozen=True, kw_only=True):
    """The digest as it would be made now."""


class Tally(Struct, kw_only=True):
    """What was told since the last digest. See `moments.Digest`."""

    noticed: dict[str, int] = field(default_factory=dict)
    prevented: int = 0
    healed: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    milestones: int = 0

    def add(self, statement: Statement) -> None:
        """Count one."""
        change = statement.change
        match change.kind, change.phase:
            case "problem" | "prediction" | "hub" | "insight", Phase.OPENED:
                _one_more(self.noticed, change.kind)
            case "milestone", Phase.OPENED:
                self.milestones += 1
            case "visit", _:
                self._visit(statement)
            case _, Phase.HANDED_OVER:
                _one_more(self.changed, "handed_over")
            case "prediction", Phase.CLOSED:
                self.prevented += change.how.startswith("averted")
            case "problem" | "hub", Phase.CLOSED:
                _one_more(self.healed, credit(change.how))

    def _visit(self, statement: Statement) -> None:
        _one_more(self.changed, "visits")
        ended = statement.adds.get("visit")
        for _ in ended.visit.replaced if isinstance(ended, Ended) else ():
            _one_more(self.changed, "replaced")


def credit(how: str) -> str:
    """What brought a case to its end, as a key of the catalogue; `how` is that of its last moment."""
    return next((word for begin, word in CREDITS.items() if how.startswith(begin)), "other")


def _one_more(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


class Memory(Struct, kw_only=True):
    """What survives a restart.

    since: when it was last told, or the hub was installed (s of the timeline); None before anybody has looked at the clock. began:
    the same by the calendar (ISO 8601, UTC), as soon as that is known. read: readings up to when the engine had counted `engine`.
    """

    since: float | None = None
    began: str = ""
    read: int = 0
    engine: int = 0
    config: str = ""
    tally: Tally = field(default_factory=Tally)


class Account(NamedTuple):
    """A digest, as text and as data; there its cases have their keys in the place of their numbers."""

    text: str
    data: moments.Digest

    def written(self, utc: Callable[[float], datetime], number: Callable[[str], str]) -> moments.Digest:  # noqa: ARG002
        """See `contract.Unwritten`."""
        return replace(self.data, open=tuple(replace(one, case=number(one.case)) for one in self.data.open))


class Digests:
    """The last part of the service."""

    def __init__(self, config: Config, facts: Facts, book: Casebook, waits: Callable[[str], bool]) -> None:
        """waits: whether nobody has been told of the case of this key yet; what was not told is not in the account of it."""
        self._config = config
        self._facts = facts
        self._book = book
        self._waits = waits
        self._known = Memory(engine=facts.readings(), config=config.digest)
        self._note_at = -NEVER
        self.next_due = -NEVER  # at once: nobody knows yet what time it is

    def take(self, statement: Statement) -> Iterator[Statement]:
        """See `Part.take`."""
        self._known.tally.add(statement)
        yield statement

    def tick(self, now: float) -> Iterator[Statement]:
        """See `Part.tick`."""
        if self._known.since is None:
            self._known.since = now
        if now >= self._note_at:
            self._note_at = now + NOTE
            self._known.read, self._known.engine = self._readings(), self._facts.readings()
        self.next_due = now + LOOK
        wall = self._facts.wall(now)
        if wall is None:
            return
        self._keep_calendar(wall)
        if (at := self._due(wall)) is None:
            return
        if wall >= at:
            yield self._digest(now, wall)
            self._known = Memory(
                since=now,
                began=wall.astimezone(UTC).isoformat(),
                engine=self._facts.readings(),
                config=self._config.digest,
            )
            at = self._due(wall) or at
        self.next_due = now + min(LOOK, max((at - wall.astimezone(UTC)).total_seconds(), 0.0))

    def so_far(self, now: float) -> Answer:
        """See `Ask`. Raises CommandError while nobody knows what time it is."""
        wall = self._facts.wall(now)
        if wall is None:
            raise CommandError("clock-not-set", "the hub does not know what time it is, so it cannot say since when")
        return {"says": self._account(wall).text}

    # ------------------------------------------------------------ when

    def _keep_calendar(self, wall: datetime) -> None:
        """Note when the account begins, as soon as that is known; no later than now, whatever the clock said before."""
        begin = self._begin(wall).astimezone(UTC).isoformat()
        if self._known.began != begin:
            self._known.began = begin

    def _begin(self, wall: datetime) -> datetime:
        """When the account begins, local time."""
        begin: datetime | None = None
        if self._known.began:
            begin = datetime.fromisoformat(self._known.began).astimezone(wall.tzinfo)
        elif self._known.since is not None:
            begin = self._facts.wall(self._known.since)
        return min(begin or wall, wall)

    def _due(self, wall: datetime) -> datetime | None:
        return due(self._config.digests, self._begin(wall))

    def _readings(self) -> int:
        return self._known.read + self._facts.readings() - self._known.engine

    # ------------------------------------------------------------ what

    def _digest(self, now: float, wall: datetime) -> Statement:
        account = self._account(wall)
        keys = self._config.digests
        since = now - (wall - account.data.from_).total_seconds()
        because = f"[digest] asks for it: {keys.every}, at {keys.hour}:00"
        owner = owners.desk(self._config, "the desk is whom the customer hears from")
        adds = {"digest": account}
        return one_off("digest", "digest", THE_HUB, now, account.text, because, since=since, owner=owner, adds=adds)

    def _account(self, wall: datetime) -> Account:
        begin = self._begin(wall)
        texts = Catalogue(self._config.digests.language)
        tally = self._known.tally
        still = [case for case in self._book if case.stage == "open" and not case.caused_by and not self._waits(case.key)]
        still.sort(key=lambda case: (GRAVITY[case.severity], case.since))
        data = moments.Digest(
            language=self._config.digests.language,
            from_=begin.astimezone(UTC).replace(microsecond=0),
            until=wall.astimezone(UTC).replace(microsecond=0),
            devices=len(self._config.devices),
            readings=self._readings(),
            noticed=dict(tally.noticed),
            prevented=tally.prevented,
            healed=dict(tally.healed),
            changed=dict(tally.changed),
            milestones=tally.milestones,
            are_open=len(still),
            open=tuple(self._still_open(case, texts, wall) for case in still[:LISTED]),
            asks=tuple(self._asks(still, texts)),
        )
        return Account("\n".join(_lines(data, texts, self._config, begin.date(), wall)), data)

    def _still_open(self, case: Case, texts: Catalogue, wall: datetime) -> moments.StillOpen:
        since = self._facts.wall(case.since) or wall
        return moments.StillOpen(
            case=case.key,
            subject=case.point,
            label=self._label(case.point, texts),
            severity=case.severity,
            since=since.astimezone(UTC).replace(microsecond=0),
            owner=_cut(case.owner.name),
        )

    def _asks(self, still: list[Case], texts: Catalogue) -> Iterator[str]:
        """What the customer can do about what is open: the next step of each case, if it is one for the customer."""
        asked = 0
        for case in still:
            rule = self._config.rules.get(case.rule_id)
            tried = {one.what for one in case.tried}
            steps = [step for number, step in enumerate(rule.steps if rule else (), 1) if f"step {number}" not in tried]
            step = next((step for step in steps if step.by == "customer"), None)
            if step is not None and asked < ASKED:
                asked += 1
                yield texts.say("asks.step", label=self._label(case.point, texts), do=_cut(step.do, LONGEST_ASK))

    def _label(self, point_id: str, texts: Catalogue) -> str:
        """What people call a point; of how a device is doing, the device."""
        device, _, name = point_id.partition("/")
        if device == HUB and texts.has(f"names.{name}"):
            return texts.say(f"names.{name}")
        if device.startswith("bus."):
            bus = device.removeprefix("bus.")
            known = self._config.buses.get(bus)
            return _cut(known.common.label if known and known.common.label else texts.say("names.bus", name=bus))
        point = self._facts.point(point_id)
        if point is None:
            known_device = self._config.devices.get(device)
            return _cut(known_device.title if known_device else device)
        return _cut(point.device_label if name == STATE else point.label)

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Part.memory`."""
        return msgspec.to_builtins(self._known)

    def recall(self, memory: Any, shift: float, now: float) -> Iterator[Statement]:
        """See `Part.recall`."""
        self._known = known = msgspec.convert(memory, Memory)
        known.since = None if known.since is None else known.since + shift
        known.engine = min(known.engine, self._facts.readings())  # begun anew with the hub, gone on with a reload
        if known.config != self._config.digest:
            known.config = self._config.digest
            _one_more(known.tally.changed, "settings")
        self.next_due = now
        yield from ()


# ---------------------------------------------------------------- in words


def _lines(data: moments.Digest, texts: Catalogue, config: Config, begin: date, wall: datetime) -> Iterator[str]:
    """The text, line by line."""
    end = wall.date()
    name = _cut(config.desk.name) or texts.say("names.nobody")
    words = {
        "period": texts.say(
            "digest.period" if begin < end else "digest.day", begin=texts.date(begin, end), end=texts.date(end, end)
        ),
        "desk": name,
        "devices": texts.count("watched.devices", data.devices),
        "readings": texts.count("watched.readings", data.readings),
    }
    if config.digests.to:
        yield texts.say("digest.greeting", to=config.digests.to)
    news = list(_news(data, texts, wall))
    if not data.readings:
        yield texts.say("digest.unread", **words)
    elif data.are_open or data.noticed or data.healed or data.prevented:
        yield texts.say("digest.watched", **words)
    else:
        yield texts.say("digest.quiet", **words)
    yield from news
    if news and config.desk.contact:
        yield texts.say("digest.contact", desk=name, contact=_cut(config.desk.contact.removeprefix("tel:").removeprefix("mailto:")))


def _news(data: moments.Digest, texts: Catalogue, wall: datetime) -> Iterator[str]:
    """What there is to tell beside that it was watched."""
    if data.noticed:
        yield texts.say("digest.noticed", list=_counted("noticed", data.noticed, texts))
    if data.prevented:
        yield texts.count("digest.prevented", data.prevented)
    if data.healed:
        yield texts.say("digest.healed", list=_counted("healed", data.healed, texts))
    if data.changed:
        yield texts.say("digest.changed", list=_counted("changed", data.changed, texts))
    if data.milestones:
        yield texts.count("digest.milestones", data.milestones)
    if data.open:
        items = [_still(one, texts, wall) for one in data.open]
        if data.are_open > len(items):
            items.append(texts.count("lists.more", data.are_open - len(items)))
        yield texts.say("digest.open", list=texts.listed(items))
    if data.asks:
        yield texts.say("digest.asks")
        yield from (f"- {ask}" for ask in data.asks)


def _counted(table: str, counts: Mapping[str, int], texts: Catalogue) -> str:
    """How many of each, in the order of the catalogue."""
    return texts.listed([texts.count(f"{table}.{name}", counts[name]) for name in texts.keys(table) if name in counts])


def _still(one: moments.StillOpen, texts: Catalogue, wall: datetime) -> str:
    words = {"label": one.label, "date": texts.date(one.since.astimezone(wall.tzinfo).date(), wall.date())}
    return texts.say("open.with_owner", owner=one.owner, **words) if one.owner else texts.say("open.case", **words)


def _cut(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
