"""What a frame says: from the bytes of one frame to the outcomes of the points that it speaks of.

Pure and total: any bytes give outcomes, never an exception. A device is read in one style:

- `pattern`: regular expressions, whose named groups are points;
- `delimiter`: fields by number, or of the line whose first field is `key` (OBIS codes, name=value);
- neither: every point lies at a fixed place, as text (`at` and `length`) or packed (`at` and `type`, see `layout.py`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from re import _constants, _parser  # type: ignore[attr-defined]  # the only way to see what a pattern will cost before it runs
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta

from drivers.contract import Held, KeyMistake, Keys, NoValue, Outcome, Value
from drivers.layout import MISSING, NOT_A_NUMBER, LayoutKeys, compile_field, compile_value

EMPTY = NoValue("empty")
LONGEST_LINE = 512
"""Characters of a line that a pattern is tried on: what a pattern costs grows faster than the line, and the hub must not wait."""

Parser: TypeAlias = Callable[[bytes], dict[str, Outcome]]
"""What a frame says, by point; a point that the frame does not speak of is not there."""


class ParseKeys(Keys, frozen=True, kw_only=True):
    """How the frames of one device are read."""

    pattern: Annotated[
        str | tuple[str, ...],
        Meta(description="Regular expression (or several), looked for in each line; its named groups, (?P<name>...), are points."),
    ] = ()
    lines: Annotated[str, Meta(description='What parts the lines of a frame, where it has several: "\\r\\n".')] = ""
    delimiter: Annotated[str, Meta(description='What parts the fields of a line: ","; " " stands for any blanks.')] = ""
    decimal: Annotated[Literal[".", ","], Meta(description="What parts units from tenths.")] = "."

    def __post_init__(self) -> None:
        if self.pattern and self.delimiter:
            raise KeyMistake("delimiter", "a delimiter beside a pattern", "one of them")
        for pattern in self.patterns:
            try:
                hazard = _hazard(pattern)
            except re.error as error:
                raise KeyMistake("pattern", f"{error}", "a regular expression of Python") from None
            if hazard:
                raise KeyMistake("pattern", hazard, 'an exact description of what may come, such as "[^,]*" or "[0-9.]+"')

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns, whether one or several were written."""
        return (self.pattern,) if isinstance(self.pattern, str) else self.pattern


class SaidKeys(LayoutKeys, frozen=True, kw_only=True):
    """Where in a frame a point is found, and what is written there."""

    when: Annotated[
        str | tuple[str, ...],
        Meta(description='Only of frames that begin so (or so): "$GPRMC,", "hex: 02 ?? 41" with any byte for ??.'),
    ] = ()
    field: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | None, Meta(description="Number of the field; the first of a line is 0.")
    ] = None
    key: Annotated[str, Meta(description="First field of the line it is in: an OBIS code, a name. Its value is then field 1.")] = ""
    text: Annotated[bool, Meta(description="It is a text, not a number.")] = False
    base: Annotated[Literal[10, 16], Meta(description="Of a number written as text: decimal or hexadecimal.")] = 10
    suffix: Annotated[str, Meta(description='Text that must follow the value, and is no part of it: "*kWh)", "g".')] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prefix("when", self.when)
        if self.type is not None:
            for key, default in (("field", None), ("key", ""), ("text", False), ("base", 10), ("suffix", "")):
                if getattr(self, key) != default:
                    raise KeyMistake(key, f"{key} beside type", "one of them: `type` is for packed bytes, the others for text")
        elif self.length is not None and (self.key or self.field is not None):
            raise KeyMistake("length", "a length beside field or key", "one of them: a field is as long as it is")
        elif self.text and (self.values or self.scaled):
            raise KeyMistake("text", "text together with values, scale, offset or decimals", "one of them")

    @property
    def holds(self) -> Held:
        """See `PointKeys.holds`."""
        return "text" if self.text else super().holds


def misfits(keys: ParseKeys, points: Mapping[str, SaidKeys]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Where points and style do not fit each other: path below the device, what was found, what was expected."""
    if keys.pattern:
        groups = {name for pattern in keys.patterns for name in re.compile(pattern).groupindex}
        yield from ((("pattern",), f"a group {name}", f"a point of that name: [points.{name}]") for name in groups - points.keys())
        for name, point in points.items():
            if name not in groups:
                yield ("points", name), "no group of that name in the pattern", f"(?P<{name}>...) in the pattern"
            elif places_of(point):
                yield ("points", name, places_of(point)[0]), "a place beside a pattern", "no place: the pattern says it"
        return
    for name, point in points.items():
        places = places_of(point)
        if keys.delimiter:
            if not places or places[0] not in ("field", "key"):
                yield ("points", name), " and ".join(places) or "no place", "`field` or `key`, since fields have a delimiter"
            elif keys.lines and not point.key:
                yield ("points", name), "a field of no line in particular", "`key`: the first field of its line"
        elif not places or places[0] not in ("type", "length"):
            expected = "`type` or `length`; or, of the device, a pattern or a delimiter"
            yield ("points", name), " and ".join(places) or "no place", expected


def places_of(point: SaidKeys) -> list[str]:
    """The keys by which a point says where in a frame it is."""
    return [key for key in ("key", "field", "type", "length") if getattr(point, key) not in ("", None)]


def compile_parser(keys: ParseKeys, points: Mapping[str, SaidKeys]) -> Parser:
    """A function from a frame to what it says of these points."""
    style = _by_pattern if keys.pattern else _by_field if keys.delimiter else _by_place
    kinds: dict[str | tuple[str, ...], dict[str, SaidKeys]] = {}
    for name, point in points.items():
        kinds.setdefault(point.when, {})[name] = point
    parsers = [(compile_prefix(when), style(keys, kind)) for when, kind in kinds.items()]
    if list(kinds) == [()]:
        return parsers[0][1]

    def parse(frame: bytes) -> dict[str, Outcome]:
        said: dict[str, Outcome] = {}
        for fits, parser in parsers:
            if fits(frame):
                said |= parser(frame)
        return said

    return parse


# ---------------------------------------------------------------- the styles


def _by_pattern(keys: ParseKeys, points: Mapping[str, SaidKeys]) -> Parser:
    patterns = [re.compile(pattern) for pattern in keys.patterns]
    means = {name: _compile_text(keys, point) for name, point in points.items()}

    def parse(frame: bytes) -> dict[str, Outcome]:
        said: dict[str, Outcome] = {}
        for line in _lines(keys, frame):
            for pattern in patterns:
                match = pattern.search(line) if len(line) <= LONGEST_LINE else None
                for name, text in match.groupdict().items() if match else ():
                    if text is not None and name in means:
                        said[name] = means[name](text)
        return said

    return parse


def _by_field(keys: ParseKeys, points: Mapping[str, SaidKeys]) -> Parser:
    delimiter = None if keys.delimiter.isspace() and keys.delimiter != "\t" else keys.delimiter
    places = [
        (name, point.key, (1 if point.key else 0) if point.field is None else point.field, _compile_text(keys, point))
        for name, point in points.items()
    ]

    def parse(frame: bytes) -> dict[str, Outcome]:
        rows = [line.split(delimiter) for line in _lines(keys, frame)]
        by_key = {row[0].strip(): row for row in reversed(rows) if row}  # of two lines with one key, the first counts
        said: dict[str, Outcome] = {}
        for name, key, field, means in places:
            row = by_key.get(key) if key else rows[0]
            if row is not None and field < len(row):
                said[name] = means(row[field])
        return said

    return parse


def _by_place(keys: ParseKeys, points: Mapping[str, SaidKeys]) -> Parser:
    fields = {name: compile_field(point) if point.type else _column(keys, point) for name, point in points.items()}

    def parse(frame: bytes) -> dict[str, Outcome]:
        outcomes = ((name, field(frame)) for name, field in fields.items())
        return {name: outcome for name, outcome in outcomes if outcome is not MISSING}

    return parse


def _column(keys: ParseKeys, point: SaidKeys) -> Callable[[bytes], Outcome]:
    means, at, end = _compile_text(keys, point), point.at, point.at + (point.length or 0)
    return lambda frame: means(frame[at:end].decode("latin-1")) if len(frame) >= end else MISSING


def _lines(keys: ParseKeys, frame: bytes) -> list[str]:
    text = frame.decode("latin-1")
    return text.split(keys.lines) if keys.lines else [text]


# ---------------------------------------------------------------- from text to value

_NUMBER = re.compile(r"[+-]?[ \t]*(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_HEX = re.compile(r"(?:0[xX])?[0-9A-Fa-f]+")
_LONGEST_NUMBER = 40  # characters


def _compile_text(keys: ParseKeys, point: SaidKeys) -> Callable[[str], Outcome]:
    """A function from the text of one field to its outcome: exactly a number, or no value; nothing is guessed."""
    means, voids, suffix = compile_value(point, numeric=False), point.voids, point.suffix.strip()
    as_is = bool(point.text or point.values)
    number = _hexadecimal if point.base == 16 else _decimal(keys.decimal)

    def outcome(text: str) -> Outcome:
        text = text.strip()
        if suffix and text.endswith(suffix):
            text = text[: -len(suffix)].rstrip()
        elif suffix and not as_is:
            return NOT_A_NUMBER
        if as_is or text in voids:
            return means(text) if text else EMPTY
        value = number(text)
        if value is None:
            return NOT_A_NUMBER if text else EMPTY
        return means(value)

    return outcome


def _decimal(point: str) -> Callable[[str], Value | None]:
    def number(text: str) -> Value | None:
        if point == ",":
            text = text.translate(_COMMA)
        if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
            return None
        text = text.replace(" ", "").replace("\t", "")
        return int(text) if text.lstrip("+-").isdigit() else float(text)

    return number


_COMMA = str.maketrans(",.", ".,")


def _hexadecimal(text: str) -> Value | None:
    return int(text, 16) if len(text) <= _LONGEST_NUMBER and _HEX.fullmatch(text) else None


# ---------------------------------------------------------------- what a frame begins with


def compile_prefix(texts: str | tuple[str, ...]) -> Callable[[bytes], Any]:
    """A function that says (by truth) whether a frame begins with one of these texts, or with anything where there is none."""
    texts = (texts,) if isinstance(texts, str) else texts
    return re.compile(b"|".join(_prefix(text) for text in texts), re.DOTALL).match


def check_prefix(key: str, texts: str | tuple[str, ...]) -> None:
    """Raises KeyMistake where `compile_prefix` would fail."""
    for text in (texts,) if isinstance(texts, str) else texts:
        try:
            _prefix(text)
        except ValueError:
            raise KeyMistake(key, f'"{text}"', 'characters of one byte each, or pairs of hex digits after "hex:"') from None


def _prefix(text: str) -> bytes:
    if not text.startswith("hex:"):
        return re.escape(text.encode("latin-1"))
    digits = "".join(text[4:].split())
    pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
    return b"".join(b"." if pair == "??" else re.escape(bytes.fromhex(pair)) for pair in pairs)


# ---------------------------------------------------------------- what a pattern may cost

_MANY = 16  # a repeat of more than this counts as one without end
_ANYTHINGS = 3  # so many ".*" a pattern may have


def _hazard(pattern: str) -> str:
    """Why a pattern could take for ever on a bad line; empty where it cannot. Raises re.error where it is none."""
    re.compile(pattern)
    repeats = list(_repeats(_parser.parse(pattern)))
    if any(nested for nested, _ in repeats):
        return "a repeat inside a repeat, such as (a+)+"
    if sum(anything for _, anything in repeats) > _ANYTHINGS:
        return f'more than {_ANYTHINGS} times ".*" or ".+"'
    return ""


def _repeats(tree: Any, *, inside: bool = False) -> Iterator[tuple[bool, bool]]:
    """Every repeat without end: whether it is inside another, and whether it is one of anything at all."""
    for item in tree:
        if isinstance(item, tuple) and item and item[0] in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            _, high, body = item[1]
            endless = high > _MANY
            if endless:
                yield inside, body[0][0] is _constants.ANY
            yield from _repeats(body, inside=inside or endless)
        elif isinstance(item, tuple | list | _parser.SubPattern):
            yield from _repeats(item, inside=inside)
