"""Conditions as a technician writes them: what they mean, and what is told of those that mean nothing."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from rules_of import point

from drivers.contract import Value
from gateway.config.units import convert
from gateway.diagnosis import expression
from gateway.diagnosis.expression import Expression, ExpressionError, Scope, parse, read
from gateway.diagnosis.watch import ANYTHING, NEVER, NOTHING

POINTS = [
    point("boiler/supply_temp", "°C"), point("boiler/return-temp", "°C"), point("boiler/outdoor", "°F"), point("pump/running"),
    point("pump/on"), point("2nd/5a"), point("meter/power", "W"), point("heater/power", "kW"), point("tank/level", "m"),
    point("boiler/state", type="text"), point("a/x"), point("a/y"), point("bus.plant/state", type="text"), point("a/flow", "l/min"),
]  # fmt: skip
SCOPE = Scope(POINTS, convert, "a")


def condition(text: str, device: str = "a") -> Expression:
    return parse(text, SCOPE.of(device))


def holds(text: str, *values: Value | None, at: float = 0.0, **where: Any) -> bool | None:
    """Whether a condition holds whose points, in the order of the text, say this."""
    return condition(text).evaluate(values, at, **where)


def mistakes(text: str, device: str = "a") -> list[tuple[int | None, str, str, str]]:
    with pytest.raises(ExpressionError) as caught:
        condition(text, device)
    return [(each.offset, each.found, each.expected, each.suggestion) for each in caught.value.mistakes]


# ---------------------------------------------------------------- what conditions mean


@pytest.mark.parametrize(
    ("text", "values", "answer"),
    [
        ("boiler/supply_temp > 60 °C and not pump/running", (61, False), True),
        ("boiler/supply_temp > 60 °C and not pump/running", (61, True), False),
        ("x > 1 or y > 1 and x > 5", (2, 0), True),  # `and` binds more than `or`
        ("not x > 1", (0,), True),  # `not` takes the comparison
        ("not x or y", (1, 1), True),  # and nothing else
        ("(x > 1 or y > 1) and x > 5", (2, 0), False),
        ("18 < x < 22", (20,), True),
        ("18 < x < 22", (22,), False),
        ("18 <= x <= y < 30", (18, 18), True),
        ("x - y - 1 == 2", (10, 7), True),  # from the left
        ("x / y / 2 == 1", (8, 4), True),
        ("x + y * 2 == 7", (1, 3), True),
        ("-x * -y == 6", (2, 3), True),
        ("- -x == 6", (6,), True),
        ("abs(x - y) < 2", (3, 4), True),
        ("max(x, y, 3) == 4 and min(x, y) == 1 and avg(x, y, 4) == 3", (1, 4), True),
        ("x ≥ 3 and y ≤ 3 and x ≠ y", (4, 3), True),
        ("x − 3 > 0", (4,), True),  # a minus sign as word processors write it
        ("x >= .5e1", (5,), True),
        ("pump/running == on", (1,), True),
        ("off != pump/running", (False,), False),
        ("boiler/state == \"mute\" or bus.plant/state != 'well'", ("well", "down"), True),
        ("pump/on == on and [2nd/5a] > 1", (True, 2), True),
        ("x == 'heat'", (3,), False),
        ("x != 'heat'", (3,), True),
        ("x == 'heat'", ("heat",), True),
        ("x > 3", ("heat",), None),
        ("x == y", ("heat", "heat"), True),
        ("x", ("heat",), None),
        ("x + 1 > 0", ("heat",), None),
        ("x", (0.5,), True),
        ("not x", (0,), True),
        ("x / y > 1", (1, 0), None),
        ("x * x > 1", (1e300,), None),
        ("pump/running + pump/on >= 2", (True, True), True),
    ],
)
def test_a_condition_means_what_it_says(text: str, values: tuple[Value, ...], answer: bool | None) -> None:
    """Signs, words and functions, and what binds more."""
    assert holds(text, *values) is answer


@pytest.mark.parametrize(
    ("text", "values", "answer"),
    [
        ("boiler/outdoor > 20 °C", (69,), True),
        ("boiler/outdoor > 20 °C", (68,), False),
        ("boiler/supply_temp > 333.15 K", (60.5,), True),
        ("boiler/supply_temp > 60", (60.5,), True),  # no unit is the point's own
        ("boiler/supply_temp - boiler/return-temp > 5 K", (45, 39), True),  # a difference has no zero
        ("boiler/supply_temp - boiler/outdoor > 9 °F", (20, 59), False),
        ("boiler/supply_temp - boiler/outdoor > 8.9 °F", (20, 59), True),
        ("boiler/supply_temp > boiler/outdoor", (20, 67), True),
        ("boiler/supply_temp > boiler/outdoor", (20, 69), False),
        ("boiler/supply_temp > boiler/return-temp + 5 K", (45, 39), True),
        ("5 °F + boiler/return-temp < boiler/supply_temp", (39, 42), True),
        ("5 °F + boiler/return-temp < boiler/supply_temp", (39, 41), False),  # 5 °F warmer, not 5 °F
        ("boiler/outdoor + (boiler/supply_temp - boiler/return-temp) > 70", (60, 45, 40), False),
        ("boiler/outdoor + (boiler/supply_temp - boiler/return-temp) > 70", (62, 45, 40), True),
        ("333.15 K - boiler/supply_temp < 5 K", (56,), True),
        ("(boiler/supply_temp + boiler/return-temp) / 2 > 313.15 K", (45, 36), True),
        ("abs(boiler/supply_temp - 60 °C) < 5", (56,), True),
        ("boiler/supply_temp - 2 °C > boiler/return-temp", (45, 44), False),
        ("meter/power > 2 * heater/power", (5000, 2.4), True),
        ("heater/power / meter/power > 80 %", (1, 1200), True),
        ("heater/power / meter/power > 0.9", (1, 1200), False),
        ("meter/power > 50 % * heater/power", (501, 1), True),
        ("1 - meter/power / heater/power < 20 %", (900, 1), True),
        ("meter/power * x > 100", (10, 11), True),
        ("heater/power / x > 1 kW", (2, 1), True),
        ("max(meter/power, heater/power, 3 kW) >= 3000", (1, 0), True),
        ("heater/power + meter/power > 1.5", (1, 501), True),
        ("1 kW + 500 W < meter/power", (1501,), True),
        ("tank/level < 20 cm", (0.19,), True),
        ("flow > 1 m³/h", (17,), True),
        ("boiler/supply_temp > x", (45, 44), True),
        ("-5 °C < boiler/outdoor", (24,), True),
        ("-5 °C < boiler/outdoor", (23,), False),
    ],
)
def test_numbers_are_held_against_each_other_in_one_unit(text: str, values: tuple[Value, ...], answer: bool) -> None:
    """A level, a difference, a share: each is converted as what it is."""
    assert holds(text, *values) is answer


THREE = (True, False, None)
STRONG = {
    # Kleene's strong logic: unknown is what may be either.
    "and": {(a, b): False if False in (a, b) else None if None in (a, b) else True for a in THREE for b in THREE},
    "or": {(a, b): True if True in (a, b) else None if None in (a, b) else False for a in THREE for b in THREE},
}


@pytest.mark.parametrize("word", STRONG)
@pytest.mark.parametrize(("one", "other"), list(itertools.product(THREE, THREE)))
def test_no_value_is_unknown_and_the_known_decides_where_it_can(word: str, one: bool | None, other: bool | None) -> None:
    """Unknown and false is false, unknown or true is true, whichever comes first."""
    assert holds(f"x {word} y", one, other) is STRONG[word][one, other]
    assert holds(f"x {word} y {word} x", one, other) is STRONG[word][one, other]


def test_what_is_made_of_no_value_is_unknown() -> None:
    """The opposite, a comparison, a sum, an extreme, a chain that does not fail elsewhere."""
    for text in (
        "not x",
        "x > 1",
        "x == 1",
        "x != 1",
        "x == 'heat'",
        "x + y > 1",
        "max(x, y) > 1",
        "-x < 1",
        "0 < x < 5",
        "x > 1 for 1 s",
    ):
        assert holds(text, *(None, 3)[: len(condition(text).points)]) is None, text
    assert holds("3 < y < x", 1, None) is False


def test_a_name_that_means_something_else_stands_in_brackets() -> None:
    """Words of the grammar, and names that begin as a number does."""
    one = condition("[on] and on == [2nd/5a]", "pump")
    assert [each.id for each in one.points] == ["pump/on", "2nd/5a"]
    assert [one.evaluate(values, 0.0) for values in ((1, 1), (0, 1), (1, 0))] == [True, False, False]


# ---------------------------------------------------------------- time


def test_for_asks_that_it_has_held_so_long() -> None:
    """Of the comparison before it, with its `not`; what is unknown in between counts for nothing."""
    one = condition("y and not x > 5 for 10 s")
    answers = [
        one.evaluate((1, x), at) for at, x in [(0, 9), (1, 4), (5, 4), (10.5, 4), (11, 4), (12, 9), (13, 4), (22.5, 4), (23, 4)]
    ]
    assert answers == [False, False, False, False, True, False, False, False, True]
    held = condition("x > 5 for 10 s")
    answers = [held.evaluate((x,), at) for at, x in [(0, 9), (4, None), (6, None), (10, 9), (15, 9), (16, 9)]]
    assert answers == [False, None, None, False, False, True]


def test_for_says_when_to_look_again() -> None:
    """The only thing that changes while nothing is read."""
    one = condition("x > 5 for 10 s or y > 5 for 30 s")
    assert one.due == NEVER
    dues = [
        (one.evaluate(values, at), one.due)[1] for at, values in [(1, (9, 9)), (2, (4, 9)), (3, (9, 9)), (13, (9, 9)), (14, (1, 1))]
    ]
    assert dues == [11, 31, 13, 31, NEVER]


def test_changed_is_about_the_last_so_long() -> None:
    """Unknown until the point has been known for so long, or has changed; a text changes too."""
    one = condition("changed(x, 10 s)")
    steps = [(0, 1), (9, 1), (10, 1), (12, 2), (21, 2), (22, 2), (23, None), (24, 2), (25, "heat"), (26, "heat"), (35, "heat")]
    assert [one.evaluate((x,), at) for at, x in steps] == [None, None, False, True, True, False, None, False, True, True, False]
    assert one.evaluate((3,), 50) is True
    assert one.due == 60


def past(what: str, readings: list[tuple[float, Value | None]]) -> list[bool | None]:
    one = condition(f"{what}(x, 80 s) > 5")
    return [one.evaluate((value,), at) for at, value in readings]


def test_the_past_is_unknown_until_it_has_been_seen() -> None:
    """For the whole time; and while there is no value."""
    assert past("min", [(0, 9), (79, 9), (80, 9), (85, 5), (86, 9)]) == [None, None, True, False, False]
    assert past("max", [(0, 9), (80, 9), (81, None), (82, 9)]) == [None, True, None, True]


def test_the_past_forgets() -> None:
    """What is longer ago than the time is gone; what is younger than seven eighths of it is not."""
    lasts = {at: past("max", [(0, 1), (100, 9), (101, 1), (at, 1)])[-1] for at in (170, 179, 180, 185)}
    assert lasts == {170: True, 179: True, 180: False, 185: False}


def test_a_mean_is_over_time_and_not_over_readings() -> None:
    """A value stands until the next; a burst of readings weighs no more than one. It is a mean of whole eighths."""
    assert past("avg", [(0, 8), (51, 0), (80, 0)])[-1] is True  # 8 for 51 s of 80
    assert past("avg", [(0, 8), (49, 0), (80, 0)])[-1] is False
    burst: list[tuple[float, Value | None]] = [(0, 8), (51, 0), *((51 + step / 100, 0) for step in range(1, 100)), (80, 0)]
    assert past("avg", burst)[-1] is True
    assert past("avg", [(0, 4), (80, 9), (89.9, 9), (160, 9)]) == [None, False, False, True]
    assert past("avg", [(0, 100), (10, None), (40, 0), (89, 0), (90, 0)])[-2:] == [True, False]  # the first is forgotten
    assert condition("avg(pump/running, 80 s) > 0.5").evaluate((True,), 0) is None


def test_a_past_with_large_holes_is_unknown() -> None:
    """Half of the time at least must be known; what is not known weighs nothing."""
    assert past("avg", [(0, 8), (41, None), (80, 8)])[-1] is True
    assert past("avg", [(0, 8), (39, None), (80, 8)])[-1] is None
    assert past("avg", [(0, 8), (1, None), (1000, 8), (1039, 8), (1040, 8)]) == [None, None, None, None, True]


def test_the_past_says_when_it_may_change_by_itself() -> None:
    """With each eighth."""
    one = condition("avg(x, 80 s) > 5")
    assert [(one.evaluate((8,), at), one.due)[1] for at in (3, 12, 13, 14, 500)] == [13, 13, 23, 23, 503]


def test_the_past_of_what_is_made_of_several_points() -> None:
    """A mean difference, in a unit that fits."""
    one = condition("avg(boiler/supply_temp - boiler/outdoor, 80 s) > 9 °F")
    assert [one.evaluate((20, f), at) for at, f in [(0, 58), (79, 58), (81, 60)]] == [None, None, True]


@pytest.mark.parametrize(
    ("text", "day", "hour", "answer"),
    [
        ("x and (hour >= 22 or hour < 6)", 0, 21.99, False),
        ("x and (hour >= 22 or hour < 6)", 0, 22.0, True),
        ("x and (hour >= 22 or hour < 6)", 0, 5.99, True),
        ("x and hour == 23", 6, 23.99, True),
        ("x and weekday", 4, 23.99, True),
        ("x and weekday", 5, 0, False),
        ('x and day == "sunday"', 6, 12, True),
        ('x and day != "monday"', 0, 12, False),
    ],
)
def test_the_clock_on_the_wall(text: str, day: int, hour: float, answer: bool) -> None:
    """Hours, weekdays and days where the hub stands."""
    one = condition(text)
    assert one.evaluate((1,), 1000.0, lambda _: day * 86400 + hour * 3600) is answer
    assert one.due == pytest.approx(1000 + 3600 * (1 - hour % 1))


def test_a_clock_that_is_not_trusted_says_nothing() -> None:
    """Then it is unknown, and asked again in a minute."""
    one = condition("x or hour > 5")
    assert [one.evaluate((x,), 100.0) for x in (0, 1)] == [None, True]
    assert one.due == 160.0


def test_time_goes_on_after_a_restart() -> None:
    """Through plain data, on another timeline, and without the time that the hub was off."""
    text = "x > 5 for 10 s or changed(x, 20 s) or avg(x, 80 s) > 7 or max(x, 16 s) > 8"
    steps: list[tuple[float, Value | None]] = [(at, [9, 6, None, 2, 7, 7, 7, 7][at // 3 % 8]) for at in range(1, 200)]
    whole = condition(text)
    expected = [whole.evaluate((value,), at) for at, value in steps]
    for cut in range(0, 200, 7):
        before, after = condition(text), condition(text)
        found = [before.evaluate((value,), at) for at, value in steps[:cut]]
        after.recall(before.memory(), 1000.0 - 50.0)
        after.pause(50.0)
        assert found + [after.evaluate((value,), at + 1000.0) for at, value in steps[cut:]] == expected
    assert condition("x > 5").memory() == []


# ---------------------------------------------------------------- how long it may sleep


def test_a_point_beside_numbers_of_the_text_rests_between_them() -> None:
    """Up to the nearest, on which it may be neither; beside anything else it never rests."""
    one = condition("2 < x <= 4 or x == 9 or not y")
    assert one.rest(0, 3) == (pytest.approx(2, abs=1e-9), pytest.approx(4, abs=1e-9))
    assert one.rest(0, 3)[0] > 2
    assert one.rest(0, 3)[1] < 4
    assert (one.rest(0, 4), one.rest(0, 9)) == ((4, 4), (9, 9))
    assert one.rest(0, 1)[0] == ANYTHING[0]
    assert one.rest(0, 10)[1] == ANYTHING[1]
    assert one.rest(0, "heat") == ANYTHING
    assert one.rest(1, 0) == (0, 0)
    assert one.rest(1, 1) == (5e-324, ANYTHING[1])
    assert condition("x == 'heat' or boiler/state == 'mute'").rest(0, 5) == ANYTHING
    assert condition("boiler/outdoor > 20 °C").rest(0, 70)[0] == pytest.approx(68)
    for text in ("x > y", "x > 2 or x + 1 > 5", "max(x, 10 s) > 3", "changed(x, 5 s)", "-x > 3", "5 > x > y"):
        assert condition(text).rest(0, 3) == NOTHING, text


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("boiler/supply_tmp > 60", [(0, 'no point is called "boiler/supply_tmp"', "", '"boiler/supply_temp"')]),
        ("bolier/supply_temp > 60", [(0, 'no point is called "bolier/supply_temp"', "", '"boiler/supply_temp"')]),
        ("boiler.supply_temp > 60", [(0, 'no point is called "boiler.supply_temp"', "", '"boiler/supply_temp"')]),
        ("x-y > 1", [(0, 'no point is called "x-y"', "", '"x - y"')]),
        ("xx/yy > 1", [(0, 'no point is called "xx/yy"', 'a point as "device/point"', "")]),
        ("zzz > 1", [(0, 'no point is called "zzz"', "a point of a", "")]),
        ("x && y || !x", [(2, '"&&"', "", '"and"'), (7, '"||"', "", '"or"'), (10, '"!"', "", '"not"')]),
        ("x = 3", [(2, '"="', "", '"=="')]),
        ("x => 3 or x <> 4", [(2, '"=>"', "", '">="'), (12, '"<>"', "", '"!="')]),
        ("x > 1,5", [(5, "a decimal comma", "", '"1.5"')]),
        ("x AND y", [(2, 'found "AND"', "", '"and"')]),
        ("x y", [(2, 'nothing joins "y" to what is before it', '"and", "or", a comparison or a sign', "")]),
        ("x > 3 x", [(4, "3 x does not fit x, which has no unit", "a number such as 3", "")]),
        ("x >", [(3, "it ends here", "a point, a number or a text in quotes", "")]),
        ("x > > 3", [(4, 'found ">"', "a point, a number or a text in quotes", "")]),
        ("(x > 3", [(0, 'a "(" that is not closed', '")"', "")]),
        ("x > 3)", [(5, '")" without its "("', "", "")]),
        ("x == 'heat", [(5, "a text without its closing quote", "'", "")]),
        ("x > 3 $ y", [(6, '"$" means nothing here', "a point, a number or a text in quotes", "")]),
        ("x < 5 > y", [(6, 'found ">"', 'a chain such as 18 < x < 22, or "and"', "")]),
        ("x == 5 == y", [(7, 'found "=="', 'a chain such as 18 < x < 22, or "and"', "")]),
        ("mean(x, 5 s) > 1", [(0, 'no function is called "mean"', "", '"avg"')]),
        ("maxx(x, y) > 1", [(0, 'no function is called "maxx"', "", '"max"')]),
        ("exec(x)", [(0, 'no function is called "exec"', "one of abs, min, max, avg, changed", "")]),
        ("avg(x) > 1", [(5, "avg of one number", "a time, as in avg(x, 10 min), or several numbers", "")]),
        ("avg(x, y, 5 s) > 1", [(8, "several numbers and a time", "one of them: avg(x, 10 min)", "")]),
        ("abs(x, y) > 1", [(0, "abs of 2 numbers", "abs(x)", "")]),
        ("changed(x)", [(9, "changed without a time", "one, as in changed(x, 10 min)", "")]),
        ("changed(x + 1, 5 s)", [(8, "x + 1 is no point", "changed(device/point, 10 min)", "")]),
        ("avg(x, 0 s) > 1", [(0, "a time of nothing", 'one such as "10 min"', "")]),
        ("x for 2", [(6, "2 has no unit", "", '"2 min"')]),
        ("x for 2 mins", [(6, '"mins" is not a unit of time', "", '"2 min"')]),
        ("x for long", [(6, 'found "long"', 'a time such as "2 min"', "")]),
        ("meter/power > 5 °C", [(14, "5 °C does not fit meter/power, which is in W", "a number such as 5 W", "")]),
        ("x > 5 °C", [(4, "5 °C does not fit x, which has no unit", "a number such as 5", "")]),
        (
            "meter/power > tank/level",
            [(14, "tank/level, in m, does not fit meter/power, which is in W", "two numbers that measure the same", "")],
        ),
        (
            "meter/power * tank/level > 5 W",
            [(27, "nobody knows the unit of meter/power * tank/level", "a number without one such as 5", "")],
        ),
        (
            "meter/power / heater/power > 5 W",
            [(29, "5 W does not fit meter/power / heater/power, which is in %", "a number such as 5 %", "")],
        ),
        (
            "boiler/supply_temp - 5 K > 300 K",
            [(21, "5 K may be a level or a difference", "a number in °C, as boiler/supply_temp is", "")],
        ),
        (
            "abs(boiler/supply_temp - 60) > 5 K",
            [(31, "5 K may be a level or a difference", "a number in °C, as abs(boiler/supply_temp - 60) is", "")],
        ),
        ("meter/power", [(0, "meter/power is a number, not a condition", "a comparison such as meter/power > 60 W", "")]),
        ("not hour", [(4, "hour is a number, not a condition", "a comparison such as hour > 60", "")]),
        ("boiler/state", [(0, "boiler/state is a text, not a condition", 'a comparison such as boiler/state == "on"', "")]),
        ("boiler/state < 3", [(15, "boiler/state is a text, and 3 is a number", "two of a kind", "")]),
        ("meter/power == 'heat'", [(15, "meter/power is a number, and 'heat' is a text", "two of a kind", "")]),
        ("boiler/state < 'mute'", [(0, '"<" between texts', '"==" or "!="', "")]),
        ("weekday < x", [(0, '"<" between conditions', '"==" or "!="', "")]),
        ("(x > 1) + 1 > 1", [(1, "x > 1 is a condition", "a number", "")]),
        ("-boiler/state > 1", [(1, "boiler/state is a text", "a number", "")]),
        ("x and day == 'sundey'", [(13, 'no day is called "sundey"', "", '"sunday"')]),
        ("hour > 3", [(0, "no point in it", "at least one, such as boiler/supply_temp", "")]),
        ("", [(0, "it ends here", "a point, a number or a text in quotes", "")]),
        ("x > 1e999", [(4, "1e999 is too large", "a number of usual size", "")]),
        ("meter/power > 1e308 MW", [(14, "1e308 MW is too large", "a number of usual size", "")]),
        (
            "meter/pwer > 5 °C and boiler/supply_temp > 3 bar && zzz",
            [
                (0, 'no point is called "meter/pwer"', "", '"meter/power"'),
                (43, "3 bar does not fit boiler/supply_temp, which is in °C", "a number such as 3 °C", ""),
                (49, '"&&"', "", '"and"'),
                (52, 'no point is called "zzz"', "a point of a", ""),
            ],
        ),
        (
            "meter/pwer > (5",
            [(0, 'no point is called "meter/pwer"', "", '"meter/power"'), (13, 'a "(" that is not closed', '")"', "")],
        ),
    ],
)
def test_a_mistake_has_its_place_and_its_remedy(text: str, told: list[tuple[int, str, str, str]]) -> None:
    """All of them at once, in the order of the text."""
    assert mistakes(text) == told


def test_a_point_without_its_device_needs_one() -> None:
    """Where no device is at hand; the only point of that name is suggested."""
    assert mistakes("flow > 1", device="") == [(0, '"flow" is a point without its device', "", '"a/flow"')]
    expected = '"device/power", or the devices that it is of in on'
    assert mistakes("power > 1", device="") == [(0, '"power" is a point without its device', expected, "")]


def test_what_is_too_long_or_too_deep_is_refused() -> None:
    """Before it is read, or as soon as it is seen."""
    assert mistakes("x or " * 200 + "x") == [(0, "1001 characters", "at most 1000", "")]
    assert condition("x or " * 199 + "x").evaluate((0,), 0.0) is False
    assert condition("(" * 20 + "x" + ")" * 20).evaluate((1,), 0.0) is True
    for deep in ("(" * 21 + "x" + ")" * 21, "not " * 21 + "x", "-" * 21 + "x > 1", "abs(" * 21 + "x" + ")" * 21 + " > 1"):
        assert [found for _, found, *_ in mistakes(deep)] == ["too many parts within one another"]


def test_the_error_reads_as_one_line() -> None:
    """For whoever has no better place for it."""
    with pytest.raises(ExpressionError, match=r'^at character 3: "&&"; at character 6: no point is called "zzz"$'):
        condition("x && zzz")


def test_what_the_pages_show_is_a_condition() -> None:
    """The examples of the grammar, and those of the config's page."""
    page = (Path(__file__).parent.parent / "config" / "README.md").read_text("utf-8")
    rows = [line.partition(" | ")[0] for line in page.partition("## Conditions")[2].partition("## ")[0].splitlines()]
    shown = [text for row in rows if row.startswith("| `") for text in re.findall("`([^`]+)`", row)]
    assert len(shown) > 20
    assert not [text for text in shown if read(text).mistakes and not text.startswith("<")]
    indented = [line.strip() for line in (expression.__doc__ or "").splitlines() if line.startswith("    ") and " = " not in line]
    assert len(indented) == 3
    assert not [text for text in indented if read(text).mistakes]
