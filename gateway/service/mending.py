"""Putting things right after a remedy: a value that was written is written back, and what may have been left off is switched on.

Promise: what may be off is switched on again and again until it is on, also across restarts, or until the config has it no longer.
A value is given up after some attempts, because whatever refuses it may have good reasons.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.config.actions import Action
from gateway.service.attempt import Attempt, Order
from gateway.service.contract import Try

AGAIN = 60.0  # s between two attempts
MOST = 5  # of them, for a value


class Mending(msgspec.Struct, kw_only=True):
    """Something that has to be put right after a remedy: what it may have left off, or what it wrote.

    at: when that began. due: when it is put right (again). tried: how often it was, in vain.
    """

    number: int
    remedy: str
    case: str
    device: str
    at: float
    action: Action
    restores: bool
    due: float
    tried: int = 0

    def is_of(self, tried: Try) -> bool:
        """Whether that is what the case has of the remedy."""
        return (tried.what, tried.at) == (f"remedy {self.remedy}", self.at)

    def moved_by(self, shift: float) -> "Mending":
        """The same on a timeline that begins elsewhere."""
        return replace(self, at=self.at + shift, due=self.due + shift)


class Mendings:
    """All that has to be put right."""

    def __init__(self) -> None:
        self._waiting: list[Mending] = []

    def __iter__(self) -> Iterator[Mending]:
        return iter(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, number: int, attempt: Attempt, action: Action, now: float, *, restores: bool = False) -> None:
        """Something that an attempt has done, or may have left half done."""
        self._waiting.append(
            Mending(
                number=number,
                remedy=attempt.remedy,
                case=attempt.case,
                device=attempt.device,
                at=attempt.at,
                action=action,
                restores=restores,
                due=now,
            )
        )

    def get(self, number: int) -> Mending | None:
        """The one with this order."""
        return next((one for one in self._waiting if one.number == number), None)

    def of(self, attempt: Attempt) -> bool:
        """Whether anything that an attempt did has yet to be put right."""
        return any((one.case, one.at) == (attempt.case, attempt.at) for one in self._waiting)

    def orders(self, now: float) -> list[Order]:
        """What is to be done now."""
        return [Order(one.number, one.action, one.restores) for one in self._waiting if one.due <= now]

    def tried(self, mending: Mending, now: float, *, done: bool) -> None:
        """It was put right, or could not be and is tried again."""
        mending.tried += 1
        mending.due = now + AGAIN
        if done or (not mending.restores and mending.tried >= MOST):
            self._waiting.remove(mending)

    def drop(self, mending: Mending) -> None:
        """Nobody can put it right any more."""
        self._waiting.remove(mending)

    def memory(self) -> Any:
        """See `Part.memory`."""
        return msgspec.to_builtins(self._waiting)

    def recall(self, memory: Any, shift: float) -> None:
        """See `Part.recall`."""
        self._waiting = [one.moved_by(shift) for one in msgspec.convert(memory, list[Mending])]
