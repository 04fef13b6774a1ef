"""What a hub may be asked to do, whoever asks: the cloud by downlink, a person at the hub by the control socket.

Promises
- One table of commands for both. A question is read like the config: every mistake in it is told at once, by field, with what was
  found, what was expected and the nearest valid word; and a question with a mistake does nothing.
- Whatever is wrong is a `CommandError` with a name that a program can go by and a text that a person can read. A bug in one command
  is an answer too, and a traceback in the log: it ends nothing.

A new command is a class for its fields and one line where the hub is put together:

    class Water(Command, frozen=True, kw_only=True):                 # with a docstring: what it does
        valve: Annotated[str, Meta(description="Which one.", examples=["garden"])]
        for_: Annotated[Seconds, Meta(le=3600, description="How long.")] = 60.0      # {"valve": "garden", "for": "2 min"}

    commands.add("water", Water, self._water, Effect.ONCE)

    async def _water(self, command: Water) -> Answer:            # or a plain function
        if command.valve not in self._valves:
            raise CommandError("not-found", f'there is no valve "{command.valve}"', field="valve")
        ...
        return {"poured": 12.5}

Types are those of config tables (`drivers.contract.Seconds` is "2 min", a `Literal` one of a few words); a `datetime` is text such
as "2026-11-21T18:40:03Z", always with its zone. The answer is a mapping of what JSON can hold.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from enum import Enum
from typing import Any, Literal, NamedTuple, Self, TypeAlias, TypeVar

import msgspec
import structlog

from drivers.contract import Keys
from gateway.config.problems import Path, Told, Unfit, described, dotted, in_a_line, nearest, one_of, quoted
from gateway.config.tables import Several, Table, table
from gateway.config.values import Day, Shape
from gateway.store import StoreError

log = structlog.get_logger("commands")

MOST_MISTAKES = 20  # that one answer tells
MOST_NAMED = 40  # commands that it names
LONGEST_TIME = 40  # characters
EXAMPLES: Mapping[type, str] = {datetime: "2026-11-21T18:40:03Z", date: "2026-11-21", time: "18:40:03"}

Answer: TypeAlias = Mapping[str, Any]
"""What a command has to say when it is done, as JSON can hold it."""

By = Literal["cloud", "person"]

ErrorName = Literal[
    "unreadable",  # no JSON object
    "unknown-command",
    "unknown-field",
    "missing-field",
    "wrong-type",
    "wrong-value",
    "too-large",
    "retained",
    "expired",
    "too-old",
    "not-yet",  # issued in the future
    "clock-not-set",  # nobody can tell whether it has expired
    "id-reused",  # for another question
    "not-allowed",
    "not-found",
    "busy",
    "interrupted",  # the hub was stopped in the middle of it
    "rolled-back",
    "failed",
]
"""How mistakes and failures are called on the wire; a name never changes its meaning."""


class Effect(Enum):
    """What doing a command twice would do, which a hub that was killed in the middle of one must know."""

    NONE = "changes nothing"  # also while nobody knows what time it is
    REPEATABLE = "done twice is as done once"
    ONCE = "must not be done again blindly"


class Command(Keys, frozen=True, kw_only=True):
    """Base of the fields of a command; its docstring is what help shows. Field names and checks are as in a table of the config."""


Fields = TypeVar("Fields", bound=Command)


class Mistake(NamedTuple):
    """One thing that is wrong with a question. `field` is a path ("steps[1].who"); empty where it is about the whole."""

    name: ErrorName
    field: str
    found: str
    expected: str = ""
    suggestion: str = ""

    @property
    def text(self) -> str:
        """The mistake in one line."""
        return in_a_line(self.field, self.found, self.expected, self.suggestion)


class CommandError(Exception):
    """A command is refused or did not work. Of several mistakes the first gives the name."""

    def __init__(self, name: ErrorName, text: str, *, field: str = "", expected: str = "", suggestion: str = "") -> None:
        self._tell((Mistake(name, field, text, expected, suggestion),))

    @classmethod
    def of(cls, mistakes: Sequence[Mistake]) -> Self:
        """One that tells them all; there is at least one."""
        error = cls("failed", "")
        error._tell(mistakes)
        return error

    def _tell(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        self.name = self.mistakes[0].name
        self.args = ("; ".join(mistake.text for mistake in self.mistakes),)

    def wire(self) -> dict[str, Any]:
        """Itself for an answer: the first mistake, and `more` where there are more; what is empty is left out."""
        first, *more = (_told(mistake) for mistake in self.mistakes)
        return first | ({"more": more} if more else {})


def _told(mistake: Mistake) -> dict[str, str]:
    said = {"name": mistake.name, "field": mistake.field, "text": mistake.text}
    said |= {"expected": mistake.expected, "suggestion": mistake.suggestion}
    return {key: text for key, text in said.items() if text}


Handler: TypeAlias = Callable[[Any], Answer | Awaitable[Answer]]
"""From a command to its answer. Raises CommandError; a StoreError is told as "failed"."""


class Offer(NamedTuple):
    """A command as it was added."""

    kind: type[Command]
    handler: Handler
    effect: Effect
    cloud: bool
    interrupted: Callable[[Any], Answer]


class Request(NamedTuple):
    """A question without a mistake in it, ready to be done."""

    name: str
    command: Command
    offer: Offer

    async def perform(self) -> bytes:
        """Do it, and return the answer as JSON. Raises CommandError."""
        try:
            answer = self.offer.handler(self.command)
            return msgspec.json.encode(await answer if inspect.isawaitable(answer) else answer)
        except (CommandError, StoreError) as error:
            raise error if isinstance(error, CommandError) else CommandError("failed", str(error)) from error
        except Exception as error:  # as around a driver: a bug in one command must not take polling down
            log.exception("command failed", do=self.name)
            raise CommandError("failed", "the hub failed at this; its log says more, please report it") from error

    def after_restart(self) -> bytes:
        """What is to be said of it when the hub was killed in the middle of it, as JSON. Raises CommandError."""
        return msgspec.json.encode(self.offer.interrupted(self.command))


class Commands:
    """All commands of a hub, by name."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}

    def add(
        self,
        name: str,
        kind: type[Command],
        handler: Handler,
        effect: Effect,
        *,
        cloud: bool = True,
        interrupted: Callable[[Any], Answer] | None = None,
    ) -> None:
        """Offer a command. cloud: whether it may come by downlink. interrupted: see `Request.after_restart`."""
        self._offers[name] = Offer(kind, handler, effect, cloud, interrupted or _interrupted)

    def names(self, by: By) -> list[str]:
        """What this one may ask for."""
        return sorted(name for name, offer in self._offers.items() if offer.cloud or by == "person")

    def offered(self, name: str) -> Offer:
        """A command as it was added; there must be one of this name."""
        return self._offers[name]

    def fields(self, name: str) -> list[str]:
        """The fields of a command, in the order in which they are written."""
        return list(table(self._offers[name].kind).fields)

    def read(self, name: str, fields: object, by: By) -> Request:
        """The question of that name, from what JSON said. Raises CommandError with every mistake in it; nothing is done yet."""
        offer = self._offers.get(name)
        if offer is None:
            known = self.names(by)
            near = nearest(name, known)
            expected = "" if near else one_of(known, MOST_NAMED)
            raise CommandError("unknown-command", f"there is no command {quoted(name)}", expected=expected, suggestion=near)
        if by == "cloud" and not offer.cloud:
            raise CommandError("not-allowed", f'"{name}" can only be asked for on the hub itself')
        return Request(name, read_fields(offer.kind, fields), offer)


def _interrupted(_command: Command) -> Answer:
    raise CommandError("interrupted", "the hub was stopped in the middle of this; whether it was done is not known")


# ---------------------------------------------------------------- from JSON to fields


class _Mistakes:
    """Collects what is wrong with one question, as the readers of the config tell it."""

    whole = True

    def __init__(self, shape: Table, raw: Mapping[str, Any]) -> None:
        self._shape = shape
        self._raw = raw
        self.found: list[Mistake] = []

    def add(self, at: Path, found: str, expected: str = "", suggestion: str = "", *, key: bool = False) -> None:
        """See `Report.add`."""
        if key and found.startswith('"'):  # at the table that lacks it
            name = found.split('"')[1]
            shape = None if at else self._shape.fields[name].shape
            expected = _example(shape) if isinstance(shape, Day) else expected
            self.found.append(Mistake("missing-field", dotted((*at, name)), "is missing", expected, suggestion))
        else:
            self.found.append(Mistake(self._name(at, key=key), dotted(at), found, expected, suggestion))

    def _name(self, at: Path, *, key: bool) -> ErrorName:
        if key:
            return "unknown-field"
        if len(at) == 1 and at[0] not in self._raw:
            return "missing-field"
        shape = self._shape.fields[str(at[0])].shape if len(at) == 1 else Shape()
        may_be = type(self._raw.get(str(at[0]))) if at else dict
        as_text = isinstance(shape, Day) or (isinstance(shape, Several) and shape.single)
        return "wrong-value" if may_be in shape.takes or (may_be is str and as_text) else "wrong-type"

    def unfit(self, at: Path, unfit: Unfit) -> None:
        """See `Report.unfit`."""
        self.add((*at, *unfit.below), unfit.found, unfit.expected, unfit.suggestion)

    def secret(self, reference: Mapping[str, Any], at: Path) -> str:  # noqa: ARG002
        """See `Report.secret`."""
        raise Unfit("a secret does not travel in a command", "nothing")


def read_fields(kind: type[Fields], raw: object) -> Fields:
    """The fields of a command from what JSON said. Raises CommandError with every mistake in them."""
    shape = table(kind)
    if not isinstance(raw, dict):
        raise CommandError("wrong-type", f"found {described(raw)}", expected="an object with the fields of the command")
    mistakes = _Mistakes(shape, raw)
    command = None
    with suppress(Told):
        command = shape.read(_with_times(raw, shape, mistakes), (), mistakes)
    if mistakes.found:
        raise CommandError.of(mistakes.found[:MOST_MISTAKES])
    assert isinstance(command, kind)
    return command


def _with_times(raw: Mapping[str, Any], shape: Table, mistakes: _Mistakes) -> dict[str, Any]:
    """The fields with what is a time made one, for which JSON has no words. What does not do is told, and another stands in."""
    fields = dict(raw)
    for key, field in shape.fields.items():
        if key in raw and isinstance(field.shape, Day):
            (kind,) = field.shape.takes
            try:
                fields[key] = _time(raw[key], kind)
            except ValueError:
                mistakes.add((key,), f"found {described(raw[key])}", _example(field.shape))
                fields[key] = _time(EXAMPLES[kind], kind)
    return fields


def _example(shape: Day) -> str:
    return f'text such as "{EXAMPLES[shape.takes[0]]}"'


def _time(value: object, kind: type) -> date | time:
    if not isinstance(value, str) or len(value) > LONGEST_TIME:
        raise ValueError(value)
    made = kind.fromisoformat(value)  # type: ignore[attr-defined]
    if kind is datetime and made.tzinfo is None:
        raise ValueError(value)
    assert isinstance(made, date | time)
    return made
