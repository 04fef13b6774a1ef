"""What the parts of the service layer share: from what the diagnosis tells to what is said of it and done about it.

    engine -> changes -> [part -> part -> ...] -> statements -> clerk (number, moment, privacy, ceilings, outbox)

A `Part` is handed every statement in turn; it passes it on, changes it, holds it back, or adds others, which go through the parts
after it. So a part knows those before it by what they say, and nothing of those after it. What several parts know of a case is in
the `casebook`. All of it is driven by statements, by deadlines and by a passed-in `now`, and does no I/O: what the hub is to do in
the world leaves as an order (`remedies.py`) and comes back as its result.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from drivers.contract import Outcome
from gateway import moments
from gateway.diagnosis.contract import Change, Evidence, Kind, Phase, PointInfo, RuleKeys

NEVER = float("inf")
Result = Literal["begun", "worked", "failed", "harmed", "impossible", "interrupted"]
"""begun: nobody knows yet. worked: it was seen to help. failed: it was done and did not help. harmed: it made things worse.
impossible: it could not be done. interrupted: the hub ended in the middle, and nobody knows how far it came."""


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about a case: `moments.Tried` on the hub's own timeline (s)."""

    what: str
    at: float
    result: Result
    says: str = ""


class Deed(NamedTuple):
    """What somebody did to a device, for the diagnosis to know of: "visit", "service", "replaced"; see `Engine.note`."""

    event: str
    device: str
    at: float


@runtime_checkable
class Unwritten(Protocol):
    """A field of a moment that only the desk can write, because it has times of the hub's timeline or the numbers of cases."""

    def written(self, utc: Callable[[float], datetime], number: Callable[[str], str]) -> Any:
        """Itself as `moments.Account` has it; `number` gives the number of the case of a key."""


class Numbered(NamedTuple):
    """The number of a case, by its key."""

    key: str

    def written(self, utc: Callable[[float], datetime], number: Callable[[str], str]) -> str:  # noqa: ARG002
        """See `Unwritten.written`."""
        return number(self.key)


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is to be told: a step of a case, with what the service has to add to it.

    `change.episode` is the key of the case, on which its number hangs. `adds` are fields of `moments.Account` by name, such as
    `handed_over`, or `Unwritten`. `device` is what is told of the device, where the config is not the last word. `once` is for
    what has no life beyond this one moment, such as an insight that is told and done with. `about` are further points of which its
    texts may speak, each with the rule that was unhappy about it: what is private of them makes all of it private.
    """

    change: Change
    owner: moments.Owner | None = None  # None: whoever covers what is at fault
    tried: tuple[Try, ...] = ()
    adds: Mapping[str, Any] = {}
    device: moments.Device | None = None
    once: bool = False
    about: tuple[tuple[str, str], ...] = ()


def one_off(
    kind: Kind,
    episode: str,
    point: PointInfo,
    at: float,
    says: str,
    because: str,
    *,
    rule: str = "",
    rule_kind: str = "",
    since: float | None = None,
    value: float | None = None,
    advice: tuple[str, ...] = (),
    owner: moments.Owner | None = None,
    adds: Mapping[str, Any] = {},
) -> Statement:
    """What one moment says all of, such as a milestone: no rule of the config has found it, and nothing is wrong.

    rule, rule_kind: what it has in place of a rule's name and kind: `episode` and `kind` if not given. since: `at` if not given.
    """
    change = Change(
        episode=episode,
        rule_id=rule or episode,
        rule=RuleKeys(kind=rule_kind or kind, on=(point.id,), severity="info", advice=advice),
        point=point,
        kind=kind,
        phase=Phase.OPENED,
        severity="info",
        at=at,
        since=at if since is None else since,
        value=value,
        says=says,
        because=because,
    )
    return Statement(change=change, owner=owner, adds=adds, once=True)


class Facts(Protocol):
    """What the service may ask of the hub at any time. Times in seconds of the hub's timeline."""

    def wall(self, at: float) -> datetime | None:
        """The local time of the hub's site, aware; None while the clock is not trusted."""

    def point(self, point_id: str) -> PointInfo | None:
        """What is known of a point; None where there is none of this name."""

    def last(self, point_id: str) -> tuple[Outcome, float] | None:
        """The newest reading of a point and its time; None where there has been none."""

    def known_since(self, point_id: str) -> float | None:
        """Since when a point has had a value without a break (of "device/*": each of them); None while it has none."""

    def is_suspect(self, point_id: str) -> bool:
        """Whether a rule is unhappy about a point, though not yet for long enough to say so."""

    def is_shown(self, episode: str, since: float) -> bool:
        """Whether what was read since a time still shows what an episode is about; see `Engine.is_shown`."""

    def evidence(self, point: PointInfo, since: float, at: float) -> Evidence | None:
        """What the hub saw of a point."""

    def holds(self, condition: str, device: str = "") -> bool | None:
        """Whether a condition over the newest readings holds; a point alone is one of this device. None where that is unknown.

        What it says of the past (`for`, `avg`, ...) counts from the first time that it was asked.
        """

    def readings(self) -> int:
        """How many readings there have been since the hub was started."""


class Part(Protocol):
    """One part of the service."""

    @property
    def next_due(self) -> float:
        """When `tick` has something to do; `NEVER` for not before something is said."""

    def take(self, statement: Statement) -> Iterable[Statement]:
        """A part before this one, or the diagnosis, says something: what goes on from here, in order."""

    def tick(self, now: float) -> Iterable[Statement]:
        """Time has passed: what is to be said because of that."""

    def memory(self) -> Any:
        """What must survive a restart, as plain data; the same as long as nothing happens, because each change is written down."""

    def recall(self, memory: Any, shift: float, now: float) -> Iterable[Statement]:
        """Take up what `memory` gave, with `shift` added to its times; what is to be said of the restart."""
