"""A condition as it is written: a tree of a few kinds of node, and the text of it.

Two trees are equal when they say the same, wherever they stand; `start` and `end` are where a node is in its text, for mistakes.
"""

import re
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    start: int = field(default=0, compare=False, repr=False)
    end: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Number(_Node):
    """A number with the unit it was written with: "60 °C", "-3.5"."""

    value: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Text(_Node):
    """A text in quotes."""

    value: str


@dataclass(frozen=True, slots=True)
class Flag(_Node):
    """true or false, also written on and off."""

    value: bool


@dataclass(frozen=True, slots=True)
class Point(_Node):
    """A point: "boiler/supply_temp", or "supply_temp" of the device at hand."""

    name: str


@dataclass(frozen=True, slots=True)
class Clock(_Node):
    """What the clock on the wall says: hour, weekday or day."""

    word: str


@dataclass(frozen=True, slots=True)
class Negative(_Node):
    """Minus something that is no plain number."""

    of: "Node"


@dataclass(frozen=True, slots=True)
class Arithmetic(_Node):
    """Two numbers and one of + - * / between them."""

    sign: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Call(_Node):
    """abs, min, max or avg of one or several numbers."""

    name: str
    of: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Past(_Node):
    """min, max or avg of a number over the last `seconds`; or whether it has changed in them."""

    name: str
    of: "Node"
    seconds: float


@dataclass(frozen=True, slots=True)
class Comparison(_Node):
    """Two or more terms, and a sign between each and the next."""

    signs: tuple[str, ...]
    of: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not(_Node):
    """The opposite of a condition."""

    of: "Node"


@dataclass(frozen=True, slots=True)
class Lasting(_Node):
    """A condition that has been true for `seconds`."""

    of: "Node"
    seconds: float


@dataclass(frozen=True, slots=True)
class All(_Node):
    """Conditions joined by `and`."""

    of: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Some(_Node):
    """Conditions joined by `or`."""

    of: tuple["Node", ...]


Node: TypeAlias = (
    Number | Text | Flag | Point | Clock | Negative | Arithmetic | Call | Past | Comparison | Not | Lasting | All | Some
)

SPANS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Units of time, and how many seconds each is."""

CLOCKS = ("hour", "weekday", "day")
FUNCTIONS = ("abs", "min", "max", "avg", "changed")
FLAGS = {"true": True, "on": True, "false": False, "off": False}
RESERVED = frozenset(("and", "or", "not", "for", *CLOCKS, *FUNCTIONS, *FLAGS))
"""Words that are no points, unless they stand in square brackets or behind a device."""

NAME = re.compile(r"[A-Za-z][\w.-]*(?:/[A-Za-z0-9][\w-]*)?", re.ASCII)

_RANK = {Some: 0, All: 1, Lasting: 2, Not: 3, Comparison: 4, Arithmetic: 5, Negative: 7}
_ATOM = 8


def written(node: Node) -> str:
    """The text of a tree; parsing it gives the same tree."""
    match node:
        case Number(value, unit):
            return f"{value!r} {unit}".removesuffix(" ").replace(".0 ", " ").removesuffix(".0")
        case Text(value):
            return f"'{value}'" if '"' in value else f'"{value}"'
        case Flag(value):
            return "true" if value else "false"
        case Point(name):
            return name if NAME.fullmatch(name) and name not in RESERVED else f"[{name}]"
        case Clock(word):
            return word
        case Negative(of):
            return f"-{_within(of, 7)}"
        case Arithmetic(sign, left, right):
            rank = _rank(node)
            return f"{_within(left, rank)} {sign} {_within(right, rank + 1)}"
        case Call(name, of):
            return f"{name}({', '.join(map(written, of))})"
        case Past(name, of, seconds):
            return f"{name}({written(of)}, {_span(seconds)})"
        case Comparison(signs, of):
            rest = "".join(f" {sign} {_within(each, 5)}" for sign, each in zip(signs, of[1:], strict=True))
            return _within(of[0], 5) + rest
        case Not(of):
            return f"not {_within(of, 3)}"
        case Lasting(of, seconds):
            return f"{_within(of, 3)} for {_span(seconds)}"
        case All(of):
            return " and ".join(_within(each, 2) for each in of)
        case Some(of):
            return " or ".join(_within(each, 1) for each in of)


def _within(node: Node, rank: int) -> str:
    """A part of another node: in parentheses where it binds less than `rank`."""
    text = written(node)
    return text if _rank(node) >= rank else f"({text})"


def _rank(node: Node) -> int:
    """How tightly a node binds."""
    if isinstance(node, Arithmetic):
        return 6 if node.sign in "*/" else 5
    return _RANK.get(type(node), _ATOM)


def _span(seconds: float) -> str:
    for unit in ("d", "h", "min"):
        if seconds and seconds % SPANS[unit] == 0:
            return f"{seconds / SPANS[unit]!r} {unit}".replace(".0 ", " ")
    return f"{seconds!r} s".replace(".0 ", " ")
