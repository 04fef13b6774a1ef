"""Rules and owners: whether what they refer to is there, and whether their quantities fit the points that they watch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path as FilePath
from typing import Any

import msgspec
import tomli

from gateway import diagnosis
from gateway.config import units
from gateway.config.conditions import Conditions
from gateway.config.findings import Findings
from gateway.config.fragments import Sections
from gateway.config.maintenance import Maintenance
from gateway.config.model import PARTS_OF, DeviceConfig, Owner
from gateway.config.points import check_name
from gateway.config.problems import Path, Told, Unfit, nearest, one_of, quoted
from gateway.config.profiles import Shelf
from gateway.config.tables import Table, table
from gateway.config.values import Amount, ModelName
from gateway.config.watched import Points
from gateway.diagnosis.contract import HUB, Mistake, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.hub_parts import PARTS

DESK = "desk"
"""The owner who is always there."""


class Rules:
    """All rules of a config, read one after the other."""

    def __init__(self, sections: Sections, points: Points, shelf: Shelf, findings: Findings) -> None:
        self._points = points
        self.conditions = Conditions(points, findings)
        self._shelf = shelf
        self._owners = sections["owner"]
        self._findings = findings
        self._built_in = built_in()
        self.read = {name: self._rule(name, {**self._built_in.get(name, {}), **raw}) for name, raw in sections["rule"].items()}

    def good(self) -> dict[str, RuleKeys]:
        """Those without a mistake that are not set aside, and those that every hub has."""
        mine = {name: rule for name, rule in self.read.items() if rule is not None and rule.enabled}
        heard = tuple(
            f"{glob.partition('/')[0]}/*"
            for name, rule in mine.items()
            if rule.kind == "silent" and name not in self._built_in
            for glob in rule.on
        )
        for name, raw in self._built_in.items():
            set_aside = name in self.read and name not in mine
            if set_aside or raw["kind"] not in diagnosis.kinds() or (name not in mine and not self._matches(raw)):
                continue
            rule = mine.get(name) or self._make(raw)
            mine[name] = msgspec.structs.replace(rule, except_=(*rule.except_, *heard)) if rule.kind == "silent" else rule
        return mine

    def _matches(self, raw: Mapping[str, Any]) -> bool:
        """Whether there is anything that a rule which every hub has could watch here."""
        return any(self._points.matching(glob) for glob in _several(raw["on"]))

    def _make(self, raw: Mapping[str, Any]) -> RuleKeys:
        made: RuleKeys = table(diagnosis.load_kind(raw["kind"]).Keys).read(raw, ("rule",), self._findings)
        return made

    def _rule(self, name: str, raw: dict[str, Any]) -> RuleKeys | None:
        at = ("rule", name)
        check_name(at, self._findings)
        kind = self._kind(raw, at)
        if kind is None:
            known = table(RuleKeys)
            good, _ = known.values({"kind": "", **{key: raw[key] for key in raw if key in known.fields}}, at, self._findings)
            self._check_references(good, raw, at)
            return None
        known = table(kind.Keys)
        good, bad = known.values(raw, at, self._findings)
        bad |= self._fetch_models(good, known, at)
        if hasattr(kind, "mistakes"):
            self._check_owner(good, at)
            self._tell_mistakes(kind.mistakes(good, self._points.everything(), units.convert), raw, at)
        else:
            watched = self._check_references(good, raw, at, kind.fits)
            self._check_amounts(good, known, watched, at)
            for key in getattr(kind, "GLOBS", ()):
                self._check_globs(good, raw, (*at, key))
        self._check_steps(good, at)
        made: RuleKeys | None = known.build(good, bad, raw, at, self._findings)[0]
        if made and hasattr(kind, "unfit") and self._findings.whole and not any(map(self._points.may_match, made.on)):
            why = kind.unfit(made, (point for glob in made.on for point in self._points.matching(glob)))
            if why:
                self._findings.add((*at, "on"), why, "points that do, or another rule")
        return made

    def _fetch_models(self, good: dict[str, Any], known: Table, at: Path) -> set[str]:
        """Put models in the place of their names; returns the keys of those that are not there."""
        bad = set()
        for key in [key for key in good if isinstance(known.fields[key].shape, ModelName) and good[key]]:
            try:
                good[key] = self._shelf.model(good[key])
            except Unfit as unfit:
                self._findings.unfit((*at, key), unfit)
                bad.add(key)
        return bad

    def _kind(self, raw: dict[str, Any], at: Path) -> Any:
        """The module of the rule's kind; None, and told, when there is none."""
        kind, kinds = raw.get("kind"), diagnosis.kinds()
        if kind in kinds:
            return diagnosis.load_kind(kind)
        if isinstance(kind, str):
            near = nearest(kind, kinds)
            found = f"no kind of rule is called {quoted(kind)}"
            self._findings.add((*at, "kind"), found, "" if near else one_of(kinds), near and quoted(near))
        elif kind is None and self._findings.whole:
            self._findings.add(at, '"kind" is missing', one_of(kinds), key=True)
        return None

    def _check_steps(self, good: Mapping[str, Any], at: Path) -> None:
        """That what would show the effect of a step can be asked of the devices that the rule is for."""
        globs = [glob if "/" in glob else f"{glob}/*" for glob in good.get("on", ())]
        devices = dict.fromkeys(point.device for glob in globs for point in self._points.matching(glob))
        for number, step in enumerate(good.get("steps", ())):
            if step.shown_by and (devices or not globs):
                self.conditions.check(step.shown_by, (*at, "steps", number, "shown_by"), devices)

    def _check_owner(self, good: Mapping[str, Any], at: Path) -> None:
        owner = good.get("owner", "")
        if owner not in {"", DESK, *self._owners} and self._findings.whole:
            known = [*self._owners, DESK]
            near = nearest(owner, known)
            self._findings.add(
                (*at, "owner"), f"no owner is called {quoted(owner)}", "" if near else one_of(known), near and quoted(near)
            )

    def _tell_mistakes(self, mistakes: Iterable[Mistake], raw: Mapping[str, Any], at: Path) -> None:
        """What only the kind of a rule can see."""
        for mistake in mistakes:
            if mistake.lacks and (not self._findings.whole or self._points.may_match(mistake.lacks)):
                continue
            key, *below = mistake.path
            here = (*at, key, *(below if isinstance(raw.get(str(key)), list) else ()))
            self._findings.add(here, mistake.found, mistake.expected, mistake.suggestion, offset=mistake.offset)

    def _check_globs(self, good: Mapping[str, Any], raw: Mapping[str, Any], at: Path) -> None:
        """That the points are there which a key beside `on` names; what has no slash is no point."""
        key = str(at[-1])
        for number, glob in enumerate(good.get(key, ())):
            if "/" in glob and not self._points.matching(glob):
                self._tell_no_match(glob, (*at, number) if isinstance(raw[key], list) else at)

    def _check_references(
        self, good: Mapping[str, Any], raw: Mapping[str, Any], at: Path, fits: Callable[[PointInfo], str | None] = lambda _: None
    ) -> list[PointInfo]:
        """That the owner and the points are there; returns one point of each unit that the rule can watch."""
        self._check_owner(good, at)
        watched: dict[str, PointInfo] = {}
        built_in = self._built_in.get(str(at[-1]), {}).get("on")
        for number, glob in enumerate(good.get("on", ()) if raw.get("on") != built_in else ()):
            here = (*at, "on", number) if isinstance(raw["on"], list) else (*at, "on")
            found = self._points.matching(glob)
            if not found:
                self._tell_no_match(glob, here)
                continue
            fitting = [point for point in found if fits(point) is None]
            if not fitting:
                expected = "another point, or another kind of rule"
                self._findings.add(here, f"this rule cannot watch {found[0].id}: {fits(found[0])}", expected)
            for point in fitting:
                watched.setdefault(point.unit, point)
        return list(watched.values())

    def _check_amounts(self, good: Mapping[str, Any], known: Table, watched: Iterable[PointInfo], at: Path) -> None:
        """That every quantity fits all points that are watched; the first that it does not fit is told."""
        for key, amount in good.items():
            shape = known.fields[key].shape
            if isinstance(shape, Amount):
                for point in watched:
                    if not self._check_amount(amount, shape, point, (*at, key)):
                        break

    def _tell_no_match(self, glob: str, at: Path) -> None:
        if not self._findings.whole or self._points.may_match(glob):
            return
        near = self._points.nearest(glob)
        expected = "" if near else 'a point as "device/point", such as "freezer-*/core_temp"'
        self._findings.add(at, f"no point matches {quoted(glob)}", expected, near and quoted(near))

    def _check_amount(self, amount: Quantity, shape: Amount, point: PointInfo, at: Path) -> bool:
        """Whether a quantity can be held against a point; tells it when not."""
        rate = shape.sort == "rate"
        unit = f"{point.unit}/s" if rate else point.unit
        shown = quoted(units.written(amount))
        if rate and not amount.unit:
            per_minute = f"{units.written(amount)} {point.unit}/min" if point.unit else f"{units.written(amount)} /min"
            self._findings.add(at, f"{shown} has no unit", "", quoted(per_minute))
            return False
        if shape.sort == "margin" and amount.unit == "%":
            return True
        try:
            units.convert(amount, unit, difference=shape.sort in ("difference", "margin"))
        except units.UnitMismatchError:
            self._tell_mismatch(amount, f"{point.unit}/min" if rate else point.unit, point, at)
            return False
        return True

    def _tell_mismatch(self, amount: Quantity, unit: str, point: PointInfo, at: Path) -> None:
        described = f"which is in {point.unit}" if point.unit else "which has no unit"
        found = f"{quoted(units.written(amount))} does not fit {point.id}, {described}"
        meant = units.written(Quantity(amount.value, unit))
        if units.is_known(amount.unit):
            self._findings.add(at, found, f"a quantity such as {quoted(meant)}")
        else:
            self._findings.add(at, found, "", quoted(meant))


@cache
def built_in() -> Mapping[str, dict[str, Any]]:
    """The rules that every hub has, as written in `built_in.toml`."""
    text = FilePath(__file__).with_name("built_in.toml").read_text("utf-8")
    rules: dict[str, dict[str, Any]] = tomli.loads(text)["rule"]
    return rules


def _several(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def read_maintenance(sections: Sections, points: Points, findings: Findings) -> dict[str, Maintenance]:
    """Every maintenance window without a mistake, by name."""
    windows: dict[str, Maintenance] = {}
    known = {*sections["rule"], *sections["device"], *(f"bus.{bus}" for bus in sections["bus"]), *built_in()}
    for name, raw in sections["maintenance"].items():
        at = ("maintenance", name)
        check_name(at, findings)
        try:
            windows[name] = table(Maintenance).read(raw, at, findings)
        except Told:
            continue
        for number, glob in enumerate(windows[name].on):
            if not any(fnmatchcase(one, glob) for one in known) and not points.matching(glob) and not points.may_match(glob):
                near = points.nearest(glob) if "/" in glob else nearest(glob, known)
                here = (*at, "on", number) if isinstance(raw["on"], list) else (*at, "on")
                expected = "" if near else "a point, a device, a bus or a rule of this config"
                if findings.whole:
                    findings.add(here, f"{quoted(glob)} is nothing in this config", expected, near and quoted(near))
    return windows


def check_needs(
    sections: Sections,
    points: Points,
    devices: Mapping[str, DeviceConfig],
    rules: Mapping[str, RuleKeys],
    findings: Findings,
) -> None:
    """That what devices and rules need is there."""
    known = [*(f"device.{name}" for name in sections["device"]), *(f"bus.{name}" for name in sections["bus"])]
    needs: list[tuple[Path, Sequence[str]]] = [(("device", name), device.common.needs) for name, device in devices.items()]
    needs += [(("rule", name), rule.needs) for name, rule in rules.items()]
    for at, several in needs:
        for number, need in enumerate(several):
            if need in known or points.matching(need) or points.may_match(need) or not findings.whole:
                continue
            near = points.nearest(need) if "/" in need else nearest(need, known)
            raw = sections[str(at[0])].get(str(at[1]), {}).get("needs")
            here = (*at, "needs", number) if isinstance(raw, list) else (*at, "needs")
            expected = "" if near else '"device.NAME", "bus.NAME" or "device/point"'
            findings.add(here, f"nothing is called {quoted(need)}", expected, near and quoted(near))


def read_owners(sections: Sections, devices: Mapping[str, DeviceConfig | None], findings: Findings) -> dict[str, Owner]:
    """Every owner without a mistake, by name."""
    layers = _layers(sections, devices)
    owners = {}
    for name, raw in sections["owner"].items():
        at = ("owner", name)
        check_name(at, findings)
        try:
            owner: Owner = table(Owner).read(raw, at, findings)
        except Told:
            continue
        owners[name] = owner
        for number, glob in enumerate(owner.covers):
            here = (*at, "covers", number) if isinstance(raw["covers"], list) else (*at, "covers")
            _check_cover(glob, layers, here, findings)
    return owners


def _layers(sections: Sections, devices: Mapping[str, DeviceConfig | None]) -> dict[str, set[str] | None]:
    """What can be covered, by its first word; None where not all of it is known."""
    parts = {part.name for part in PARTS}
    layers: dict[str, set[str] | None] = {"bus": set(sections["bus"]), "device": set(sections["device"]), HUB: parts}
    for word in ("model", "maker"):
        sure = None not in devices.values()
        layers[word] = {getattr(device.common, word) for device in devices.values() if device} - {""} if sure else None
    return layers


def _check_cover(glob: str, layers: Mapping[str, set[str] | None], at: Path, findings: Findings) -> None:
    if not findings.whole:
        return
    word, _, rest = glob.partition(".")
    known = layers.get(word.casefold(), set())
    words = (HUB, *PARTS_OF)
    if any(fnmatchcase(one, glob.casefold()) for one in words):
        return
    if known is None or any(fnmatchcase(name.casefold(), rest.casefold()) for name in known):
        return
    everything = [f"{one}.{name}" for one, names in layers.items() for name in sorted(names or ())]
    if any(fnmatchcase(name.casefold(), glob.casefold()) for name in everything):
        return
    near = nearest(glob, [*words, *everything])
    things = '"bus.NAME", "device.NAME", "model.NAME" or "maker.NAME" of what is in this config'
    expected = "" if near else f"{things}, or {one_of(words)}"
    findings.add(at, f"{quoted(glob)} covers nothing", expected, near and quoted(near))
