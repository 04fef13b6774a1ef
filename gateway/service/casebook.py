"""The casebook: what is known of each case that is not closed, for all parts of the service.

Promises
- A case is in the book from the moment that it is told as opened until it is told as closed; `casework.py` alone puts it in and
  takes it out.
- What other parts do about a case (a remedy that was tried, a visit, a step that worked) they write into it, so that its end can
  say how it came about.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import field
from msgspec.structs import replace

from gateway import moments
from gateway.config.model import Config
from gateway.diagnosis.contract import Change, Kind, Phase, PointInfo, RuleKeys, Severity
from gateway.service.contract import Facts, Statement, Try

Stage = Literal["open", "proving"]


class Case(msgspec.Struct, kw_only=True):
    """One case. Times in seconds of the hub's timeline.

    key: the name of the episode that it began with; its number hangs on that. episodes: those of the diagnosis that are open and
    belong to it, with their severities. well_since: since when all of them are over, while that is being proven. openings: how
    often it has opened. tried: what was done about it, the newest last. credit: what brought it to its end, as far as is known; ""
    stands for nobody. told_well: whether somebody was told that it is well (by a recovery or a visit), so that its return is news.
    """

    key: str
    rule_id: str
    point: str
    kind: Kind
    severity: Severity
    owner: moments.Owner
    since: float
    opened_at: float
    says: str
    stage: Stage = "open"
    episodes: dict[str, Severity] = field(default_factory=dict)
    well_since: float | None = None
    openings: int = 1
    recurrence: int = 1
    caused_by: str = ""
    handovers: list[moments.HandedOver] = field(default_factory=list)
    tried: list[Try] = field(default_factory=list)
    credit: str = ""
    told_well: bool = False
    visit: str = ""
    acknowledged: str = ""


TIMES = ("since", "opened_at", "well_since")


class Casebook:
    """All cases that are not closed, by key."""

    def __init__(self, config: Config, facts: Facts) -> None:
        self.cases: dict[str, Case] = {}
        self._rules = config.rules
        self._facts = facts

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases.values())

    def get(self, key: str) -> Case | None:
        """The case of this key, if it is not closed."""
        return self.cases.get(key)

    def of_device(self, device: str) -> list[Case]:
        """The cases about a device, a bus ("bus.NAME") or the hub."""
        return [case for case in self if case.point.partition("/")[0] == device]

    def statement(self, case: Case, phase: Phase, at: float, *, says: str, because: str, **more: Any) -> Statement:
        """A step of a case that the diagnosis knows nothing of. `more`: fields of `Change`, and of `moments.Account`."""
        point = self._facts.point(case.point) or _bare(case.point)
        last = self._facts.last(case.point)
        change = Change(
            episode=case.key,
            rule_id=case.rule_id,
            rule=self._rules.get(case.rule_id) or RuleKeys(kind="hub", on=(case.point,), severity=case.severity),
            point=point,
            kind=more.pop("kind", case.kind),
            phase=phase,
            severity=more.pop("severity", case.severity),
            at=at,
            since=case.since,
            value=more.pop("value", last[0] if last else None),
            says=says,
            because=because,
            evidence=more.pop("evidence", None) or self._facts.evidence(point, case.since, at),
            how=more.pop("how", ""),
            openings=case.openings,
            recurrence=case.recurrence,
            caused_by=case.caused_by,
        )
        return Statement(change=change, owner=case.owner, tried=tuple(case.tried), adds=more)

    def memory(self) -> list[dict[str, Any]]:
        """All cases, as plain data."""
        made: list[dict[str, Any]] = msgspec.to_builtins(list(self.cases.values()))
        return made

    def recall(self, memory: list[dict[str, Any]], shift: float) -> None:
        """Take up what `memory` gave. Raises ValueError (msgspec.ValidationError) for anything else."""
        for case in msgspec.convert(memory, list[Case]):
            times = {name: time + shift for name in TIMES if (time := getattr(case, name)) is not None}
            tried = [replace(one, at=one.at + shift) for one in case.tried]
            self.cases[case.key] = replace(case, tried=tried, **times)


def _bare(point_id: str) -> PointInfo:
    device, _, name = point_id.partition("/")
    return PointInfo(point_id, device, name, "", f"{device} {name}", device)
