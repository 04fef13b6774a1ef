"""What a person at the hub may ask about privacy: what leaves, how much has, and that it stop. The cloud may ask none of it.

privacy                   what leaves of each class and point, and what has left in the last days
privacy-withdraw  what    nobody agrees to this being told any more
privacy-grant     what    it may be told again
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta

from drivers.contract import PrivacyClass
from gateway.clerk import Clerk
from gateway.commands import Answer, Command, Commands, Effect
from gateway.config.model import Config
from gateway.config.privacy import CLASSES, PRIVATE, Grain
from gateway.filing import Filing
from gateway.service.consent import Left
from gateway.service.contract import Statement
from gateway.service.privacy import Privacy

Result = TypeVar("Result")
What = Annotated[Literal["household", "personal", "all"], Meta(description="Of which class; all is both.")]

TELLING = ("motion", "presen", "occup", "door", "window", "bed", "toilet", "person", "people")
"""Parts of names by which a point is probably somebody's private business."""


class Show(Command, frozen=True, kw_only=True):
    """What leaves the hub, and what has left in the last days."""


class Withdraw(Command, frozen=True, kw_only=True):
    """Consent is withdrawn: nothing of this class is told any more."""

    what: What


class Grant(Command, frozen=True, kw_only=True):
    """Consent is given: this class may be told again, as `[privacy]` says."""

    what: What


class Hub(Protocol):
    """The hub that is asked. What a reload swaps is asked for each time."""

    @property
    def config(self) -> Config:
        """The config in force."""

    @property
    def clerk(self) -> Clerk:
        """Through whom everything goes that leaves."""

    @property
    def filing(self) -> Filing:
        """The way to the disk, with the desk in force."""

    async def ask(self, question: Callable[[], Result]) -> Result:
        """What a question to the store gives, asked in its thread."""

    async def told(self, statements: Sequence[Statement]) -> None:
        """Tell these, wake the uplink, and return when they are stored. Raises StoreError."""


class PrivacyCommands:
    """These commands of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def offer(self, commands: Commands) -> None:
        """Add them."""
        commands.add("privacy", Show, self.show, Effect.NONE, cloud=False)
        commands.add("privacy-withdraw", Withdraw, self.withdraw, Effect.REPEATABLE, cloud=False)
        commands.add("privacy-grant", Grant, self.grant, Effect.REPEATABLE, cloud=False)

    async def show(self, _command: Show) -> Answer:
        """See `Show`."""
        clerk = self._hub.clerk
        left = await self._hub.ask(clerk.left)
        return {**account(self._hub.config, clerk.privacy), "left": [one._asdict() for one in left]}

    async def withdraw(self, command: Withdraw) -> Answer:
        """See `Withdraw`."""
        return await self._agree(self._hub.clerk.privacy.withdrawn | _meant(command.what))

    async def grant(self, command: Grant) -> Answer:
        """See `Grant`."""
        return await self._agree(self._hub.clerk.privacy.withdrawn - _meant(command.what))

    async def _agree(self, withdrawn: frozenset[PrivacyClass]) -> Answer:
        await self._hub.ask(lambda: self._hub.clerk.consent(self._hub.filing.desk, withdrawn))
        await self._hub.told(())
        return {"withdrawn": [one for one in CLASSES if one in withdrawn]}


def _meant(what: str) -> frozenset[PrivacyClass]:
    return frozenset(one for one in PRIVATE if what in (one, "all"))


# ---------------------------------------------------------------- what leaves, as data and in words


def account(config: Config, privacy: Privacy) -> dict[str, Any]:
    """What leaves, as plain data: of each class the grain, the consent and the points; and points that may be of another."""
    classes = {
        one: {
            "withdrawn": one in privacy.withdrawn,
            "leaves": msgspec.to_builtins(config.privacy.of(one)),
            "points": sorted(point.id for point in config.points() if point.bus and privacy.class_of(point.id) == one),
        }
        for one in CLASSES
    }
    return {"classes": classes, "doubtful": list(_doubtful(config, privacy))}


def _doubtful(config: Config, privacy: Privacy) -> Iterator[str]:
    """Points that are open because nobody said anything, though their names tell of people."""
    for name, device in config.devices.items():
        for point, keys in device.points.items():
            told = f"{point} {keys.label} {getattr(keys, 'object', '')}".casefold()
            said = keys.privacy or device.common.privacy
            if not said and f"{name}/{point}" not in privacy.points and any(part in told for part in TELLING):
                yield f"{name}/{point}"


def words(shown: Mapping[str, Any]) -> Iterator[str]:
    """The answer to `privacy`, or what `account` gives, as lines for a person."""
    left = [Left(**one) for one in shown.get("left", ())]
    for one, known in shown["classes"].items():
        points: Sequence[str] = known["points"]
        yield f"{one}: {_number(len(points), 'point')}" + (", consent withdrawn" if known["withdrawn"] else "")
        if known["withdrawn"]:
            yield "  nothing leaves, but that something private has ended which had been told before"
        else:
            yield from (f"  {line}" for line in _grain(msgspec.convert(known["leaves"], Grain)))
        if one != "open":
            yield from (f"  - {point}" for point in points)
        told = sum(each.told for each in left if each.privacy == one)
        withheld = sum(each.withheld for each in left if each.privacy == one)
        if told or withheld:
            yield f"  in the last 14 days: {_number(told, 'moment')} told, {withheld} withheld"
        for each in left:
            if each.privacy == one and each.told:
                yield f"    {_ago(each.days)}: {each.told} about {each.subject}"
    for point in shown["doubtful"]:
        yield f'{point} is told as open, because nothing else is said; if it tells of people, say `privacy = "personal"` for it'


def _grain(grain: Grain) -> Iterator[str]:
    value = {"exact": "as they are", "rounded": f"rounded to {grain.step:g}", "none": "not at all"}[grain.value]
    course = {"full": "as it was", "hourly": "as hourly means", "daily": "as daily means", "none": "not at all"}[grain.evidence]
    text = {"full": "in full, with values", "plain": "without any value"}[grain.text]
    yield f"values leave {value}; their course leaves {course}"
    yield f"texts leave {text}; devices, points and rules are {'named' if grain.names else 'not named'}"


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _ago(days: int) -> str:
    return {0: "today", 1: "yesterday"}.get(days, f"{days} days ago")
