"""What a person probably meant where a text is not TOML: unquoted text, a missing quote, a decimal comma, a unit outside of quotes.

The parser stops at its first complaint and says little. `explain` turns the complaint into a `Slip`: what is there, what was
meant, and, where it can be told, the text as it was meant, so that the reading goes on and all other mistakes are told in the
same run. Nothing of a line that may hold a secret is repeated.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import NamedTuple

import tomli

from gateway.config.positions import Statement, last_statement, line_and_column
from gateway.config.problems import Path, dotted


class Slip(NamedTuple):
    """One slip of the pen: `text[start:end]` should be `mended`.

    `lost` when something that the person wrote is not in the mended text, so that what seems to be missing may well be there.
    """

    at: int
    found: str
    expected: str = ""
    suggestion: str = ""
    start: int = 0
    end: int = 0
    mended: str = ""
    lost: bool = False
    path: Path = ()


class Place(NamedTuple):
    """Where the parser stopped."""

    text: str
    at: int
    complaint: str
    statement: Statement  # the one in which it stopped

    @property
    def line(self) -> tuple[int, int]:
        """Start and end of the line."""
        return self.text.rfind("\n", 0, self.at) + 1, self.end_of_line(self.at)

    @property
    def nested(self) -> bool:
        """Whether this is inside of a list or an inline table."""
        inside = _STRING_OR_COMMENT.sub("", self.text[self.statement.start : self.at])
        return not inside.startswith("[") and inside.count("[") + inside.count("{") > inside.count("]") + inside.count("}")

    @property
    def secretive(self) -> bool:
        """Whether what stands here must not be repeated."""
        return bool(_SECRETIVE.search(self.text[min(self.statement.start, self.line[0]) : self.line[1]]))

    def end_of_line(self, at: int) -> int:
        """The end of the line that `at` is in."""
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end

    def next_header(self, at: int) -> int:
        """Where the next table begins after the line that `at` is in; the end of the text when none does."""
        header = _HEADER_LINE.search(self.text, self.end_of_line(at))
        return header.start() if header else len(self.text)

    def token(self) -> tuple[int, int]:
        """What was meant as one value around the place: from the last delimiter to the next, without blanks and comment."""
        start, end = self.line
        nested = self.nested
        if self.complaint == "Invalid value":
            start = self.at
        else:
            start = max(start, self.statement.start)
            marks = [mark.end() for mark in _DELIMITER.finditer(self.text, start, self.at) if mark[0] in "=,[{"]
            start = marks[-1 if nested else 0] if marks else start
        stop = (_END_NESTED if nested else _END).search(self.text, self.at)
        token = self.text[start : min(end, stop.start()) if stop else end]
        first = start + len(token) - len(token.lstrip())
        return first, first + len(token.strip())


_STRING_OR_COMMENT = re.compile(r"""\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*""")
_STRING_OR_QUOTE = re.compile(_STRING_OR_COMMENT.pattern.replace('|"(', '|"{3}|\'{3}|"(') + "|[\"']")
_DELIMITER = re.compile(_STRING_OR_COMMENT.pattern + r"|[=,\[{]")
_END, _END_NESTED = re.compile(r"\s#|\n"), re.compile(r"[,\]}#\n]")
_SECRETIVE = re.compile(r"pass|secret|token|(?<![a-z])key\b|bindkey|psk|(?<![a-z])pin\b|credential|auth|pwd", re.IGNORECASE)
_HEADER_LINE = re.compile(r"^[ \t]*\[[^\n]*\][ \t]*(?:#[^\n]*)?$", re.MULTILINE)
_FALSE_QUOTES = "„“”‟‚‘’‛«»‹›´`′″＂"
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\xa0\u00ad\u200b-\u200f\u2028-\u202f\u205f\u2060\u3000\ufeff]")
_KEY = r"""(?:[A-Za-z0-9_.-]+|"[^"\n]*")"""


def explain(text: str, complaint: tomli.TOMLDecodeError) -> Slip:
    """What is wrong where the parser stopped; always an answer."""
    at = min(complaint.pos, len(text))
    begins = complaint.msg == "Invalid statement"
    place = Place(text, at, complaint.msg, Statement(at, (), None) if begins else last_statement(text[:at]))
    for recognise in _SLIPS:
        if slip := recognise(place):
            if recognise in _ABOUT_VALUES:
                before = slip.at < place.statement.start
                slip = slip._replace(path=(last_statement(text[: slip.at + 1]) if before else place.statement).path)
            return _discreet(slip) if place.secretive and slip.suggestion else slip
    return _lost(place, f"this is not TOML ({complaint.msg[0].lower()}{complaint.msg[1:]})", "key = value")


def _discreet(slip: Slip) -> Slip:
    return slip._replace(suggestion="", expected=slip.expected or 'text in quotes; of a secret { credential = "name" }')


def _lost(place: Place, found: str, expected: str = "", at: int | None = None) -> Slip:
    """Leave the statement out. With a table header goes its table: its keys would fall to another one. So with a list half read."""
    start, end = place.statement.start, place.end_of_line(place.at)
    if place.text[start : start + 1] == "[" or "\n" in place.text[start : place.at].strip():
        end = place.next_header(place.at)
    blank = "\n" * place.text.count("\n", start, end)
    return Slip(place.at if at is None else at, found, expected, "", start, end, blank, lost=True)


def _instead(span: tuple[int, int], meant: str, found: str) -> Slip:
    return Slip(span[0], found, "", meant, span[0], span[1], meant)


# ---------------------------------------------------------------- each kind of slip


def _invisible(place: Place) -> Slip | None:
    sign = place.text[place.at : place.at + 1]
    if not sign or not _INVISIBLE.match(sign):
        return None
    clean = _INVISIBLE.sub(" ", place.text)
    return Slip(place.at, f"an invisible character (U+{ord(sign):04X})", "a plain space or nothing", "", 0, len(place.text), clean)


def _twice(place: Place) -> Slip | None:
    """The second definition is left out; the keys of a table go with its header."""
    inline = place.complaint.startswith("Duplicate")
    if not (inline or place.complaint.startswith("Cannot")):
        return None
    start, path, first = place.statement
    name = place.complaint.split("'")[1] if inline else dotted(tuple(part for part in path if isinstance(part, str)))
    before = "" if inline or first is None else f", first in line {line_and_column(place.text, first)[0]}"
    end = place.next_header(place.at) if place.text[start : start + 1] == "[" else place.end_of_line(place.at)
    blank = "\n" * place.text.count("\n", start, end)
    found = f'"{name}" is defined twice{before}'
    return Slip(place.at if inline else start, found, "one definition", "", start, end, blank, lost=inline)


def _backslash(place: Place) -> Slip | None:
    if not place.complaint.startswith(("Unescaped", "Invalid hex", "Escaped")):
        return None
    for string in _STRING_OR_COMMENT.finditer(place.text, max(place.line[0], place.statement.start)):
        if string.start() <= place.at < string.end():
            inside = string[0].strip('"')
            meant = f"'{inside}'" if "'" not in inside and "\n" not in inside else string[0].replace("\\", "\\\\")
            return _instead(string.span(), meant, "a backslash between double quotes")
    return _lost(place, "a backslash between double quotes", "single quotes")


def _missing_quote(place: Place) -> Slip | None:
    """A string that no quote ends: the parser complains at the end of the line, or even of the file."""
    if not place.complaint.startswith(("Illegal character '\\n'", 'Expected "', "Unterminated")):
        return None
    for mark in _STRING_OR_QUOTE.finditer(place.text):
        if mark[0] in ('"""', "'''"):
            start = last_statement(place.text[: mark.start() + 1]).start
            return Slip(mark.start(), f"no {mark[0]} ends this text", "", "", start, len(place.text), lost=True)
        if mark[0] in "\"'":
            rest = place.text[mark.end() : place.end_of_line(mark.end())]
            nested = place._replace(at=mark.start()).nested
            body = rest.rstrip(" \t,]}" if nested else " \t")
            inner = body.rstrip(_FALSE_QUOTES + "\"'")
            return _instead((mark.start(), mark.end() + len(body)), mark[0] + inner + mark[0], "a quote is missing")
    return None


def _comma_missing(place: Place) -> Slip | None:
    """Inside of a list or inline table: no comma, or nothing that closes it; whichever lets the parser go on further."""
    if not place.nested or not (place.complaint.startswith("Unclosed") or _starts_a_pair(place)):
        return None
    token = place.text[slice(*place.token())]
    if token and next(_meanings(token), None):
        return None
    inside = _STRING_OR_COMMENT.sub("", place.text[place.statement.start : place.at])
    closing = "}" if inside.rfind("{") > inside.rfind("[") else "]"
    last = len(place.text[: place.at].rstrip(" \t\n,"))
    closed = closing + place.text[last : place.at].replace(",", "")
    comma = Slip(place.at, "a comma is missing", '"," between two values', "", last, last, ",")
    close = Slip(last, f'no "{closing}" ends this', f'"{closing}"', "", last, place.at, closed)
    return max(comma, close, key=lambda slip: _reach(place.text, slip))


def _starts_a_pair(place: Place) -> bool:
    return place.complaint == "Invalid value" and bool(re.match(rf"{_KEY}\s*=", place.text[place.at : place.line[1]]))


def _reach(text: str, slip: Slip) -> int:
    """How far the parser gets with a slip mended, from where the mended text ends."""
    try:
        tomli.loads(text[: slip.start] + slip.mended + text[slip.end :])
    except tomli.TOMLDecodeError as complaint:
        return complaint.pos
    except (RecursionError, ValueError):
        return 0
    return len(text) + 2


def _decimal_comma_in_table(place: Place) -> Slip | None:
    """`{ scale = 0,1 }`: to the parser, 1 is the next key."""
    if not place.complaint.startswith("Expected '='") or not place.nested:
        return None
    match = re.search(r"(?<![\w.])[+-]?\d+,\d+[ \t]*$", place.text[: place.at])
    if not match:
        return None
    number = match[0].rstrip()
    return _instead((match.start(), match.start() + len(number)), number.replace(",", "."), "a decimal comma")


def _header(place: Place) -> Slip | None:
    """`[device.freezer 1]`, `[device.x`, `[[x]`."""
    start, end = place.line
    line = place.text[start:end].rstrip()
    match = re.fullmatch(r"(\s*)(\[{1,2})([^\[\]#=]*)\]*\s*(#.*)?", line)
    if not match or place.at < start + match.end(2) or place.nested:
        return None
    parts = [re.sub(r"[^\w-]+", "-", part.strip(" \t\"'" + _FALSE_QUOTES)).strip("-") for part in match[3].strip().split(".")]
    if not all(parts):
        return _lost(place, "a table without a name", "a name such as [device.freezer-1]", start)
    plain = [part if part.isascii() else f'"{part}"' for part in parts]
    meant = match[2] + ".".join(plain) + "]" * len(match[2])
    written = match[2] + match[3].strip() + "]" * len(match[2])
    found = '"]" is missing' if meant == written else "a name has only letters, digits, - and _"
    span = (start + match.start(2), start + len(line) - len(match[4] or ""))
    return _instead(span, meant, found)


def _key_slip(place: Place) -> Slip | None:
    """Before the value: another sign than =, none at all, blanks in the key, another sign for a comment."""
    if not place.complaint.startswith(("Expected '='", "Invalid statement", "Invalid initial")) or place.nested:
        return None
    start, end = place.line
    line = place.text[start:end]
    indent = len(line) - len(line.lstrip())
    body, at = line.strip(), start + indent
    span = (at, at + len(body))
    if match := re.match(r"//|;|--|%|/\*", body):
        return Slip(at, f'a comment begins with "#", not with "{match[0]}"', "", "", at, at, "#")
    if match := re.fullmatch(rf"({_KEY})\s*:=?\s*(.+)", body):
        return _instead(span, f"{match[1]} = {match[2]}", '":" instead of "="')
    if match := re.fullmatch(r"([\w-]+(?:[ \t]+[\w-]+)+)\s*=\s*(.*)", body):
        joined = re.sub(r"\s+", "_", match[1])
        return Slip(at, "a key has no blanks", "", f"{joined} = {match[2]}", at, at + len(match[1]), _quote_odd(joined))
    if match := re.fullmatch(rf"({_KEY})\s+([\"'\[{{\d+-].*|true|false)", body):
        return _instead(span, f"{match[1]} = {match[2]}", '"=" is missing')
    if match := re.match(r"([^\s=]+)(?=\s*=)", body):
        key = match[1].strip(_FALSE_QUOTES + "\"'")
        found = "a key outside of quotes has only letters, digits, - and _"
        return Slip(at, found, "", f'"{key}"', at, at + len(match[1]), f'"{key}"') if key else None
    found = 'there is no key before "="' if body.startswith("=") else 'there is no "=" after the key'
    return _lost(place, found, "key = value")


def _quote_odd(key: str) -> str:
    return key if key.isascii() else f'"{key}"'


def _value_slip(place: Place) -> Slip | None:
    """The value itself, or something behind it."""
    if not place.complaint.startswith(("Invalid value", "Expected newline", "Unclosed")):
        return None
    span = place.token()
    token = place.text[span[0] : span[1]]
    if not token:
        return _lost(place, 'there is nothing after "="', "a value")
    if token[0] == "=":
        return _instead(span, token.lstrip("= "), 'more than one "="')
    if place.complaint.startswith("Expected newline"):
        end = place.line[1]
        if re.match(rf"{_KEY}\s*=", place.text[place.at : end]):
            return Slip(place.at, "two keys in one line", "a line for each key", "", place.at, place.at, "\n")
        if re.fullmatch(r'"[^"]*"[^\\"=]+"[^\\\']*"', token):
            return _instead(span, f"'{token[1:-1]}'", "double quotes between double quotes")
        if re.match(r"[\[{\"]|'[^']*'(?!.*')", token):
            return Slip(place.at, "there is something behind the value", '"#" before a comment', "", place.at, end, "")
    if one := next(_meanings(token), None):
        return _instead(span, *one)
    if two := re.search(rf"(?<=\s){_KEY}\s*=", token):
        at = span[0] + two.start()
        return Slip(at, "two keys in one line", "a line for each key", "", at, at, "\n")
    if re.fullmatch(r"null|nil|none|~", token, re.IGNORECASE):
        return _lost(place, f"there is no {token} in TOML", "the key to be left out")
    if re.fullmatch(r"[\d./-]+", token) and len(re.split(r"[./-]", token)) == 3:
        return _lost(place, "this is no date", "a date such as 2024-05-01")
    return _instead(span, _text(token), "text without quotes")


def _meanings(token: str) -> Iterator[tuple[str, str]]:
    """What a value may have been meant to be (as TOML), and what is wrong with it."""
    plain = token.translate({ord(sign): "-" for sign in "−–—"})
    if token[0] in _FALSE_QUOTES:
        yield _text(token.strip(_FALSE_QUOTES + "\"'")), "quotes that are not straight"
    if token[0] == "'":
        yield _text(token[1:].removesuffix("'")), "a single quote between single quotes"
    if match := re.fullmatch(r"([+-]?\d+),(\d+)\s*(.*)", plain):
        number = f"{match[1]}.{match[2]}"
        yield _text(f"{number} {match[3]}") if match[3] else number, "a decimal comma"
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)\s*[^\W\d_x][\w³²/ ]*|[+-]?(\d+\.?\d*|\.\d+)\s*(?:[°%‰]|/[^\W\d])[\w³²/°]*", plain):
        yield _text(plain), "a unit outside of quotes"
    if re.fullmatch(r"[+-]?0\d+", plain):
        yield str(int(plain)), "a number that begins with 0"
    if re.fullmatch(r"[+-]?\.\d+", plain):
        yield plain.replace(".", "0."), "a number that begins with its point"
    if re.fullmatch(r"[+-]?\d+\.", plain):
        yield plain + "0", "a number that ends in its point"
    if re.fullmatch(r"-\d+(\.\d+)?", plain) and plain != token:
        yield plain, "a dash instead of a minus sign"
    if match := re.fullmatch(r"(\d{4})[./-](\d\d?)[./-](\d\d?)|(\d\d?)\.(\d\d?)\.(\d{4})", plain):
        numbers = [int(number) for number in match.groups() if number]
        try:
            yield date(*(numbers if numbers[0] > 31 else numbers[::-1])).isoformat(), "a date in another form"
        except ValueError:
            return
    if (word := token.casefold()) in ("true", "yes", "on", "ja", "oui", "false", "no", "off", "nein", "non"):
        yield "true" if word in ("true", "yes", "on", "ja", "oui") else "false", "a switch in another form"


def _text(inside: str) -> str:
    if "\\" in inside and "'" not in inside:
        return f"'{inside}'"
    return '"' + inside.replace("\\", "\\\\").replace('"', '\\"') + '"'


_SLIPS: tuple[Callable[[Place], Slip | None], ...] = (
    _invisible,
    _twice,
    _backslash,
    _missing_quote,
    _decimal_comma_in_table,
    _header,
    _key_slip,
    _comma_missing,
    _value_slip,
)

_ABOUT_VALUES = (_backslash, _missing_quote, _decimal_comma_in_table, _comma_missing, _value_slip)
