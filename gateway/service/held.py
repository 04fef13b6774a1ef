"""A statement as plain data and back, for parts that hold some back across a restart.

Its rule and its point are known by their names and found again; what was seen of the point is looked up when it is told.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from drivers.contract import NoValue, Value
from gateway import moments
from gateway.diagnosis.contract import Change, Fault, Forecast, Kind, Phase, RuleKeys, Severity
from gateway.service.casebook import bare
from gateway.service.contract import NEVER, Facts, Statement, Try

FIELDS = {field.name: field.type for field in msgspec.structs.fields(moments.Account)}


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A statement that waits. Times in seconds of the hub's timeline; `no_value` is the reason where there was none."""

    episode: str
    rule_id: str
    rule_kind: str
    point: str
    kind: Kind
    phase: Phase
    severity: Severity
    at: float
    since: float
    value: Value | None
    no_value: str
    says: str
    because: str
    forecast: tuple[float | None, ...] | None  # None for a time without end, which JSON has no word for
    confidence: float | None
    how: str
    openings: int
    recurrence: int
    affected: int
    caused_by: str
    fault: Fault | None
    owner: moments.Owner | None
    tried: tuple[Try, ...]
    adds: dict[str, Any]
    about: tuple[tuple[str, str], ...] = ()

    def shifted(self, shift: float) -> "Held":
        """The same on another timeline."""
        tried = tuple(msgspec.structs.replace(one, at=one.at + shift) for one in self.tried)
        return msgspec.structs.replace(self, at=self.at + shift, since=self.since + shift, tried=tried)


SAME = set(Held.__struct_fields__) & set(Change.__struct_fields__) - {"point", "value", "forecast"}


def hold(statement: Statement) -> Held:
    """The statement as it waits."""
    change = statement.change
    return Held(
        **{name: getattr(change, name) for name in SAME},
        rule_kind=change.rule.kind,
        point=change.point.id,
        value=None if isinstance(change.value, NoValue) else change.value,
        no_value=change.value.reason if isinstance(change.value, NoValue) else "",
        forecast=change.forecast and tuple(time if math.isfinite(time) else None for time in change.forecast),
        owner=statement.owner,
        tried=statement.tried,
        adds={name: msgspec.to_builtins(value) for name, value in statement.adds.items()},
        about=statement.about,
    )


def release(held: Held, rules: Mapping[str, RuleKeys], facts: Facts) -> Statement:
    """The statement again."""
    rule = rules.get(held.rule_id) or RuleKeys(kind=held.rule_kind, on=(held.point,), severity=held.severity)
    point = facts.point(held.point) or bare(held.point)
    change = Change(
        **{name: getattr(held, name) for name in SAME},
        rule=rule,
        point=point,
        value=NoValue(held.no_value) if held.no_value else held.value,
        forecast=Forecast(*(NEVER if time is None else time for time in held.forecast)) if held.forecast else None,
        evidence=facts.evidence(point, held.since, held.at),
    )
    adds = {name: msgspec.convert(value, FIELDS[name]) for name, value in held.adds.items()}
    return Statement(change=change, owner=held.owner, tried=held.tried, adds=adds, about=held.about)
