"""Remedies: whether what they are for, what they act on and what they ask is there.

A remedy is the one thing in a config that does something in the world, so it is looked at more sternly than the rest: what it would
write is held against the device's own driver, and who acts on one thing for the sake of many has to say so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import drivers
from gateway.config.actions import BUS, Action, Cycle, Reopen, Reset, Run, Write, mistakes
from gateway.config.conditions import Conditions
from gateway.config.findings import Findings
from gateway.config.fragments import Sections
from gateway.config.model import BusConfig
from gateway.config.points import check_name
from gateway.config.problems import Path, Told, nearest, one_of, quoted
from gateway.config.remedies import Remedy
from gateway.config.tables import table
from gateway.config.watched import Points
from gateway.diagnosis.contract import HUB, RuleKeys
from gateway.diagnosis.watch import is_meant


def read_remedies(
    sections: Sections, rules: Mapping[str, RuleKeys], buses: Mapping[str, BusConfig], points: Points, findings: Findings
) -> dict[str, Remedy]:
    """Every remedy without a mistake in its keys, by name."""
    remedies = {}
    checks = _Checks(sections, rules, buses, points, findings)
    for name, raw in sections["remedy"].items():
        at = ("remedy", name)
        check_name(at, findings)
        try:
            remedies[name] = table(Remedy).read(raw, at, findings)
        except Told:
            continue
        if findings.whole:
            checks.check(remedies[name], raw, at)
    return remedies


class _Checks:
    """What only the whole config can tell of a remedy."""

    def __init__(
        self, sections: Sections, rules: Mapping[str, RuleKeys], buses: Mapping[str, BusConfig], points: Points, findings: Findings
    ) -> None:
        self._sections = sections
        self._rules = rules
        self._buses = buses
        self._points = points
        self._findings = findings
        self._conditions = Conditions(points, findings)

    def check(self, remedy: Remedy, raw: Mapping[str, object], at: Path) -> None:
        """Tell every mistake of one."""
        rules = [*self._sections["rule"], *self._rules]
        self._check_names("for", remedy.for_, rules, raw, at)
        named = [rule for rule in rules if any(fnmatchcase(rule, glob) for glob in remedy.for_)]
        watched = list(dict.fromkeys(self._devices(named)))
        if watched:
            self._check_names("on", remedy.on, watched, raw, at)
        meant = [device for device in watched if not remedy.on or any(fnmatchcase(device, glob) for glob in remedy.on)]
        if not self._is_told(remedy.action):
            lines = {name: (drivers.load(bus.common.driver), bus.spec) for name, bus in self._buses.items()}
            for mistake in mistakes(remedy, lines):
                self._findings.add((*at, mistake.key), mistake.found, mistake.expected)
        self._check_aim(remedy, meant, at)
        for key in ("when", "proof", "harm"):
            if meant and (text := getattr(remedy, key)):
                self._conditions.check(text, (*at, key), meant)

    def _devices(self, rules: Iterable[str]) -> Iterator[str]:
        """What the rules of these names watch, by device."""
        for rule in filter(None, map(self._rules.get, rules)):
            globs = [glob if "/" in glob else f"{glob}/*" for glob in rule.on] or ["*/*", f"{HUB}/*"]
            points = (point for glob in globs for point in self._points.matching(glob))
            yield from (point.device for point in points if not is_meant(point.id, rule.except_))

    def _is_told(self, action: Action) -> bool:
        """Whether it acts on something that has a mistake of its own, so that nothing can be said about it."""
        match action:
            case Write(device=device) | Cycle(device=device):
                good = {spec.name for bus in self._buses.values() for spec in bus.spec.devices}
                return device in self._sections["device"] and device not in good
            case Reopen(bus=bus) | Reset(bus=bus):
                return bus in self._sections["bus"] and bus not in self._buses
            case Run():
                return False

    def _check_names(self, key: str, globs: Sequence[str], names: Sequence[str], raw: Mapping[str, object], at: Path) -> None:
        """That each of these globs is for something."""
        for number, glob in enumerate(globs):
            if any(fnmatchcase(name, glob) for name in names) or (key == "on" and self._points.may_match(glob)):
                continue
            near = nearest(glob, dict.fromkeys(names))
            here = (*at, key, number) if isinstance(raw[key], list) else (*at, key)
            found = f"no rule is called {quoted(glob)}" if key == "for" else f"{quoted(glob)} is nothing that its rules watch"
            self._findings.add(here, found, "" if near else one_of(list(dict.fromkeys(names))), near and quoted(near))

    def _check_aim(self, remedy: Remedy, meant: Sequence[str], at: Path) -> None:
        """That it does not act on one thing for the sake of several others, unless somebody has said so.

        A rule for all freezers and a remedy that writes to the first of them would else write to it whichever of them is warm.
        """
        if remedy.on or len(meant) < 2:
            return
        match remedy.action:
            case Write(device=device) | Cycle(device=device):
                own, acts_on = {device}, device
            case Reopen(bus=bus) | Reset(bus=bus):
                own = {BUS + bus, *(spec.name for spec in self._buses[bus].spec.devices)} if bus in self._buses else set()
                acts_on = BUS + bus
            case Run():
                return
        if not own.issuperset(meant):
            found = f"it acts on {quoted(acts_on)}, whichever of the {len(meant)} that its rules watch the case is about"
            self._findings.add(at, found, f"to be told whose cases it is for, such as on = {quoted(meant[0])}", key=True)
