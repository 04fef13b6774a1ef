"""Remedies that are only rehearsed (`dry_run`): what would have been done is told, once a case, and nothing is done."""

from collections.abc import Container
from typing import Any

from msgspec.structs import replace

from gateway.config.actions import intent
from gateway.config.remedies import Remedy
from gateway.diagnosis.contract import Phase
from gateway.service.casebook import Case, Casebook
from gateway.service.contract import Statement


class Rehearsals:
    """Of which remedies it has been told in which case."""

    def __init__(self, book: Casebook) -> None:
        self._book = book
        self._told: dict[str, list[str]] = {}  # remedies, by the key of the case

    def has(self, name: str, case: Case) -> bool:
        """Whether it has been told."""
        return name in self._told.get(case.key, ())

    def tell(self, name: str, remedy: Remedy, title: str, case: Case, now: float) -> Statement:
        """What would have been done: one moment, beside the case. title: what people call the remedy."""
        self._told.setdefault(case.key, []).append(name)
        says = f"Not done, because it is only rehearsed: the hub {intent(remedy.action)} ({title}). {case.says}"
        news = {"because": f"every condition of the remedy {name} is met, and it says dry_run = true", "kind": "insight"}
        told = self._book.statement(case, Phase.OPENED, now, says=says, severity="info", **news)
        change = replace(told.change, episode=f"{case.key}/remedy.{name}", caused_by=case.key, evidence=None)
        return replace(told, change=change, once=True)

    def keep(self, keys: Container[str]) -> None:
        """Only these cases are not closed."""
        self._told = {key: names for key, names in self._told.items() if key in keys}

    def memory(self) -> Any:
        """See `Part.memory`."""
        return {key: list(names) for key, names in self._told.items()}

    def recall(self, memory: Any) -> None:
        """See `Part.recall`."""
        self._told = memory
