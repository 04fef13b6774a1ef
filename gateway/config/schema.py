"""The JSON Schema of the config, from the same types that `canary check` goes by: for editors that complete and underline.

    python -m gateway.config.schema > config/hub.schema.json

A schema cannot know which driver a device's bus has, so a device may have the keys of any; `canary check` is exact.
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any

import msgspec

import drivers
from drivers.contract import Driver
from gateway import diagnosis
from gateway.config import units
from gateway.config.digest import Digest
from gateway.config.downlink import Downlink
from gateway.config.fragments import NAMED
from gateway.config.insights import KINDS
from gateway.config.maintenance import Maintenance
from gateway.config.model import Bus, Desk, Device, Hub, Limits, Outbox, Owner, Uplink
from gateway.config.points import NAME
from gateway.config.privacy import Privacy
from gateway.config.remedies import Remedy
from gateway.config.rules import built_in
from gateway.config.tables import AnyOf, Field, Fixed, Named, Several, Table, table
from gateway.config.values import Amount, Bounds, Choice, Day, Duration, Flag, Number, SecretText, Shape, Text
from gateway.diagnosis.contract import Quantity

Schema = dict[str, Any]

CHANGED: Schema = {"type": "object", "description": "A rule that every hub has; the keys given here are other than there."}


def schema(names: Iterable[str]) -> Schema:
    """The schema of a config that may use these drivers."""
    loaded = {name: drivers.load(name) for name in sorted(names)}
    named = (_table(Owner), _bus(loaded), _device(loaded.values()), _rule(), _table(Remedy), _table(Maintenance), _insight())
    sections = dict(zip(NAMED, map(_named, named), strict=True))
    sections["rule"]["properties"] = dict.fromkeys(built_in(), CHANGED)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Canary hub",
        "description": "What hub.toml may say. Made by `python -m gateway.config.schema`.",
        "type": "object",
        "properties": {
            "hub": _table(Hub),
            "uplink": _table(Uplink),
            "downlink": _table(Downlink),
            "outbox": _table(Outbox),
            "limits": _table(Limits),
            "desk": _table(Desk),
            "privacy": _table(Privacy),
            "digest": _table(Digest),
            **sections,
        },
        "required": ["hub"],
        "additionalProperties": False,
    }


def _named(one: Schema) -> Schema:
    return {"type": "object", "propertyNames": {"pattern": f"^{NAME.pattern}$"}, "additionalProperties": one}


def _table(*classes: type[msgspec.Struct], **more: Schema) -> Schema:
    made = of(table(*classes))
    made["description"] = " ".join((classes[-1].__doc__ or "").partition("\n\n")[0].split())
    made["properties"].update(more)
    return made


def _bus(loaded: Mapping[str, Driver]) -> Schema:
    """A bus of each driver, and one of a driver that is not known here, about which nothing can be said."""
    known = [_table(Bus, driver.bus_keys, driver={"const": name}) for name, driver in loaded.items()]
    other = {"type": "object", "properties": {"driver": {"type": "string", "not": {"enum": list(loaded)}}}, "required": ["driver"]}
    return {"oneOf": [*known, other]}


def _device(loaded: Iterable[Driver]) -> Schema:
    families = list({driver.family: driver for driver in loaded}.values())
    point = _merged([_table(driver.point_keys) for driver in families])
    point["description"] = "One quantity of the device."
    device = _merged([_table(Device, driver.device_keys) for driver in families])
    device["properties"]["points"] = _named(point) | {"description": "Its points by name."}
    return device | {"description": Device.__doc__, "required": ["bus"]}


def _rule() -> Schema:
    return {"oneOf": [_table(diagnosis.load_kind(kind).Keys, kind={"const": kind}) for kind in diagnosis.kinds()]}


def _insight() -> Schema:
    return {"oneOf": [_table(keys, kind={"const": kind}) for kind, keys in KINDS.items()]}


def _merged(tables: Iterable[Schema]) -> Schema:
    """One table with the keys of all; a key that differs may be as in any of them."""
    found: dict[str, list[Schema]] = {}
    for one in tables:
        for key, value in one["properties"].items():
            known = found.setdefault(key, [])
            if _bare(value) not in map(_bare, known):
                known.append(value)
    properties = {key: values[0] if len(values) == 1 else {"anyOf": values} for key, values in found.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _bare(value: Schema) -> Schema:
    return {key: part for key, part in value.items() if key not in ("description", "default", "examples")}


def of(shape: Shape) -> Schema:
    """The schema of one kind of value."""
    match shape:
        case Table():
            properties = {field.key: _key(field) for field in shape.fields.values()}
            required = [field.key for field in shape.fields.values() if field.required]
            return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        case Flag():
            return {"type": "boolean"}
        case Number():
            return {"type": "integer" if shape.whole else "number", **_bounds(shape.bounds)}
        case Duration():
            return {"type": "string", "pattern": units.DURATION_PATTERN}
        case Amount():
            return {"type": ["string", "number"]}
        case Choice():
            return {"enum": [value for value in shape.values if value != ""]}
        case Day():
            return {"type": "string", "format": {date: "date", datetime: "date-time", time: "time"}[shape.takes[0]]}
        case SecretText():
            return _secret()
        case Text():
            kind = shape.kind
            limits: Schema = {"pattern": kind.pattern, "minLength": kind.min_length, "maxLength": kind.max_length}
            limits["examples"] = list(shape.examples)
            return {"type": "string", **{name: limit for name, limit in limits.items() if limit}}
        case Several():
            most = {"maxItems": int(shape.most)} if shape.most < math.inf else {}
            least = {"minItems": shape.least} if shape.least else {}
            listed = {"type": "array", "items": of(shape.item), **least, **most}
            return {"anyOf": [of(shape.item), listed]} if shape.single else listed
        case Fixed():
            size = len(shape.items)
            return {"type": "array", "items": [of(item) for item in shape.items], "minItems": size, "maxItems": size}
        case Named():
            return {"type": "object", "additionalProperties": of(shape.item)}
        case AnyOf():
            return {"anyOf": [of(one) for one in shape.shapes]}
    return {}


def _key(field: Field) -> Schema:
    default = written_default(field)
    more = {"description": field.description, "default": default}
    return of(field.shape) | {name: value for name, value in more.items() if value not in (None, "", [], {})}


def _bounds(bounds: Bounds) -> Schema:
    names = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    return {name: limit for name, limit in zip(names, bounds, strict=True) if limit is not None}


def _secret() -> Schema:
    ways = {
        "credential": "Name of a systemd credential (LoadCredential=).",
        "file": "A file that only this hub may read.",
        "env": "An environment variable.",
    }
    properties = {way: {"type": "string", "description": text} for way, text in ways.items()}
    return {"type": "object", "properties": properties, "minProperties": 1, "maxProperties": 1, "additionalProperties": False}


def written_default(field: Field) -> Any:
    """A key's default as it would be written in TOML; None where nothing would be."""
    value = field.default
    if value is msgspec.NODEFAULT or value is None or isinstance(value, msgspec.Struct):
        return None
    if isinstance(field.shape, Duration):
        return units.span(value)
    if isinstance(value, Quantity):
        return units.written(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return str(value) if isinstance(value, date | time) else value


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(drivers.available()), indent=1, ensure_ascii=False) + "\n")
