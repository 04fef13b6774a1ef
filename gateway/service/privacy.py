"""Privacy: what may leave of a moment, by whose business its points are, and by what the people there have agreed to.

Promises
- It is decided in one place, `Privacy.leaving`, and applied by the clerk to the finished moment, just before ceilings and outbox;
  and again when the moment is sent, so that what waits goes by what holds now. To apply it twice is to apply it once.
- Where texts must be plain, nothing that leaves depends on any value: two moments that differ in values, evidence and the texts
  about them leave as the same bytes. What may stay is listed (`TELLS_NO_VALUE`), so a field that is added later stays here.
- A moment is as private as the most private of the points that it speaks of.

Pure, and never changed once made: whoever gets another consent or another config makes another one.
"""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from drivers.contract import PrivacyClass, Value
from gateway import moments
from gateway.config.model import Config
from gateway.config.privacy import CLASSES, Grain
from gateway.diagnosis import contract
from gateway.diagnosis.contract import STATE, Phase
from gateway.diagnosis.words import duration, fill, strangers
from gateway.moments import Account, Comparison, Evidence, Mentioned, Moment, StillOpen
from gateway.moments.numbers import rounded, second, significant
from gateway.moments.wire import edited
from gateway.service.casebook import Case

BARE = Grain(value="none", evidence="none", text="plain", names=False)
"""What leaves of a class to which nobody agrees any more: that something has ended, and when."""

STEPS = {"hourly": 3600.0, "daily": 86400.0}  # s

TELLS_NO_VALUE = (
    "seq", "generation", "case", "kind", "phase", "severity", "rule", "device", "advice", "since", "how", "counts", "owner", "desk",
    "caused_by", "at_fault", "openings", "recurrence", "affected", "handed_over", "tried", "steps", "comparisons", "visit",
    "digest", "during", "bears_on", "hub",
)  # fmt: skip
"""Fields of `Account` that stay where texts are plain: some without their words (`_plain`), those about several points by the
class of each (`_each_by_its_own`)."""

ALONE = frozenset({"threshold", "rate", "silent", "stuck", "implausible", "presence", "baseline", "cycling", "usage", "drift"})
OF_A_DEVICE = frozenset({"anomaly", "change", "trend"})
"""Kinds of rules that speak of one point at a time, and of points of one device at a time. Of any other kind, a moment may tell of
every point that its rule names."""

SAY_NO_VALUE = frozenset({"visit", "digest"})
"""Kinds whose texts are made of names and of numbers of cases; what else they have goes by the class of each point."""

SAFE_WORDS = ("device", "point", "lasting")
"""What `says` of a rule may fill in where no value may leave."""

UNTOLD = "The reason is known on the hub only."
SOMETHING = "Something private"

HAPPENED: dict[str, str] = {
    "problem": "needs attention",
    "prediction": "may soon need attention",
    "recovery": "is well again",
    "milestone": "is good news",
    "insight": "is worth knowing",
    "visit": "was looked after",
    "digest": "was noted",
    "hub": "needs attention",
}
WENT_ON: dict[Phase, str] = {
    Phase.WORSENED: "has become more urgent",
    Phase.EASED: "has become less urgent",
    Phase.HANDED_OVER: "is somebody else's now",
    Phase.CLOSED: "is over",
    Phase.WITHDRAWN: "did not come true",
}

_GLOB = re.compile(r"[\w.*?\[\]!-]+/[\w*?\[\]!-]+")
_WORD = re.compile(r"\w[\w-]*")


def strictest(classes: Collection[PrivacyClass]) -> PrivacyClass:
    """The last of them in `CLASSES`; "open" where there is none."""
    return max(classes, key=CLASSES.index, default="open")


class Privacy:
    """What may leave by one config and one state of consent.

    withdrawn: the classes to which nobody agrees any more. `points` has the class of every point that is not open.
    """

    def __init__(self, config: Config, withdrawn: Collection[PrivacyClass] = ()) -> None:
        self.withdrawn = frozenset(withdrawn)
        self.points = {point: one for point, one in _classes(config) if one != "open"}
        self._config = config
        self._named: dict[str, set[str]] = {}  # the private points that a rule names, as far as asked
        self._nothing_to_do = not self.points and config.privacy.open_ == Grain()
        self._labels = {} if self._nothing_to_do else {point.id: point.label for point in config.points()}
        self._hidden = _any_of(self._nameless())

    # ------------------------------------------------------------ whose business it is

    def class_of(self, subject: str, rule_id: str = "") -> PrivacyClass:
        """Of what is said of a point ("device/point", globs allowed), by a rule."""
        if set(subject) & set("*?["):
            own = strictest([one for point, one in self.points.items() if fnmatchcase(point, subject)])
        else:
            own = self.points.get(subject, "open")
        return strictest([own, self._of_rule(rule_id, subject.partition("/")[0])])

    def _of_rule(self, rule_id: str, device: str) -> PrivacyClass:
        keys = self._config.rules.get(rule_id) or self._config.insights.get(rule_id.removeprefix("insight."))
        if keys is None or keys.kind in ALONE:
            return "open"
        if rule_id not in self._named:
            self._named[rule_id] = _named(keys, self.points)
        own = f"{device}/" if keys.kind in OF_A_DEVICE else ""
        return strictest([self.points[point] for point in self._named[rule_id] if point.startswith(own)])

    def of(self, moment: Moment) -> PrivacyClass:
        """Of a moment; one that says so itself is never less private than that."""
        data = moment.data
        if data.kind in SAY_NO_VALUE:
            return data.privacy
        others = [self.class_of(one.point) for one in data.comparisons]
        return strictest([data.privacy, self.class_of(moment.subject, data.rule.id), *others])

    def of_case(self, case: Case) -> PrivacyClass:
        """Of a case, by all that it has been about."""
        return strictest([self.class_of(point, rule) for point, rule in ((case.point, case.rule_id), *case.about)])

    def grain(self, one: PrivacyClass) -> Grain:
        """What leaves of a class, now."""
        return BARE if one in self.withdrawn else self._config.privacy.of(one)

    def is_withdrawn(self, moment: Moment) -> bool:
        """Whether nobody agrees to this being told."""
        return bool(self.withdrawn) and self.of(moment) in self.withdrawn

    # ------------------------------------------------------------ what leaves

    def leaving(self, moment: Moment) -> Moment:
        """What may leave of it; the very same moment where that is all of it."""
        if self._nothing_to_do and moment.data.privacy == "open":
            return moment
        one = self.of(moment)
        grain = self.grain(one)
        data = self._each_by_its_own(replace(moment.data, privacy=one))
        data = _coarser(data, grain) if grain.text == "full" else self._plain(moment, data, grain)
        made = replace(moment, subject=moment.subject if grain.names else one, data=data)
        if self._hidden:
            made = edited(made, partial(self._hidden.sub, SOMETHING))
        return moment if made == moment else made

    def leaving_wire(self, wire: bytes) -> bytes:
        """The same for a moment that waits, as it is on the wire."""
        if self._nothing_to_do and b'"privacy":"' not in wire:
            return wire
        moment = moments.from_wire(wire)
        made = self.leaving(moment)
        return wire if made is moment else moments.to_wire(made)

    # ------------------------------------------------------------ what is said of several points at once

    def _each_by_its_own(self, data: Account) -> Account:
        """An account in which what is said beside its own point goes by the class of the point that it is said of."""
        comparisons = tuple(made for one in data.comparisons if (made := self._comparison(one)))
        visit = data.visit and replace(
            data.visit,
            open_before=tuple(map(self._mentioned, data.visit.open_before)),
            open_after=tuple(map(self._mentioned, data.visit.open_after)),
        )
        digest = data.digest and replace(data.digest, open=tuple(map(self._still_open, data.digest.open)))
        return replace(data, comparisons=comparisons, visit=visit, digest=digest)

    def _comparison(self, one: Comparison) -> Comparison | None:
        grain = self.grain(self.class_of(one.point))
        before, after = _value(one.before, grain), _value(one.after, grain)
        known = grain.names and (before is not None or after is not None or grain.value == "exact")
        return replace(one, before=before, after=after) if known else None

    def _mentioned(self, one: Mentioned) -> Mentioned:
        grain = self.grain(self.class_of(one.subject))
        if grain.text == "full":
            return one
        if not grain.names:
            return replace(one, subject=self.class_of(one.subject), says=f"{SOMETHING} needed attention.")
        return replace(one, says=f"Something about {self._labels.get(one.subject, one.subject)} needed attention.")

    def _still_open(self, one: StillOpen) -> StillOpen:
        private = self.class_of(one.subject)
        return one if self.grain(private).names else replace(one, subject=private, label=SOMETHING)

    def _nameless(self) -> Iterator[str]:
        """The names of points, and of devices that have no others, that may not be told."""
        hidden = {point for point, one in self.points.items() if not self.grain(one).names}
        for name, device in self._config.devices.items() if hidden else ():
            mine = {f"{name}/{point}" for point in device.points}
            for point in mine & hidden:
                yield from (point, self._labels[point])
            if mine and mine <= hidden:
                yield from (name, device.title)

    # ------------------------------------------------------------ plain words

    def _plain(self, moment: Moment, data: Account, grain: Grain) -> Account:
        """An account that depends on no value: the fields that tell none, and words that are made of names alone."""
        kept: dict[str, Any] = {name: getattr(data, name) for name in TELLS_NO_VALUE}
        kept["owner"] = replace(data.owner, because=UNTOLD)
        kept["handed_over"] = data.handed_over and replace(data.handed_over, because=UNTOLD)
        kept["tried"] = tuple(replace(one, says="") for one in data.tried)
        lasted = (moment.time - data.since).total_seconds()
        says = self._says(moment.subject, data.rule.id, data.kind, data.phase, lasted, grain)
        if not grain.names:
            kept |= {"rule": replace(data.rule, id=data.privacy), "device": None, "advice": (), "steps": (), "visit": None}
            kept["tried"] = tuple(replace(one, what=one.what.partition(" ")[0]) for one in kept["tried"])
        return Account(
            **kept, privacy=data.privacy, says=says, value=_value(data.value, grain), evidence=_evidence(data.evidence, grain)
        )

    def _says(self, subject: str, rule_id: str, kind: contract.Kind, phase: Phase, lasted: float, grain: Grain) -> str:
        """The rule's own words, where they say no value; else a plain sentence."""
        happened = (WENT_ON.get(phase) if kind != "recovery" else None) or HAPPENED[kind]
        if not grain.names:
            return f"{SOMETHING} {happened}."
        label = self._labels.get(subject, subject)
        rule = self._config.rules.get(rule_id)
        if rule and rule.says and phase in (Phase.OPENED, Phase.WORSENED) and not list(strangers(rule.says, SAFE_WORDS)):
            device = self._config.devices.get(subject.partition("/")[0])
            title = device.title if device else subject.partition("/")[0]
            return fill(rule.says, {"device": title, "point": label, "lasting": duration(lasted)})
        return f"Something about {label} {happened}: rule {rule_id}."


def _classes(config: Config) -> Iterator[tuple[str, PrivacyClass]]:
    """Each point and its class: its own, its device's, that of [privacy]. How the hub gets on with a device is the device's."""
    for name, device in config.devices.items():
        for point, keys in device.points.items():
            yield f"{name}/{point}", keys.privacy or device.common.privacy or config.privacy.default
        yield f"{name}/{STATE}", device.common.privacy or "open"


def _any_of(names: Iterable[str]) -> re.Pattern[str] | None:
    """Finds any of the names as a whole word; None where there are none."""
    longest_first = sorted(filter(None, set(names)), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])") if longest_first else None


def _named(keys: Any, points: Collection[str]) -> set[str]:
    """The points that any text of a rule names: as "device/point", or by the bare name where it names the devices elsewhere."""
    texts = list(_texts(keys))
    globs = {glob for text in texts for glob in _GLOB.findall(text)}
    words = {word for text in texts for word in _WORD.findall(text)}
    devices = {text.partition("/")[0] for text in texts}
    return {
        point
        for point in points
        if any(fnmatchcase(point, glob) for glob in globs)
        or (point.partition("/")[2] in words and any(fnmatchcase(point.partition("/")[0], device) for device in devices))
    }


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list | frozenset | set):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from _texts(getattr(value, name))


# ---------------------------------------------------------------- coarser numbers


def _value(value: Value | None, grain: Grain) -> Value | None:
    if grain.value == "exact" or value is None:
        return value
    if grain.value == "none" or isinstance(value, bool | str) or not math.isfinite(value):
        return None
    return significant(round(value / grain.step) * grain.step)


def _course(values: Sequence[Value | None], every_s: float, grain: Grain) -> tuple[tuple[Value | None, ...], float, float] | None:
    """(values, seconds by which the first is later, seconds between two) of a course as it may leave; None for nothing.

    A mean is of a whole hour or day; what is left over at the end is left out. A flag counts as 0 or 1, a text as nothing.
    """
    if grain.evidence == "none" or (grain.evidence != "full" and every_s <= 0.0):  # all of it at one time: no hour is over
        return None
    found, lead, size = tuple(values), 0.0, 1
    if grain.evidence != "full":
        size = max(1, math.ceil(STEPS[grain.evidence] / every_s * 0.999))  # the spacing is itself rounded
        found = tuple(None if isinstance(value, str) else value for value in found)
    if size > 1:
        found = rounded([_mean(found[first : first + size]) for first in range(0, len(found) - size + 1, size)])
        lead = (size - 1) / 2 * every_s
    if grain.value == "rounded":
        found = tuple(_value(value, grain) for value in found)
    return (found, lead, significant(every_s * size)) if any(value is not None for value in found) else None


def _mean(values: Sequence[Value | None]) -> float | None:
    known = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def _evidence(evidence: Evidence | None, grain: Grain) -> Evidence | None:
    if evidence is None or (grain.evidence == "full" and grain.value == "exact"):
        return evidence
    course = _course(evidence.values, evidence.every_s, grain)
    if course is None:
        return None
    values, lead, every_s = course
    start = second(evidence.from_ + timedelta(seconds=lead))
    return replace(evidence, from_=start, every_s=every_s, values=values)


def _coarser(value: Any, grain: Grain) -> Any:
    """The same with every piece of evidence in it coarser, wherever it is."""
    if isinstance(value, Evidence):
        return _evidence(value, grain)
    if isinstance(value, tuple):
        return tuple(_coarser(item, grain) for item in value)
    if isinstance(value, Struct):
        held = {name: getattr(value, name) for name in value.__struct_fields__}
        changed = {name: made for name, one in held.items() if (made := _coarser(one, grain)) is not one}
        return replace(value, **changed) if changed else value
    return value
