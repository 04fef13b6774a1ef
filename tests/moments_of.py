"""Changes and moments for tests that need some."""

from datetime import UTC, datetime
from typing import Any

from gateway import moments
from gateway.diagnosis.contract import Change, Phase, PointInfo, RuleKeys

START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def change(**facts: Any) -> Change:
    """A freezer that is too warm, or whatever `facts` make of it."""
    given = {
        "episode": "freezer-warm freezer-1/core_temp 1",
        "rule_id": "freezer-warm",
        "rule": RuleKeys(kind="threshold", on=("freezer-*/core_temp",), severity="critical", advice=("Check the door.",)),
        "point": PointInfo("freezer-1/core_temp", "freezer-1", "core_temp", "°C", "Freezer 1 core temp", "Freezer 1"),
        "kind": "problem",
        "phase": Phase.OPENED,
        "severity": "critical",
        "at": 600.0,
        "since": 0.0,
        "value": -12.5,
        "says": "Freezer 1 has been too warm (-12.5 °C) for 10 min.",
        "because": "above -15 °C for 10 min",
    }
    return Change(**(given | facts))


def moment(
    number: int = 0, *, says: str = "something", severity: str = "warning", kind: str = "problem", phase: str = "opened"
) -> moments.Moment:
    """A moment without a place in the sequence; `number` is in its case, so that it is known again."""
    return moments.Moment(
        id="",
        source="/hubs/hub-0042",
        type=f"canary.{kind}.{phase}.v1",
        subject="freezer-1/core_temp",
        time=START,
        data=moments.Account(
            seq=0,
            generation="",
            case=f"hub-0042-{number}",
            kind=kind,
            phase=Phase(phase),
            severity=severity,
            rule=moments.Rule(id="freezer-warm", kind="threshold", version="0"),
            says=says,
            since=START,
            owner=moments.Owner(id="desk", because="nobody covers freezer-1"),
            hub=moments.Hub(clock="synced", version="0"),
        ),
    )
