"""Numbers with units: read as people write them, turned into each other when they measure the same, refused when they do not."""

import contextlib
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.config import units
from gateway.config.problems import Unfit
from gateway.config.units import UnitMismatchError, convert, duration, quantity
from gateway.diagnosis.contract import Quantity

NUMBERS = st.floats(-1e9, 1e9).map(lambda number: round(number, 6))
KNOWN = [(measure, unit) for measure, known in units.MEASURES.items() for unit in known]


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500 ms", 0.5), ("5 s", 5), ("5s", 5), ("10 min", 600), ("10m", 600), ("2 h", 7200), ("7 d", 604800), ("1h30m", 5400),
        ("1 h 30 min", 5400), ("0 s", 0), ("1.5 h", 5400), (" 5\N{NO-BREAK SPACE}s ", 5), ("100 ms", 0.1),
    ],
)  # fmt: skip
def test_a_time_is_read_with_its_unit(text, seconds):
    assert duration(text) == seconds


@given(st.dictionaries(st.sampled_from(["d", "h", "min", "s", "ms"]), st.integers(0, 999), min_size=1))
def test_a_time_of_several_parts_is_their_sum(parts):
    sizes = {"d": 86400, "h": 3600, "min": 60, "s": 1, "ms": 0.001}
    text = " ".join(f"{number} {unit}" for unit, number in parts.items())
    assert duration(text) == pytest.approx(sum(number * sizes[unit] for unit, number in parts.items()))


@given(st.floats(0, 1e7).map(lambda number: round(number, 3)))
def test_a_time_is_written_as_it_can_be_read(seconds):
    assert duration(units.span(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "found", "suggestion"),
    [
        ("30", '"30" has no unit', '"30 s"'),
        ("5 sek", '"sek" in "5 sek" is not a unit of time', '"5 s"'),
        ("10 Minuten", '"Minuten" in "10 Minuten" is not a unit of time', '"10 min"'),
        ("2 hours", '"hours" in "2 hours" is not a unit of time', '"2 h"'),
        ("5 M", '"M" in "5 M" is not a unit of time', '"5 min"'),
        ("3,5 s", '"3,5 s" has a decimal comma', '"3.5 s"'),
        ("-5 s", '"-5 s" is negative', ""),
        ("2 weeks", '"weeks" in "2 weeks" is not a unit of time', ""),
        ("soon", 'found text "soon"', ""),
        ("", 'found text ""', ""),
        ("10:30", 'found text "10:30"', ""),
    ],
)
def test_a_time_that_cannot_be_read_is_told_with_what_was_meant(text, found, suggestion):
    with pytest.raises(Unfit) as caught:
        duration(text)
    assert (caught.value.found, caught.value.suggestion) == (found, suggestion)
    assert suggestion or "5 s" in caught.value.expected


# ---------------------------------------------------------------- quantities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-15 °C", (-15, "°C")), ("−15 ℃", (-15, "°C")), ("-15 C", (-15, "°C")), ("3.5kW", (3.5, "kW")), (".5 bar", (0.5, "bar")),
        ("2 °C/min", (2, "°C/min")), ("50 %", (50, "%")), ("5", (5, "")), ("1e3 W", (1000, "W")), ("7 loaves", (7, "loaves")),
        ("2 /min", (2, "/min")), ("2 1/min", (2, "1/min")), ("3 m3", (3, "m³")), ("4 l/100 km", (4, "l/100 km")),
    ],
)  # fmt: skip
def test_a_quantity_is_read_as_people_write_it(text, expected):
    assert quantity(text) == expected


@pytest.mark.parametrize("text", ["", "warm", "°C", "-", "1e999 W", "5 5", "--5 W"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(Unfit) as caught:
        quantity(text)
    assert "such as" in caught.value.expected


@given(st.text(max_size=20))
@example("1e999 W")
@example(f"{10**20} d {10**300} d")
@example("-5 s")
def test_any_text_is_a_quantity_and_a_time_or_is_refused(text):
    """Of what is finite; and no time is negative."""
    with contextlib.suppress(Unfit):
        assert math.isfinite(quantity(text).value)
    with contextlib.suppress(Unfit):
        assert 0 <= duration(text) < math.inf


@pytest.mark.parametrize(
    ("value", "unit", "other", "expected"),
    [
        (-15, "°C", "°F", 5), (32, "°F", "°C", 0), (0, "°C", "K", 273.15), (-40, "°F", "°C", -40), (1, "kWh", "MJ", 3.6),
        (1, "bar", "kPa", 100), (14.5037737730, "psi", "bar", 1), (1, "hPa", "mbar", 1), (2, "m³/h", "l/min", 33.3333333333),
        (1, "l/s", "m3/h", 3.6), (36, "km/h", "m/s", 10), (1500, "rpm", "Hz", 25), (90, "min", "h", 1.5), (5, "‰", "%", 0.5),
        (400, "µA", "mA", 0.4), (1, "kVA", "VA", 1000), (1, "lb", "kg", 0.45359237), (100, "ug/m3", "mg/m³", 0.1),
        (2, "°C/min", "°C/s", 2 / 60), (9, "°F/h", "°C/h", 5), (3, "loaves/min", "loaves/h", 180), (6, "/min", "/s", 0.1),
        (5, "", "°C", 5), (7, "loaves", "loaves", 7), (1, "m³/h/min", "m³/h/s", 1 / 60), (1, "mA", "A", 0.001),
    ],
)  # fmt: skip
def test_a_quantity_is_turned_into_another_unit_of_the_same_measure(value, unit, other, expected):
    assert convert(Quantity(value, unit), other) == pytest.approx(expected, rel=1e-11)


def test_a_difference_knows_no_zero_of_a_scale():
    assert convert(Quantity(5, "°C"), "°F", difference=True) == 9
    assert convert(Quantity(1, "K"), "°C", difference=True) == 1


@given(NUMBERS, st.sampled_from(KNOWN), st.data())
def test_there_and_back_is_where_it_was(value, known, data):
    measure, unit = known
    other = data.draw(st.sampled_from(list(units.MEASURES[measure])))
    there = convert(Quantity(value, unit), other)
    size = max(1.0, abs(value), abs(there * units.measure(other).factor / units.measure(unit).factor))
    assert convert(Quantity(there, other), unit) == pytest.approx(value, abs=2e-9 * size)


@given(NUMBERS, st.sampled_from(KNOWN))
def test_a_number_in_its_own_unit_is_left_alone_to_the_last_bit(value, known):
    assert convert(Quantity(value, known[1]), known[1]) == value


@given(st.sampled_from(KNOWN), st.sampled_from(KNOWN))
def test_units_fit_each_other_exactly_when_they_measure_the_same(one, other):
    if one[0] == other[0]:
        assert math.isfinite(convert(Quantity(1.0, one[1]), other[1]))
    else:
        with pytest.raises(UnitMismatchError):
            convert(Quantity(1.0, one[1]), other[1])


def test_each_unit_is_in_the_table_once():
    assert len({unit for _, unit in KNOWN}) == len(KNOWN)


@pytest.mark.parametrize(
    ("unit", "other"), [("kW", "°C"), ("°C", "°C/min"), ("loaves", "kg"), ("loaves", "breads"), ("°C", ""), ("kW", "kWh")]
)
def test_units_of_different_measures_are_refused_by_name(unit, other):
    with pytest.raises(UnitMismatchError) as caught:
        convert(Quantity(5, unit), other)
    assert (caught.value.quantity, caught.value.unit) == (Quantity(5, unit), other)
    assert f"5 {unit}" in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("℃", "°C"),
        ("ºC", "°C"),
        ("degC", "°C"),
        ("μA", "µA"),
        ("uA", "µA"),
        ("m3", "m³"),
        ("m^3", "m³"),
        ("L", "l"),
        ("Ω", "Ω"),
        ("Ohm", "Ω"),
    ],
)
def test_what_phones_and_keyboards_put_for_a_unit_is_that_unit(typed, meant):
    assert units.canonical(typed) == meant
