"""How numbers, times and rules are put into words: short, with units, and no more digits than help."""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from drivers.contract import NoValue, Outcome

PLACEHOLDERS = ("device", "point", "value", "limit", "lasting")
"""What the `says` of every rule may hold in braces; a kind may know more."""

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_SPANS = ((86400.0, "day", "days"), (3600.0, "h", "h"), (60.0, "min", "min"), (1.0, "s", "s"))


def strangers(says: str, known: Collection[str]) -> Iterator[str]:
    """The words in braces that are not among the known ones."""
    return (word for word in _PLACEHOLDER.findall(says) if word not in known)


def fill(says: str, words: Mapping[str, str]) -> str:
    """`says` with its placeholders replaced; what is not known stays as written."""
    return _PLACEHOLDER.sub(lambda match: words.get(match[1], match[0]), says)


def number(value: float, apart_from: float | None = None) -> str:
    """Four significant digits, whole digits always; more where it would read the same as the number it is compared with."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}".removeprefix("-") if value == 0 else f"{value:g}"
    places = 3 - math.floor(math.log10(abs(value)))
    text = _fixed(value, places)
    while apart_from is not None and value != apart_from and places < 12 and text == _fixed(apart_from, places):
        places += 1
        text = _fixed(value, places)
    return text


def _fixed(value: float, places: int) -> str:
    if places > 9:
        return f"{value:.3g}"
    text = f"{value:.{max(0, places)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def quantity(value: Outcome | None, unit: str = "", apart_from: float | None = None) -> str:
    """A value as people say it: "-14.2 °C", "on", "no value (sensor open)"."""
    if value is None:
        return "no value"
    if isinstance(value, NoValue):
        return f"no value ({value.reason})"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{number(value, apart_from)} {unit}".rstrip()


def rough(value: float, unit: str = "") -> str:
    """A size that is itself an estimate, in two significant digits: "0.28 bar"."""
    return f"{number(float(f'{value:.2g}'))} {unit}".rstrip()


def span(low: float, high: float, unit: str = "") -> str:
    """A range with no more digits than it is wide: "1.84 to 2.16 bar"."""
    width = high - low
    if not 0.0 < width < math.inf:
        return f"{number(low)} {unit}".rstrip()
    places = 1 - math.floor(math.log10(width))
    return f"{_fixed(low, places)} to {_fixed(high, places)} {unit}".rstrip()


def duration(seconds: float) -> str:
    """A span of time in its one or two largest units: "45 s", "12 min", "2 h 30 min", "6 days"."""
    if seconds < 9.95:
        return f"{number(round(max(seconds, 0.0), 1))} s"
    seconds = round(seconds)
    for index, (size, one, many) in enumerate(_SPANS):
        if seconds < size:
            continue
        if index == len(_SPANS) - 1 or seconds >= 10 * size:
            return _count(round(seconds / size), one, many)
        below, one_below, many_below = _SPANS[index + 1]
        whole = math.floor(seconds / size)
        rest = round((seconds - whole * size) / below)
        if rest * below >= size:
            whole, rest = whole + 1, 0
        return _count(whole, one, many) + (f" {_count(rest, one_below, many_below)}" if rest else "")
    return "0 s"


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def ordinal(number: int) -> str:
    """As words up to the tenth, then as "23rd"."""
    if 1 <= number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def age(seconds: float) -> str:
    """A span of time in its one fitting unit: "40 min", "6 days", "5 weeks", "4 months"."""
    for size, least, many in ((30.44 * 86400.0, 2.5, "months"), (7 * 86400.0, 2.5, "weeks")):
        if seconds >= least * size:
            return f"{round(seconds / size)} {many}"
    return duration(seconds)


def listed(names: Sequence[str], most: int = 3) -> str:
    """Some names as one says them: "a, b and 28 more"."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""
