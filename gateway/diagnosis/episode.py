"""One run of a rule being unhappy about one point, as a small total table.

    (calm) -> pending -> open -> clearing -> closed
                 |        ^ |        |
                 v        | +--------+ unhappy again
               closed (never told)

An episode is made when its rule turns unhappy; before that a watch has none. It is pending until that has lasted, and clearing
until it has been well for long enough; a time of 0 is over at once. While nothing is known ("no value") the episode is held: it
neither opens nor closes, and both times stand still.
"""

from enum import IntEnum
from typing import Any, Self

from gateway.diagnosis.contract import Phase, Severity

SEVERER: dict[Severity, Severity] = {"info": "warning", "warning": "critical", "critical": "critical"}


class State(IntEnum):
    """Where an episode is in its life."""

    PENDING = 0
    OPEN = 1
    CLEARING = 2
    CLOSED = 3


PENDING, OPEN, CLEARING, CLOSED = State
WELL, UNHAPPY = False, True
STILL, UP = False, True

NEXT: dict[tuple[State, bool, bool], tuple[State, Phase | None]] = {
    # state, verdict, is its time up?   next state, told
    (PENDING, UNHAPPY, STILL): (PENDING, None),
    (PENDING, UNHAPPY, UP): (OPEN, Phase.OPENED),
    (PENDING, WELL, STILL): (CLOSED, None),
    (PENDING, WELL, UP): (CLOSED, None),
    (OPEN, UNHAPPY, STILL): (OPEN, None),
    (OPEN, UNHAPPY, UP): (OPEN, None),
    (OPEN, WELL, STILL): (CLEARING, None),
    (OPEN, WELL, UP): (CLEARING, None),
    (CLEARING, WELL, STILL): (CLEARING, None),
    (CLEARING, WELL, UP): (CLOSED, Phase.CLOSED),
    (CLEARING, UNHAPPY, STILL): (OPEN, None),
    (CLEARING, UNHAPPY, UP): (OPEN, None),
    (CLOSED, UNHAPPY, STILL): (CLOSED, None),
    (CLOSED, UNHAPPY, UP): (CLOSED, None),
    (CLOSED, WELL, STILL): (CLOSED, None),
    (CLOSED, WELL, UP): (CLOSED, None),
}

NEVER = float("inf")


class Episode:
    """State of one episode; times in seconds of the hub's timeline."""

    __slots__ = ("due", "gap", "held_at", "since", "state", "told_at", "worse")

    def __init__(self, since: float, due: float) -> None:
        self.state = PENDING
        self.since = since
        self.due = due  # when the present state's time is up
        self.held_at: float | None = None  # since when nothing is known
        self.gap = 0.0  # how long nothing was known, in all
        self.worse = False
        self.told_at = since

    @property
    def is_open(self) -> bool:
        """Told as opened, and not yet as closed."""
        return self.state in (OPEN, CLEARING)

    def severity(self, written: Severity) -> Severity:
        """What the rule says, or one up once it has worsened."""
        return SEVERER[written] if self.worse else written

    def hold(self, at: float) -> None:
        """Nothing is known from now on."""
        if self.held_at is None:
            self.held_at = at

    def pause(self, seconds: float) -> None:
        """Nothing was known for some time: it counts for nothing."""
        self.gap += seconds
        self.due += seconds

    def step(self, at: float, unhappy: bool, worse: bool, clear_lasting: float) -> Phase | None:
        """Take a verdict; returns what is to be told, if anything."""
        if self.held_at is not None:
            self.pause(max(0.0, at - self.held_at))
            self.held_at = None
        told: Phase | None = None
        while True:
            state, phase = NEXT[self.state, unhappy, at >= self.due]
            told = phase or told
            if state is self.state:
                break
            self.state = state
            self.due = at + clear_lasting if state is CLEARING else NEVER
        if worse and self.state is OPEN and not self.worse:
            self.worse = True
            told = told or Phase.WORSENED
        return told

    def memory(self) -> dict[str, Any]:
        """Itself as plain data."""
        due = None if self.due == NEVER else self.due
        return {
            "state": self.state.name.lower(),
            "since": self.since,
            "due": due,
            "held_at": self.held_at,
            "gap": self.gap,
            "worse": self.worse,
            "told_at": self.told_at,
        }

    @classmethod
    def recall(cls, memory: dict[str, Any], shift: float) -> Self:
        """The episode that `memory` gave, with its times shifted."""
        due, held_at = memory["due"], memory["held_at"]
        episode = cls(memory["since"] + shift, NEVER if due is None else due + shift)
        episode.state = State[memory["state"].upper()]
        episode.held_at = None if held_at is None else held_at + shift
        episode.gap = memory["gap"]
        episode.worse = memory["worse"]
        episode.told_at = memory["told_at"] + shift
        return episode
