"""baseline: a leak is what never stops, and everything that stops is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promises_of import HOSTILE, engine, happenings, keeps, run, scales
from rules_of import Story, point, rule

from drivers.contract import KeyMistake, NoValue, Outcome
from gateway.config.units import convert
from gateway.diagnosis.contract import Change, Quantity
from gateway.diagnosis.engine import Engine

HOUR, DAY = 3600.0, 86400.0
NIGHT = ("01:00..05:00",)


def flow(days: float, leak: float, quiet: float = 0.0) -> list[tuple[float, Outcome]]:
    """A house by 5-minute readings: draws by day, `quiet` at night, and a leak."""
    readings: list[tuple[float, Outcome]] = []
    for tick in range(int(days * 288)):
        hour = tick / 12 % 24
        draw = 6.0 if 7 <= hour < 22 and tick % 5 == 0 else quiet if hour < 6 else 0.0
        readings.append((tick * 300.0, draw + leak))
    return readings


def night(readings: list[tuple[float, Outcome]], unit: str = "l/min", **keys: object) -> list[Change]:
    subject = engine({"r": rule("baseline", "d/x", **{"hours": NIGHT, **keys})}, [point("d/x", unit)])
    at = 0.0
    events = []
    for when, value in readings:
        events.append((when - at, "d", {"x": value}))
        at = when
    return run(subject, events)  # type: ignore[arg-type]


def test_a_leaking_tap_is_told_when_the_night_is_over_with_what_it_makes_a_day() -> None:
    """0.3 l/min are 430 l a day."""
    (told,) = night(flow(1.0, 0.3))
    assert (told.at, told.since) == (5 * HOUR, HOUR)
    assert told.says == "d x has not come to rest within 01:00..05:00: never below 0.3 l/min, about 430 l a day."
    assert told.value == 0.3
    assert told.because == "never below 0.3 l/min within 01:00..05:00, and rest is 0 l/min or less"


def test_a_house_in_order_is_at_rest_at_night() -> None:
    """One reading at rest within the hours is enough."""
    assert night(flow(3.0, 0.0, quiet=0.0)) == []
    readings = [(at, 0.0 if at == 2 * HOUR else value) for at, value in flow(1.0, 0.3)]
    assert night(readings) == []


def test_a_draw_by_night_that_stops_is_no_leak_and_a_mended_tap_closes_at_once() -> None:
    """The first reading at rest ends the episode, at any hour."""
    readings = [(at, 0.0 if at >= 2.5 * DAY else value) for at, value in flow(4.0, 0.3)]
    told = night(readings)
    assert [(each.phase.value, each.at) for each in told] == [("opened", 5 * HOUR), ("closed", 2.5 * DAY)]
    assert told[1].says == "d x has come to rest again after 2 days 11 h."


def test_without_hours_it_must_rest_once_a_day() -> None:
    """A pump that draws more than its stand-by for a whole day has not come to rest."""
    story = Story(rule("baseline", rest=Quantity(10.0, "W")), unit="W")
    story.read([(tick * 600.0, 50.0 + tick % 7) for tick in range(150)])
    assert story.phases() == [(DAY, "opened")]
    assert story.told[0].says == "d x has not come to rest for 1 day: never below 50 W, about 1.2 kWh a day."
    assert (
        Story(rule("baseline", rest=Quantity(10.0, "W")), unit="W")
        .read([(tick * 600.0, 5.0 if tick == 100 else 50.0) for tick in range(240)])
        .told
        == []
    )


def test_a_meter_rests_while_it_does_not_rise() -> None:
    """A leak turns the dial within every quarter of an hour; a house in order has one in which it stands."""
    leaking = Story(rule("baseline", counter=True), unit="m³").read([(tick * 60.0, 100 + tick * 0.0003) for tick in range(1500)])
    (told,) = leaking.told
    assert told.at == pytest.approx(DAY, abs=1000)
    assert told.says == "d x has not come to rest for 1 day: it never stood still for 15 min, about 0.43 m³ a day."
    steps = [
        (tick * 60.0, 100 + max(0, tick - 16 * (tick > 700)) * 0.0003 if not 700 <= tick < 735 else 100.21) for tick in range(1500)
    ]
    assert Story(rule("baseline", counter=True), unit="m³").read(steps).told == []


def test_hours_of_which_too_little_was_seen_are_not_judged() -> None:
    """An hour and a half without a value, of four: nothing is claimed."""
    gap = [(at, NoValue("void") if 2 * HOUR <= at < 3.5 * HOUR else value) for at, value in flow(1.0, 0.3)]
    assert night(gap) == []
    short = [(at, NoValue("void") if 2 * HOUR <= at < 2.5 * HOUR else value) for at, value in flow(1.0, 0.3)]
    assert len(night(short)) == 1
    assert night([reading for reading in flow(1.0, 0.3) if reading[0] >= 3 * HOUR]) == []


def test_times_without_a_value_do_not_count() -> None:
    """A day of flow with an hour unknown takes 25 hours."""
    readings: list[tuple[float, Outcome]] = [(tick * 600.0, NoValue("void") if 60 <= tick < 66 else 5.0) for tick in range(160)]
    assert Story(rule("baseline")).read(readings).phases() == [(25 * HOUR, "opened")]


def test_a_long_time_without_a_value_begins_the_day_anew() -> None:
    """After seven hours it may have been at rest meanwhile."""
    readings: list[tuple[float, Outcome]] = [(tick * 600.0, NoValue("void") if 60 <= tick < 102 else 5.0) for tick in range(260)]
    assert Story(rule("baseline")).read(readings).phases() == [(102 * 600.0 + DAY, "opened")]


def test_a_meter_that_is_read_too_rarely_is_not_judged() -> None:
    """It may have rested between two readings."""
    assert Story(rule("baseline", counter=True), unit="m³").read([(tick * 3600.0, 100.0 + tick) for tick in range(72)]).told == []


def test_a_clock_that_is_put_forward_ends_the_night_earlier() -> None:
    """At two it is three: five o'clock comes four hours after midnight."""
    keys = {"r": rule("baseline", "d/x", hours=NIGHT)}
    subject = Engine(keys, [point("d/x")], convert, 0.0, lambda at: at if at < 2 * HOUR else at + HOUR)
    (told,) = run(subject, [(300.0, "d", {"x": 0.3})] * 100)
    assert told.at == 4 * HOUR


def test_while_nobody_knows_the_time_the_hours_are_not_judged() -> None:
    """A clock that is not trusted makes no night."""
    assert Story(rule("baseline", hours=NIGHT)).read(flow(2.0, 0.3)).told == []


def test_a_rest_may_have_to_last() -> None:
    """A single zero between two pulses of a slow meter is no rest."""
    readings = [(tick * 300.0, 0.0 if tick % 4 == 0 else 0.4) for tick in range(288)]
    assert night(readings) == []
    assert len(night(readings, rests_for=900.0)) == 1


@pytest.mark.parametrize(
    ("keys", "key"),
    [({"lasting": 5.0}, "lasting"), ({"within": 600.0, "rests_for": 500.0}, "rests_for"), ({"hours": ("05:00..05:00",)}, "hours")],
)
def test_keys_that_make_no_sense_are_told(keys: dict[str, object], key: str) -> None:
    """Each mistake names its key."""
    with pytest.raises(KeyMistake) as caught:
        rule("baseline", **keys)
    assert caught.value.key == key


RULES = {
    "day": rule("baseline", "d/x", rest=Quantity(1, ""), within=20.0),
    "long rest": rule("baseline", "d/x", rest=Quantity(2, ""), within=20.0, rests_for=3.0),
    "meter": rule("baseline", "d/m", counter=True, within=40.0, rests_for=4.0),
    "night": rule("baseline", "d/x", rest=Quantity(1, ""), hours=("00:00..00:01", "00:02..00:03")),
    "night meter": rule("baseline", "d/m", counter=True, hours=("00:00..00:02",), rests_for=8.0),
    "long night": rule("baseline", "d/x", rest=Quantity(2, ""), hours=("00:01..00:02",), rests_for=3.0),
}
values = st.one_of(st.integers(0, 6), st.integers(2, 6), st.integers(2, 6), st.sampled_from(HOSTILE))
meters = st.one_of(st.integers(0, 60), st.sampled_from(HOSTILE))
events = happenings(st.fixed_dictionaries({"x": values, "m": meters}), steps=(1.0, 2.0, 2.0, 3.0, 0.5, 8.0, 30.0))


@given(events, st.integers(0, 60))
def test_it_keeps_the_promises_of_every_kind(events: list, cut: int) -> None:
    """Sleeping, restarts, shifted times and hostile readings change nothing."""
    keeps(RULES, ["d/x", "d/m"], events, cut)


@given(events)
def test_another_unit_changes_nothing(events: list) -> None:
    """The level of rest scales with the values."""
    scales(RULES, ["d/x", "d/m"], events)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(4, 20))
def test_it_tells_what_its_claim_says(flows: list[int], within: int) -> None:
    """An obvious look back over all readings tells the same."""
    story = Story(rule("baseline", rest=Quantity(1, ""), within=float(within)))
    unrested: int | None = None
    is_open = False
    for at, value in enumerate(flows):
        story.read([(float(at), value)])
        unrested = None if value <= 1 else at if unrested is None else unrested
        is_open = unrested is not None and at - unrested >= within
        assert bool(story.engine.open_episodes()) is is_open
