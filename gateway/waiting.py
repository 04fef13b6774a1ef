"""Statements that wait for a disk that takes nothing, up to a bound.

Promises
- Beyond the bound the least important goes first, and is counted; of a case that nobody has been told of all of it goes.
- Whoever was told that a case opened is told how it ended, as long as anything else can go. A case of which nothing was told is
  closed to nobody; where it gets worse and there is room, it is told from there on.
"""

from collections.abc import Iterable

from gateway.diagnosis.contract import Phase
from gateway.service.contract import Statement

IMPORTANCE = {"info": 0, "warning": 1, "critical": 2}
LAST = {Phase.CLOSED, Phase.WITHDRAWN}


class Waiting:
    """`statements` in the order in which they are to be told; `dropped` counts those that were lost."""

    def __init__(self, most: int) -> None:
        self.statements: list[Statement] = []
        self.dropped = 0
        self._most = most
        self._untold: set[str] = set()  # cases that are open, and of whose opening nobody was told

    def add(self, statements: Iterable[Statement]) -> None:
        """Let these wait, too."""
        self.statements += [statement for statement in statements if self._is_wanted(statement)]
        while len(self.statements) > self._most:
            self._drop()

    def take(self) -> tuple[list[Statement], int]:
        """All that waits, and how many were dropped: whoever takes them tells both, or puts them back."""
        taken = self.statements, self.dropped
        self.statements, self.dropped = [], 0
        return taken

    def put_back(self, statements: list[Statement], dropped: int) -> None:
        """They could not be told, and wait before what has come since."""
        self.statements[:0] = statements
        self.dropped += dropped

    def _is_wanted(self, statement: Statement) -> bool:
        change = statement.change
        if change.episode not in self._untold:
            return True
        if change.phase in LAST or change.phase is Phase.WORSENED:
            self._untold.discard(change.episode)
        return change.phase is Phase.WORSENED

    def _drop(self) -> None:
        begun = {one.change.episode for one in self.statements if one.change.phase is Phase.OPENED}

        def worth(one: Statement) -> tuple[bool, int]:
            change = one.change
            return change.phase in LAST and change.episode not in begun, IMPORTANCE[change.severity]

        least = min(self.statements, key=worth)
        case = least.change.episode
        gone = [one for one in self.statements if one is least or (case in begun and one.change.episode == case)]
        places = set(map(id, gone))
        self.statements = [one for one in self.statements if id(one) not in places]
        self.dropped += len(gone)
        if case in begun and not least.once and not any(one.change.phase in LAST for one in gone):
            self._untold.add(case)
