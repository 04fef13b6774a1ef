"""From the text of a condition to its tree, or to the mistakes in it.

Slips that leave no doubt (`&&`, `=`, a decimal comma) are mended and told, so that what comes after them is read as well; at the
first place where that cannot be done the reading ends.
"""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from gateway.diagnosis.contract import Mistake
from gateway.diagnosis.expression.tree import (
    CLOCKS,
    FLAGS,
    FUNCTIONS,
    NAME,
    SPANS,
    All,
    Arithmetic,
    Call,
    Clock,
    Comparison,
    Flag,
    Lasting,
    Negative,
    Node,
    Not,
    Number,
    Past,
    Point,
    Some,
    Text,
)

LONGEST = 1000  # characters
DEEPEST = 20  # parentheses, and `not` or minus signs, within one another

_WORDS = ("and", "or", "not", "for")
_LOOKALIKES = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{NO-BREAK SPACE}": " "})
_SIGNS = {"≤": "<=", "≥": ">=", "≠": "!="}
_SLIPS = {
    "&&": "and", "&": "and", "||": "or", "|": "or", "!": "not", "=": "==", "===": "==", "=>": ">=", "=<": "<=", "<>": "!=",
    "×": "*", "·": "*", "÷": "/", ":": "/",
}  # fmt: skip
_TOKEN = re.compile(
    rf"""\s*(?:
        (?P<number> (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? )
        (?: \s* (?P<unit> (?!(?i:{"|".join(_WORDS)})\b) (?: [%‰] | °?[^\W\d_]+\^?[23]?(?:/[^\W\d_]+\^?[23]?)* | ° ) (?![\w-])
            | (?:h|min|m|s|d) (?=\d) ) )?
      | (?P<name> {NAME.pattern} )
      | \[ (?P<bracketed> [^\[\]]* ) \]
      | " (?P<double> [^"]* ) " | ' (?P<single> [^']* ) '
      | (?P<sign> === | && | \|\| | <= | >= | == | != | => | =< | <> | [-+*/(),<>=!&|×·÷:≤≥≠] )
      | (?P<end> $ )
      | (?P<stray> \w+ | . )
    )""",
    re.VERBOSE | re.DOTALL,
)
_OPERAND = "a point, a number or a text in quotes"
_COMPARING = ("<", "<=", ">", ">=", "==", "!=")


class Token(NamedTuple):
    """A piece of the text. Its kind is that of the pattern that it matched; a sign and a word are their own kind."""

    kind: str
    text: str
    start: int
    end: int
    unit: str = ""


class Reading(NamedTuple):
    """What a text holds: its tree, unless it has mistakes that leave none; all points that it names, and where."""

    text: str
    tree: Node | None
    mistakes: tuple[Mistake, ...]
    names: tuple[Point, ...]


def read(text: str) -> Reading:
    """The tree of a text, or why it has none."""
    plain = text.translate(_LOOKALIKES)
    if len(plain) > LONGEST:
        return Reading(text, None, (Mistake(f"{len(plain)} characters", f"at most {LONGEST}", "", 0),), ())
    tokens, mistakes = _tokens(plain)
    names = tuple(Point(token.text, start=token.start, end=token.end) for token in tokens if token.kind == "name")
    try:
        tree: Node | None = _Parser(tokens, mistakes).read()
    except _Stopped as stopped:
        mistakes += stopped.args
        tree = None
    return Reading(plain, tree, tuple(mistakes), names)


def nearest(word: str, words: Iterable[str]) -> str:
    """The valid word that was most likely meant, or ""."""
    from difflib import get_close_matches  # only a person who has made a mistake needs it

    plain = {one.casefold().replace("_", "-"): one for one in words}
    near = get_close_matches(word.casefold().replace("_", "-"), plain, n=1)
    return plain[near[0]] if near else ""


class _Stopped(Exception):  # noqa: N818  (a person made the mistake)
    """Reading cannot go on, for the mistake that it holds or for one that has been told."""


def _tokens(text: str) -> tuple[list[Token], list[Mistake]]:
    """All pieces of a text, the last one its end; and the slips that were mended on the way."""
    tokens: list[Token] = []
    mistakes: list[Mistake] = []
    place = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, place)
        assert match, "some alternative matches anything"
        kind = next(name for name in _KINDS if match[name] is not None)
        place = match.end()
        word, start = match[kind], match.start(kind)
        if kind in ("bracketed", "double", "single"):
            token = Token("name" if kind == "bracketed" else "text", word, start - 1, place)
        elif kind == "sign":
            token = _sign(word, start, mistakes)
        elif kind == "stray":
            token = _stray(word, start, mistakes)
        elif kind == "name":
            token = _word(word, start, text[place:].lstrip()[:1])
        else:
            token = Token(kind, word, start, place, match["unit"] or "")
        tokens.append(token)
    return tokens, mistakes


_KINDS = ("number", "name", "bracketed", "double", "single", "sign", "end", "stray")


def _sign(word: str, start: int, mistakes: list[Mistake]) -> Token:
    meant = _SLIPS.get(word)
    if meant:
        mistakes.append(Mistake(f'"{word}"', "", f'"{meant}"', start))
    return Token(meant or _SIGNS.get(word, word), word, start, start + len(word))


def _stray(word: str, start: int, mistakes: list[Mistake]) -> Token:
    """A character that means nothing here; what is left of a text without its second quote goes with it."""
    if word in "\"'":
        mistakes.append(Mistake("a text without its closing quote", word, "", start))
    else:
        mistakes.append(Mistake(f'"{word}" means nothing here', _OPERAND, "", start))
    return Token("stray", word, start, start + len(word))


def _word(word: str, start: int, after: str) -> Token:
    end = start + len(word)
    if word in _WORDS or (word in FUNCTIONS and after == "(") or (after == "(" and "/" not in word):
        return Token(word if word in _WORDS else "call", word, start, end)
    if word in CLOCKS or word in FLAGS:
        return Token("clock" if word in CLOCKS else "flag", word, start, end)
    return Token("name", word, start, end)


class _Parser:
    """By recursive descent: one method for each line of the grammar."""

    def __init__(self, tokens: list[Token], mistakes: list[Mistake]) -> None:
        self._tokens = tokens
        self._mistakes = mistakes
        self._place = 0
        self._depth = 0

    def read(self) -> Node:
        tree = self._condition()
        self._expect_operator()
        return tree

    # ------------------------------------------------------------ pieces

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self, *kinds: str) -> Token | None:
        """The next piece, if it is of one of these kinds."""
        token = self._tokens[self._place]
        if token.kind not in kinds:
            return None
        self._place += token.kind != "end"
        return token

    def _stopped(self, at: Token, found: str = "", expected: str = "", suggestion: str = "") -> _Stopped:
        """What ends the reading."""
        if any(mistake.offset == at.start for mistake in self._mistakes):  # already told
            return _Stopped()
        found = found or ("it ends here" if at.kind == "end" else f'found "{at.text}"')
        return _Stopped(Mistake(found, expected, suggestion, at.start))

    def _expect_operator(self) -> None:
        """That the text is over: what else stands there has nothing before it that joins it to the rest."""
        token = self._next
        if token.kind == "end":
            return
        before = self._tokens[self._place - 1] if self._place else None
        if token.kind == ",":
            after = self._tokens[self._place + 1]
            if before and before.kind == after.kind == "number":
                raise self._stopped(token, "a decimal comma", "", f'"{before.text}.{after.text}"')
            raise self._stopped(token, 'found ","', '"and" or "or"')
        if token.kind == ")":
            raise self._stopped(token, '")" without its "("')
        near = nearest(token.text, _WORDS) if token.kind in ("name", "stray") else ""
        if near:
            raise self._stopped(token, f'found "{token.text}"', "", f'"{near}"')
        raise self._stopped(token, f'nothing joins "{token.text}" to what is before it', '"and", "or", a comparison or a sign')

    def _enter(self, token: Token) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._stopped(token, "too many parts within one another", f"at most {DEEPEST}")

    # ------------------------------------------------------------ conditions

    def _condition(self) -> Node:
        parts = [self._conjunction()]
        while self._take("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Some(tuple(parts), start=parts[0].start, end=parts[-1].end)

    def _conjunction(self) -> Node:
        parts = [self._lasting()]
        while self._take("and"):
            parts.append(self._lasting())
        return parts[0] if len(parts) == 1 else All(tuple(parts), start=parts[0].start, end=parts[-1].end)

    def _lasting(self) -> Node:
        of = self._negation()
        if not self._take("for"):
            return of
        seconds = self._time()
        return Lasting(of, seconds, start=of.start, end=self._tokens[self._place - 1].end)

    def _negation(self) -> Node:
        token = self._take("not")
        if token is None:
            return self._comparison()
        self._enter(token)
        of = self._negation()
        self._depth -= 1
        return Not(of, start=token.start, end=of.end)

    def _comparison(self) -> Node:
        terms = [self._sum()]
        signs: list[str] = []
        while sign := self._take(*_COMPARING):
            if signs and (sign.kind[0] != signs[0][0] or sign.kind[0] not in "<>"):
                raise self._stopped(sign, f'found "{sign.text}"', 'a chain such as 18 < x < 22, or "and"')
            signs.append(sign.kind)
            terms.append(self._sum())
        return terms[0] if not signs else Comparison(tuple(signs), tuple(terms), start=terms[0].start, end=terms[-1].end)

    # ------------------------------------------------------------ numbers

    def _sum(self) -> Node:
        left = self._product()
        while sign := self._take("+", "-"):
            right = self._product()
            left = Arithmetic(sign.kind, left, right, start=left.start, end=right.end)
        return left

    def _product(self) -> Node:
        left = self._factor()
        while sign := self._take("*", "/"):
            right = self._factor()
            left = Arithmetic(sign.kind, left, right, start=left.start, end=right.end)
        return left

    def _factor(self) -> Node:
        token = self._take("-")
        if token is None:
            return self._atom()
        self._enter(token)
        of = self._factor()
        self._depth -= 1
        if isinstance(of, Number):
            return Number(-of.value, of.unit, start=token.start, end=of.end)
        return Negative(of, start=token.start, end=of.end)

    def _atom(self) -> Node:
        token = self._next
        where = {"start": token.start, "end": token.end}
        if self._take("number"):
            return Number(self._value(token), token.unit, **where)
        if self._take("text"):
            return Text(token.text, **where)
        if self._take("flag"):
            return Flag(FLAGS[token.text], **where)
        if self._take("name"):
            return Point(token.text, **where)
        if self._take("clock"):
            return Clock(token.text, **where)
        if self._take("call"):
            return self._call(token)
        if self._take("("):
            self._enter(token)
            inside = self._condition()
            self._close(token)
            return inside
        raise self._stopped(token, "", _OPERAND)

    def _value(self, token: Token) -> float:
        value = float(token.text)
        if not math.isfinite(value):
            raise self._stopped(token, f"{token.text} is too large", "a number of usual size")
        return value

    def _close(self, opened: Token) -> Token:
        closed = self._take(")")
        if closed is None:
            if self._next.kind == "end":
                raise self._stopped(opened, 'a "(" that is not closed', '")"')
            self._expect_operator()
        assert closed
        self._depth -= 1
        return closed

    def _call(self, name: Token) -> Node:
        if name.text not in FUNCTIONS:
            near = {"mean": "avg", "average": "avg", "minimum": "min", "maximum": "max"}.get(name.text.casefold())
            near = near or nearest(name.text, FUNCTIONS)
            expected = "" if near else "one of " + ", ".join(FUNCTIONS)
            raise self._stopped(name, f'no function is called "{name.text}"', expected, near and f'"{near}"')
        opened = self._take("(")
        assert opened, "what makes it a call"
        self._enter(opened)
        arguments = [self._sum()]
        while comma := self._take(","):
            if name.text != "abs" and (seconds := self._time_at_end()) is not None:
                if len(arguments) > 1:
                    raise self._stopped(comma, "several numbers and a time", f"one of them: {name.text}(x, 10 min)")
                return Past(name.text, arguments[0], seconds, start=name.start, end=self._close(opened).end)
            arguments.append(self._sum())
        closed = self._close(opened)
        if name.text == "abs" and len(arguments) > 1:
            raise self._stopped(name, f"abs of {len(arguments)} numbers", "abs(x)")
        if name.text == "changed":
            raise self._stopped(closed, "changed without a time", "one, as in changed(x, 10 min)")
        if name.text != "abs" and len(arguments) == 1:
            raise self._stopped(closed, f"{name.text} of one number", f"a time, as in {name.text}(x, 10 min), or several numbers")
        return Call(name.text, tuple(arguments), start=name.start, end=closed.end)

    # ------------------------------------------------------------ times

    def _time_at_end(self) -> float | None:
        """The time that is the last argument of a call; None where the argument is something else."""
        place, total = self._place, 0.0
        while (token := self._take("number")) and token.unit in SPANS and (token.unit != "m" or total):  # 2 m is a length
            total += self._value(token) * SPANS[token.unit]
        if token is None and self._next.kind == ")" and self._place > place:
            return total
        self._place = place
        return None

    def _time(self) -> float:
        """One or more numbers with units of time: "2 min", "1h30m"."""
        token = self._take("number")
        if token is None:
            raise self._stopped(self._next, "", 'a time such as "2 min"')
        total = 0.0
        while token:
            if token.unit not in SPANS:
                near = nearest(token.unit, SPANS) if token.unit else "min"
                found = f'"{token.unit}" is not a unit of time' if token.unit else f"{token.text} has no unit"
                raise self._stopped(token, found, "" if near else 'a time such as "2 min"', near and f'"{token.text} {near}"')
            total += self._value(token) * SPANS[token.unit]
            token = self._take("number")
        return total
