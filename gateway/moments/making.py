"""From a step of an episode to the moment about it."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from drivers.contract import NoValue
from gateway.diagnosis import contract
from gateway.diagnosis.contract import Change, Phase, RuleKeys
from gateway.moments.numbers import rounded, second, short, significant, thin, whole
from gateway.moments.shape import MAX_POINTS, Account, Desk, Device, Evidence, Forecast, Hub, Moment, Owner, Rule, Step

OVER = (Phase.CLOSED, Phase.WITHDRAWN)


def compose(
    change: Change,
    *,
    hub_id: str,
    hub: Hub,
    case: str,
    owner: Owner,
    desk: Desk,
    device: Device | None,
    utc: Callable[[float], datetime],
    caused_by: str = "",
    adds: Mapping[str, Any] = {},
) -> Moment:
    """The moment about one step of an episode; `utc` tells the wall-clock time of a time of the hub's timeline.

    `device` is None where the point is not a device's. `caused_by` is the case number of the episode that explains this one. `adds`
    are fields of `Account` beyond what the change knows.
    """
    is_over = change.phase in OVER or change.kind == "recovery"
    return Moment(
        id="",
        source=f"/hubs/{hub_id}",
        type=f"canary.{change.kind}.{change.phase}.v1",
        subject=change.point.id,
        time=second(utc(change.at)),
        data=Account(
            seq=0,
            generation="",
            case=case,
            kind=change.kind,
            phase=change.phase,
            severity=change.severity,
            rule=Rule(id=change.rule_id, kind=change.rule.kind, version=rule_version(change.rule)),
            device=device,
            says=change.says,
            because=change.because,
            value=None if isinstance(change.value, NoValue) else short(change.value),
            advice=change.rule.advice,
            steps=() if is_over else tuple(Step(do=one.do, by=one.by, effect=one.effect) for one in change.rule.steps),
            since=second(utc(change.since)),
            how=change.how,
            forecast=change.forecast and _forecast(change.forecast),
            evidence=change.evidence and _evidence(change.evidence, utc),
            owner=owner,
            desk=desk if desk.name or desk.contact else None,
            caused_by=caused_by,
            at_fault=change.fault.layer if change.fault else None,
            openings=change.openings,
            recurrence=change.recurrence,
            affected=change.affected,
            hub=hub if hub.clock == "synced" else replace(hub, at=round(change.at, 3)),
            **adds,
        ),
    )


_canonical = msgspec.json.Encoder(order="sorted", enc_hook=str)


def rule_version(rule: RuleKeys) -> str:
    """Twelve hex digits that change whenever a key of the rule does."""
    return hashlib.sha256(_canonical.encode(rule)).hexdigest()[:12]


def _forecast(forecast: contract.Forecast) -> Forecast:
    crosses, in_s, earliest_s, latest_s, confidence = forecast
    return Forecast(
        crosses=significant(crosses),
        in_s=whole(in_s),
        earliest_s=whole(earliest_s),
        latest_s=whole(latest_s),
        confidence=round(confidence, 3),
    )


def _evidence(evidence: contract.Evidence, utc: Callable[[float], datetime]) -> Evidence:
    values, lead, factor = thin(evidence.values, MAX_POINTS)
    return Evidence(
        unit=evidence.unit,
        from_=second(utc(evidence.from_at + lead * evidence.every_s)),
        every_s=significant(evidence.every_s * factor),
        values=rounded(values),
        readings=evidence.readings,
    )
