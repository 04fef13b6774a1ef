"""What a watch must not forget across a restart, as plain data and back."""

import hashlib
from collections.abc import Mapping
from typing import Any

from gateway.diagnosis.contract import Change, Phase, PointInfo, RuleKeys
from gateway.diagnosis.episode import Episode
from gateway.diagnosis.watch import Rule, Watch
from gateway.diagnosis.words import duration

TELLING = ("on", "severity", "owner", "says", "advice")  # keys that bear on who is told what, not on what is remembered


def digest(rule: Rule) -> str:
    """Changes when anything in the rule does that bears on what it remembers of a point."""
    keys = [(name, getattr(rule.keys, name)) for name in rule.keys.__struct_fields__ if name not in TELLING]
    return hashlib.blake2s(repr(keys).encode(), digest_size=6).hexdigest()


def remember(watch: Watch) -> dict[str, Any]:
    """One watch as plain data; empty for most."""
    entry: dict[str, Any] = {}
    memory = watch.memory()
    if memory is not None:
        entry["memory"] = memory
    if watch.count:
        entry["count"] = watch.count
    if watch.episode is not None:
        entry["episode"] = watch.episode.memory()
    if watch.episode is not None and watch.episode.is_open:
        entry["told"] = {
            "episode": watch.episode_id(),
            "kind": watch.kind,
            "severity": watch.episode.severity(watch.rule.keys.severity),
            "point": list(watch.about),
        }
    return entry


def recall(watch: Watch, entry: Mapping[str, Any], is_same: bool, shift: float, off: float) -> None:
    """Take up what `remember` gave. Of a rule that has changed only what was told and learnt goes on; the rest is new."""
    watch.count = entry.get("count", 0)
    if "episode" in entry and watch.head is watch:
        episode = Episode.recall(entry["episode"], shift)
        episode.pause(off)
        if is_same or episode.is_open:
            watch.episode = episode
    if (is_same or watch.LEARNS) and "memory" in entry:
        watch.recall(entry["memory"], shift)
        if off:
            watch.pause(off)


def abandoned(rule_id: str, rule_kind: str, entry: Mapping[str, Any], shift: float, now: float) -> list[Change]:
    """The end of an open episode whose rule or point is no more: whoever was told of it is told that it is over."""
    told = entry.get("told")
    if told is None:
        return []
    point = PointInfo(*told["point"])
    since = Episode.recall(entry["episode"], shift).since
    return [
        Change(
            episode=told["episode"],
            rule_id=rule_id,
            rule=RuleKeys(kind=rule_kind, on=(point.id,), severity=told["severity"]),
            point=point,
            kind=told["kind"],
            phase=Phase.CLOSED,
            severity=told["severity"],
            at=now,
            since=since,
            value=None,
            says=f"{point.label} is no longer watched for this; it had lasted for {duration(now - since)}.",
            because=f"the rule {rule_id} no longer covers this point",
            how="no longer watched",
        )
    ]
