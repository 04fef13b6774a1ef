"""The reference of all keys, for people, from the same types that `canary check` goes by.

python -m gateway.config.reference                     prints it
python -m gateway.config.reference config/README.md    renews it there, between the two marks
"""

import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

import drivers
from drivers.contract import PointKeys
from gateway import diagnosis
from gateway.config import units
from gateway.config.digest import Digest
from gateway.config.downlink import Downlink
from gateway.config.insights import KINDS
from gateway.config.maintenance import Maintenance
from gateway.config.model import Bus, Desk, Device, Hub, Limits, Outbox, Owner, Uplink
from gateway.config.privacy import Privacy
from gateway.config.problems import quoted
from gateway.config.remedies import Remedy
from gateway.config.schema import written_default
from gateway.config.tables import AnyOf, Field, Named, Several, Table, fields
from gateway.config.values import Choice, SecretText, Shape
from gateway.diagnosis.contract import RuleKeys

BEGIN, END = "<!-- keys: made by python -m gateway.config.reference -->", "<!-- keys end -->"


def reference(names: Iterable[str]) -> str:
    """The reference of a config that may use these drivers, as Markdown."""
    loaded = {name: drivers.load(name) for name in sorted(names)}
    families = {driver.family: driver for driver in loaded.values()}
    buses = ((f'`[bus.NAME]` with `driver = "{name}"`', driver.bus_keys, Bus) for name, driver in loaded.items())
    devices = ((f"`[device.NAME]` on a bus of {family}", driver.device_keys, Device) for family, driver in families.items())
    points = ((f"Points of {family}", driver.point_keys, PointKeys) for family, driver in families.items())
    rules = ((f'`[rule.NAME]` with `kind = "{kind}"`', diagnosis.load_kind(kind).Keys, RuleKeys) for kind in diagnosis.kinds())
    insights = ((f'`[insight.NAME]` with `kind = "{kind}"`', keys) for kind, keys in KINDS.items())
    parts = [
        _part("`[hub]`", Hub),
        _part("`[uplink]`", Uplink),
        _part("`[downlink]`", Downlink),
        _part("`[outbox]`", Outbox),
        _part("`[limits]`", Limits),
        _part("`[desk]`", Desk),
        _part("`[privacy]`", Privacy),
        _part("`[digest]`", Digest),
        _part("`[owner.NAME]`", Owner),
        _part("`[bus.NAME]`", Bus),
        *itertools.starmap(_part, buses),
        _part("`[device.NAME]`", Device),
        *itertools.starmap(_part, devices),
        _part("`[device.NAME.points.NAME]`", PointKeys),
        *itertools.starmap(_part, points),
        _part("`[rule.NAME]`", RuleKeys),
        *itertools.starmap(_part, rules),
        _part("`[remedy.NAME]`", Remedy),
        _part("`[maintenance.NAME]`", Maintenance),
        *itertools.starmap(_part, insights),
        _units(),
    ]
    return "\n".join(parts)


def _part(title: str, one: type[msgspec.Struct], base: type[msgspec.Struct] | None = None) -> str:
    """The keys of a class, without those that it has from its base and leaves as they are."""
    known = {field.key: (field.description, written_default(field)) for field in fields(base)} if base else {}
    own = [field for field in fields(one) if known.get(field.key) != (field.description, written_default(field))]
    rows = [_row(key, field) for key, field in _all(own)]
    return f"### {title}\n\n| key | what it holds | if left out | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _all(own: Iterable[Field], prefix: str = "") -> Iterator[tuple[str, Field]]:
    """The keys of a table, each followed by those of the table, or of each of the tables, that it holds."""
    for field in own:
        yield prefix + field.key, field
        inner = field.shape.item if isinstance(field.shape, Several) else field.shape
        if isinstance(inner, Table):
            yield from _all(inner.fields.values(), f"{prefix}{field.key}{'' if inner is field.shape else '[]'}.")


def _row(key: str, field: Field) -> str:
    default = written_default(field)
    shown = "**needed**" if field.required else f"`{_toml(default)}`" if default not in (None, "", [], {}) else ""
    return f"| `{key}` | {_cell(_holds(field.shape))} | {shown} | {_cell(field.description)} |"


def _holds(shape: Shape) -> str:
    """What a key holds, in a few words."""
    if isinstance(shape, Choice):
        return ", ".join(f"`{quoted(value)}`" for value in shape.values if value != "")
    if isinstance(shape, SecretText):
        return "a secret, by reference"
    if isinstance(shape, Several):
        return f"a list, each {_holds(shape.item)}" if not shape.single else f"{_holds(shape.item)}, or a list"
    if isinstance(shape, Named):
        return f"a table, each {_holds(shape.item)}"
    if isinstance(shape, AnyOf):
        alone = ", ".join(_holds(one) for one in shape.distinct() if not isinstance(one, Several))
        listed = [_holds(one) for one in shape.distinct() if isinstance(one, Several)]
        return ", or ".join(filter(None, [alone, *("a list" if alone and "each" in one else one for one in listed)]))
    return re.sub(r" such as [^,]*$| of the form .*$", "", shape.expected)


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return quoted(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _units() -> str:
    rows = "\n".join(f"| {measure} | {', '.join(f'`{unit}`' for unit in known)} |" for measure, known in units.MEASURES.items())
    return (
        "### Units\n\nUnits in one line fit each other; any of them may stand before `/s`, `/min`, `/h` or `/d`. "
        f"A unit that is not here fits only itself.\n\n| | |\n|---|---|\n{rows}\n"
    )


def renew(page: str, made: str) -> str:
    """A page with the reference renewed between its marks."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{made}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    made = reference(drivers.available())
    for name in sys.argv[1:]:
        Path(name).write_text(renew(Path(name).read_text(), made))
    if not sys.argv[1:]:
        sys.stdout.write(made)
