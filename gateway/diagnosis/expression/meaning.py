"""From the tree of a condition to what it does: points are found, kinds of value and units are checked, numbers are converted.

A number has a unit, and is a *level* (60 °C in the boiler), a *difference* of two (5 K warmer), a *ratio*, or, where a number of
the text is taken from a point, *either* of the first two: `x - 5 K` is a level, `x - 60 °C` the distance from one. That matters
only between scales whose zeros differ; where it matters and cannot be known, the person is asked to write the point's own unit.
A number without a unit is in the unit of what it is held against. The unit of a product is not known.
"""

import math
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from gateway.diagnosis.contract import Mistake, PointInfo, Quantity
from gateway.diagnosis.expression import terms, timed, tree
from gateway.diagnosis.expression.reading import nearest
from gateway.diagnosis.expression.scope import Scope
from gateway.diagnosis.expression.terms import Term
from gateway.diagnosis.expression.timed import Timed
from gateway.diagnosis.words import number


class Kind(Enum):
    """What a part of a condition is."""

    NUMBER = "a number"
    TEXT = "a text"
    CONDITION = "a condition"
    ANYTHING = "a value"  # of a point without a unit: a number, a flag or a text


class Sort(Enum):
    """What a number is of."""

    LEVEL = 0
    DIFFERENCE = 1
    EITHER = 2
    RATIO = 3


class Part(NamedTuple):
    """A part of a condition: its term, and what is known of what that gives."""

    term: Term
    kind: Kind
    unit: str | None = ""  # None where it is not known
    sort: Sort = Sort.LEVEL
    literal: Quantity | str | None = None  # as written, of a number or text of the text
    point: int | None = None  # which point it is, where it is nothing but a point
    words: Sequence[str] = ()  # what a text can be


class Clash(Exception):  # noqa: N818  (a person made the mistake)
    """A part has no meaning; the mistake is told."""


class Meaning:
    """The meaning of one tree in one scope; it has one where `mistakes` is empty."""

    def __init__(self, text: str, scope: Scope) -> None:
        self.mistakes: list[Mistake] = []
        self.points: list[PointInfo] = []
        self.timed: list[Timed] = []
        self.cuts: list[set[float] | None] = []  # of each point: numbers at which the answer may change; None: anywhere
        self._text = text
        self._scope = scope

    def of(self, root: tree.Node) -> Term:
        """What the tree does."""
        term = self._condition(root)
        if not self.points and not self.mistakes:
            self._tell(root, "no point in it", "at least one, such as boiler/supply_temp")
        return term

    def find(self, names: Sequence[tree.Point]) -> None:
        """Tell which of the points are not there, of a text that has no tree."""
        for node in names:
            if "/" in node.name and self._scope.find(node.name) is None:
                self._stranger(node)

    # ------------------------------------------------------------ mistakes

    def _tell(self, node: tree.Node, found: str, expected: str = "", suggestion: str = "", lacks: str = "") -> Clash:
        self.mistakes.append(Mistake(found, expected, suggestion and f'"{suggestion}"', node.start, lacks))
        return Clash()

    def _shown(self, node: tree.Node) -> str:
        return self._text[node.start : node.end]

    def _each(self, nodes: Sequence[tree.Node], read: Callable[[tree.Node], Part]) -> list[Part]:
        """All parts; every mistake in any of them is told before Clash is raised."""
        parts: list[Part] = []
        for node in nodes:
            try:
                parts.append(read(node))
            except Clash:
                continue
        if len(parts) < len(nodes):
            raise Clash
        return parts

    # ------------------------------------------------------------ conditions

    def _condition(self, node: tree.Node) -> Term:
        """The term of a condition; of one with a mistake, any."""
        try:
            part = self._part(node)
        except Clash:
            return terms.constant(value=False)
        if part.kind in (Kind.CONDITION, Kind.ANYTHING):
            return self._truth(part)
        shown = self._shown(node)
        example = f"{shown} > 60 {part.unit or ''}".strip() if part.kind is Kind.NUMBER else f'{shown} == "on"'
        self._tell(node, f"{shown} is {part.kind.value}, not a condition", f"a comparison such as {example}")
        return part.term

    def _truth(self, part: Part) -> Term:
        self._cut(part, 0.0)
        return part.term if part.kind is Kind.CONDITION else terms.truth(part.term)

    def _part(self, node: tree.Node) -> Part:
        """What a node means. Raises Clash."""
        match node:
            case tree.Number(value, unit):
                return Part(terms.constant(value), Kind.NUMBER, unit, literal=Quantity(value, unit))
            case tree.Text(value):
                return Part(terms.constant(value), Kind.TEXT, literal=value)
            case tree.Flag(value):
                return Part(terms.constant(value), Kind.CONDITION)
            case tree.Point():
                return self._point(node)
            case tree.Clock(word):
                return self._clock(word)
            case tree.Negative(of):
                part = self._number(of)
                return part._replace(term=terms.negative(part.term), literal=None, point=None)
            case tree.Arithmetic():
                nodes = (node.left, node.right)
                left, right = self._each(nodes, self._number)
                return (
                    self._sum(node.sign, nodes, left, right) if node.sign in "+-" else self._product(node.sign, nodes, left, right)
                )
            case tree.Call():
                return self._call(node)
            case tree.Past():
                return self._past(node)
            case tree.Comparison():
                return Part(self._comparison(node), Kind.CONDITION)
            case tree.Not(of):
                return Part(terms.opposite(self._condition(of)), Kind.CONDITION)
            case tree.Lasting(of, seconds):
                return Part(self._keep(timed.Lasting(self._condition(of), seconds)), Kind.CONDITION)
            case tree.All(of):
                return Part(terms.every(list(map(self._condition, of))), Kind.CONDITION)
            case tree.Some(of):
                return Part(terms.some(list(map(self._condition, of))), Kind.CONDITION)

    def _keep(self, term: Timed) -> Timed:
        self.timed.append(term)
        return term

    # ------------------------------------------------------------ points and the clock

    def _point(self, node: tree.Point) -> Part:
        info = self._scope.find(node.name)
        if info is None:
            raise self._stranger(node)
        if info not in self.points:
            self.points.append(info)
            self.cuts.append(set())
        index = self.points.index(info)
        if info.type == "text":
            return Part(terms.text(index), Kind.TEXT, point=index)
        if info.type == "flag" or not info.unit:
            return Part(terms.anything(index), Kind.ANYTHING, point=index)
        return Part(terms.number(index), Kind.NUMBER, info.unit, point=index)

    def _stranger(self, node: tree.Point) -> Clash:
        name, scope = node.name, self._scope
        near = scope.suggest(name)
        if not scope.full(name):
            expected = f'"device/{name}", or the devices that it is of in on'
            return self._tell(node, f'"{name}" is a point without its device', "" if near else expected, near)
        expected = 'a point as "device/point"' if "/" in name else f"a point of {scope.device}"
        return self._tell(node, f'no point is called "{name}"', "" if near else expected, near, scope.full(name))

    def _cut(self, part: Part, at: float) -> None:
        """Beside this number the answer may be another; elsewhere, as far as this part goes, it is not."""
        if part.point is not None and (cuts := self.cuts[part.point]) is not None:
            cuts.add(at)

    def _follow(self, part: Part) -> None:
        """Every value of the point matters."""
        if part.point is not None:
            self.cuts[part.point] = None

    def _clock(self, word: str) -> Part:
        term = self._keep(timed.WallClock(word))
        if word == "day":
            return Part(term, Kind.TEXT, words=timed.DAYS)
        return Part(term, Kind.NUMBER if word == "hour" else Kind.CONDITION)

    # ------------------------------------------------------------ comparisons

    def _comparison(self, node: tree.Comparison) -> Term:
        parts = self._each(node.of, self._part)
        pairs = [
            self._pair(sign, node.of[place : place + 2], parts[place], parts[place + 1]) for place, sign in enumerate(node.signs)
        ]
        return pairs[0] if len(pairs) == 1 else terms.every(pairs)

    def _pair(self, sign: str, nodes: Sequence[tree.Node], left: Part, right: Part) -> Term:
        kinds = {left.kind, right.kind}
        if not kinds & {Kind.TEXT, Kind.CONDITION}:
            return self._numbers(sign, nodes, left, right)
        if len(kinds - {Kind.ANYTHING}) > 1:
            one, other = (f"{self._shown(node)} is {part.kind.value}" for node, part in zip(nodes, (left, right), strict=True))
            raise self._tell(nodes[1], f"{one}, and {other}", "two of a kind")
        if sign not in ("==", "!="):
            raise self._tell(nodes[0], f'"{sign}" between {"texts" if Kind.TEXT in kinds else "conditions"}', '"==" or "!="')
        if Kind.CONDITION in kinds:
            return terms.compared(sign, self._truth(left), self._truth(right))
        for node, part, words in ((nodes[0], left, right.words), (nodes[1], right, left.words)):
            if words and isinstance(part.literal, str) and part.literal not in words:
                near = nearest(part.literal, words)
                raise self._tell(node, f'no day is called "{part.literal}"', "" if near else ", ".join(words), near)
        return terms.compared(sign, left.term, right.term)

    def _numbers(self, sign: str, nodes: Sequence[tree.Node], left: Part, right: Part) -> Term:
        left, right = self._alike(nodes, left, right)
        for part, other in ((left, right), (right, left)):
            if isinstance(other.literal, Quantity):
                self._cut(part, other.literal.value)
            else:
                self._follow(part)
        return terms.compared(sign, left.term, right.term)

    # ------------------------------------------------------------ numbers

    def _number(self, node: tree.Node) -> Part:
        """A part that is a number, or may be, and every value of which matters. Raises Clash."""
        part = self._part(node)
        self._follow(part)
        if part.kind not in (Kind.NUMBER, Kind.ANYTHING):
            raise self._tell(node, f"{self._shown(node)} is {part.kind.value}", "a number")
        return part

    def _alike(self, nodes: Sequence[tree.Node], left: Part, right: Part) -> tuple[Part, Part]:
        """Two numbers in one unit: that of the one that has one and was not written as a number."""
        if (left.literal is not None and right.literal is None) or (not left.unit and right.unit and right.literal is None):
            return self._in_unit(nodes[0], left, nodes[1], right), right
        return left, self._in_unit(nodes[1], right, nodes[0], left)

    def _in_unit(self, node: tree.Node, part: Part, beside: tree.Node, model: Part, sort: Sort | None = None) -> Part:
        """A number in the unit of another; `sort` is of one that was written as a number, where that is not as the other's."""
        if isinstance(part.literal, Quantity):
            value = self._converted(node, part.literal, beside, model, sort or model.sort)
            return part._replace(term=terms.constant(value), literal=Quantity(value, model.unit or ""), unit=model.unit)
        if part.unit == model.unit and part.unit is not None:
            return part
        if part.unit is None or model.unit is None:
            unknown, known = (node, beside) if part.unit is None else (beside, node)
            raise self._tell(
                unknown, f"nobody knows the unit of {self._shown(unknown)}", f"no comparison with {self._shown(known)}"
            )
        one = Quantity(1.0, part.unit)
        try:
            factor = self._scope.to_unit(one, model.unit, difference=True)
            zero = self._scope.to_unit(one, model.unit) - factor
        except ValueError:
            where = f"in {model.unit}" if model.unit else "without a unit"
            shown = f"{self._shown(node)}, in {part.unit}, does not fit {self._shown(beside)}, which is {where}"
            raise self._tell(node, shown, "two numbers that measure the same") from None
        if Sort.DIFFERENCE in (part.sort, model.sort):
            zero = 0.0
        return part._replace(term=terms.scaled(part.term, factor, zero), unit=model.unit)

    def _converted(self, node: tree.Node, literal: Quantity, beside: tree.Node, model: Part, sort: Sort) -> float:
        """A number of the text in the unit of what it is held against."""
        if not literal.unit and (not model.unit or sort is Sort.RATIO):
            return literal.value
        if model.unit is None:
            plain = number(literal.value)
            raise self._tell(node, f"nobody knows the unit of {self._shown(beside)}", f"a number without one such as {plain}")
        unit = "%" if sort is Sort.RATIO else model.unit
        try:
            level = self._scope.to_unit(literal, unit)
            difference = self._scope.to_unit(literal, unit, difference=True)
        except ValueError:
            described = f"which is in {unit}" if unit else "which has no unit"
            found = f"{self._shown(node)} does not fit {self._shown(beside)}, {described}"
            raise self._tell(node, found, f"a number such as {f'{number(literal.value)} {unit}'.strip()}") from None
        if not math.isfinite(level):
            raise self._tell(node, f"{self._shown(node)} is too large", "a number of usual size")
        if sort is Sort.EITHER and level != difference:
            found = f"{self._shown(node)} may be a level or a difference"
            raise self._tell(node, found, f"a number in {unit}, as {self._shown(beside)} is")
        return level / 100.0 if sort is Sort.RATIO else difference if sort is Sort.DIFFERENCE else level

    def _sum(self, sign: str, nodes: Sequence[tree.Node], left: Part, right: Part) -> Part:
        if left.literal is not None and right.literal is None:
            sort = Sort.DIFFERENCE if sign == "+" and right.sort is Sort.LEVEL else right.sort
            left = self._in_unit(nodes[0], left, nodes[1], right, sort)._replace(sort=sort)
        elif right.literal is not None:
            sort = left.sort
            if sort is Sort.LEVEL and left.literal is None:
                sort = Sort.DIFFERENCE if sign == "+" else Sort.EITHER
            right = self._in_unit(nodes[1], right, nodes[0], left, sort)._replace(sort=sort)
        else:
            left, right = self._alike(nodes, left, right)
        sorts = {left.sort, right.sort}
        total = next(
            (sort for sort in (Sort.RATIO, Sort.EITHER) if sort in sorts), Sort.LEVEL if Sort.LEVEL in sorts else Sort.DIFFERENCE
        )
        if sign == "-" and sorts == {Sort.LEVEL}:
            total = Sort.DIFFERENCE
        return Part(terms.combined(terms.SIGNS[sign], left.term, right.term), Kind.NUMBER, left.unit, total)

    def _product(self, sign: str, nodes: Sequence[tree.Node], left: Part, right: Part) -> Part:
        left, right = _as_factor(left), _as_factor(right)
        unit, sort = left.unit, left.sort
        if right.unit == "":
            pass
        elif sign == "*":
            unit, sort = (right.unit, right.sort) if left.unit == "" else (None, Sort.LEVEL)
        elif left.unit and right.unit and self._fit(left.unit, right.unit):
            left, right = self._alike(nodes, left, right)
            unit, sort = "", Sort.RATIO
        else:
            unit = None
        return Part(terms.combined(terms.SIGNS[sign], left.term, right.term), Kind.NUMBER, unit, sort)

    def _fit(self, unit: str, other: str) -> bool:
        try:
            self._scope.to_unit(Quantity(1.0, unit), other, difference=True)
        except ValueError:
            return False
        return True

    def _call(self, node: tree.Call) -> Part:
        parts = self._each(node.of, self._number)
        place = next((place for place, part in enumerate(parts) if part.literal is None and part.unit), 0)
        model, beside = parts[place], node.of[place]
        inside = [self._in_unit(one, part, beside, model).term for one, part in zip(node.of, parts, strict=True)]
        return Part(terms.several(terms.SIGNS[node.name], inside), Kind.NUMBER, model.unit, model.sort)

    def _past(self, node: tree.Past) -> Part:
        if not node.seconds:
            raise self._tell(node, "a time of nothing", 'one such as "10 min"')
        if node.name != "changed":
            part = self._number(node.of)
            return Part(self._keep(timed.Past(node.name, part.term, node.seconds)), Kind.NUMBER, part.unit, part.sort)
        if not isinstance(node.of, tree.Point):
            raise self._tell(node.of, f"{self._shown(node.of)} is no point", "changed(device/point, 10 min)")
        part = self._part(node.of)
        self._follow(part)
        return Part(self._keep(timed.Changed(part.term, node.seconds)), Kind.CONDITION)


def _as_factor(part: Part) -> Part:
    """A number of the text in % is a hundredth of it as a factor."""
    if isinstance(part.literal, Quantity) and part.literal.unit == "%":
        share = part.literal.value / 100.0
        return part._replace(term=terms.constant(share), literal=Quantity(share, ""), unit="")
    return part
