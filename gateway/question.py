"""From what was published to a question: the envelope that every command of the downlink comes in, and where its answer goes.

    canary/hub-0042/do/mute   {"id": "7f3a", "issued": "2026-11-21T18:40:03Z", "what": "freezer-1", "until": "2026-11-22T08:00:00Z"}

`id` is the asker's, and never used for another question; `issued` and `expires` (which may be left out) are times; the rest belongs
to the command. The answer goes to the response topic of MQTT 5, with the correlation data that came along; where there is none, to
`canary/{hub}/done/{id}`.

Pure: whatever the bytes are, there is a question, or a `Refusal` with the place to send it to, or (None) nobody who could be told.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from gateway.commands import Command, CommandError, Commands, Effect, Mistake, Request, read_fields
from gateway.config.problems import described, quoted

MAX_BYTES = 16 * 1024  # of a command
LONGEST_TOPIC = 256  # characters of a response topic
LONGEST_CORRELATION = 256  # bytes
AHEAD = timedelta(minutes=1)  # by which the clock of whoever asks may be ahead

ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
SAFE = 'up to 64 letters, digits, ".", "_" or "-"'
OWN = frozenset({"do", "state", "moments"})
"""Topics below `canary/{hub}/` on which no answer is sent: what stands there means something else."""


class Envelope(Command, frozen=True, kw_only=True):
    """What every command has beside its own fields."""

    id: Annotated[str, Meta(description="The asker's name for this question.", examples=["7f3a-0001"])]
    issued: Annotated[datetime, Meta(description="When it was asked.")]
    expires: Annotated[datetime | None, Meta(description="When it is too late to do it.")] = None


ENVELOPE = Envelope.__struct_fields__


class Place(NamedTuple):
    """Where an answer goes."""

    topic: str
    correlation: bytes


class Refusal(Exception):  # noqa: N818  (the question is at fault, not the program)
    """A question that will not be done, with where to say so (None: nobody can be told)."""

    def __init__(self, error: CommandError, place: Place | None, id_: str, do: str) -> None:
        super().__init__(str(error))
        self.error, self.place, self.id, self.do = error, place, id_, do


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A command in its envelope. `raw` holds the command's own fields as they came, `mistakes` what is wrong with the envelope.

    digest: of the command and its fields, so that another question under the same id is told from a repeat.
    """

    id: str
    do: str
    raw: Mapping[str, Any]
    digest: str
    place: Place
    retained: bool
    issued: datetime | None = None
    expires: datetime | None = None
    mistakes: tuple[Mistake, ...] = ()

    def refused(self, error: CommandError) -> Refusal:
        """That it will not be done."""
        return Refusal(error, self.place, self.id, self.do)

    def request(self, commands: Commands, allow: Sequence[str], now: datetime | None, max_age: float) -> Request:
        """What is to be done. now: None while nobody knows what time it is. Raises Refusal, with every mistake that there is."""
        try:
            return self._request(commands, allow, now, max_age)
        except CommandError as error:
            raise self.refused(error) from error

    def _request(self, commands: Commands, allow: Sequence[str], now: datetime | None, max_age: float) -> Request:
        if self.retained:
            raise CommandError("retained", "a command that is retained would be done again and again; publish it without that flag")
        if allow and self.do not in allow:
            raise CommandError("not-allowed", f"this hub does not take {quoted(self.do)}; see `allow` in its [downlink]")
        try:
            request = commands.read(self.do, self.raw, "cloud")
        except CommandError as error:
            raise CommandError.of((*self.mistakes, *error.mistakes)) from error
        if self.mistakes:
            raise CommandError.of(self.mistakes)
        if now is not None:
            self._judge(now, max_age)
        elif request.offer.effect is not Effect.NONE:
            raise CommandError("clock-not-set", "this hub does not know what time it is yet, so only what changes nothing is done")
        return request

    def _judge(self, now: datetime, max_age: float) -> None:
        assert self.issued is not None, "an envelope without a mistake has it"
        if self.expires is not None and self.expires <= now:
            raise CommandError("expired", f"it is {now:%Y-%m-%dT%H:%M:%SZ}", field="expires")
        if now - self.issued > timedelta(seconds=max_age):
            raise CommandError("too-old", f"this hub takes what is at most {max_age:.0f} s old", field="issued")
        if self.issued - now > AHEAD:
            raise CommandError("not-yet", f"it is {now:%Y-%m-%dT%H:%M:%SZ} here", field="issued")


def read(
    topic: str, payload: bytes, *, retained: bool, reply_to: str, correlation: bytes, hub: str, beyond: Sequence[str]
) -> Question:
    """The question in a publication. Raises Refusal.

    hub: this hub's id. beyond: how a response topic may begin, beside `canary/{hub}/`.
    """
    do = topic.removeprefix(f"canary/{hub}/do/")
    misplaced = _misplaced(reply_to, correlation, hub, beyond)
    place = Place(reply_to, correlation) if reply_to and misplaced is None else None
    try:
        fields = msgspec.json.decode(payload)
        digest = _digest(do, fields)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Refusal(CommandError("unreadable", f"it cannot be read as JSON: {error}"), place, "", do) from error
    if nameless := _nameless(fields):
        raise Refusal(nameless, place, "", do)
    place = place or Place(f"canary/{hub}/done/{fields['id']}", b"" if misplaced else correlation)
    if misplaced:
        raise Refusal(misplaced, place, fields["id"], do)
    if len(payload) > MAX_BYTES:
        too_large = CommandError("too-large", f"{len(payload)} bytes", expected=f"at most {MAX_BYTES}")
        raise Refusal(too_large, place, fields["id"], do)
    return _opened(do, fields, digest, place, retained=retained)


def _misplaced(reply_to: str, correlation: bytes, hub: str, beyond: Sequence[str]) -> CommandError | None:
    """What is wrong with where an answer is to go."""
    own = f"canary/{hub}/"
    levels = reply_to.split("/")
    is_taken = levels[0] == "canary" and len(levels) > 2 and levels[2] in OWN
    is_topic = len(reply_to) <= LONGEST_TOPIC and reply_to.isprintable() and not set(reply_to) & set("+#")
    if reply_to and not (is_topic and not is_taken and reply_to.startswith((own, *beyond))):
        places = " or ".join(quoted(each) for each in (own, *beyond))
        return CommandError(
            "not-allowed", "an answer does not go there", field="response topic", expected=f"a topic below {places}"
        )
    if len(correlation) > LONGEST_CORRELATION:
        expected = f"at most {LONGEST_CORRELATION} bytes"
        return CommandError("too-large", f"{len(correlation)} bytes", field="correlation data", expected=expected)
    return None


def _nameless(fields: object) -> CommandError | None:
    """What is wrong with something that no answer could name."""
    if not isinstance(fields, dict):
        return CommandError("unreadable", "it is no JSON object")
    if "id" not in fields:
        return CommandError("missing-field", "is missing", field="id", expected=SAFE)
    if not isinstance(fields["id"], str) or not ID.fullmatch(fields["id"]):
        return CommandError("wrong-value", f"found {described(fields['id'])}", field="id", expected=SAFE)
    return None


def _digest(do: str, fields: object) -> str:
    """What is asked, whenever and under whatever name."""
    own = {key: value for key, value in fields.items() if key not in ENVELOPE} if isinstance(fields, dict) else {}
    return hashlib.sha256(msgspec.json.encode([do, own], order="sorted")).hexdigest()


def _opened(do: str, fields: dict[str, Any], digest: str, place: Place, *, retained: bool) -> Question:
    envelope: Envelope | None = None
    mistakes: tuple[Mistake, ...] = ()
    try:
        envelope = read_fields(Envelope, {name: fields[name] for name in ENVELOPE if name in fields})
    except CommandError as error:
        mistakes = error.mistakes
    return Question(
        id=fields["id"],
        do=do,
        raw={name: value for name, value in fields.items() if name not in ENVELOPE},
        digest=digest,
        place=place,
        retained=retained,
        issued=envelope.issued if envelope else None,
        expires=envelope.expires if envelope else None,
        mistakes=mistakes,
    )
