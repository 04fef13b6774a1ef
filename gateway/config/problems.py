"""A mistake as a person needs it: where, what was found, what was expected, and the nearest valid word.

Nothing is raised at the first mistake: a `Report` collects them all, and `ConfigError` carries them out at the end.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from itertools import groupby
from typing import Any, TypeAlias

import msgspec

Path: TypeAlias = tuple[str | int, ...]
"""Where something is in the config: ("device", "freezer-2", "points", "core_temp", "scale"); an int counts in a list."""


class Problem(msgspec.Struct, frozen=True):
    """One mistake. `line` and `column` count from 1 and are 0 where the file as a whole is meant."""

    file: str
    line: int
    column: int
    path: str
    found: str
    expected: str = ""
    suggestion: str = ""

    @property
    def text(self) -> str:
        """The mistake in one line, without the place."""
        return in_a_line(self.path, self.found, self.expected, self.suggestion)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.text}" if self.line else f"{self.file}: {self.text}"


def in_a_line(path: str, found: str, expected: str, suggestion: str) -> str:
    """A mistake in one line; what is empty is left out."""
    where = f"{path}: " if path else ""
    wanted = f", expected {expected}" if expected else ""
    meant = f"; did you mean {suggestion}?" if suggestion else ""
    return where + found + wanted + meant


class ConfigError(Exception):
    """Everything that is wrong with a config, in the order of files and lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return render(self.problems)


def render(problems: Iterable[Problem]) -> str:
    """The problems of each file below a line that counts them."""
    lines = []
    for file, group in groupby(problems, key=lambda problem: problem.file):
        rows = [(f"{one.line}:{one.column}" if one.line else "", one.text) for one in group]
        width = max(len(place) for place, _ in rows)
        lines.append(f"{file}: {len(rows)} problem{'s' if len(rows) > 1 else ''}")
        lines += [f"  {place:<{width}}  {text}" if width else f"  {text}" for place, text in rows]
    return "\n".join(lines)


class Unfit(ValueError):  # noqa: N818  (a person made it, not the program)
    """One value does not do. `below` is where in the value, when the value is a list or table."""

    def __init__(self, found: str, expected: str = "", suggestion: str = "", below: Path = ()) -> None:
        super().__init__(found)
        self.found, self.expected, self.suggestion, self.below = found, expected, suggestion, below


class Told(Exception):  # noqa: N818
    """There is no value, and the report already says why."""


def nearest(word: str, words: Iterable[str], cutoff: float = 0.6) -> str:
    """The valid word that was most likely meant, or "". Case and the difference between - and _ do not count."""
    from difflib import get_close_matches  # only a person who has made a mistake needs it

    plain = {_plain(one): one for one in words}
    near = get_close_matches(_plain(word), plain, n=1, cutoff=cutoff)
    if not near and len(word) > 2:
        near = [one for one in plain if one.startswith(_plain(word))]  # "cert" for "certificate"
    return plain[near[0]] if len(near) == 1 else ""


def _plain(word: str) -> str:
    return word.casefold().replace("_", "-").replace(" ", "-")


def one_of(words: Sequence[Any], most: int = 16) -> str:
    """The valid words, for a person to choose from."""
    shown = [quoted(word) for word in words[:most]]
    if len(words) > most:
        shown.append("...")
    return shown[0] if len(shown) == 1 else "one of " + ", ".join(shown)


def quoted(value: Any) -> str:
    """A value as it is written in TOML, cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        shown = value if len(value) <= 60 else value[:57] + "..."
        return '"' + re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", shown) + '"'
    if isinstance(value, int):
        return str(value) if abs(value) < 10**40 else "a very long number"
    return str(value)


def described(value: Any) -> str:
    """What was found, by its kind and value."""
    match value:
        case bool():
            return quoted(value)
        case str():
            return f"text {quoted(value)}"
        case int() | float():
            return f"the number {quoted(value)}"
        case datetime() | date() | time():
            return f"the {'time' if isinstance(value, time) else 'date'} {value}"
        case dict():
            return "a table"
        case list():
            return "a list" if value else "an empty list"
    return "nothing"


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dotted(path: Path) -> str:
    """A path as people write it: `device.freezer-2.points.core_temp`, `rule.warm.on[1]`."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += "." * bool(shown) + (part if _BARE.fullmatch(part) else quoted(part))
    return shown
