"""What watches must not forget across a restart, as plain data and back: each by itself, and all of them by their rules."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.diagnosis.contract import Change
from gateway.diagnosis.episode import Episode
from gateway.diagnosis.teller import Teller
from gateway.diagnosis.telling import abandoned
from gateway.diagnosis.watch import NEVER, NOTHING, Rule, Watch

TELLING = {
    *("on", "except_", "enabled", "severity", "owner", "says", "advice"),
    *("proof", "gap", "folds", "folds_within", "escalate", "needs", "steps"),
}  # keys that bear on who is told what, not on what is remembered


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


def remember_all(watches: Sequence[Watch], teller: Teller, *, calm: bool) -> dict[str, dict[str, Any]]:
    """All watches as plain data, by rule and point. Without `calm` those are left out that lose nothing that took them long."""
    rules: dict[str, dict[str, Any]] = {}
    for watch in watches:
        if not (calm or watch.episode or watch.count or watch.LEARNS or watch.GATHERS):
            continue
        entry = remember(watch)
        if telling := teller.memory_of(watch):
            entry["telling"] = telling
        if entry:
            rule = rules.setdefault(watch.rule.id, {"kind": watch.rule.keys.kind, "keys": digest(watch.rule), "points": {}})
            rule["points"][watch.point.id] = entry
    return rules


def recall_all(
    rules: Mapping[str, Any], watches: Sequence[Watch], teller: Teller, shift: float, off: float, now: float
) -> list[Change]:
    """Take up what `remember_all` gave; returns the closing of episodes that no watch stands for any more."""
    heirs: dict[tuple[str, str], Watch] = {}
    for watch in watches:
        watch.low, watch.high = NOTHING
        watch.due = NEVER
        heirs[watch.rule.id, watch.point.id] = watch
    closed: list[Change] = []
    for rule_id, rule in rules.items():
        for point_id, entry in rule["points"].items():
            heir, told = heirs.get((rule_id, point_id)), entry.get("telling")
            if heir is None or heir.rule.keys.kind != rule["kind"]:
                closed += abandoned(rule_id, rule["kind"], told, shift, now)
                continue
            recall(heir, entry, rule["keys"] == digest(heir.rule), shift, off)
            if heir.head is not heir or (heir.episode is None and told and told.get("is_open")):  # it is one of several now
                closed += abandoned(rule_id, rule["kind"], told, shift, now)
            elif told:
                teller.recall_of(heir, told, shift, off)
    return closed
