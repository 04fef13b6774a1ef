"""What a condition does: small functions of the present, put together as its tree is.

A term is called with a `Now` and gives a number, a text or, of a condition, True or False; None where that is unknown. Of two
conditions the known one decides where it can (Kleene's strong logic): unknown and false is false, unknown or true is true.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from drivers.contract import Value
from gateway.diagnosis.watch import WIDEST, Local


class Now(NamedTuple):
    """The present: a value for each point (None where there is none), and what time it is."""

    values: Sequence[Value | None]
    at: float
    local: Local


Term: TypeAlias = Callable[[Now], Any]


# ---------------------------------------------------------------- values


def constant(value: Value) -> Term:
    """A number or text of the text."""
    return lambda _: value


def anything(index: int) -> Term:
    """A point of which it is not known whether it is a number or a text."""
    return lambda now: now.values[index]


def number(index: int) -> Term:
    """A point that is a number."""

    def term(now: Now) -> float | None:
        value = now.values[index]
        return None if isinstance(value, str) else value

    return term


def text(index: int) -> Term:
    """A point that is a text."""

    def term(now: Now) -> str | None:
        value = now.values[index]
        return value if isinstance(value, str) else None

    return term


# ---------------------------------------------------------------- numbers


def several(function: Callable[..., float], parts: Sequence[Term]) -> Term:
    """A function of numbers. What it cannot do with them (divide by nothing, for one) is unknown."""

    def term(now: Now) -> float | None:
        values = [part(now) for part in parts]
        if None in values:
            return None
        try:
            result = function(*values)
        except (ArithmeticError, TypeError):  # a text where a number is meant is one of these
            return None
        return result if not isinstance(result, str) and -WIDEST <= result <= WIDEST else None

    return term


def combined(function: Callable[[float, float], float], left: Term, right: Term) -> Term:
    """The same, of two."""

    def term(now: Now) -> float | None:
        one, other = left(now), right(now)
        if one is None or other is None:
            return None
        try:
            result = function(one, other)
        except (ArithmeticError, TypeError):
            return None
        return result if not isinstance(result, str) and -WIDEST <= result <= WIDEST else None

    return term


def mean(*values: float) -> float:
    """The mean of some numbers."""
    return sum(values) / len(values)


SIGNS: dict[str, Callable[..., float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "abs": abs,
    "min": min,
    "max": max,
    "avg": mean,
}


def negative(part: Term) -> Term:
    """Minus a number."""
    return several(operator.neg, [part])


def scaled(part: Term, factor: float, zero: float) -> Term:
    """A number in another unit."""
    return several(lambda value: value * factor + zero, [part])


# ---------------------------------------------------------------- conditions

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def compared(sign: str, left: Term, right: Term) -> Term:
    """Whether two values compare so. A text and a number are unequal, and neither is less than the other."""
    compare = COMPARISONS[sign]

    def term(now: Now) -> bool | None:
        one, other = left(now), right(now)
        if one is None or other is None:
            return None
        try:
            return compare(one, other)
        except TypeError:
            return None

    return term


def truth(part: Term) -> Term:
    """A number as a condition: whether it is not 0. Of a text it is unknown."""

    def term(now: Now) -> bool | None:
        value = part(now)
        return None if value is None or isinstance(value, str) else value != 0

    return term


def opposite(part: Term) -> Term:
    """Not."""

    def term(now: Now) -> bool | None:
        answer = part(now)
        return None if answer is None else not answer

    return term


def every(parts: Sequence[Term]) -> Term:
    """And. All are asked, since some keep time."""

    def term(now: Now) -> bool | None:
        answers = [part(now) for part in parts]
        return False if False in answers else None if None in answers else True

    return term


def some(parts: Sequence[Term]) -> Term:
    """Or."""

    def term(now: Now) -> bool | None:
        answers = [part(now) for part in parts]
        return True if True in answers else None if None in answers else False

    return term
