"""What a watch must not forget across a restart, as plain data and back."""

import hashlib
from collections.abc import Mapping
from typing import Any

from gateway.diagnosis.episode import Episode
from gateway.diagnosis.watch import Rule, Watch

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
