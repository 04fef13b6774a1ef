"""What the cloud, or a person at the hub, may ask of any hub: how it is, what it saw, and to be quiet about something.

    state                      vital figures, what is open, what is withheld, what is muted
    evidence    case           what the hub remembers of the point of a case: finer, and further back, than a moment has room for
    acknowledge case           that somebody knows of it
    hand-over   case           another owner is to put it right
    mute, unmute               a rule, device, bus or point, until a time

What is private stays so: of a point whose course or texts do not leave the hub in full, nothing finer than its moments does.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Protocol, TypeVar

from msgspec import Meta

from drivers.contract import KeyMistake, NoValue, Seconds
from gateway.clock import Clock
from gateway.commands import Answer, Command, CommandError, Commands, Effect
from gateway.config.model import Config
from gateway.config.privacy import Grain
from gateway.config.problems import nearest, one_of, quoted
from gateway.diagnosis.engine import Engine
from gateway.outbox import Outbox
from gateway.service.casebook import Case
from gateway.service.contract import Statement
from gateway.service.owners import DESK
from gateway.service.privacy import Privacy
from gateway.service.service import Service

LISTED = 50  # cases, devices and the like that a state names; what is more is counted
LONGEST = 160  # characters of a text in it: all in all it stays below what an answer may have
SEVERITIES = ("critical", "warning", "info")
SAMPLES = 600  # values in an evidence
MUTES = 100  # in force at once

Result = TypeVar("Result")

What = Annotated[
    str, Meta(min_length=1, max_length=200, description="A rule, device, `bus.NAME` or `device/point`; globs allowed.")
]
CaseNumber = Annotated[
    str, Meta(min_length=1, max_length=100, examples=["hub-0042-2N7K"], description="The number of an open case.")
]


class State(Command, frozen=True, kw_only=True):
    """How the hub is, and what is open."""


class EvidenceOf(Command, frozen=True, kw_only=True):
    """What the hub remembers of the point of a case."""

    case: CaseNumber
    point: Annotated[
        str, Meta(max_length=200, description="Which of the points of the case, as `device/point`; its own if not given.")
    ] = ""


class Acknowledge(Command, frozen=True, kw_only=True):
    """Somebody knows of a case; remembered until it is closed."""

    case: CaseNumber
    who: Annotated[str, Meta(min_length=1, max_length=100, description="Who knows of it.", examples=["An, CoolCare"])]
    note: Annotated[str, Meta(max_length=500, description="What they have to say of it.")] = ""


class HandOver(Command, frozen=True, kw_only=True):
    """Give a case to another owner; its number stays, and the hand-over is told."""

    case: CaseNumber
    to: Annotated[
        str, Meta(min_length=1, max_length=100, description="Name of an `[owner.NAME]`, or `desk`.", examples=["installer"])
    ]
    because: Annotated[str, Meta(min_length=1, max_length=300, description="Why.", examples=["They mounted it last week."])]
    by: Annotated[str, Meta(max_length=100, description="Who decided it.", examples=["An, CoolCare"])] = ""


class Mute(Command, frozen=True, kw_only=True):
    """Tell nothing of something until a time; what is still open then is told."""

    what: What
    until: Annotated[datetime | None, Meta(description="When it ends.")] = None
    for_: Annotated[Seconds, Meta(description="How long it lasts, in place of `until`.")] = 0.0

    def __post_init__(self) -> None:
        if (self.until is None) == (self.for_ == 0.0):
            raise KeyMistake("until", "both or none of `until` and `for`", "one of them")


class Unmute(Command, frozen=True, kw_only=True):
    """End a mute before its time."""

    what: Annotated[str, Meta(min_length=1, max_length=200, description="As it was muted.")]


class Hub(Protocol):
    """The hub that is asked. What a reload swaps is asked for each time."""

    @property
    def config(self) -> Config:
        """The config in force."""

    @property
    def engine(self) -> Engine:
        """The diagnosis."""

    @property
    def service(self) -> Service:
        """The service."""

    @property
    def privacy(self) -> Privacy:
        """What may leave."""

    @property
    def outbox(self) -> Outbox:
        """What waits for the uplink."""

    async def ask(self, question: Callable[[], Result]) -> Result:
        """What a question to the store gives, asked in its thread."""

    def case_numbers(self) -> Mapping[str, str]:
        """From the key of each case to its number; a question to the store."""

    def vitals(self) -> Mapping[str, Any]:
        """Vital figures, as plain data."""

    def devices(self) -> Mapping[str, str]:
        """How the hub gets on with each device."""

    def look(self) -> None:
        """Something may be due now."""

    async def told(self, statements: Sequence[Statement]) -> None:
        """Tell these, and return when they, and all that is remembered, are stored. Raises StoreError."""


class HubCommands:
    """These commands of one hub."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock

    def offer(self, commands: Commands) -> None:
        """Add them."""
        commands.add("state", State, self.state, Effect.NONE)
        commands.add("evidence", EvidenceOf, self.evidence, Effect.NONE)
        commands.add("acknowledge", Acknowledge, self.acknowledge, Effect.REPEATABLE)
        commands.add("hand-over", HandOver, self.hand_over, Effect.REPEATABLE)
        commands.add("mute", Mute, self.mute, Effect.REPEATABLE)
        commands.add("unmute", Unmute, self.unmute, Effect.REPEATABLE)

    # ------------------------------------------------------------ views

    async def state(self, _command: State) -> Answer:
        """See `State`."""
        engine = self._hub.engine
        numbers = await self._hub.ask(self._hub.case_numbers)
        stats = await self._hub.ask(self._hub.outbox.stats)
        unwell = {
            device: state or "not heard yet"
            for device, state in self._hub.devices().items()
            if state != "well" and self._grain(f"{device}/state").names
        }
        withheld = [
            {"rule": one.rule_id, "point": one.point.id, "since": self._stamp(one.since), "why": one.why}
            for one in engine.withheld()
            if self._grain(one.point.id, one.rule_id).names
        ]
        cases = sorted(self._hub.service.book, key=lambda case: (SEVERITIES.index(case.severity), case.since))
        muted = [{"what": what, "until": self._stamp(until)} for what, until in engine.muted()]
        return {
            **self._hub.vitals(),
            "outbox": {"waiting": stats.rows, "bytes": stats.bytes, "oldest": stats.oldest},
            "dropped": stats.dropped,
            "unwell": dict(list(unwell.items())[:LISTED]),
            "cases": [self._case(case, numbers) for case in cases[:LISTED]],
            "withheld": withheld[:LISTED],
            "muted": muted[:LISTED],
            "not_listed": sum(max(0, len(each) - LISTED) for each in (unwell, cases, withheld, muted)),
        }

    def _case(self, case: Case, numbers: Mapping[str, str]) -> dict[str, Any]:
        privacy = self._hub.privacy
        known = privacy.grain(privacy.of_case(case))
        said = {"rule": case.rule_id, "point": case.point} if known.names else {}
        said |= {"says": case.says[:LONGEST]} if known.text == "full" else {}
        said |= {"acknowledged": case.acknowledged[:LONGEST]} if case.acknowledged else {}
        return {
            "case": numbers.get(case.key, ""),
            "kind": case.kind,
            "severity": case.severity,
            "stage": case.stage,
            "since": self._stamp(case.since),
            "owner": case.owner.id,
            **said,
        }

    async def evidence(self, command: EvidenceOf) -> Answer:
        """See `EvidenceOf`. Where a stretch was condensed, its least value stands at its beginning, its greatest in its middle."""
        case = await self._find(command.case)
        chosen = command.point or case.point
        if chosen not in {case.point, *case.points}:
            near = nearest(chosen, case.points)
            found = f"the case is not about {quoted(chosen)}"
            raise CommandError("not-found", found, field="point", suggestion=near and quoted(near))
        known = self._grain(chosen, case.rule_id)
        if known.evidence != "full" or known.value != "exact":
            raise CommandError("not-allowed", "more than the moments say of this point does not leave the hub; see [privacy]")
        engine = self._hub.engine
        past = engine.past_of(chosen)[-SAMPLES:]
        begin = past[0][0] if past else self._clock.now()
        point = next((point for point in self._hub.config.points() if point.id == chosen), None)
        last = engine.last(chosen)
        value = None if last is None or isinstance(last[0], NoValue) else last[0]
        return {
            "case": command.case,
            "point": chosen,
            "unit": point.unit if point else "",
            "since": self._stamp(case.since),
            "from": self._stamp(begin),
            "at_s": [round(at - begin, 1) for at, _ in past],
            "values": [float(f"{value:.7g}") for _, value in past],
            "last": {"at": self._stamp(last[1]), "value": value} if last else None,
        }

    # ------------------------------------------------------------ what changes something

    async def acknowledge(self, command: Acknowledge) -> Answer:
        """See `Acknowledge`."""
        case = await self._find(command.case)
        case.acknowledged = f"{command.who}: {command.note}" if command.note else command.who
        await self._hub.told(())
        return {"case": command.case, "acknowledged": case.acknowledged}

    async def hand_over(self, command: HandOver) -> Answer:
        """See `HandOver`."""
        case = await self._find(command.case)
        service = self._hub.service
        try:
            steps = service.casework.hand_over(case, command.to, command.because, self._clock.now(), command.by or "the desk")
        except LookupError:
            known = [*self._hub.config.owners, DESK]
            near = nearest(command.to, known)
            found, expected = f"no owner is called {quoted(command.to)}", "" if near else one_of(known)
            raise CommandError("not-found", found, field="to", expected=expected, suggestion=near and quoted(near)) from None
        await self._hub.told(service.say("cases", steps))
        return {"case": command.case, "owner": case.owner.id}

    async def mute(self, command: Mute) -> Answer:
        """See `Mute`."""
        now = self._clock.now()
        until = now + command.for_ if command.until is None else now + self._ahead(command.until)
        longest = self._hub.config.downlink.longest_mute
        if not now < until <= now + longest:
            found = f"{command.until or command.for_} is not within the next {longest / 86400:g} days"
            raise CommandError("wrong-value", found, field="until" if command.until else "for")
        self._check_means_something(command.what)
        if len(self._hub.engine.muted()) >= MUTES:
            raise CommandError("busy", f"{MUTES} things are muted already")
        self._hub.engine.mute(command.what, until)
        self._hub.look()
        await self._hub.told(())
        return {"what": command.what, "until": self._stamp(until)}

    async def unmute(self, command: Unmute) -> Answer:
        """See `Unmute`."""
        muted = [what for what, _ in self._hub.engine.muted()]
        if command.what not in muted:
            near = nearest(command.what, muted)
            raise CommandError("not-found", f"{quoted(command.what)} is not muted", field="what", suggestion=near and quoted(near))
        self._hub.engine.mute(command.what, self._clock.now())
        self._hub.look()
        await self._hub.told(())
        return {"what": command.what}

    def _ahead(self, until: datetime) -> float:
        """Seconds from now to a time of the wall clock."""
        if not self._clock.synced():
            raise CommandError("clock-not-set", "this hub does not know what time it is yet", field="until", expected="`for`")
        return (until - self._clock.utc(self._clock.now())).total_seconds()

    def _check_means_something(self, what: str) -> None:
        config = self._hub.config
        points = config.points()
        known = [*config.rules, *dict.fromkeys(point.device for point in points), *(point.id for point in points)]
        if not any(fnmatchcase(name, what) for name in known):
            near = nearest(what, known)
            found = f"no rule, device, bus or point is called {quoted(what)}"
            raise CommandError("not-found", found, field="what", suggestion=near and quoted(near))

    async def _find(self, number: str) -> Case:
        numbers = await self._hub.ask(self._hub.case_numbers)
        key = next((key for key, known in numbers.items() if known == number), None)
        case = self._hub.service.book.get(key) if key else None
        if case is None:
            raise CommandError("not-found", f"no case {quoted(number)} is open", field="case")
        return case

    def _grain(self, point_id: str, rule_id: str = "") -> Grain:
        """What leaves the hub of what a rule says of a point, now."""
        return self._hub.privacy.grain(self._hub.privacy.class_of(point_id, rule_id))

    def _stamp(self, at: float) -> datetime:
        return self._clock.utc(at).astimezone(UTC).replace(microsecond=0)
