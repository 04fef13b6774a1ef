"""From a moment to its bytes on the wire, and back.

Promise: no moment exceeds `MAX_BYTES`. What does not fit loses evidence first (thinned, then dropped), then the ends of texts.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, TypeVar

import msgspec
import msgspec.inspect
from msgspec import Struct
from msgspec.structs import replace

from gateway.clock import Clock
from gateway.moments.numbers import second, thin
from gateway.moments.shape import Digest, Moment, Visit

MAX_BYTES = 8192
Part = TypeVar("Part", Visit, Digest)

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Moment)


def to_wire(moment: Moment) -> bytes:
    """The moment as UTF-8 JSON of at most `MAX_BYTES`, whatever texts the config and the devices put into it."""
    try:
        wire = _encode(moment)
    except UnicodeEncodeError:  # half of a surrogate pair, from a file name or a device: UTF-8 has no form for it
        moment = edited(moment, lambda text: text.encode("utf-8", "replace").decode())
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
    time = second(clock.utc(hub.at))
    shift = time - moment.time
    evidence = data.evidence and replace(data.evidence, from_=data.evidence.from_ + shift)
    tried = tuple(replace(one, at=one.at + shift) for one in data.tried)
    visit = data.visit and replace(data.visit, from_=data.visit.from_ + shift, until=data.visit.until + shift)
    put_right = replace(data, since=data.since + shift, evidence=evidence, tried=tried, visit=visit)
    put_right = replace(put_right, hub=replace(hub, clock="corrected"))
    return to_wire(replace(moment, time=time, data=put_right))


def from_wire(wire: bytes) -> Moment:
    """The moment that these bytes say. Raises `msgspec.DecodeError` for anything else."""
    return _decoder.decode(wire)


def _smaller(moment: Moment) -> Iterator[Moment]:
    """The same moment, smaller and smaller; the last has no evidence and about 40 texts of at most 24 characters."""
    evidence = moment.data.evidence
    if evidence:
        for most in (30, 15, 8):
            values, lead, factor = thin(evidence.values, most)
            start = datetime.fromtimestamp(evidence.from_.timestamp() + lead * evidence.every_s, UTC)
            thinned = replace(evidence, values=tuple(values), from_=second(start), every_s=evidence.every_s * factor)
            yield replace(moment, data=replace(moment.data, evidence=thinned))
    moment = replace(moment, data=replace(moment.data, evidence=None))
    yield moment
    for limit, most in ((1000, 8), (400, 8), (160, 8), (60, 8), (24, 8), (24, 1)):
        cut = edited(moment, partial(_cut, limit=limit))
        lists = {"advice": cut.data.advice[:8], "comparisons": cut.data.comparisons[:most], "tried": cut.data.tried[-most:]}
        data = replace(cut.data, steps=cut.data.steps[:most], **lists)
        visit, digest = data.visit and _shorter(data.visit, most), data.digest and _shorter(data.digest, most)
        yield replace(cut, data=replace(data, visit=visit, digest=digest))


def _shorter(part: Part, most: int) -> Part:
    """The visit or the digest with at most so many entries in each of its lists."""
    lists = {name: value[:most] for name in part.__struct_fields__ if isinstance(value := getattr(part, name), tuple)}
    return replace(part, **lists)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


NAMES = {"case", "caused_by", "during", "generation"}
"""Fields that name a moment or a case: whoever reads them goes by every character."""


def edited(moment: Moment, edit: Callable[[str], str]) -> Moment:
    """The moment with every text edited, except those that name a moment or a case, and those of a few fixed words."""

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return edit(value)
        if isinstance(value, tuple):
            return tuple(map(walk, value))
        if isinstance(value, dict):
            return {walk(key): count for key, count in value.items()}
        if isinstance(value, Struct):
            return replace(value, **{name: walk(getattr(value, name)) for name in _free(type(value))})
        return value

    return replace(moment, subject=edit(moment.subject), data=walk(moment.data))


@cache
def _free(kind: type[Struct]) -> tuple[str, ...]:
    """The fields of a part of a moment that may hold any text."""
    described = msgspec.inspect.type_info(kind)
    assert isinstance(described, msgspec.inspect.StructType)
    return tuple(one.name for one in described.fields if one.name not in NAMES and not _is_fixed(one.type))


def _is_fixed(kind: msgspec.inspect.Type) -> bool:
    if isinstance(kind, msgspec.inspect.UnionType):
        return any(map(_is_fixed, kind.types))
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return _is_fixed(kind.item_type)
    return isinstance(kind, msgspec.inspect.LiteralType | msgspec.inspect.EnumType)


def schema() -> bytes:
    """The JSON Schema (2020-12) of a moment: the text of `config/moment.schema.json`."""
    described = msgspec.json.schema(Moment)
    for table in described["$defs"].values():
        if "description" in table:
            table["description"] = " ".join(table["description"].split())
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A moment of a Canary hub"}
    return msgspec.json.format(msgspec.json.encode(head | described), indent=2) + b"\n"
