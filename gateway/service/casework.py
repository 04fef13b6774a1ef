"""Casework: from the episodes of the diagnosis to cases."""

from collections.abc import Iterator
from typing import Any

from gateway.config.model import Config
from gateway.diagnosis.contract import Phase
from gateway.service.casebook import Case, Casebook
from gateway.service.contract import NEVER, Facts, Statement
from gateway.service.desk import owner

ENDS = (Phase.CLOSED, Phase.WITHDRAWN)


class Casework:
    """The first part: it keeps the casebook."""

    next_due = NEVER

    def __init__(self, config: Config, facts: Facts, book: Casebook) -> None:
        self._config = config
        self._facts = facts
        self._book = book

    def take(self, statement: Statement) -> Iterator[Statement]:
        """See `Part.take`."""
        change = statement.change
        case = self._book.get(change.episode)
        if change.phase is Phase.OPENED and case is None and change.kind in ("problem", "prediction", "hub"):
            case = Case(
                key=change.episode,
                rule_id=change.rule_id,
                point=change.point.id,
                kind=change.kind,
                severity=change.severity,
                owner=owner(self._config, change),
                since=change.since,
                opened_at=change.at,
                says=change.says,
            )
            self._book.cases[case.key] = case
        if change.phase in ENDS:
            self._book.cases.pop(change.episode, None)
        yield statement

    def tick(self, now: float) -> Iterator[Statement]:  # noqa: ARG002
        """See `Part.tick`."""
        yield from ()

    def memory(self) -> Any:
        """See `Part.memory`."""
        return self._book.memory()

    def recall(self, memory: Any, shift: float, now: float) -> Iterator[Statement]:  # noqa: ARG002
        """See `Part.recall`."""
        self._book.recall(memory, shift)
        yield from ()
