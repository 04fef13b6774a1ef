"""cycling: starts that wear a machine out, runs and pauses that do not end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promises_of import HOSTILE, happenings, keeps, scales
from rules_of import Story, point, rule

from drivers.contract import KeyMistake, NoValue, Outcome
from gateway.diagnosis.contract import Quantity

MINUTE, HOUR = 60.0, 3600.0


def cycles(number: int, run: int, pause: int, start: float = 0.0) -> list[tuple[float, Outcome]]:
    """A flag, read once a minute, that is on for `run` and off for `pause` minutes."""
    period = [True] * run + [False] * pause
    return [(start + MINUTE * tick, value) for tick, value in enumerate(period * number)]


def test_a_heat_pump_that_short_cycles_is_told_with_its_mean_run() -> None:
    """Eight starts an hour where six are allowed: at the seventh within the hour."""
    story = Story(rule("cycling", starts=6)).read([(0, False), *cycles(9, 3, 4, start=420.0)])
    (told,) = story.told
    assert told.at == 420 * 7
    assert told.says == "d x starts too often: 7 starts in 42 min, more than 6 starts in 1 h."
    assert told.because == "7 starts in 42 min; allowed are 6 starts in 1 h; the mean run was 3 min"
    assert told.since == 420


def test_as_many_starts_as_are_allowed_are_none_too_many() -> None:
    """Six in an hour, for ever."""
    assert Story(rule("cycling", starts=6)).read(cycles(60, 4, 6)).told == []


def test_it_closes_when_the_starts_lie_far_enough_apart_again() -> None:
    """Not at the bound, but with three quarters of it: four starts in the last hour."""
    story = Story(rule("cycling", starts=6)).read([(0, False), *cycles(8, 3, 4, start=420.0)])
    story.read([(3780.0 + MINUTE * tick, True) for tick in range(60)])
    assert story.phases() == [(2940, "opened"), (2100 + HOUR, "closed")]


def test_a_run_without_end_is_told() -> None:
    """A compressor that no longer reaches its set point, while it still runs."""
    story = Story(rule("cycling", runs=6 * HOUR)).read(
        [(0, False), *cycles(1, 500, 3, start=600.0), *cycles(1, 5, 5, start=31000.0)]
    )
    assert story.phases() == [(600 + 6 * HOUR + 60, "opened"), (600 + 500 * MINUTE, "closed")]
    assert story.told[0].says == "d x has run without a pause for 6 h 1 min."
    assert story.told[1].says == "d x has stopped; it had run without a pause for 8 h 20 min."


def test_a_machine_that_stands_still_too_long_is_told() -> None:
    """A circulation pump that has not run for two days may be stuck."""
    story = Story(rule("cycling", stands=48 * HOUR)).read(
        [(0, True), *[(HOUR * tick, False) for tick in range(1, 60)], (60 * HOUR, True)]
    )
    assert story.phases() == [(50 * HOUR, "opened"), (60 * HOUR, "closed")]
    assert story.told[0].says == "d x has stood still for 2 days 1 h."


def test_what_does_not_hold_is_noise() -> None:
    """Runs and pauses that are too short are not counted, and do not end a run or a pause."""
    values = [False, *[False, True] * 20, *[True] * 5, False, *[True] * 5]
    story = Story(rule("cycling", starts=1, least_run=120.0, least_pause=120.0))
    story.read([(MINUTE * tick, value) for tick, value in enumerate(values)])
    (watch,) = story.engine._watches
    assert list(watch.times) == [(40 * MINUTE, 0.0)]


def test_power_with_noise_starts_once() -> None:
    """It runs above 50 W, and stops only below 20 W."""
    keys = {"on_above": Quantity(50.0, "W"), "off_below": Quantity(20.0, "W"), "starts": 2}
    values = [5, 60, 45, 55, 25, 70, 5, 60, 30, 5]
    story = Story(rule("cycling", **keys), unit="W").read([(float(tick), value) for tick, value in enumerate(values)])
    (watch,) = story.engine._watches
    assert [start for start, _ in watch.times] == [1, 7]
    assert watch.running.at(30, was=True)
    assert not watch.running.at(30, was=False)


def test_a_machine_s_own_counter_misses_no_start() -> None:
    """Three starts between two readings are three starts; a counter that was put back begins anew."""
    story = Story(rule("cycling", counter=True, starts=6)).read([(0, 4211), (600, 4214), (1200, 4217)])
    assert story.told == []
    story.read([(1800, 4218)])
    assert story.told[0].because == "7 starts in 20 min; allowed are 6 starts in 1 h"
    assert Story(rule("cycling", counter=True, starts=6)).read([(0, 4211), (600, 3), (1200, 6), (1800, 9)]).told == []


def test_starts_while_the_counter_could_not_be_read_have_no_time() -> None:
    """Twenty starts in two hours may have been few in any one of them."""
    readings: list[tuple[float, Outcome]] = [(0, 100), (600, NoValue("void")), (600 + 2 * HOUR, 120), (4 * HOUR, 121)]
    assert Story(rule("cycling", counter=True, starts=6)).read(readings).told == []
    readings[2] = (1200, 120)
    assert len(Story(rule("cycling", counter=True, starts=6)).read(readings[:3]).told) == 1


def test_a_short_time_without_a_value_ends_no_run() -> None:
    """What does the same as before did so meanwhile, for all that is known; its time stands still."""
    readings = [(at, NoValue("void") if at == 3 * HOUR else value) for at, value in cycles(1, 400, 1)]
    assert Story(rule("cycling", runs=6 * HOUR)).read(readings).phases() == [(6 * HOUR + 120, "opened"), (400 * MINUTE, "closed")]


def test_a_text_may_say_that_it_runs() -> None:
    """By the words that are given, or by any but those that mean rest."""
    for keys in ({"is_": ("heat", "cool")}, {}):
        story = Story(rule("cycling", starts=1, **keys))
        story.read([(at, text) for at, text in enumerate(["off", "heat", "idle", "cool", "off"])])
        assert [phase for _, phase in story.phases()] == ["opened"]


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({}, ""),
        ({"starts": 6, "lasting": 5.0}, "lasting"),
        ({"starts": 6, "counter": True, "runs": 5.0}, "runs"),
        ({"starts": 6, "counter": True, "is_": ("on",)}, "is_"),
    ],
)
def test_keys_that_make_no_sense_are_told(keys: dict[str, object], key: str) -> None:
    """Each mistake names its key."""
    with pytest.raises(KeyMistake) as caught:
        rule("cycling", **keys)
    assert caught.value.key == key


LEVEL = {"on_above": Quantity(5, ""), "off_below": Quantity(3, "")}
RULES = {
    "often": rule("cycling", "d/x", starts=2, within=20.0, **LEVEL),
    "steady": rule("cycling", "d/x", starts=2, within=30.0, least_run=3.0, least_pause=2.0, runs=20.0, **LEVEL),
    "long": rule("cycling", "d/x", runs=10.0, stands=15.0, **LEVEL),
    "counter": rule("cycling", "d/m", starts=3, within=20.0, counter=True, stands=30.0),
    "mode": rule("cycling", "d/t", starts=1, within=20.0),
}
POINTS = ["d/x", "d/m", point("d/t", type="text")]
values = st.one_of(st.sampled_from([0, 4, 6]), st.integers(0, 8), st.sampled_from(HOSTILE))
rows = st.fixed_dictionaries({"x": values, "m": values, "t": st.sampled_from(["heat", "off"])})
events = happenings(rows)


@given(events, st.integers(0, 60))
def test_it_keeps_the_promises_of_every_kind(events: list, cut: int) -> None:
    """Sleeping, restarts, shifted times and hostile readings change nothing."""
    keeps(RULES, POINTS, events, cut)


@given(events)
def test_another_unit_changes_nothing(events: list) -> None:
    """Levels scale with the values."""
    scales(
        {name: RULES[name] for name in ("often", "steady", "long")}, ["d/x"], [(dt, d, v and {"x": v["x"]}) for dt, d, v in events]
    )


@given(st.lists(st.booleans(), max_size=80), st.integers(1, 5), st.integers(3, 30))
def test_it_tells_what_its_claim_says(flags: list[bool], starts: int, within: int) -> None:
    """Counting all starts of the last while over again gives the same."""
    story = Story(rule("cycling", starts=starts, within=float(within)))
    is_open = False
    for at, flag in enumerate(flags):
        story.read([(float(at), flag)])
        edges = [second for second, (before, after) in enumerate(pairwise(flags[: at + 1]), 1) if after and not before]
        is_open = sum(at - edge < within for edge in edges) > (int(0.75 * starts) if is_open else starts)
        assert bool(story.engine.open_episodes()) is is_open
