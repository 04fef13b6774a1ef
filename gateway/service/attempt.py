"""One try of a remedy, as the hub remembers it, and the order that goes out of it.

ordered -> watched -> worked | failed | harmed      ordered: it may have begun, and nobody knows how far it is
   +-----> stopped -> harmed                        stopped: harm was seen in the middle of it
   +-----> doubted -> interrupted | harmed          watched: it was done, and its effect is waited for
   +-----> impossible                               doubted: the hub was stopped in the middle of it

Nobody may read "ordered" as "not done": that is known only of an order that was never handed out. Nor "doubted": it may have been
done, so its effect is waited for as if it had been.
"""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from drivers.contract import NoValue, Outcome, Value
from gateway.config.actions import Action, Cycle, Reopen, Reset, Run, Write
from gateway.diagnosis.contract import Change, Phase
from gateway.diagnosis.teller import LONG_OPEN
from gateway.service.contract import Try

LONGEST = 200  # characters of what is kept of one try
Stage = Literal["ordered", "watched", "stopped", "doubted"]


class Order(NamedTuple):
    """Something to be done in the world. `restores`: not the action itself, but what must be done first where it was cut short."""

    number: int
    action: Action
    restores: bool = False


class Attempt(msgspec.Struct, kw_only=True):
    """A try that is under way. Times in seconds of the hub's timeline.

    number: of its order. point: what its case is about. at: when it began. until: when its effect must have shown. before: what
    the point of its case read when it began. was: what the point that it wrote to read before. did: what was
    done, in words. openings: of its case, when it began.
    """

    number: int
    remedy: str
    case: str
    point: str
    action: Action
    at: float
    openings: int
    before: Value | None = None
    was: Value | None = None
    did: str = ""
    stage: Stage = "ordered"
    until: float | None = None

    @property
    def device(self) -> str:
        """Whose case it is."""
        return self.point.partition("/")[0]

    @property
    def credit(self) -> str:
        """How a case is said to have ended that it has put right."""
        return f"by the remedy {self.remedy}"

    @property
    def what(self) -> str:
        """How the case has it."""
        return f"remedy {self.remedy}"

    @property
    def going_on(self) -> str:
        """What stands against anything else meanwhile: "the remedy colder is being tried"."""
        return f"the remedy {self.remedy} " + (
            "was cut short, and may still show its effect" if self.stage == "doubted" else "is being tried"
        )

    def is_in(self, tried: Try) -> bool:
        """Whether that is what the case has of it."""
        return (tried.what, tried.at) == (self.what, self.at)

    def moved_by(self, shift: float) -> "Attempt":
        """The same on a timeline that begins elsewhere."""
        return replace(self, at=self.at + shift, until=None if self.until is None else self.until + shift)

    def is_harmed_by(self, change: Change, openings: int) -> bool:
        """Whether its case gets worse by this: not because it is back, or has merely been open for long."""
        anew = openings != self.openings or change.because.startswith(LONG_OPEN)
        return change.phase is Phase.WORSENED and self.stage != "stopped" and not anew

    def undoing(self) -> Action | None:
        """What undoes it; None where nothing does, or nothing must."""
        if isinstance(self.action, Write) and self.was is not None and self.was != self.action.value:
            return Write(self.action.device, self.action.point, self.was)
        return None


def known(outcome: Outcome | None) -> Value | None:
    """A value; None where there is none."""
    return None if isinstance(outcome, NoValue) else outcome


def reads(last: tuple[Outcome, float] | None) -> Value | None:
    """What a point says, by its newest reading."""
    return known(last[0]) if last else None


def written(action: Action) -> str:
    """The point that an action writes and could be put back; empty where there is none."""
    return f"{action.device}/{action.point}" if isinstance(action, Write) else ""


def sentence(text: str) -> str:
    """With a capital and a full stop, and not longer than a case has room for."""
    line = " ".join(text.split())
    line = line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
    return f"{line[:1].upper()}{line[1:]}" + ("" if line.endswith((".", "…")) else ".")


def is_there(action: Action, on_bus: Mapping[str, Collection[str]]) -> bool:
    """Whether what an action is done to is in the config; on_bus: the devices of each bus."""
    match action:
        case Write(device=device) | Cycle(device=device):
            return any(device in devices for devices in on_bus.values())
        case Reopen(bus=bus) | Reset(bus=bus):
            return bus in on_bus
        case Run():
            return True


def touches(action: Action, device: str, on_bus: Mapping[str, Collection[str]]) -> set[str]:
    """The devices and buses with which an action for the sake of a device interferes, so that no other one may meanwhile.

    on_bus: the devices of each bus.
    """
    match action:
        case Write(device=own) | Cycle(device=own):
            return {device, own}
        case Reopen(bus=bus) | Reset(bus=bus):
            return {device, f"bus.{bus}", *on_bus.get(bus, ())}
        case Run():
            return {device}
