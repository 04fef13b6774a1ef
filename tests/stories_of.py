"""Stories as text (`golden/README.md`): what devices said and people did, and a hub without wires that lives through it."""

import asyncio
import json
import random
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from drivers.contract import Batch, NoValue, Outcome
from gateway import moments
from gateway.clock import VirtualClock, wall_time, week_time
from gateway.commands import Answer, Commands
from gateway.config.actions import Write, intent
from gateway.config.model import Config
from gateway.config.units import convert, duration
from gateway.diagnosis.contract import STATE
from gateway.diagnosis.engine import Engine
from gateway.hub_commands import HubCommands
from gateway.service import asked
from gateway.service.contract import Statement
from gateway.service.desk import Desk
from gateway.service.facts import HubFacts
from gateway.service.privacy import Privacy
from gateway.service.service import Service
from gateway.store import Store

NOT_READ = object()

# ---------------------------------------------------------------- readings.txt

_PIECE = re.compile(
    r"""\s*(?: \( (?P<group> [^()]* ) \)
             | (?P<word> on | off | _ | \?[^,()]*? | "[^"]*" )
             | (?P<first> -?[\d.]+ ) (?: \s+ to \s+ (?P<last> -?[\d.]+ ) )? (?: \s* ~ (?P<waver> [\d.]+ ) )?
           ) (?: \s+ x(?P<times> \d+ ) )? \s* (?: , | $ )""",
    re.VERBOSE,
)


class Device(NamedTuple):
    """One device of a story: how often it is read (s), and the values of its points."""

    name: str
    every: float
    points: dict[str, list[Any]]


class Deed(NamedTuple):
    """What somebody did: when, and the words of a command."""

    at: datetime
    words: list[str]


class Tale(NamedTuple):
    """A whole readings.txt."""

    start: datetime
    devices: list[Device]
    deeds: list[Deed]


def pieces(text: str) -> Iterator[Any]:
    """The values that some pieces stand for."""
    place = 0
    while place < len(text):
        match = _PIECE.match(text, place)
        assert match, f"cannot read {text[place:]!r}"
        place = match.end()
        times = int(match["times"] or 1)
        if match["group"] is not None:
            yield from list(pieces(match["group"])) * times
        elif match["word"]:
            yield from [word(match["word"])] * times
        else:
            first, last, waver = (float(match[name] or 0) for name in ("first", "last", "waver"))
            slope = (last - first) / max(times - 1, 1) if match["last"] else 0.0
            chance = random.Random(match[0])
            yield from (round(first + slope * step + waver * (2 * chance.random() - 1), 3) for step in range(times))


def word(text: str) -> Any:
    if text.startswith("?"):
        return NoValue(text[1:].strip() or "no value")
    return {"on": True, "off": False, "_": NOT_READ}.get(text, text.strip('"'))


def read(text: str) -> Tale:
    """A whole readings.txt."""
    tale = Tale(datetime(2026, 1, 1, tzinfo=UTC), [], [])
    for line in text.splitlines():
        head, _, rest = line.strip().partition(" ")
        if not head or head.startswith("#"):
            continue
        if line.startswith("start "):
            tale = tale._replace(start=datetime.fromisoformat(rest.strip()).replace(tzinfo=UTC))
        elif line.startswith("at "):
            day, clock, *words = shlex.split(rest, comments=True)
            tale.deeds.append(Deed(datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=UTC), words))
        elif not line[0].isspace():
            tale.devices.append(Device(head, duration(rest.split("#")[0].removeprefix("every")), {}))
        else:
            tale.devices[-1].points[head] = list(pieces(rest.strip()))
    for device in tale.devices:
        lengths = {name: len(values) for name, values in device.points.items()}
        assert len(set(lengths.values())) == 1, f"{device.name} has unequally many values: {lengths}"
    return tale


def batches(device: Device, number: int) -> Iterator[Batch]:
    """As the poller hands them over; devices take turns, a little after one another."""
    names = tuple(name for name in device.points if name != STATE)
    shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
    states = device.points.get(STATE, [])
    told = None
    for step in range(max(map(len, device.points.values()))):
        at = step * device.every + number / 8
        row: dict[str, Outcome] = {name: device.points[name][step] for name in names if device.points[name][step] is not NOT_READ}
        if row:
            shape = shapes.setdefault(tuple(row), tuple(row))
            yield Batch(device.name, at, shape, tuple(row.values()))
        if states and states[step] != told:
            told = states[step]
            yield Batch(device.name, at, (STATE,), (told,))


def question(words: Sequence[str], commands: Commands) -> tuple[str, dict[str, Any]]:
    """Name and fields of a command in words: `visit start by "Jan Peeters" on freezer-1, freezer-2`.

    The words of its name stand for its hyphens. Then come its fields, each with its value, or with several that are separated by
    commas; the value of the first field of the command may come without its name.
    """
    known = commands.names("person")
    length = max((length for length in range(1, len(words) + 1) if "-".join(words[:length]) in known), default=0)
    assert length, f"no command begins {' '.join(words)!r}; known: {', '.join(known)}"
    name, rest = "-".join(words[:length]), list(words[length:])
    shape = commands.fields(name)
    fields: dict[str, Any] = {}
    field = shape[0] if rest and rest[0] not in shape else ""
    while rest:
        field = field or rest.pop(0)
        values = [rest.pop(0)]
        while values[-1].endswith(",") and rest:
            values[-1:] = [values[-1].removesuffix(","), rest.pop(0)]
        fields[field], field = values[0] if len(values) == 1 else values, ""
    return name, fields


# ---------------------------------------------------------------- a hub without wires

Happening: TypeAlias = Batch | Deed
TICK = 0.0625  # s before something happens, up to which everything that was due has been dealt with


class Hub:
    """A config at work, but for its buses, its uplink and the outbox; `moments` are what it told, in order."""

    def __init__(self, config: Config, store: Store, start: datetime) -> None:
        self.config = config
        self.clock = VirtualClock(start)
        self.store = store
        self.commands = Commands()
        asked.offer(self.commands, self, self.clock)
        self.privacy = Privacy(config)
        HubCommands(self, self.clock).offer(self.commands)
        self.moments: list[moments.Moment] = []
        self._begin()

    def _begin(self) -> None:
        zone = ZoneInfo(self.config.hub.time_zone)
        surroundings = self.config.surroundings(wall_time(self.clock, zone))
        local = week_time(self.clock, zone)
        self.desk = Desk(self.config, self.store, self.clock, lambda: moments.Hub(clock="synced", version="0"))
        self.engine = Engine(self.config.rules, self.config.points(), convert, self.clock.now(), local, surroundings)
        self.service = Service(self.config, HubFacts(self.config, self.engine, self.clock))

    def restart(self) -> None:
        """Save, through JSON, and go on with a new engine and service."""
        saved = json.loads(json.dumps([self.engine.state(), self.service.memory()]))
        self._begin()
        changes = self.engine.restore(saved[0])
        self.tell(self.service.recall(saved[1], 0.0, self.now()))
        self.tell(self.service.take(changes))

    def feed(self, batch: Batch) -> None:
        """A device was read."""
        self.wait_until(batch.at)
        self.tell(self.service.take(self.engine.feed(batch)))

    def wait_until(self, at: float) -> None:
        """Let time pass; whatever is due is dealt with at its own time."""
        while (due := min(self.engine.next_due, self.service.next_due)) <= at - TICK:
            self.clock.advance(max(due, self.now()) - self.now())
            self.tell(self.service.take(self.engine.tick(self.now())))
            self.tell(self.service.tick(self.now()))
        self.clock.advance(max(0.0, at - self.now()))

    def do(self, words: Sequence[str]) -> Answer:
        """Somebody asks for something: see `question`. Raises CommandError."""
        name, fields = question([self._number(each) for each in words], self.commands)
        answer: Answer = json.loads(asyncio.run(self.commands.read(name, fields, "person").perform()))
        return answer

    def _number(self, text: str) -> str:
        """What a story calls "case 2" by its number."""
        cases = list(dict.fromkeys(moment.data.case for moment in self.moments))
        return cases[int(text[5:]) - 1] if re.fullmatch(r"case \d+", text) else text

    def tell(self, statements: Sequence[Statement]) -> None:
        """See `agent.Hub.tell`."""
        self.moments += map(self.desk.write, statements)
        for deed in self.service.deeds():
            self.tell(self.service.take(self.engine.note(*deed)))
        self._carry_out()

    def _carry_out(self) -> None:
        """What the service orders is done at once, and always can be; what comes of it the readings say."""
        for order in self.service.remedies.orders(self.now()):
            assert self.service.remedies.hand_out(order)
            place = f"{order.action.device}/{order.action.point}" if isinstance(order.action, Write) else ""
            before = self.engine.last(place)
            result = self.service.remedies.done(
                order.number, self.now(), done=True, says=f"the hub {intent(order.action)}", before=before and before[0]
            )
            self.tell(self.service.say("remedies", result))

    def now(self) -> float:
        return self.clock.now()

    # ------------------------------------------------------------ what commands ask: see `hub_commands.Hub`

    async def told(self, statements: Sequence[Statement]) -> None:
        self.tell(statements)

    async def ask(self, question: Callable[[], Any]) -> Any:
        return question()

    def case_numbers(self) -> Mapping[str, str]:
        return self.desk.numbers()

    def look(self) -> None:
        self.tell(self.service.take(self.engine.tick(self.now())))


def live(config: Config, tale: Tale, folder: Path) -> list[moments.Moment]:
    """What the hub of a config tells while all this happens to it."""
    with Store.open(folder / "canary.db") as store:
        hub = Hub(config, store, tale.start)
        happenings: list[tuple[float, Happening]] = [
            (batch.at, batch) for number, device in enumerate(tale.devices) for batch in batches(device, number)
        ]
        happenings += [(hub.clock.at(deed.at), deed) for deed in tale.deeds]
        for at, happening in sorted(happenings, key=lambda each: each[0]):
            if isinstance(happening, Batch):
                hub.feed(happening)
            else:
                hub.wait_until(at)
                hub.do(happening.words)
        return hub.moments


def plain(told: Sequence[moments.Moment]) -> list[dict[str, Any]]:
    """As JSON, without what only the outbox knows, and with cases counted through, wherever they are named."""
    text = b"\n".join(map(moments.to_wire, told)).decode()
    for count, number in enumerate(dict.fromkeys(moment.data.case for moment in told), 1):
        text = text.replace(f'"{number}"', f'"case {count}"')
    made: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    for moment in made:
        for key in ("seq", "generation", "hub"):
            moment["data"].pop(key, None)
        del moment["id"], moment["data"]["rule"]["version"]
    return made
