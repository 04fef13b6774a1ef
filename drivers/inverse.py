"""From a value to the raw number or word that stands for it: reading, the other way round. Pure.

Promise: what is found here reads as the value that was asked for, by the very function that reads it. A value that the device
cannot have is not rounded to one that it can: a person would not learn of it. So each function gives what it found, or a `Misfit`.

Numbers are taken as people write them, in decimals: 21.5 at a scale of 0.1 is exactly 215.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeAlias

from drivers.contract import Misfit, NoValue, Outcome, Value

Means: TypeAlias = Callable[[int], Outcome]
"""What a whole raw number reads as."""

AS_READ = 1e-9  # share by which two numbers may differ that are the same to a person
SINGLE = 1e-6  # of a float32, which has 24 bits
HALF = 1e-3  # of a float16, which has 11


def integer(value: Value, scale: float, offset: float, limits: tuple[int, int], means: Means) -> int | Misfit:
    """The whole raw number within `limits`, the ends included, that reads as `value`."""
    exact = _unscaled(value, scale, offset)
    if isinstance(exact, Misfit):
        return exact
    low, high = limits
    raw = round(exact)
    if not low <= raw <= high:
        ends = sorted((low, high), reverse=scale < 0)
        return Misfit(show(value), " to ".join(show(means(end)) for end in ends))
    found = means(raw)
    if same(found, value, step=abs(scale)):
        return raw
    if isinstance(found, NoValue):
        return Misfit(f"{show(value)}, which stands for no value", "another value")
    near = [number for number in (math.floor(exact), math.floor(exact) + 1) if low <= number <= high]
    return Misfit(f"{show(value)}, between two of its values", " or ".join(show(means(number)) for number in near))


def real(value: Value, scale: float, offset: float) -> float | Misfit:
    """The raw number that reads as `value`, as nearly as a float can be."""
    exact = _unscaled(value, scale, offset)
    try:
        return exact if isinstance(exact, Misfit) else float(exact)
    except OverflowError:
        return Misfit(show(value), "a smaller number")


def word(value: Value, values: Mapping[str, Value]) -> str | Misfit:
    """The raw text in `values` (raw text -> what it means) that means `value`."""
    for raw, meaning in values.items():
        if type(meaning) is type(value) and meaning == value:
            return raw
    return Misfit(show(value), " or ".join(dict.fromkeys(map(show, values.values()))))


def switch(value: Value) -> bool | Misfit:
    """The value itself, where it is true or false."""
    return value if isinstance(value, bool) else Misfit(show(value), "true or false")


def same(found: Outcome, value: Value, tolerance: float = AS_READ, step: float = 0.0) -> bool:
    """Whether what is read is the value that was meant. `step` is from one raw number to the next, where there are steps."""
    if isinstance(found, NoValue | str | bool) or isinstance(value, str | bool):
        return type(found) is type(value) and found == value
    return math.isclose(found, value, rel_tol=tolerance, abs_tol=max(1e-12, 1e-6 * step))


def show(value: Outcome) -> str:
    """A value as a person would write it in a config."""
    if isinstance(value, NoValue):
        return f"no value ({value.reason})"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else f"{value:.12g}" if isinstance(value, float) else str(value)


def _unscaled(value: Value, scale: float, offset: float) -> Fraction | Misfit:
    if isinstance(value, bool | str) or (isinstance(value, float) and not math.isfinite(value)):
        return Misfit(show(value), "a number")
    return (Fraction(repr(value)) - Fraction(repr(offset))) / Fraction(repr(scale))
