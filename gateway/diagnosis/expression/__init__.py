"""Conditions over several points, as a technician writes them.

    boiler/supply_temp > 60 °C and not pump/running for 2 min
    18 °C < room/temp < 22 °C or hour >= 22
    avg(freezer/core_temp, 10 min) - freezer/setpoint > 5 K

**Points** are `device/point`. Where a rule names its devices (`on = "heat-pump-*"`) a point alone is one of each of them:
`supply_temp > 60 °C and not running` is asked of every heat pump. Names have letters, digits, `_` and `-`; so a **minus sign
has a space** on either side (`supply - return`; `supply-return` is a name), and so has a sign of division (`a / b`; `a/b` is a
point). A name that would be read as something else stands in square brackets: `[on]`, `[2nd-floor/temp]`.

**Numbers** have their unit, `60 °C`, any that fits the point that they are held against; without one they are in the point's.
`+ - * /`, parentheses, `abs(x)`, and `min`, `max`, `avg` of several: `max(a, b, c)`. `5 %` beside a quotient of two like
things, or as a factor, is 0.05. `x - 60 °C` may be the distance from a level, or a level 60 degrees lower: between scales of
different zeros (°C and K) only the point's own unit will do there.

**The past**: `min(x, 6 h)`, `max(x, 6 h)`, `avg(x, 10 min)` over the last so long, exact to an eighth of it. A time as the last
of two is always that. They are unknown until `x` has been seen for so long, while it has no value, and while more than half of
that time is not known. `changed(x, 10 min)`: whether a point has had another value within that time.

**Comparisons**: `< <= > >= == !=`, also in a chain of one direction, `18 < x < 22`. Texts are in quotes, `boiler/mode ==
"heat"`, and only equal or not. A point without a unit may stand as a condition by itself: it holds unless it is 0 or off. `on`,
`off`, `true`, `false` are what they say.

**Conditions** are joined by `not`, `and`, `or`, which bind in this order. `for 2 min` says that something has held so long: the
comparison right before it, with its `not`. So `a and not b for 2 min` is `a and ((not b) for 2 min)`; that the whole has held
so long is said in parentheses, or by the rule's `lasting`.

**The time** where the hub stands: `hour` (0 to 23), `weekday` (holds from Monday to Friday), `day` (`day == "sunday"`); unknown
while the hub's clock is not trusted.

**No value** is unknown, and so is what is made of it, what is divided by 0, and whether a text is less than a number. Of
several conditions the known one decides where it can: unknown and false is false, unknown or true is true, not unknown is
unknown. An unknown condition leaves a rule's episode as it is.

    condition   = conjunction { "or" conjunction }
    conjunction = lasting { "and" lasting }
    lasting     = negation [ "for" time ]
    negation    = "not" negation | comparison
    comparison  = sum { ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) sum }
    sum         = product { ( "+" | "-" ) product }
    product     = factor { ( "*" | "/" ) factor }
    factor      = "-" factor | number [ unit ] | text | point | flag | clock | call | "(" condition ")"
    call        = name "(" sum { "," sum } [ "," time ] ")"
    time        = number unit { number unit }

At most 1,000 characters and 20 levels. Nothing in it can do anything but compare and count.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import nextafter
from typing import Any

from drivers.contract import Value
from gateway.diagnosis.contract import Mistake, PointInfo
from gateway.diagnosis.expression.meaning import Meaning
from gateway.diagnosis.expression.reading import Reading, nearest, read
from gateway.diagnosis.expression.scope import Scope
from gateway.diagnosis.expression.terms import Now, Term
from gateway.diagnosis.watch import ANYTHING, NEVER, NOTHING, Local

__all__ = ["Expression", "ExpressionError", "Reading", "Scope", "bind", "nearest", "parse", "read"]


class ExpressionError(ValueError):
    """A condition has mistakes: all of them, in the order of the text."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.offset or 0))
        super().__init__("; ".join(f"at character {(one.offset or 0) + 1}: {one.found}" for one in self.mistakes))


def nobody_knows(at: float) -> None:
    """The local time where nobody tells it."""


class Expression:
    """A condition at work. It keeps time where the text says `for`, `changed` or a stretch of time, and nothing else."""

    __slots__ = ("_rests", "_term", "_timed", "points", "text")

    def __init__(self, text: str, term: Term, meaning: Meaning) -> None:
        self.text = text
        self.points: tuple[PointInfo, ...] = tuple(meaning.points)  # in the order in which the text names them first
        self._term = term
        self._timed = meaning.timed
        self._rests = [None if cuts is None else sorted(cuts) for cuts in meaning.cuts]

    def evaluate(self, values: Sequence[Value | None], at: float, local: Local = nobody_knows) -> bool | None:
        """Whether it holds at a time (s); None where that is unknown.

        `values` has one for each of `points`, None where there is none. Times never go back; asking more often changes nothing.
        """
        answer: bool | None = self._term(Now(values, at, local))
        return answer

    @property
    def due(self) -> float:
        """When the answer may change though no value does."""
        return min((term.due for term in self._timed), default=NEVER)

    def rest(self, index: int, value: Value) -> tuple[float, float]:
        """Least and greatest value that the point of this index may go to from `value` without any change to the answer."""
        cuts = self._rests[index]
        if cuts is None:
            return NOTHING
        if not cuts or isinstance(value, str):
            return ANYTHING  # a text that changes is always told
        place = bisect_left(cuts, value)
        if place < len(cuts) and cuts[place] == value:
            return cuts[place], cuts[place]
        low = nextafter(cuts[place - 1], NEVER) if place else ANYTHING[0]
        return low, nextafter(cuts[place], -NEVER) if place < len(cuts) else ANYTHING[1]

    def memory(self) -> list[Any]:
        """What it keeps of the past, as plain data; empty where that is nothing."""
        kept = [term.memory() for term in self._timed]
        return kept if any(kept) else []

    def recall(self, memory: Sequence[Any], shift: float) -> None:
        """Take up what `memory` gave; `shift` is added to its times."""
        if len(memory) == len(self._timed):
            for term, kept in zip(self._timed, memory, strict=True):
                if kept:
                    term.recall(kept, shift)

    def pause(self, seconds: float) -> None:
        """For so long, until now, nothing was read: it counts for nothing."""
        for term in self._timed:
            term.pause(seconds)


def parse(text: str, scope: Scope) -> Expression:
    """The condition that a text says of the points in a scope. Raises ExpressionError with every mistake in it."""
    return bind(read(text), scope)


def bind(reading: Reading, scope: Scope) -> Expression:
    """A condition that was read once, put to work in a scope. Raises ExpressionError."""
    meaning = Meaning(reading.text, scope)
    if reading.tree is None:
        meaning.find(reading.names)
        raise ExpressionError([*reading.mistakes, *meaning.mistakes])
    term = meaning.of(reading.tree)
    if reading.mistakes or meaning.mistakes:
        raise ExpressionError([*reading.mistakes, *meaning.mistakes])
    return Expression(reading.text, term, meaning)
