"""usage: counts what was used, and says in time when it will be due."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promises_of import HOSTILE, happenings, keeps, scales
from rules_of import Story, batch, engine, point, rule

from drivers.contract import KeyMistake, NoValue, Outcome
from gateway.diagnosis.contract import Quantity

DAY, HOUR = 86400.0, 3600.0


def running(days: int, hours_a_day: float) -> list[tuple[float, Outcome]]:
    """A flag, read every 10 min, that is on for the first hours of each day."""
    return [(tick * 600.0, tick % 144 < hours_a_day * 6) for tick in range(days * 144)]


def test_a_service_is_told_ahead_and_again_when_it_is_due() -> None:
    """At 8 h a day 200 h last for 25 days: told 14 days ahead, then when it is there."""
    story = Story(rule("usage", hours=200 * HOUR, what="bearing service")).read(running(26, 8))
    (ahead, due) = story.told
    assert ahead.phase.value == "opened"
    assert ahead.at / DAY == pytest.approx(11, abs=1.0)
    assert ahead.says.startswith("d: bearing service is due in about 13 days at the present pace; ")
    assert ahead.says.endswith(" h of 200 h.")
    assert (due.phase.value, due.at / DAY) == ("worsened", pytest.approx(24.33, abs=0.05))
    assert due.says == "d: bearing service is due; 200 h of 200 h."
    assert (ahead.kind, ahead.severity, due.severity) == ("insight", "info", "warning")
    assert "a day; the rule looks 14 days ahead" in ahead.because


def test_hours_before_the_hub_came_count() -> None:
    """A machine is older than its hub."""
    story = Story(rule("usage", hours=200 * HOUR, before=195 * HOUR)).read(running(1, 8))
    assert [(phase, at / HOUR) for at, phase in story.phases()] == [("opened", 5.0)]
    assert story.told[0].says == "d: service is due; 200 h of 200 h."


def test_starts_are_counted_with_hysteresis() -> None:
    """What trembles around the level has not started anew."""
    keys = {"on_above": Quantity(50.0, "W"), "off_below": Quantity(20.0, "W")}
    values = [0, 60, 45, 55, 30, 70, 10, 80, 0, 60]
    story = Story(rule("usage", starts=3, lead=60.0, **keys), unit="W").read([(tick, value) for tick, value in enumerate(values)])
    assert story.phases() == [(9, "opened")]
    assert story.told[0].says == "d: service is due; 3 starts of 3 starts."


def test_what_a_meter_rises_by_is_counted_through_wrap_and_replacement() -> None:
    """Past its last digit a meter begins anew; one that reads less far from there is another meter, and the moment says so."""
    keys = {"amount": Quantity(100.0, "m³"), "lead": 60.0}
    wraps = Story(rule("usage", **keys), unit="m³").read([(0, 65500), (100, 65535), (200, 20), (300, 63), (400, 64)])
    assert wraps.phases()[-1] == (400, "worsened")
    assert wraps.told[-1].because == "100 m³ are reached"
    other = Story(rule("usage", **keys), unit="m³").read([(0, 780), (100, 830), (200, 3), (300, 40), (400, 52), (500, 53)])
    assert other.phases()[-1] == (500, "worsened")
    assert other.told[-1].because.endswith("its meter went back from 830 m³ to 3 m³ and is counted on from there: was it replaced?")


def test_the_reading_at_the_last_service_may_be_written() -> None:
    """The meter stood at 1200 then, so 450 of 500 are used."""
    keys = {"amount": Quantity(500.0, "m³"), "start": Quantity(1200.0, "m³"), "lead": 60.0}
    story = Story(rule("usage", **keys), unit="m³").read([(0, 1650), (3600, 1699), (7200, 1700)])
    assert story.phases()[-1] == (7200, "opened")
    assert story.told[-1].value == 500


def test_age_needs_no_reading() -> None:
    """A year goes by, run or not: told 14 days before, and on the day."""
    story = Story(rule("usage", age=365 * DAY, before=300 * DAY))
    story.wait(100 * DAY)
    assert [(phase, at / DAY) for at, phase in story.phases()] == [("opened", 51.0), ("worsened", 65.0)]
    assert story.told[0].says == "d: service is due in about 14 days at the present pace; 351 days of 365 days."


def test_a_service_that_is_noted_begins_the_count_anew() -> None:
    """The episode closes, by a service, and the next is foreseen from the new count."""
    story = Story(rule("usage", hours=10 * HOUR, lead=HOUR)).read([(tick * 600.0, True) for tick in range(62)])
    assert story.phases()[-1][1] == "worsened"
    story.told += story.engine.note("service", "d", 37000)
    story.read([(tick * 600.0, True) for tick in range(62, 70)])
    closed = story.told[-1]
    assert (closed.phase.value, closed.how, closed.at) == ("closed", "by a service", 37200)
    assert closed.because == "it was done, and the count has begun anew"
    story.read([(tick * 600.0, True) for tick in range(70, 130)])
    assert [phase for _, phase in story.phases()] == ["opened", "worsened", "closed", "opened", "worsened"]


def test_another_device_s_service_changes_nothing() -> None:
    """A note is for one device."""
    story = Story(rule("usage", hours=HOUR)).read([(0, True), (1800, True)])
    assert not story.engine.note("service", "e", 2000)
    assert story.read([(3600, True)]).phases() == [(3600, "opened")]


def test_a_pace_that_slows_takes_back_what_was_told() -> None:
    """First 8 h a day, then 1 h a week: no longer due soon."""
    idle = [(26 * DAY + tick * 600.0, tick % 1008 < 6) for tick in range(144 * 30)]
    story = Story(rule("usage", hours=300 * HOUR)).read(running(26, 8)).read(idle)
    assert [phase for _, phase in story.phases()] == ["opened", "closed"]
    assert (story.told[1].because, story.told[1].how) == ("the pace has become slower", "by itself")


def test_a_pace_that_wavers_takes_nothing_back() -> None:
    """A weekend off moves the day to beyond the lead, but not by a quarter of it."""
    weekend = [(11.5 * DAY + tick * 600.0, False) for tick in range(288)]
    story = Story(rule("usage", hours=200 * HOUR)).read(running(12, 8)[: 144 * 23 // 2])
    assert [phase for _, phase in story.phases()] == ["opened"]
    (watch,) = story.engine._watches
    story.read(weekend)
    assert 14 * DAY < (watch.full - watch.used) / watch.pace < 17 * DAY
    assert [phase for _, phase in story.phases()] == ["opened"]


def test_what_runs_when_it_is_first_seen_has_not_started() -> None:
    """Nor what runs after a time without a value."""
    story = Story(rule("usage", starts=1, lead=60.0)).read([(0, True), (1, NoValue("void")), (2, True), (3, False)])
    assert story.told == []
    assert story.read([(4, True)]).phases() == [(4, "opened")]


def test_a_service_while_it_runs_begins_the_count_at_that_time() -> None:
    """Not at the next reading."""
    story = Story(rule("usage", hours=1000.0, lead=60.0)).read([(0, True), (900, True)])
    story.engine.note("service", "d", 950)
    assert [(at, phase) for at, phase in story.read([(1900, True), (1945, True), (1951, True)]).phases()][-1][0] == 1951


def test_nothing_is_counted_while_the_hub_is_off_but_for_a_meter() -> None:
    """Three months in a box are no hours run."""
    counted = {}
    for off in (0.0, 90 * DAY):
        before = engine({"r": rule("usage", hours=10 * HOUR)}, "d/x")
        for at in (0.0, HOUR, 2 * HOUR):
            before.feed(batch(at, x=True))
        after = engine({"r": rule("usage", hours=10 * HOUR)}, "d/x", now=2 * HOUR + off)
        after.restore(json.loads(json.dumps(before.state())), off=off)
        told = [change for hour in range(3, 20) for change in after.feed(batch(hour * HOUR + off, x=True))]
        counted[off] = [(change.phase.value, (change.at - off) / HOUR) for change in told]
    assert counted[0.0] == counted[90 * DAY] == [("opened", 10.0)]


def test_a_rule_that_is_edited_goes_on_counting_unless_its_start_is_edited() -> None:
    """A typo in the text, or another limit, must not cost 1,900 hours."""
    before = engine({"r": rule("usage", hours=10 * HOUR)}, "d/x")
    for hour in range(6):
        before.feed(batch(hour * HOUR, x=True))
    for keys, at in (
        ({"hours": 7 * HOUR, "says": "soon", "lead": 60.0}, 7),
        ({"hours": 7 * HOUR, "lead": 60.0, "before": HOUR}, 11),
    ):
        after = engine({"r": rule("usage", **keys)}, "d/x", now=5 * HOUR)
        after.restore(before.state())
        told = [change for hour in range(6, 14) for change in after.feed(batch(hour * HOUR, x=True))]
        assert abs(told[-1].at / HOUR - at) <= 1
    due = engine({"r": rule("usage", hours=5 * HOUR)}, "d/x")
    for hour in range(6):
        due.feed(batch(hour * HOUR, x=True))
    longer = engine({"r": rule("usage", hours=500 * HOUR)}, "d/x", now=5 * HOUR)
    longer.restore(due.state())
    assert [change.phase.value for change in longer.feed(batch(5 * HOUR + 60, x=True))] == ["closed"]


def test_no_value_is_no_running() -> None:
    """From the reading without a value until the next with one, nothing is counted."""
    readings: list[tuple[float, Outcome]] = [
        (0, True),
        (HOUR, NoValue("void")),
        (9 * HOUR, True),
        (9.5 * HOUR, True),
        (10.5 * HOUR, True),
    ]
    story = Story(rule("usage", hours=2 * HOUR, lead=60.0)).read(readings)
    assert [(at / HOUR, phase) for at, phase in story.phases()] == [(10.5, "opened")]


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({}, ""),
        ({"hours": 5.0, "starts": 3}, "starts"),
        ({"amount": Quantity(-1, "")}, "amount"),
        ({"starts": 3, "before": 5.0}, "before"),
        ({"hours": 5.0, "start": Quantity(5, "")}, "start"),
        ({"age": 5.0, "on_above": Quantity(5, "")}, "on_above"),
        ({"hours": 5.0, "lasting": 5.0}, "lasting"),
        ({"hours": 5.0, "off_below": Quantity(5, "")}, "off_below"),
        ({"hours": 5.0, "on_above": Quantity(5, ""), "off_below": Quantity(6, "")}, "off_below"),
        ({"hours": 5.0, "on_above": Quantity(5, ""), "is_": ("on",)}, "is"),
    ],
)
def test_keys_that_make_no_sense_are_told(keys: dict[str, object], key: str) -> None:
    """Each mistake names its key."""
    with pytest.raises(KeyMistake) as caught:
        rule("usage", **keys)
    assert caught.value.key == key


RULES = {
    "hours": rule("usage", "d/x", hours=20.0, on_above=Quantity(5, ""), off_below=Quantity(3, ""), lead=60.0),
    "starts": rule("usage", "d/x", starts=4, on_above=Quantity(5, ""), lead=60.0),
    "meter": rule("usage", "d/m", amount=Quantity(30, ""), lead=60.0),
    "mode": rule("usage", "d/t", hours=30.0, is_=("heat",), lead=60.0),
    "age": rule("usage", "d/x", age=200.0, lead=60.0),
}
POINTS = ["d/x", "d/m", point("d/t", type="text"), point("d/state", type="text")]
values = st.one_of(st.integers(-4, 12), st.booleans(), st.sampled_from(HOSTILE))
meters = st.one_of(st.integers(0, 60), st.sampled_from([65530, 65535, 98, 99]), st.sampled_from(HOSTILE))
shapes = st.one_of(
    st.fixed_dictionaries({"x": values, "m": meters, "t": st.sampled_from(["heat", "off", "cool"])}),
    st.fixed_dictionaries({"x": values}),
    st.fixed_dictionaries({"state": st.sampled_from(["well", "mute"])}),
)
events = happenings(shapes, steps=(1.0, 1.0, 0.5, 8.0), most=50)


@given(events, st.integers(0, 50))
def test_it_keeps_the_promises_of_every_kind(events: list, cut: int) -> None:
    """Sleeping, restarts, shifted times and hostile readings change nothing."""
    keeps(RULES, POINTS, events, cut)


@given(events)
def test_another_unit_changes_nothing(events: list) -> None:
    """Levels scale with the values."""
    scales(
        {name: RULES[name] for name in ("hours", "starts")}, ["d/x"], [each for each in events if each[2] is None or "x" in each[2]]
    )


@given(st.lists(st.tuples(st.integers(1, 100), st.booleans()), min_size=2, max_size=60))
def test_hours_are_the_time_between_edges(steps: list[tuple[int, bool]]) -> None:
    """An obvious sum over all readings gives the same."""
    at, readings = 0, []
    for seconds, runs in steps:
        at += seconds
        readings.append((float(at), runs))
    story = Story(rule("usage", hours=1e9)).read(readings)
    (watch,) = story.engine._watches
    assert watch.tally.total(float(at)) == sum(after - before for (before, runs), (after, _) in pairwise(readings) if runs)
