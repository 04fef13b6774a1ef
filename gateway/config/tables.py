"""What a key may hold when it is more than a single value, tables above all; and how all of it follows from the types.

Here a value may hold several mistakes: each is reported where it is, and `Told` is raised at the end.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from drivers.contract import KeyMistake
from gateway.config.problems import Path, Told, Unfit, described, nearest, one_of, quoted
from gateway.config.values import (
    Amount,
    BrokerUrl,
    Choice,
    Day,
    Duration,
    Flag,
    ModelName,
    Number,
    OfficeHours,
    Report,
    SecretText,
    Shape,
    Text,
    TimeZone,
)
from gateway.diagnosis.contract import Quantity


class Several(Shape):
    """A list. Where texts are listed, a single one may stand for itself."""

    takes = (list,)

    def __init__(self, item: Shape, least: int, most: float, make: Callable[[list[Any]], Any]) -> None:
        self.item, self.least, self.most, self._make = item, least, most, make
        self.single = isinstance(item, Text)
        self.expected = f"{item.expected}, or a list of texts" if self.single else f"a list, each {item.expected}"

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """The items, as the type wants them."""
        if self.single and type(value) is str:
            return self._make([self.item.read(value, at, report)])
        if type(value) is not list:
            raise Unfit(f"found {described(value)}", self.expected)
        if not self.least <= len(value) <= self.most:
            limit = f"at least {self.least}" if len(value) < self.least else f"at most {self.most}"
            raise Unfit(f"found a list of {len(value)}" if value else "found an empty list", limit)
        return self._make(_read_each(((number, item, self.item) for number, item in enumerate(value)), at, report))


class Fixed(Shape):
    """A list of so many values, each of its own kind."""

    takes = (list,)

    def __init__(self, items: Sequence[Shape]) -> None:
        self.items = items
        self.expected = f"a list of {len(items)}: " + ", ".join(item.expected for item in items)

    def read(self, value: Any, at: Path, report: Report) -> tuple[Any, ...]:
        """The items."""
        if type(value) is not list or len(value) != len(self.items):
            raise Unfit(f"found {described(value)}" + (f" of {len(value)}" if isinstance(value, list) else ""), self.expected)
        return tuple(_read_each(zip(range(len(value)), value, self.items, strict=True), at, report))


class Named(Shape):
    """A table whose keys are free."""

    takes = (dict,)
    expected = "a table"

    def __init__(self, item: Shape) -> None:
        self.item = item

    def read(self, value: Any, at: Path, report: Report) -> dict[str, Any]:
        """The values by key."""
        if type(value) is not dict:
            raise Unfit(f"found {described(value)}", self.expected)
        return dict(zip(value, _read_each(((key, item, self.item) for key, item in value.items()), at, report), strict=True))


def _read_each(items: Iterable[tuple[str | int, Any, Shape]], at: Path, report: Report) -> list[Any]:
    """The typed values of items (their place below `at`, value, shape); all mistakes are told before Told is raised."""
    read, told = [], False
    for place, value, shape in items:
        try:
            read.append(shape.read(value, (*at, place), report))
        except Unfit as unfit:
            report.unfit((*at, place), unfit)
            told = True
        except Told:
            told = True
    if told:
        raise Told
    return read


class AnyOf(Shape):
    """One of several kinds, told apart by what is written."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.shapes = shapes
        self.takes = tuple({kind for shape in shapes for kind in shape.takes})  # type: ignore[misc]
        self.expected = " or ".join(shape.expected for shape in self.distinct())

    def distinct(self) -> Iterator[Shape]:
        """The kinds without those that another one covers in the eyes of a person: whole numbers by numbers, text by texts."""
        numbers = any(isinstance(shape, Number) and not shape.whole for shape in self.shapes)
        texts = any(isinstance(shape, Several) and shape.single for shape in self.shapes)
        for shape in self.shapes:
            covered = (isinstance(shape, Number) and shape.whole and numbers) or (isinstance(shape, Text) and texts)
            if not covered:
                yield shape

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """What the first kind makes of the value that can."""
        unfit = None
        for shape in self.shapes:
            if type(value) in shape.takes:
                try:
                    return shape.read(value, at, report)
                except Unfit as reason:
                    unfit = unfit or reason
        raise unfit or Unfit(f"found {described(value)}", self.expected)


# ---------------------------------------------------------------- tables


class Field(NamedTuple):
    """One key of a table."""

    key: str  # as written
    name: str  # as the attribute is called
    shape: Shape
    required: bool
    default: Any  # typed; msgspec.NODEFAULT where it is required
    description: str


class Table(Shape):
    """A table with the keys of one `Keys` class, or of several at once (what all devices have, and what a driver adds).

    Keys in `also` are somebody else's business.
    """

    takes = (dict,)
    expected = "a table"

    def __init__(self, *classes: type[msgspec.Struct], also: frozenset[str] = frozenset()) -> None:
        self.classes = classes
        self._also = also
        self._own = [{field.key: field.name for field in fields(one)} for one in classes]
        self.fields = {field.key: field for one in classes for field in fields(one)}
        self._required = tuple(field for field in self.fields.values() if field.required)

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """An instance of the (first) class."""
        if type(value) is not dict:
            raise Unfit(f"found {described(value)}", self.expected)
        made = self.read_all(value, at, report)[0]
        if made is None:
            raise Told
        return made

    def read_all(self, raw: Mapping[str, Any], at: Path, report: Report, *, partial: bool = False) -> list[Any]:
        """An instance of each class, None for each that has a mistake. See `values` for `partial`."""
        good, bad = self.values(raw, at, report, partial=partial)
        return self.build(good, bad, raw, at, report)

    def values(self, raw: Mapping[str, Any], at: Path, report: Report, *, partial: bool = False) -> tuple[dict[str, Any], set[str]]:
        """The typed values by key, and the keys that have a mistake or are missing.

        A `partial` table may lack required keys (a profile does not know at which address its device will be); a value of the same
        kind stands in for each.
        """
        good: dict[str, Any] = {}
        bad: set[str] = set()
        for key, value in raw.items():
            if field := self.fields.get(key):
                try:
                    good[key] = field.shape.read(value, (*at, key), report)
                except Unfit as unfit:
                    report.unfit((*at, key), unfit)
                    bad.add(key)
                except Told:
                    bad.add(key)
        strangers = [key for key in raw if key not in self.fields and key not in self._also]
        bad.update(self._tell_stranger(key, raw, at, report) for key in strangers)
        for field in self._required:
            if field.key in raw:
                continue
            if partial:
                good[field.key] = stand_in(field.shape)
            elif report.whole and field.key not in bad:
                report.add(at, f'"{field.key}" is missing', field.shape.expected, key=True)
                bad.add(field.key)
        return good, bad

    def build(self, good: Mapping[str, Any], bad: set[str], raw: Mapping[str, Any], at: Path, report: Report) -> list[Any]:
        """An instance of each class from its values, None for each of whose keys one is bad, or that sees a mistake across them."""
        bad = bad | {field.key for field in self._required if field.key not in good}
        return [
            None if bad & own.keys() else _make(one, {own[key]: good[key] for key in good if key in own}, raw, at, report)
            for one, own in zip(self.classes, self._own, strict=True)
        ]

    def _tell_stranger(self, key: str, raw: Mapping[str, Any], at: Path, report: Report) -> str:
        """Say that a key is not known; returns the one that was probably meant."""
        known = [*self.fields, *sorted(self._also)]
        near = nearest(key, [one for one in known if one not in raw]) or nearest(key, known)
        report.add((*at, key), f"unknown key {quoted(key)}", "" if near else one_of(known, 30), near and f'"{near}"', key=True)
        return near


def _make(one: type[msgspec.Struct], values: dict[str, Any], raw: Mapping[str, Any], at: Path, report: Report) -> Any:
    """An instance of a class, or None when it sees a mistake across its keys."""
    try:
        return one(**values)
    except KeyMistake as mistake:
        key = mistake.key if mistake.key in raw else mistake.key.rstrip("_")
        head, dot, below = key.partition(".")
        path = (head, below) if dot and key not in raw else (key,) if key else ()
        if report.whole:  # or else what the class misses may be what could not be read
            report.add((*at, *path), mistake.found, mistake.expected)
    except ValueError as mistake:
        report.add(at, str(mistake))
    return None


def stand_in(shape: Shape) -> Any:
    """Some value of a kind, where the true one is not known yet."""
    if isinstance(shape, Number):
        return shape.bounds.example()
    return shape.takes[0]() if shape.takes[0] in (str, dict, list) else False


# ---------------------------------------------------------------- from types


@cache
def table(*classes: type[msgspec.Struct], also: frozenset[str] = frozenset()) -> Table:
    """The table with the keys of these classes."""
    return Table(*classes, also=also)


@cache
def fields(one: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The keys of a class, in the order in which they are declared."""
    kind = inspect.type_info(one)
    assert isinstance(kind, inspect.StructType)
    found = []
    for field in kind.fields:
        shape = of(field.type)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        key = field.encode_name.rstrip("_")
        found.append(Field(key, field.name, shape, field.required, default, _schema_extra(field.type).get("description", "")))
    return tuple(found)


def _schema_extra(kind: inspect.Type) -> dict[str, Any]:
    return (kind.extra_json_schema or {}) if isinstance(kind, inspect.Metadata) else {}


def of(kind: inspect.Type, extra: Mapping[str, Any] | None = None, examples: Sequence[str] = ()) -> Shape:
    """The shape of a type. Raises TypeError for types that TOML has no words for."""
    extra = extra or {}
    match kind:
        case inspect.Metadata():
            return of(kind.type, {**extra, **(kind.extra or {})}, (kind.extra_json_schema or {}).get("examples", examples))
        case inspect.UnionType():
            return _union(kind, extra, examples)
        case inspect.StrType():
            if extra.get("secret"):
                return SecretText()
            texts = {"time_zone": TimeZone, "broker": BrokerUrl, "model": ModelName, "office_hours": OfficeHours}
            text = next((text for key, text in texts.items() if extra.get(key)), Text)
            return text(kind, examples)
        case inspect.FloatType():
            return Duration(kind) if extra.get("unit") == "s" else Number(kind)
        case inspect.IntType():
            return Number(kind)
        case inspect.BoolType():
            return Flag()
        case inspect.LiteralType():
            return Choice({value: value for value in kind.values})
        case inspect.EnumType():
            return Choice({member.value: member for member in kind.cls})
        case inspect.DateType() | inspect.DateTimeType() | inspect.TimeType():
            return Day({inspect.DateType: date, inspect.DateTimeType: datetime, inspect.TimeType: time}[type(kind)])
        case inspect.NamedTupleType() if kind.cls is Quantity:
            return Amount(extra.get("quantity", "level"))
        case inspect.TupleType():
            return Fixed([of(item) for item in kind.item_types])
        case inspect.VarTupleType() | inspect.ListType() | inspect.SetType() | inspect.FrozenSetType():
            make = {inspect.ListType: list, inspect.SetType: set, inspect.FrozenSetType: frozenset}.get(type(kind), tuple)
            most = math.inf if kind.max_length is None else kind.max_length
            return Several(of(kind.item_type, examples=examples), kind.min_length or 0, most, make)
        case inspect.DictType():
            return Named(of(kind.value_type))
        case inspect.StructType():
            return table(kind.cls)
        case inspect.AnyType():
            return Shape()
    raise TypeError(f"a key of the config cannot be of type {kind}")


def _union(kind: inspect.UnionType, extra: Mapping[str, Any], examples: Sequence[str]) -> Shape:
    kinds = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    shapes = [of(one, extra, examples) for one in kinds]
    if len(shapes) == 1:
        return shapes[0]
    return AnyOf(sorted(shapes, key=lambda shape: not (isinstance(shape, Number) and shape.whole)))  # 5 stays a whole number
