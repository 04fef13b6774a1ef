"""How numbers and times read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import NoValue, Outcome
from gateway.diagnosis.words import duration, fill, number, quantity, rough, span


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (1, "1"), (-14.2, "-14.2"), (0.1 + 0.2, "0.3"), (1234.56, "1235"), (123456.7, "123457"),
        (10.0, "10"), (0.00012345, "0.0001234"), (1e-12, "1e-12"), (99.99999, "100"), (-0.00001, "-0.00001"),
    ],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    """Four digits that mean something, and never fewer than the whole ones."""
    assert number(value) == text


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_what_differs_reads_differently(one: float, other: float) -> None:
    """As far as twelve places can show."""
    if abs(one - other) > 1e-8:
        assert number(one, apart_from=other) != number(other, apart_from=one)


@pytest.mark.parametrize(
    ("value", "text"),
    [(-14.2, "-14.2 °C"), (True, "on"), (False, "off"), ("heat", "heat"), (None, "no value"), (NoValue("void"), "no value (void)")],
)
def test_values(value: Outcome | None, text: str) -> None:
    """Each kind of value in its own words."""
    assert quantity(value, "°C") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.4, "0.4 s"), (9.97, "10 s"), (59.4, "59 s"), (60, "1 min"), (95, "1 min 35 s"), (599, "9 min 59 s"),
        (599.8, "10 min"), (720, "12 min"), (750, "12 min"), (3600, "1 h"), (9000, "2 h 30 min"), (7199, "2 h"), (36000, "10 h"),
        (86400, "1 day"), (100000, "1 day 4 h"), (864000, "10 days"), (-3, "0 s"),
    ],
)  # fmt: skip
def test_times(seconds: float, text: str) -> None:
    """One or two units, as people say it."""
    assert duration(seconds) == text


def test_ranges_and_estimates_have_no_more_digits_than_they_are_worth() -> None:
    """A range by its width, an estimate two digits."""
    assert span(1.8412, 2.1621, "bar") == "1.84 to 2.16 bar"
    assert span(-3.2, 1210.7, "W") == "-3 to 1211 W"
    assert span(21.0, 21.0, "°C") == "21 °C"
    assert rough(0.27431, "bar") == "0.27 bar"
    assert rough(6111.0) == "6100"


def test_placeholders() -> None:
    """What is known is filled in; anything else in braces stays as it was written."""
    assert (
        fill("{device}: {value} {0} {device.x} {} {", {"device": "Freezer", "value": "{device}"})
        == "Freezer: {device} {0} {device.x} {} {"
    )
