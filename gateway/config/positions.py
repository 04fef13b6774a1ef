"""Where in a TOML text each key and value stands. The TOML parser does not tell, and a mistake without a line helps nobody.

Scans text that the parser has accepted (or the part before the parser's complaint), so it checks nothing by itself: its one
promise is to find the very key paths that the parser finds. It is run only when there is a mistake to tell.
"""

import re
from typing import NamedTuple

import tomli

from gateway.config.problems import Path


class Spot(NamedTuple):
    """Offsets into the text: of the key or table header, and of the value (of a header, the same)."""

    key: int
    value: int


class Statement(NamedTuple):
    """A table header or `key = value`: where it begins, its full path, and where the same path was first named before it."""

    start: int
    path: Path
    first: int | None


_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s.=\[\]{}#"',]+)[ \t]*""")
_STRING = re.compile(
    r'''"""(?:\\[\s\S]|[^\\])*?"{3,5}|"(?:\\.|[^"\\\n])*"?'''
    r"""|'''[\s\S]*?'{3,5}|'[^'\n]*'?"""
)
_ESCAPE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_JOINED = re.compile(r"\\[ \t]*\n\s*")  # lines of a long text that are one
_BARE = re.compile(r"[^,\]}#\n]*")


def scan(text: str) -> dict[Path, Spot]:
    """The spot of each key path of a text whose lines end in a newline alone."""
    return _Scanner(text).scan()


def last_statement(text: str) -> Statement:
    """The statement that a text ends in; of use where the parser has stopped at that end."""
    scanner = _Scanner(text)
    spots = scanner.scan()
    start, path = scanner.last
    before = [spots[path[:size]].key for size in range(len(path), 0, -1) if path[:size] in spots]
    return Statement(start, path, next((key for key in before if key < start), None))


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """An offset as people count: lines and characters from 1."""
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - start + 1


def in_text(text: str, value: int, index: int) -> int:
    """The offset of a character of a text value (`index` counts from 0) that begins at the offset `value`, quotes and all."""
    quote = text[value : value + 1]
    is_long = text.startswith(quote * 3, value)
    at = value + (3 if is_long else 1)
    at += is_long and text.startswith("\n", at)  # the first line end of a long text is not of it
    while True:
        if quote == '"' and (joined := _JOINED.match(text, at)):
            at = joined.end()
        elif not index:
            return at
        else:
            escape = _ESCAPE.match(text, at) if quote == '"' else None
            at = escape.end() if escape else at + 1
            index -= 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.spots: dict[Path, Spot] = {}
        self.tables: dict[Path, int] = {}  # how many tables a list of tables ([[name]]) has so far
        self.last: tuple[int, Path] = (0, ())  # where the last statement begins, and its path

    def scan(self) -> dict[Path, Spot]:
        at = self._blank(0)
        table: Path = ()
        while at < len(self.text):
            start = at
            if self.text[at] == "[":
                at, table = self._header(at)
                self.last = start, table
            else:
                at, path = self._pair(at, table)
                self.last = start, path
            at = self._blank(max(at, start + 1))
        return self.spots

    def _blank(self, at: int) -> int:
        match = _BLANK.match(self.text, at)
        return match.end() if match else at

    def _key(self, at: int) -> tuple[int, tuple[str, ...]]:
        """The parts of a dotted key, and where it ends."""
        parts: list[str] = []
        while match := _KEY_PART.match(self.text, at):
            parts.append(_plain(match[1]))
            at = match.end()
            if self.text[at : at + 1] != ".":
                break
            at += 1
        return at, tuple(parts)

    def _header(self, start: int) -> tuple[int, Path]:
        listed = self.text.startswith("[[", start)
        end, parts = self._key(start + 1 + listed)
        path: Path = ()
        for number, part in enumerate(parts, 1):
            path += (part,)
            self._note(path, start, start)
            if path in self.tables and (number < len(parts) or not listed):
                path += (self.tables[path] - 1,)
        if listed and parts:
            self.tables[path] = self.tables.get(path, 0) + 1
            path += (self.tables[path] - 1,)
        self._note(path, start, start)
        return end + 1 + listed, path

    def _pair(self, start: int, table: Path) -> tuple[int, Path]:
        """`key = value`, on a line of its own or in an inline table."""
        at, parts = self._key(start)
        equals = self._blank(at)
        if self.text[equals : equals + 1] != "=":
            return at, table + parts
        value = self._blank(equals + 1)
        for depth in range(1, len(parts) + 1):
            self._note(table + parts[:depth], start, start if depth < len(parts) else value)
        return self._value(value, table + parts), table + parts

    def _note(self, path: Path, key: int, value: int) -> None:
        if path:
            self.spots.setdefault(path, Spot(key, value))

    def _value(self, at: int, path: Path) -> int:
        opening = self.text[at : at + 1]
        if opening == "[":
            return self._items(at + 1, path)
        if opening == "{":
            return self._inline(at + 1, path)
        if match := (_STRING if opening in ('"', "'") else _BARE).match(self.text, at):
            return match.end()
        return at

    def _items(self, at: int, path: Path) -> int:
        number = 0
        while (at := self._blank(at)) < len(self.text) and self.text[at] != "]":
            if self.text[at] in ",}":
                at += 1
                continue
            self._note((*path, number), at, at)
            at = self._value(at, (*path, number))
            number += 1
        return at + 1

    def _inline(self, at: int, path: Path) -> int:
        while (at := self._blank(at)) < len(self.text) and self.text[at] != "}":
            after, _ = self._pair(at, path)
            at = after if after > at else at + 1
        return at + 1


def _plain(key: str) -> str:
    if key[0] == '"' and "\\" in key:
        try:
            return str(tomli.loads(f"key = {key}")["key"])
        except tomli.TOMLDecodeError:
            return key[1:-1]
    return key[1:-1] if key[0] in "\"'" else key
