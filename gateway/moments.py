"""From a step of an episode to the message about it, and to its bytes on the wire and back.

A `Moment` has the very shape that it has on the wire: a CloudEvent (CloudEvents 1.0, JSON format) around `Account`, its data.
`config/moment.schema.json` is generated from these types.

Promises
- No moment exceeds `MAX_BYTES` on the wire. What does not fit loses evidence first (thinned, then dropped), then the ends of texts.
- Evidence has at most `MAX_POINTS` values, and its minimum and maximum are among them.
- A reader ignores fields that it does not know, so fields may be added within a version of `type`; none changes its meaning.

Pure: no I/O and no clock. A moment has no `id` and no `seq` before the outbox has numbered it.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field
from msgspec.structs import replace

from drivers.contract import NoValue, Value
from gateway.clock import Clock
from gateway.diagnosis import contract
from gateway.diagnosis.contract import Change, Kind, Layer, Phase, RuleKeys, Severity

MAX_BYTES = 8192
MAX_POINTS = 60

# ---------------------------------------------------------------- the shape


class Wire(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything that goes on the wire: what is absent or empty is left out."""


class Rule(Wire, frozen=True, kw_only=True):
    """The rule that spoke. `version` changes whenever a key of the rule does."""

    id: str
    kind: str
    version: str


class Device(Wire, frozen=True, kw_only=True):
    """The device as the hub's config knows it."""

    id: str
    label: str = ""
    maker: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    installed: date | None = None
    warranty_until: date | None = None


class Forecast(Wire, frozen=True, kw_only=True):
    """When the point will cross a limit, in seconds from `time`; a missing end of the interval is open."""

    crosses: float
    in_s: int | None = None
    earliest_s: int | None = None
    latest_s: int | None = None
    confidence: float


class Evidence(Wire, frozen=True, kw_only=True):
    """What the hub saw: `values[i]` was read at `from` + i x `every_s`, give or take one step; null where there was no value.

    Minimum and maximum of the span are among the values. `readings` counts what was condensed into them.
    """

    unit: str = ""
    from_: Annotated[datetime, Meta(tz=True)] = field(name="from")
    every_s: float
    values: Annotated[tuple[Value | None, ...], Meta(max_length=MAX_POINTS)]
    readings: int


class Owner(Wire, frozen=True, kw_only=True):
    """Who puts it right, and the reason why it is them, in words."""

    id: str
    name: str = ""
    contact: str = ""
    because: str


class Desk(Wire, frozen=True, kw_only=True):
    """The one contact that the customer hears from."""

    name: str = ""
    contact: str = ""


class HandedOver(Wire, frozen=True, kw_only=True):
    """A case goes from one owner to another, because what was seen moved the fault: ids of owners, and the reason in words."""

    from_: str = field(name="from")
    to: str
    because: str


class Tried(Wire, frozen=True, kw_only=True):
    """What was done about a case, and what came of it.

    what: "remedy NAME", "step 2", "visit". result: begun (nobody knows yet), worked (it was seen to help), failed (it was done and
    did not help), harmed (it made things worse), impossible (it could not be done), interrupted (the hub ended in the middle, and
    nobody knows how far it came).
    """

    what: str
    at: Annotated[datetime, Meta(tz=True)]
    result: Literal["begun", "worked", "failed", "harmed", "impossible", "interrupted"]
    says: str = ""


class Hub(Wire, frozen=True, kw_only=True):
    """The hub when the moment was made.

    clock:    "synced", or "unsynced": its times are not to be trusted; "corrected": they were not, but have been put right since.
    timeline: names the hub's own timeline, where the clock was unsynced; `at` is when on it (s). Two moments of one timeline are
              as far apart as their `at`, whatever their times say.
    """

    clock: Literal["synced", "unsynced", "corrected"]
    version: str
    timeline: str = ""
    at: float | None = None


class Account(Wire, frozen=True, kw_only=True):
    """What happened, why the hub thinks so, and who should act: the `data` of a moment.

    `seq` has no gaps within one `generation` of the hub's store, except for moments that were dropped and counted. `since` is
    when the condition began. `because` is what was compared with what. `how` is said of a closed episode only. `counts` are numbers
    of moments that were not told one by one, by their rule or by the reason why not; of kind `hub` only. `caused_by` is the case
    that explains this one, `at_fault` the layer that it is laid to. `openings` is how often it has opened within this case,
    `recurrence` which time this is within some months, `affected` how many devices are silent because of it. `handed_over` is of
    the phase of that name, `tried` what was done about it so far.
    """

    seq: Annotated[int, Meta(ge=0)]
    generation: str
    case: str
    kind: Kind
    phase: Phase
    severity: Severity
    rule: Rule
    device: Device | None = None
    says: str
    because: str = ""
    value: Value | None = None
    advice: tuple[str, ...] = ()
    since: Annotated[datetime, Meta(tz=True)]
    how: str = ""
    forecast: Forecast | None = None
    evidence: Evidence | None = None
    counts: dict[str, int] = {}
    owner: Owner
    desk: Desk | None = None
    caused_by: str = ""
    at_fault: Layer | None = None
    openings: int = 1
    recurrence: int = 1
    affected: int = 0
    handed_over: HandedOver | None = None
    tried: tuple[Tried, ...] = ()
    hub: Hub


class Moment(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """One moment as a CloudEvent. `subject` is the point, as "device/point"; `id` never repeats."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: Annotated[datetime, Meta(tz=True)]
    datacontenttype: Literal["application/json"] = "application/json"
    data: Account


# ---------------------------------------------------------------- making one


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
    return Moment(
        id="",
        source=f"/hubs/{hub_id}",
        type=f"canary.{change.kind}.{change.phase}.v1",
        subject=change.point.id,
        time=_second(utc(change.at)),
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
            value=None if isinstance(change.value, NoValue) else _short(change.value),
            advice=change.rule.advice,
            since=_second(utc(change.since)),
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


def numbered(moment: Moment, generation: str, seq: int) -> Moment:
    """The same moment with its place in the hub's sequence; the outbox's business alone."""
    hub_id = moment.source.removeprefix("/hubs/")
    return replace(moment, id=f"{hub_id}/{generation}/{seq:08d}", data=replace(moment.data, seq=seq, generation=generation))


Class = Literal["critical", "warning", "info", "digest"]
CLASSES: tuple[Class, ...] = ("critical", "warning", "info", "digest")
"""Of moments that wait: the first is sent first and dropped last. "digest" is what is good to know and asks nothing of anybody."""


def rank(moment: Moment) -> int:
    """The place of the moment's class in `CLASSES`."""
    if moment.data.severity == "critical":
        return 0
    if moment.data.kind in {"milestone", "insight", "digest"}:
        return 3
    return 1 if moment.data.severity == "warning" else 2


_canonical = msgspec.json.Encoder(order="sorted", enc_hook=str)


def rule_version(rule: RuleKeys) -> str:
    """Twelve hex digits that change whenever a key of the rule does."""
    return hashlib.sha256(_canonical.encode(rule)).hexdigest()[:12]


def _second(moment: datetime) -> datetime:
    """Whole seconds: the finest grain that a person or a poll once a second can use, and seven bytes less a stamp."""
    return moment.astimezone(UTC).replace(microsecond=0)


def _forecast(forecast: contract.Forecast) -> Forecast:
    crosses, in_s, earliest_s, latest_s, confidence = forecast
    return Forecast(
        crosses=_significant(crosses),
        in_s=_whole(in_s),
        earliest_s=_whole(earliest_s),
        latest_s=_whole(latest_s),
        confidence=round(confidence, 3),
    )


def _evidence(evidence: contract.Evidence, utc: Callable[[float], datetime]) -> Evidence:
    values, lead, factor = _thin(evidence.values, MAX_POINTS)
    return Evidence(
        unit=evidence.unit,
        from_=_second(utc(evidence.from_at + lead * evidence.every_s)),
        every_s=_significant(evidence.every_s * factor),
        values=_rounded(values),
        readings=evidence.readings,
    )


# ---------------------------------------------------------------- numbers


def _whole(seconds: float) -> int | None:
    return round(seconds) if math.isfinite(seconds) else None


def _significant(number: float) -> float:
    """Seven digits: all that a 32-bit float of a device holds, none of the noise that arithmetic in 64 bits adds."""
    return float(f"{number:.7g}")


def _short(value: Value | None) -> Value | None:
    if not isinstance(value, float):
        return value
    return _significant(value) if math.isfinite(value) else None


def _rounded(values: Sequence[Value | None]) -> tuple[Value | None, ...]:
    """The values to four digits of their *span*: finer than any chart of them, whatever they sit on.

    Digits of the values themselves would flatten a leak of some litres on a meter that stands at 123,456.7 m3.
    """
    numbers = [value for value in values if isinstance(value, float) and math.isfinite(value)]
    span = max(numbers, default=0.0) - min(numbers, default=0.0)
    decimals = 3 - math.floor(math.log10(span)) if 0.0 < span < 1e300 else None  # beyond, rounding overflows

    def rounded(value: Value | None) -> Value | None:
        if decimals is None or not isinstance(value, float):
            return _short(value)
        return round(value, decimals) if math.isfinite(value) else None

    return tuple(map(rounded, values))


def _thin(values: Sequence[Value | None], most: int) -> tuple[list[Value | None], int, int]:
    """At most `most` (two or more) of the values, evenly spaced, minimum and maximum among them.

    Returns (values, index of the first one's nominal place, how many old steps a new step is).
    """
    factor = math.ceil(len(values) / most) or 1
    if factor == 1:
        return list(values), 0, 1
    groups = [values[start : start + factor] for start in range(0, len(values), factor)]
    kept = [_middle(group) for group in groups]
    places = [place for place, value in enumerate(values) if isinstance(value, int | float)]
    if places:
        low = min(places, key=lambda place: values[place])  # type: ignore[arg-type, return-value]
        high = max(places, key=lambda place: values[place])  # type: ignore[arg-type, return-value]
        first, last = sorted((low, high))
        # Two extremes in one group: the earlier moves one group ahead, or the later one back where there is none ahead.
        groups_of = [first // factor, last // factor]
        if groups_of[0] == groups_of[1] and low != high:
            groups_of = [groups_of[0] - 1, groups_of[1]] if groups_of[0] else [0, 1]
        kept[groups_of[0]], kept[groups_of[1]] = values[first], values[last]
    return kept, factor // 2, factor


def _middle(group: Sequence[Value | None]) -> Value | None:
    present = [value for value in group if value is not None]
    return present[len(present) // 2] if present else None


# ---------------------------------------------------------------- bytes

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Moment)


def to_wire(moment: Moment) -> bytes:
    """The moment as UTF-8 JSON of at most `MAX_BYTES`, whatever texts the config and the devices put into it."""
    try:
        wire = _encode(moment)
    except UnicodeEncodeError:  # half of a surrogate pair, from a file name or a device: UTF-8 has no form for it
        moment = _edited(moment, lambda text: text.encode("utf-8", "replace").decode())
        wire = _encode(moment)
    if len(wire) <= MAX_BYTES:
        return wire
    return next(wire for wire in map(_encode, _smaller(moment)) if len(wire) <= MAX_BYTES)


def within(moment: Moment, most: int) -> Moment:
    """The moment in so many bytes, if it can be made that small; else as small as it can be."""
    smaller = moment
    for smaller in (moment, *_smaller(moment)):
        if len(to_wire(smaller)) <= most:
            break
    return smaller


def restamped(wire: bytes, clock: Clock) -> bytes:
    """The same moment with its times put right, where it was made before the clock was trusted, and the clock is trusted now.

    As it is where that cannot be done: the machine has started anew since, so nobody knows how long ago it was.
    """
    if b'"clock":"unsynced"' not in wire or not clock.synced():
        return wire
    moment = from_wire(wire)
    data, hub = moment.data, moment.data.hub
    if hub.at is None or hub.timeline != clock.timeline:
        return wire
    time = _second(clock.utc(hub.at))
    shift = time - moment.time
    evidence = data.evidence and replace(data.evidence, from_=data.evidence.from_ + shift)
    tried = tuple(replace(one, at=one.at + shift) for one in data.tried)
    put_right = replace(data, since=data.since + shift, evidence=evidence, tried=tried, hub=replace(hub, clock="corrected"))
    return to_wire(replace(moment, time=time, data=put_right))


def from_wire(wire: bytes) -> Moment:
    """The moment that these bytes say. Raises `msgspec.DecodeError` for anything else."""
    return _decoder.decode(wire)


def _smaller(moment: Moment) -> Iterator[Moment]:
    """The same moment, smaller and smaller; the last has no evidence and about 30 texts of at most 24 characters."""
    evidence = moment.data.evidence
    if evidence:
        for most in (30, 15, 8):
            values, lead, factor = _thin(evidence.values, most)
            start = datetime.fromtimestamp(evidence.from_.timestamp() + lead * evidence.every_s, UTC)
            thinned = replace(evidence, values=tuple(values), from_=_second(start), every_s=evidence.every_s * factor)
            yield replace(moment, data=replace(moment.data, evidence=thinned))
    moment = replace(moment, data=replace(moment.data, evidence=None))
    yield moment
    for limit in (1000, 400, 160, 60, 24):
        cut = _edited(moment, partial(_cut, limit=limit))
        yield replace(cut, data=replace(cut.data, advice=cut.data.advice[:8]))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _edited(moment: Moment, edit: Callable[[str], str]) -> Moment:
    """The moment with every text edited, except those that name the moment and its case."""

    def walk(value: Any) -> Any:
        if isinstance(value, str) and not isinstance(value, Phase):
            return edit(value)
        if isinstance(value, tuple):
            return tuple(map(walk, value))
        if isinstance(value, dict):
            return {walk(key): count for key, count in value.items()}
        if isinstance(value, Struct):
            return replace(value, **{name: walk(getattr(value, name)) for name in value.__struct_fields__})
        return value

    data = moment.data
    edited = replace(walk(data), kind=data.kind, case=data.case, caused_by=data.caused_by, generation=data.generation)
    return replace(moment, subject=edit(moment.subject), data=edited)


def schema() -> bytes:
    """The JSON Schema (2020-12) of a moment: the text of `config/moment.schema.json`."""
    described = msgspec.json.schema(Moment)
    for table in described["$defs"].values():
        if "description" in table:
            table["description"] = " ".join(table["description"].split())
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A moment of a Canary hub"}
    return msgspec.json.format(msgspec.json.encode(head | described), indent=2) + b"\n"
