"""What must hold of any condition: random trees against an obvious reading of them, random texts, random sleep."""

import string
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from rules_of import point

from gateway.config.units import convert
from gateway.diagnosis.contract import Quantity
from gateway.diagnosis.expression import Expression, ExpressionError, Scope, parse, read
from gateway.diagnosis.expression import tree as t
from gateway.diagnosis.watch import WIDEST

NAMES = ("x", "y", "z", "on", "d/x-1", "bus.b/state", "2nd/5a")
SCOPE = Scope([point(name if "/" in name else f"d/{name}") for name in NAMES], convert, "d")

# ---------------------------------------------------------------- trees

points = st.sampled_from(NAMES).map(t.Point)
literals = st.one_of(st.integers(-8, 8), st.floats(-1e6, 1e6, width=32), st.sampled_from([1e-9, 1e300, 0.1])).map(
    lambda value: t.Number(float(value))
)
seconds = st.one_of(st.integers(1, 64).map(float), st.sampled_from([0.25, 90.0, 5400.0, 86400.0, 1e-3]))


def _negative(node: t.Node) -> t.Node:
    return t.Number(-node.value, node.unit) if isinstance(node, t.Number) else t.Negative(node)


def _numbers(parts: st.SearchStrategy[t.Node], past: bool) -> st.SearchStrategy[t.Node]:
    pairs = st.tuples(parts, parts)
    made = [
        st.tuples(st.sampled_from("+-*/"), pairs).map(lambda both: t.Arithmetic(both[0], *both[1])),
        parts.map(_negative),
        parts.map(lambda part: t.Call("abs", (part,))),
        st.tuples(st.sampled_from(["min", "max", "avg"]), st.lists(parts, min_size=2, max_size=3)).map(
            lambda both: t.Call(both[0], tuple(both[1]))
        ),
    ]
    if past:
        made.append(st.tuples(st.sampled_from(["min", "max", "avg"]), parts, seconds).map(lambda of: t.Past(*of)))
    return st.one_of(made)


def numbers(past: bool = False) -> st.SearchStrategy[t.Node]:
    return st.recursive(st.one_of(points, literals), lambda parts: _numbers(parts, past), max_leaves=5)


def comparisons(past: bool = False) -> st.SearchStrategy[t.Node]:
    terms = numbers(past)
    one_way = st.one_of(
        st.lists(st.sampled_from(["<", "<="]), min_size=1, max_size=3),
        st.lists(st.sampled_from([">", ">="]), min_size=1, max_size=3),
    )
    signs = st.one_of(one_way, st.sampled_from([["=="], ["!="]]))
    return signs.flatmap(lambda signs: st.tuples(*[terms] * (len(signs) + 1)).map(lambda of: t.Comparison(tuple(signs), of)))


def conditions(time: bool = False) -> st.SearchStrategy[t.Node]:
    leaves = [points, comparisons(time)]
    if time:
        leaves += [
            st.tuples(points, seconds).map(lambda of: t.Past("changed", *of)),
            st.tuples(points, st.sampled_from([t.Text("heat"), t.Text('a "b"'), t.Flag(value=True)])).map(
                lambda of: t.Comparison(("==",), of)
            ),
            st.sampled_from(["weekday"]).map(t.Clock),
        ]

    def joined(parts: st.SearchStrategy[t.Node]) -> st.SearchStrategy[t.Node]:
        lists = st.lists(parts, min_size=2, max_size=3).map(tuple)
        made = [parts.map(t.Not), lists.map(t.All), lists.map(t.Some)]
        if time:
            made.append(st.tuples(parts, seconds).map(lambda of: t.Lasting(*of)))
        return st.one_of(made)

    return st.recursive(st.one_of(leaves), joined, max_leaves=6)


def reference(node: t.Node, values: dict[str, Any]) -> Any:
    """What a tree comes to, read as literally as can be; None for unknown."""
    match node:
        case t.Number(value) | t.Flag(value):
            return value
        case t.Point(name):
            return values[name]
        case t.Negative(of):
            value = reference(of, values)
            return None if value is None else -value
        case t.Arithmetic(sign, left, right):
            one, other = reference(left, values), reference(right, values)
            if one is None or other is None or (sign == "/" and other == 0):
                return None
            return fitting({"+": one + other, "-": one - other, "*": one * other, "/": one / other if other else None}[sign])
        case t.Call(name, of):
            each = [reference(part, values) for part in of]
            if None in each:
                return None
            function = {"abs": abs, "min": min, "max": max, "avg": lambda *some: sum(some) / len(some)}[name]
            return fitting(function(*each))
        case t.Comparison(signs, of):
            each = [reference(part, values) for part in of]
            answers = [pair(sign, *each[place : place + 2]) for place, sign in enumerate(signs)]
            return kleene(answers, decides=False)
        case t.Not(of):
            answer = condition(of, values)
            return None if answer is None else not answer
        case t.All(of):
            return kleene([condition(part, values) for part in of], decides=False)
        case t.Some(of):
            return kleene([condition(part, values) for part in of], decides=True)
    raise AssertionError(node)


def fitting(value: float) -> float | None:
    return value if abs(value) <= WIDEST else None


def pair(sign: str, one: Any, other: Any) -> bool | None:
    if one is None or other is None:
        return None
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other, "==": one == other, "!=": one != other}[
        sign
    ]


def condition(node: t.Node, values: dict[str, Any]) -> bool | None:
    value = reference(node, values)
    return None if value is None else bool(value)


def kleene(answers: list[bool | None], *, decides: bool) -> bool | None:
    """Of strong logic: one that decides, or else unknown if any is."""
    if decides in answers:
        return decides
    return None if None in answers else not decides


said = st.one_of(st.none(), st.integers(-8, 8), st.booleans(), st.sampled_from([0.1, 1e300, -1e-9]))
rows = st.fixed_dictionaries(dict.fromkeys(NAMES, said))


def made(text: str) -> Expression | ExpressionError:
    """What comes of a text."""
    try:
        return parse(text, SCOPE)
    except ExpressionError as error:
        return error


def usable(node: t.Node) -> Any:
    """The expression of a tree; None of one that is too large, or has no point."""
    one = made(t.written(node))
    if isinstance(one, Expression):
        return one
    excuses = ("characters", "no point in it", "too many parts within one another")
    assert all(mistake.found.endswith(excuses) for mistake in one.mistakes)
    return None


def row(expression: Any, values: dict[str, Any]) -> list[Any]:
    return [values[each.id if each.id in values else each.name] for each in expression.points]


@given(conditions(), st.lists(rows, min_size=1, max_size=4))
def test_a_condition_is_evaluated_as_it_is_written(node: t.Node, several: list[dict[str, Any]]) -> None:
    """Any tree, on any values, with any of them missing."""
    expression = usable(node)
    for at, values in enumerate(several):
        if expression:
            assert expression.evaluate(row(expression, values), float(at)) is condition(node, values)


@given(conditions(time=True))
@example(t.Comparison((">",), (t.Point("x"), t.Number(5.0, "°C/min"))))
@example(t.Comparison((">",), (t.Point("x"), t.Number(-1e-05, "m³/h"))))
@example(t.Lasting(t.Not(t.Lasting(t.Point("x"), 0.3)), 90061.5))
def test_the_text_of_a_tree_has_that_tree(node: t.Node) -> None:
    """Nothing is lost, and every parenthesis that is needed is there."""
    again = read(t.written(node))
    assert again.tree == node or any("characters" in one.found or "too many" in one.found for one in again.mistakes)
    assert not again.tree or not again.mistakes


pieces = st.sampled_from(
    ["and", "or", "not", "for", "x", "y > 1", "min(", "avg(", "changed(", "(", ")", ",", "1", "2 min", "5 °C", "<", "==", "=",
     "&&", "!", "-", "/", "'heat'", '"', "hour", "weekday", "day", "d/x-1", "[on]", "[", "nobody/x", "1e999", "\n", "×",
     "\N{SNOWMAN}", "_"]
)  # fmt: skip


@given(
    st.one_of(
        conditions(time=True).map(t.written),
        st.tuples(conditions(time=True).map(t.written), st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]]),
        st.text(max_size=40),
        st.text(string.printable, max_size=60),
        st.lists(pieces, max_size=12).map(" ".join),
        st.lists(pieces, max_size=12).map("".join),
    ),
    st.lists(st.one_of(st.none(), st.integers(-3, 3), st.sampled_from(["heat", "", 1e308, True])), min_size=10, max_size=10),
)
def test_any_text_is_a_condition_or_has_mistakes(text: str, values: list[Any]) -> None:
    """Nothing else comes of it: no other error, no answer but true, false or unknown, no mistake outside of the text."""
    expression = made(text)
    if isinstance(expression, ExpressionError):
        assert expression.mistakes
        assert all(0 <= (one.offset or 0) <= len(text) and one.found for one in expression.mistakes)
        return
    for at in range(4):
        assert expression.evaluate(values[at:][: len(expression.points)], float(at), lambda at: at) in (True, False, None)


events = st.lists(
    st.tuples(st.integers(1, 64).map(lambda eighths: eighths / 8), st.sampled_from(["x", "y", "z"]), said), min_size=1, max_size=30
)


def play(
    expression: Any, steps: list[tuple[float, str, Any]], *, start: float = 0.0, lazy: bool = False, cut: int = -1
) -> list[Any]:
    """The answers after each step: of one that is asked each time, or of one that sleeps where it may, or is cut by a restart."""
    values: dict[str, Any] = dict.fromkeys(NAMES)
    answers: list[Any] = []
    at, answer, due, bands = start, None, -1e300, {}
    for number, (dt, name, value) in enumerate(steps):
        at += dt
        if number == cut:
            fresh = parse(expression.text, SCOPE)
            fresh.recall(expression.memory(), 0.0)
            expression = fresh
        old, values[name] = values[name], value
        index = next((index for index, each in enumerate(expression.points) if each.name == name), None)
        low, high = bands.get(name, (1.0, 0.0))
        rests = value is not None and old is not None and low <= value <= high
        if not lazy or not answers or at >= due or (index is not None and not rests):
            answer = expression.evaluate(row(expression, values), at)
            due = expression.due
            if index is not None and value is not None:
                bands[name] = expression.rest(index, value)
        answers.append(answer)
    return answers


def _is_of(node: t.Node, names: set[str]) -> bool:
    return all(each.name in names for each in read(t.written(node)).names)


timed = conditions(time=True).filter(lambda node: _is_of(node, {"x", "y", "z"}))


@given(timed, events)
def test_a_condition_that_sleeps_answers_as_one_that_does_not(node: t.Node, steps: list[tuple[float, str, Any]]) -> None:
    """While all points rest and no deadline has come, no answer changes; and to be asked more often changes nothing."""
    if usable(node):
        assert play(usable(node), steps, lazy=True) == play(usable(node), steps)


@given(timed, events, st.integers(0, 30))
def test_a_condition_that_is_cut_by_a_restart_answers_as_one_that_is_not(
    node: t.Node, steps: list[tuple[float, str, Any]], cut: int
) -> None:
    """What it remembers is enough."""
    if usable(node):
        assert play(usable(node), steps, cut=cut) == play(usable(node), steps)


@given(timed, events, st.sampled_from([-4096.0, 0.125, 1048576.0]))
def test_only_differences_of_times_mean_anything(node: t.Node, steps: list[tuple[float, str, Any]], shift: float) -> None:
    """Shifted by any time, the answers are the same."""
    if usable(node):
        assert play(usable(node), steps, start=shift) == play(usable(node), steps)


@given(
    st.sampled_from(
        [
            "d/a > 2 kW", "0.5 kW < d/a <= 2 kW", "d/a - d/b > 1 kW", "max(d/a, d/b, 2 kW) > 2.5 kW", "d/a / d/b > 50 %",
            "avg(d/a, 8 s) > 1 kW", "abs(d/a - d/b) < 250 W for 2 s", "2 * d/a > d/b + 1 kW", "d/a > d/b",
        ]
    ),
    st.lists(st.tuples(st.integers(-8, 40), st.integers(-8, 40)), min_size=1, max_size=20),
)  # fmt: skip
def test_scaling_a_unit_scales_numbers_and_nothing_else(text: str, values: list[tuple[int, int]]) -> None:
    """A point in W, kW or in a unit of nobody else's: the same quantities give the same answers."""

    def to_unit(quantity: Quantity, unit: str, *, difference: bool = False) -> float:
        if unit == "eighths" and quantity.unit not in ("", unit):
            return convert(quantity, "kW") * 8
        return convert(quantity, unit, difference=difference)

    def answers(one: float, other: float, units: tuple[str, str]) -> list[bool | None]:
        scope = Scope([point("d/a", units[0]), point("d/b", units[1])], to_unit)
        expression = parse(text, scope)
        pairs = ([one * a, other * b][: len(expression.points)] for a, b in values)
        return [expression.evaluate(pair, float(at)) for at, pair in enumerate(pairs)]

    expected = answers(250, 250, ("W", "W"))
    assert answers(0.25, 0.25, ("kW", "kW")) == expected
    assert answers(0.25, 250, ("kW", "W")) == expected
    assert answers(2, 2, ("eighths", "eighths")) == expected
