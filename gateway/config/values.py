"""Single values that a key may hold: each kind as one small class that reads it and names it for people.

The kinds follow from the types of the `Keys` classes (`tables.of`), so that a key is declared once, where it is used. A shape's
`read` gives the typed value, or raises `Unfit` when the value does not do. Lists and tables are in `tables.py`.
"""

import contextlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from msgspec import inspect

from gateway.config import broker, office_hours, units
from gateway.config.problems import Path, Unfit, described, nearest, one_of, quoted
from gateway.diagnosis.contract import Quantity


class Report(Protocol):
    """Where mistakes go, and what a key may ask for. `whole` is false where what is missing may well be there."""

    whole: bool

    def add(self, at: Path, found: str, expected: str = "", suggestion: str = "", *, key: bool = False) -> None:
        """Tell a mistake at a path: of its value, or of its key."""

    def unfit(self, at: Path, unfit: Unfit) -> None:
        """Tell that the value at a path does not do."""

    def secret(self, reference: Mapping[str, Any], at: Path) -> str:
        """The text that the reference written at a path stands for. Raises Unfit."""


class Shape:
    """Any value; base of the others."""

    takes: ClassVar[tuple[type, ...]] = (str, bool, int, float, date, datetime, time, list, dict)
    expected = "a value"

    def read(self, value: Any, at: Path, report: Report) -> Any:  # noqa: ARG002  (lists, tables and secrets need them)
        """The typed value. Raises Unfit or Told."""
        return self._read(value)

    def _read(self, value: Any) -> Any:
        return value


class Flag(Shape):
    """True or false."""

    takes = (bool,)
    expected = "true or false"

    def _read(self, value: Any) -> bool:
        if value is True or value is False:
            return value
        words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
        meant = words.get(value.casefold() if isinstance(value, str) else quoted(value))
        raise Unfit(f"found {described(value)}", self.expected, "" if meant is None else quoted(meant))


class Text(Shape):
    """Text, perhaps after a pattern."""

    takes = (str,)

    def __init__(self, kind: inspect.StrType, examples: Sequence[str] = ()) -> None:
        self.kind = kind
        self._pattern = re.compile(kind.pattern) if kind.pattern else None
        self.examples = tuple(examples)
        such_as = f" such as {quoted(self.examples[0])}" if self.examples else ""
        self.expected = f"text{such_as}" if such_as or not kind.pattern else f"text of the form {kind.pattern}"

    def _read(self, value: Any) -> str:
        if type(value) is not str:
            known = isinstance(value, int | float | date) and not isinstance(value, bool)
            raise Unfit(f"found {described(value)}", self.expected, f'"{quoted(value)}"' if known else "")
        if self._pattern and not self._pattern.search(value):
            raise Unfit(f"found text {quoted(value)}", self.expected)
        if not (self.kind.min_length or 0) <= len(value) <= (self.kind.max_length or math.inf):
            least, most = self.kind.min_length or 0, self.kind.max_length
            raise Unfit(f"{len(value)} characters", f"at least {least}" if len(value) < least else f"at most {most}")
        return value


class TimeZone(Text):
    """An IANA time zone that this machine knows."""

    def _read(self, value: Any) -> str:
        from zoneinfo import ZoneInfo, available_timezones

        name = super()._read(value)
        try:
            if name != "UTC":
                ZoneInfo(name)
        except (LookupError, ValueError, OSError):  # OSError: a folder of zones such as "Europe"
            known = available_timezones()
            if not known:
                raise Unfit("this machine knows no time zones", "the package tzdata to be installed") from None
            near = nearest(name, known) or nearest(name, {zone.rpartition("/")[2]: zone for zone in known})
            near = next((zone for zone in sorted(known) if zone == near or zone.endswith(f"/{near}")), "") if near else ""
            raise Unfit(f"no time zone is called {quoted(name)}", "" if near else self.expected, near and quoted(near)) from None
        return name


class ModelName(Text):
    """What `canary learn` wrote, by its name; the rules' reader puts the text of the file in its place."""

    def __init__(self, kind: inspect.StrType, examples: Sequence[str] = ()) -> None:
        super().__init__(kind, examples)
        self.expected = "the name of a model"


class BrokerUrl(Text):
    """Where the broker is: encrypted, but for a broker on this very machine."""

    def _read(self, value: Any) -> str:
        if type(value) is str:
            broker.check(value)
        return super()._read(value)


class OfficeHours(Text):
    """Hours in which somebody can be reached, as text."""

    def __init__(self, kind: inspect.StrType, examples: Sequence[str] = ()) -> None:
        super().__init__(kind, examples)
        self.expected = office_hours.EXPECTED

    def _read(self, value: Any) -> str:
        text = super()._read(value)
        office_hours.parse(text)
        return text


class Bounds(NamedTuple):
    """Least and most, each perhaps excluded."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    @classmethod
    def of(cls, kind: inspect.IntType | inspect.FloatType) -> "Bounds":
        """The bounds of a number's type."""
        return cls(kind.ge, kind.gt, kind.le, kind.lt)

    def hold(self, value: float) -> bool:
        """Whether a number lies within."""
        ge, gt, le, lt = self
        return (
            (ge is None or value >= ge)
            and (gt is None or value > gt)
            and (le is None or value <= le)
            and (lt is None or value < lt)
        )

    def example(self) -> float:
        """Some number within."""
        return next((number for number in (1, 0, self.ge, self.le) if number is not None and self.hold(number)), 1)

    def words(self, write: Callable[[float], str]) -> str:
        """The range, for people: " from 1 to 247", " of at least 1", or nothing."""
        if self.ge is not None and self.le is not None:
            return f" from {write(self.ge)} to {write(self.le)}"
        said = {"at least": self.ge, "more than": self.gt, "at most": self.le, "less than": self.lt}
        parts = [f"{word} {write(limit)}" for word, limit in said.items() if limit is not None]
        return " of " + " and ".join(parts) if parts else ""


class Number(Shape):
    """A number, or a whole number."""

    def __init__(self, kind: inspect.IntType | inspect.FloatType) -> None:
        self.whole = isinstance(kind, inspect.IntType)
        self.bounds = Bounds.of(kind)
        self._free = self.bounds == Bounds()
        self.takes = (int,) if self.whole else (float, int)  # type: ignore[misc]  # of the one shape, narrower than the class's
        words = self.bounds.words(lambda limit: f"{limit:.12g}")
        self.expected = ("a whole number" if self.whole else "a number") + (words or " such as 5")

    def _read(self, value: Any) -> float:
        kind = type(value)
        if kind is int:
            try:
                number = value if self.whole else float(value)
            except OverflowError:
                raise Unfit(f"found {described(value)}", self.expected) from None
        elif kind is float and not self.whole and math.isfinite(value):
            number = value
        else:
            raise Unfit(f"found {described(value)}", self.expected, self._meant(value))
        if not (self._free or self.bounds.hold(number)):
            raise Unfit(f"found {described(value)}", self.expected)
        return number

    def _meant(self, value: Any) -> str:
        """The number in a text ("5", "3,5"), or a whole one written as 5.0."""
        if isinstance(value, str):
            value = value.strip().replace(",", ".", 1)
        try:
            number = float(value) if isinstance(value, str | float) else math.nan
        except ValueError:
            return ""
        if not math.isfinite(number) or not self.bounds.hold(number) or (self.whole and number % 1):
            return ""
        return f"{number:.12g}"


class Duration(Shape):
    """A time with its unit, read as seconds."""

    takes = (str, int, float)

    def __init__(self, kind: inspect.FloatType) -> None:
        self.bounds = Bounds.of(kind)
        words = self.bounds.words(units.span)
        self.expected = f"a time{words}" if words else units.EXPECTED_DURATION

    def _read(self, value: Any) -> float:
        if type(value) is not str:
            if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
                raise Unfit(f"{quoted(value)} has no unit", suggestion=f'"{quoted(value)} s"')
            raise Unfit(f"found {described(value)}", self.expected)
        seconds = units.duration(value)
        if not self.bounds.hold(seconds):
            raise Unfit(f"found {quoted(value)}", self.expected)
        return seconds


Sort = Literal["level", "difference", "margin", "rate"]


class Amount(Shape):
    """A number with the unit of a point, of a difference of two of its values, or of its change per time."""

    takes = (str, int, float)

    def __init__(self, sort: Sort) -> None:
        self.sort: Sort = sort
        self._example = {"level": "-15 °C", "difference": "0.5 °C", "margin": "5 %", "rate": "2 °C/min"}[sort]
        self.expected = f'a number with its unit such as "{self._example}"'

    def _read(self, value: Any) -> Quantity:
        if type(value) is str:
            return units.quantity(value, self._example)
        if type(value) in (int, float) and abs(value) < 1e300:  # also without NaN
            return Quantity(float(value), "")
        raise Unfit(f"found {described(value)}", self.expected)


class Choice(Shape):
    """One of a few values."""

    def __init__(self, values: Mapping[Any, Any]) -> None:
        self.values = values  # as written -> as typed
        self.takes = tuple({type(value) for value in values})  # type: ignore[misc]
        self.expected = one_of([value for value in values if value != ""])

    def _read(self, value: Any) -> Any:
        if type(value) in self.takes and value in self.values:
            return self.values[value]
        words = {str(word): word for word in self.values if word != ""}
        near = nearest(value if isinstance(value, str) else quoted(value), words) if value != "" else ""
        suggestion = quoted(words[near]) if near else ""
        raise Unfit(f"found {described(value)}", self.expected if len(words) <= 8 or not near else "", suggestion)


class Day(Shape):
    """A date, a time, or both, as TOML writes them."""

    def __init__(self, kind: type) -> None:
        self.takes = (kind,)  # type: ignore[misc]
        example = {date: "2024-05-01", datetime: "2024-05-01 12:00:00", time: "12:00:00"}[kind]
        self.expected = f"a {'time of day' if kind is time else 'date'} without quotes such as {example}"

    def _read(self, value: Any) -> Any:
        if type(value) is self.takes[0]:
            return value
        meant = ""
        if self.takes[0] is date and isinstance(value, datetime):
            meant = value.date().isoformat()
        elif isinstance(value, str):
            with contextlib.suppress(ValueError):
                meant = str(self.takes[0].fromisoformat(value.strip()))  # type: ignore[attr-defined]
        raise Unfit(f"found {described(value)}", self.expected, meant)


class SecretText(Shape):
    """A secret, by reference only."""

    takes = (dict,)
    expected = 'a reference: { credential = "name" }, { file = "/path" } or { env = "NAME" }'

    def read(self, value: Any, at: Path, report: Report) -> str:
        """The text that a reference stands for. Raises Unfit."""
        if isinstance(value, dict):
            return report.secret(value, at)
        raise Unfit("a secret is never written into the config", self.expected)  # what was found is not repeated
