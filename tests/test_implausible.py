"""implausible: what cannot be true, and nothing that can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promises_of import HOSTILE, happenings, keeps, scales
from rules_of import Story, every, point, rule

from drivers.contract import KeyMistake, Outcome
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import Quantity

AT_ONCE = {"lasting": None}


def told(unit: str, *values: Outcome, **keys: object) -> list[str]:
    """What is told of one reading a minute."""
    story = Story(rule("implausible", **{**AT_ONCE, **keys}), unit=unit).read(every(60, values))
    return [change.says for change in story.told if change.phase.value == "opened"]


@pytest.mark.parametrize(
    ("unit", "possible", "impossible"),
    [
        ("°C", -200.0, -273.2),
        ("°C", 1300.0, 3276.7),
        ("°C", 85.0, -127.0),
        ("°F", -459.0, -460.0),
        ("K", 0.0, -0.1),
        ("%", 100, 100.5),
        ("%", 0, -1),
        ("kWh", 0.0, -0.01),
        ("m³", 1e9, -1.0),
        ("bar", -1.0, -2.5),
        ("psi", -14.7, -36.0),
        ("Hz", 0.0, -1.0),
    ],
)
def test_what_physics_forbids_is_told_and_what_it_allows_is_not(unit: str, possible: float, impossible: float) -> None:
    """Each unit brings its own bounds, in whatever unit of that measure the point is."""
    assert told(unit, possible) == []
    assert len(told(unit, possible, impossible)) == 1


def test_a_unit_of_which_nothing_is_known_has_no_bounds() -> None:
    """Neither has a number without a unit."""
    assert told("", -1e9, 1e9) == told("loaves", -5) == []


def test_it_says_what_is_impossible_and_that_it_is_the_sensor() -> None:
    """A broken wire is not a hot oven."""
    (says,) = told("°C", 21.0, -127.0)
    assert says == (
        "d x reads -127 °C, which cannot be: -127 °C is what a DS18B20 reads as that does not answer. "
        "Check the sensor and its wiring before the machine."
    )


def test_a_value_around_a_code_is_a_value() -> None:
    """Only the very number is a sign; the rule sleeps between the codes."""
    assert told("°C", -126.9, -127.1, 327.6, 327.7) == []
    assert len(told("°C", 327.67)) == 1
    assert len(told("°C", 20.0, 655.35)) == 1


def test_bounds_of_the_technician_win() -> None:
    """A room is never at 90 °C, whatever physics allows."""
    assert told("°C", 79.0, above=80) == []
    assert len(told("°C", 81.0, above=80)) == 1
    assert told("bar", -3.0, below=-5) == []  # a difference of two pressures


def test_one_wild_reading_is_not_told() -> None:
    """By default it must last for a minute."""
    story = Story(rule("implausible"), unit="%").read(every(10, [50, 130, 50, 50, *[130] * 8, 50]))
    assert story.phases() == [(110.0, "opened"), (130.0, "closed")]


def test_a_counter_that_falls_back_is_told_and_believed_again_where_it_was() -> None:
    """A glitch is over when the counter is back; the reason names both readings."""
    story = Story(rule("implausible", rises=True, **AT_ONCE), unit="kWh").read(every(60, [1000, 1001, 400, 401, 1002, 1003]))
    assert [(at, phase) for at, phase in story.phases()] == [(180, "opened"), (300, "closed")]
    assert story.told[0].because == "it fell from 1001 kWh to 400 kWh, and a counter only rises"


def test_each_fall_of_a_counter_is_told() -> None:
    """Also the second, hours after the first was over."""
    readings = [(0, 1000), (600, 400), (1200, 1001), (9000, 1002), (9600, 500), (10200, 1003)]
    story = Story(rule("implausible", rises=True, **AT_ONCE), unit="kWh").read(readings)
    assert story.phases() == [(600, "opened"), (1200, "closed"), (9600, "opened"), (10200, "closed")]


def test_a_counter_that_was_replaced_is_believed_after_an_hour() -> None:
    """It counts on from its new place; before that any further fall begins the hour anew."""
    story = Story(rule("implausible", rises=True, **AT_ONCE), unit="kWh").read(every(60, [1000.0, *[n / 10 for n in range(100)]]))
    assert story.phases() == [(120, "opened"), (3720, "closed")]
    falling = Story(rule("implausible", rises=True, **AT_ONCE), unit="kWh").read(every(600, [1000.0 - n for n in range(50)]))
    assert falling.phases() == [(1200, "opened")]


@pytest.mark.parametrize(("before", "after"), [(65535, 3), (6553.1, 0.4), (4294967290.0, 100.0), (99999.9, 0.0)])
def test_a_counter_whose_digits_run_out_has_not_fallen(before: float, after: float) -> None:
    """Registers of 16 and 32 bits, in any decimal step, and dials with so many digits begin anew."""
    assert told("kWh", before, after, rises=True) == []
    assert len(told("kWh", before * 0.9, after, rises=True)) == 1
    assert len(told("kWh", before, before / 2, rises=True)) == 1


def test_a_counter_may_wiggle_by_its_tolerance() -> None:
    """What is computed from others is rounded."""
    assert told("kWh", 10.0, 9.99, 10.2, rises=True, tolerance=0.02) == []
    assert told("kWh", 10.5, 10.0, rises=True, tolerance=0.5) == []
    assert len(told("kWh", 10.0, 9.9, rises=True, tolerance=0.02)) == 1


def test_a_share_that_rises_may_exceed_a_hundred() -> None:
    """A counter of percent is a counter."""
    assert told("%", 99.0, 180.0, rises=True) == []


def test_a_jump_is_not_believed_until_it_could_have_got_there() -> None:
    """The cone widens at the allowed rate: 60 degrees at 6 a minute take ten minutes."""
    story = Story(rule("implausible", faster=Quantity(6.0, "°C/min"), **AT_ONCE), unit="°C").read(
        every(60, [20.0, 22.0, *[82.0] * 20])
    )
    assert story.phases() == [(180, "opened"), (720, "closed")]
    assert "went from 22 °C to 82 °C within 1 min, faster than the real thing can" in story.told[0].because


@pytest.mark.parametrize(
    ("keys", "key"),
    [({"below": 5, "above": 1}, "below"), ({"tolerance": 1}, "tolerance"), ({"faster": Quantity(0, "°C/min")}, "faster")],
)
def test_keys_that_make_no_sense_are_told(keys: dict[str, object], key: str) -> None:
    """Each mistake names its key."""
    with pytest.raises(KeyMistake) as caught:
        rule("implausible", **keys)
    assert caught.value.key == key


def test_a_text_has_no_physics() -> None:
    """It fits no text."""
    assert load_kind("implausible").fits(point("d/mode", type="text"))


RULES = {
    "range": rule("implausible", "d/x", below=-2, above=9, lasting=3.0),
    "counter": rule("implausible", "d/x", rises=True, tolerance=0.5, lasting=None),
    "jumps": rule("implausible", "d/x", faster=Quantity(1.0, "/s"), lasting=2.0),
    "unit": rule("implausible", "d/t", lasting=None),
}
POINTS = ["d/x", point("d/t", "°C")]
values = st.one_of(st.integers(-4, 12), st.integers(-16, 48).map(lambda value: value / 4), st.sampled_from(HOSTILE))
temperatures = st.sampled_from([20.0, -127.0, 655.35, -300.0, 3500.0, 655.4])
rows = st.fixed_dictionaries({"x": values, "t": temperatures})
events = happenings(rows, steps=(1.0, 1.0, 0.5, 3000.0), waits=(0.25, 5.0, 4000.0), most=40)


@given(events, st.integers(0, 40))
def test_it_keeps_the_promises_of_every_kind(events: list, cut: int) -> None:
    """Sleeping, restarts, shifted times and hostile readings change nothing."""
    keeps(RULES, POINTS, events, cut)


@given(events)
def test_another_unit_changes_nothing(events: list) -> None:
    """Bounds and tolerances scale with the values."""
    scales({"range": RULES["range"]}, ["d/x"], [(dt, device, v and {"x": v["x"]}) for dt, device, v in events])
