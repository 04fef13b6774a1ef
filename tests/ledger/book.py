"""The book: what the hub has promised, what arrived, and what is to be said of the difference.

A moment is promised when the hub's journal names it (that is after `Outbox.put`), or when it lies in its file after a kill. An
arrival with an id that was there before is no second telling: `id` is what a backend tells repeats by.

What follows from bytes that were destroyed in the hub's file is counted apart: no program can tell what it cannot read.
"""

import re
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from gateway.moments import Moment, from_wire

from ledger.machines import number_of

MADE = re.compile(r"hub: moment \| says=.* phase=(\S+) case=(\S+)")
START = datetime.fromtimestamp(0, UTC)
LAST = {"closed", "withdrawn"}


class Key(NamedTuple):
    """What a moment is, whatever its id: a case has each phase once."""

    case: str
    phase: str


class Finding(NamedTuple):
    """Something that should not be. excused: bytes of the file were destroyed in between."""

    words: str
    excused: bool


class Damage(NamedTuple):
    """Bytes of the file were destroyed when so many moments had arrived, and the hub had counted so far in this generation.

    What a moment may owe to it is seen from when the moment was made: it may have been on its way then, and have come much later.
    """

    arrivals: int
    generation: str
    seq: int


class Verdict(NamedTuple):
    """What the ledger has found. The first four must be empty."""

    lost: list[str]
    twice: list[str]
    disordered: list[str]
    garbled: list[str]
    promised: int
    arrived: int
    repeats: int  # came again with the same id
    destroyed: int  # lay in a file when its bytes were destroyed, and never arrived
    after_damage: list[str]  # what would be a fault if no bytes had been destroyed in between

    @property
    def clean(self) -> bool:
        """Lost 0, told twice 0, out of order 0, garbled 0."""
        return not (self.lost or self.twice or self.disordered or self.garbled)


class Book:
    """Two columns."""

    def __init__(self) -> None:
        self._promised: dict[Key, str] = {}  # -> where that is said
        self._exposed: set[Key] = set()  # lay in a file whose bytes were destroyed then
        self._exposed_seqs: set[tuple[str, int]] = set()
        self._first: dict[str, int] = {}  # id -> place in `_arrivals`
        self._arrivals: list[Moment] = []  # without repeats
        self._there: set[Key] = set()
        self._hidden: list[Finding] = []  # came under an id that another moment had: a backend does not see them
        self._hidden_keys: set[Key] = set()
        self._damages: list[Damage] = []
        self._generations: dict[str, int] = {}  # -> their order
        self._counted: dict[str, int] = {}  # generation -> how far its numbers had come when it was damaged first
        self._garbled: list[str] = []
        self.repeats = 0

    # ------------------------------------------------------------ what happens

    def journal(self, line: str) -> None:
        """The hub says something."""
        found = MADE.search(line)
        if found:
            self._promised.setdefault(Key(found[2], found[1]), "the journal")

    def found(self, wires: list[bytes]) -> None:
        """These lie in the hub's file."""
        for wire in wires:
            moment = from_wire(wire)
            self._promised.setdefault(_key(moment), "the hub's file")
            self._generation(moment.data.generation)

    def damage(self, generation: str, seq: int, wires: list[bytes]) -> None:
        """The file with these is about to be damaged, and with it what the hub remembers of its cases."""
        self.found(wires)
        self._exposed |= {_key(from_wire(wire)) for wire in wires}
        self._exposed_seqs |= {(moment.data.generation, moment.data.seq) for moment in map(from_wire, wires)}
        self._counted.setdefault(generation, seq)
        self._generation(generation)
        self._damages.append(Damage(len(self._arrivals), generation, seq))

    def arrive(self, wire: bytes) -> bool:
        """The subscriber has got something; returns whether it is new."""
        try:
            moment = from_wire(wire)
        except ValueError as error:
            self._garbled.append(f"{wire[:60]!r}: {error}")
            return False
        self._generation(moment.data.generation)
        place = self._first.setdefault(moment.id, len(self._arrivals))
        if place == len(self._arrivals):
            self._arrivals.append(moment)
            self._there.add(_key(moment))
            return True
        self.repeats += 1
        if _but_for_stamps(self._arrivals[place]) != _but_for_stamps(moment) and _key(moment) not in self._hidden_keys:
            self._hidden_keys.add(_key(moment))
            excused = any(self._was_made(moment, before=damage) for damage in self._damages)
            self._hidden.append(Finding(f"{moment.id} is two moments", excused))
        return False

    def _generation(self, name: str) -> int:
        return self._generations.setdefault(name, len(self._generations))

    def _was_made(self, moment: Moment, *, before: Damage) -> bool:
        begun, then = self._generation(moment.data.generation), self._generation(before.generation)
        return begun < then or (begun == then and moment.data.seq <= before.seq)

    def _damage_between(self, one: Moment, other: Moment) -> bool:
        """Whether bytes were destroyed after one of them was made and before the other was."""
        return any(self._was_made(one, before=damage) != self._was_made(other, before=damage) for damage in self._damages)

    # ------------------------------------------------------------ what is to be said

    @property
    def arrived(self) -> int:
        """Moments so far, repeats not counted."""
        return len(self._arrivals)

    @property
    def promised(self) -> int:
        """Moments that the hub has made so far."""
        return len(self._promised)

    def missing(self) -> set[Key]:
        """Promised, and not there yet; what was exposed to damage may never come."""
        return self._promised.keys() - self._there - self._hidden_keys

    def awaited(self) -> int:
        """How many are missing that must come."""
        return len(self.missing() - self._exposed)

    def close(self) -> Verdict:
        """The sum."""
        missing = self.missing()
        lost = [f"{key.case} {key.phase}, said by {self._promised[key]}" for key in missing - self._exposed]
        twice = [*self._twice(), *self._reopened()]
        disordered = self._disordered()
        return Verdict(
            lost=lost + self._gaps(),
            twice=_unexcused(twice),
            disordered=_unexcused(disordered),
            garbled=self._garbled + _unexcused(self._hidden),
            promised=len(self._promised),
            arrived=len(self._arrivals),
            repeats=self.repeats,
            destroyed=len(missing & self._exposed),
            after_damage=[finding.words for finding in (*twice, *disordered, *self._hidden) if finding.excused],
        )

    def _gaps(self) -> list[str]:
        """Places in the sequence that no moment had; of a file that was damaged those before that."""
        seqs: dict[str, set[int]] = defaultdict(set)
        for moment in self._arrivals:
            seqs[moment.data.generation].add(moment.data.seq)
        return [
            f"{generation}: no moment has the number {seq}"
            for generation, found in seqs.items()
            for seq in sorted(set(range(1, self._counted.get(generation, max(found)) + 1)) - found)
            if (generation, seq) not in self._exposed_seqs
        ]

    def _twice(self) -> list[Finding]:
        """The same thing under two ids: a phase of a case, or a reading of a machine."""
        found = []
        for name in (_key, lambda moment: (moment.subject, number_of(moment))):
            first: dict[object, int] = {}
            for place, moment in enumerate(self._arrivals):
                if number_of(moment) and first.setdefault(name(moment), place) != place:
                    before = self._arrivals[first[name(moment)]]
                    words = f"{before.id} and {moment.id} are both {name(moment)}"
                    found.append(Finding(words, self._damage_between(before, moment)))
        return found

    def _reopened(self) -> list[Finding]:
        """Points that were opened while they were open; readings are numbered, so their order is known."""
        lives: dict[str, list[Moment]] = defaultdict(list)
        for moment in self._arrivals:
            if number_of(moment):
                lives[moment.subject].append(moment)
        found = []
        for life in lives.values():
            is_open: Moment | None = None
            for moment in sorted(life, key=number_of):
                if is_open and moment.data.case != is_open.data.case:
                    words = f"{moment.id} begins {moment.data.case} while {is_open.data.case} is open"
                    # What would have closed it may have been destroyed, or the hub's knowledge that it is open.
                    excused = any(self._was_made(is_open, before=damage) for damage in self._damages)
                    found.append(Finding(words, excused))
                is_open = None if moment.data.phase in LAST else moment
        return found

    def _disordered(self) -> list[Finding]:
        """Moments of a case that came in another order than the readings they are about."""
        found = []
        last: dict[str, Moment] = {}
        for place, moment in enumerate(self._arrivals):
            if number_of(moment):
                before = last.setdefault(moment.data.case, moment)
                if number_of(before) > number_of(moment):
                    words = f"{moment.data.case}: {before.id} came before {moment.id}"
                    # Both may have waited in the file when it was destroyed.
                    waited = any(damage.arrivals <= place and self._was_made(moment, before=damage) for damage in self._damages)
                    found.append(Finding(words, waited or self._damage_between(before, moment)))
                last[moment.data.case] = moment
        return found

    def kinds(self) -> Counter[str]:
        """How many moments of each severity arrived."""
        return Counter(moment.data.severity for moment in self._arrivals)


def _key(moment: Moment) -> Key:
    return Key(moment.data.case, moment.data.phase.value)


def _but_for_stamps(moment: Moment) -> Moment:
    """What stays the same when the hub learns what time it was: a repeat is put right where the first could not be."""
    data = replace(moment.data, since=START, hub=None, evidence=None)
    return replace(moment, time=START, data=data)


def _unexcused(findings: list[Finding]) -> list[str]:
    return [finding.words for finding in findings if not finding.excused]
