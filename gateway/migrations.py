"""Saved state of earlier releases, brought into the form of this one: a step for each version, from the oldest that is known.

A step takes the plain data of one version and gives that of the next. It is written once, when the version is raised, and stays; a
file of that version is kept in tests/saved.
"""

from collections.abc import Callable
from typing import Any

from gateway.diagnosis.engine import VERSION

State = dict[str, Any]


def migrated(state: State) -> State:
    """The state in the form of this release. Raises ValueError where it is of a later one."""
    while (version := state["version"]) != VERSION:
        if version not in STEPS:
            raise ValueError(f"it is of version {version!r}, this program reads {min(STEPS)} to {VERSION}")
        state = STEPS[version](state)
    return state


def _how_each_stands(state: State) -> State:
    """Version 1 knew of an open episode what had been told of it; version 2 keeps an account of each rule about each point.

    What was learnt by trends and of what is normal is learnt anew: it was too little.
    """
    rules = {}
    for rule_id, rule in state["rules"].items():
        old = {"told", "memory"} if rule["kind"] in {"anomaly", "drift", "trend"} else {"told"}
        rules[rule_id] = {**rule, "points": {point_id: _account(entry, old) for point_id, entry in rule["points"].items()}}
    return {**state, "version": 2, "rules": rules, "telling": {"groups": {}, "mutes": {}}}


def _account(entry: State, old: set[str]) -> State:
    rest = {name: value for name, value in entry.items() if name not in old}
    if "told" not in entry:
        return rest
    told, episode = entry["told"], entry["episode"]
    account = {
        "stage": "told",
        "is_open": True,
        "episode": told["episode"],
        "openings": 1,
        "kind": told["kind"],
        "severity": told["severity"],
        "about": told["point"],
        "times": {"since": episode["since"], "began_at": episode["told_at"]},
        "recent": [],
    }
    return {**rest, "telling": account}


STEPS: dict[int, Callable[[State], State]] = {1: _how_each_stands}
