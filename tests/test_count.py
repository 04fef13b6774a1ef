"""count: how many are in some state, and nothing claimed that unknown ones could overturn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promises_of import HOSTILE, engine, happenings, keeps, run
from rules_of import point, rule

from drivers.contract import KeyMistake, NoValue
from gateway.diagnosis.contract import Change, PointInfo, Quantity


def devices(number: int, bus: str = "plant") -> list[PointInfo]:
    return [
        PointInfo(f"{bus}-{n}/state", f"{bus}-{n}", "state", "", f"{bus} {n} state", f"{bus} {n}", "text", bus)
        for n in range(number)
    ]


def say(states: list[tuple[float, str, str]], *points: PointInfo, **keys: object) -> list[Change]:
    """Times, devices and the states that they tell."""
    subject = engine({"r": rule("count", "*/state", **keys)}, points)
    told: list[Change] = []
    at = 0.0
    for when, device, state in states:
        told += run(subject, [(when - at, device, {"state": state} if device else None)], at)
        at = when
    return told


def test_too_many_on_one_line_are_told_with_their_names() -> None:
    """Thirty-two unit loads are what an RS-485 line bears; here it is two."""
    states = [
        (1, "plant-0", "well"),
        (2, "plant-1", "late"),
        (3, "plant-2", "mute"),
        (4, "plant-2", "well"),
        (5, "plant-1", "parked"),
    ]
    opened, closed = say([(when, device, state) for when, device, state in states], *devices(3), at_most=2, per="bus")
    assert (opened.at, opened.says) == (4, "3 of 3 on bus plant are there, more than 2.")
    assert opened.because == "allowed are at most 2; they are plant 0, plant 1, plant 2"
    assert (opened.point.device, opened.value) == ("bus.plant", 3)
    assert (closed.at, closed.says) == (5, "2 of 3 on bus plant are there again, after 1 s.")


def test_too_few_are_told_with_those_that_are_missing() -> None:
    """Two of three pumps must answer."""
    states = [(1, "plant-0", "well"), (2, "plant-1", "mute"), (3, "plant-2", "mute")]
    (opened,) = say([(when, device, state) for when, device, state in states], *devices(3), at_least=2)
    assert (opened.at, opened.says) == (3, "1 of 3 at */state are there, fewer than 2.")
    assert opened.because == "there should be at least 2; missing are plant 1, plant 2"


def test_each_bus_is_counted_by_itself() -> None:
    """Three mute devices on one line, not two here and one there."""
    keys = {"at_most": 2, "per": "bus", "is_": ("mute", "parked")}
    spread = [(1, "a-0", "mute"), (2, "a-1", "mute"), (3, "b-0", "mute"), (4, "b-1", "well")]
    points = [*devices(3, "a"), *devices(3, "b")]
    assert say([(when, device, state) for when, device, state in spread], *points, **keys) == []
    (told,) = say([*spread, (5, "a-2", "parked")], *points, **keys)
    assert told.says == "3 of 3 on bus a are mute or parked, more than 2."


def test_a_state_that_is_told_once_lasts_until_it_changes() -> None:
    """So the time that must pass is told by a deadline, without a reading."""
    states = [(1, "plant-0", "mute"), (2, "plant-1", "mute"), (700, "", ""), (800, "plant-0", "well"), (2000, "", "")]
    told = say(states, *devices(2), at_most=1, is_=("mute",), lasting=300.0, clear_lasting=60.0)
    assert [(change.at, change.phase.value) for change in told] == [(302, "opened"), (860, "closed")]


def test_what_is_not_known_counts_either_way() -> None:
    """Nothing is claimed while one that is not known could make the difference."""
    points = devices(3)
    assert say([(1, "plant-0", "well"), (2, "plant-1", "mute")], *points, at_least=2) == []
    assert len(say([(1, "plant-0", "well"), (2, "plant-1", "mute"), (3, "plant-2", "mute")], *points, at_least=2)) == 1
    assert len(say([(1, "plant-0", "well"), (2, "plant-1", "well")], *points, at_most=1)) == 1


def test_numbers_are_counted_beyond_a_level_and_flags_when_on() -> None:
    """Three freezers too warm at once are the room, not the freezers."""
    subject = engine({"r": rule("count", "f-*/temp", at_most=1, above=-10)}, [point(f"f-{n}/temp", "°C") for n in range(3)])
    told = run(
        subject,
        [(1, "f-0", {"temp": -5}), (1, "f-1", {"temp": -18}), (1, "f-2", {"temp": -9}), (1, "f-2", {"temp": NoValue("void")})],
    )
    assert [(change.at, change.says) for change in told] == [(3, "2 of 3 at f-*/temp are above -10, more than 1.")]
    doors = engine({"r": rule("count", "*/door", at_most=1)}, [point("a/door"), point("b/door")])
    assert len(run(doors, [(1, "a", {"door": True}), (1, "b", {"door": True}), (1, "a", {"door": False})])) == 2


@pytest.mark.parametrize(
    ("keys", "key"),
    [({}, ""), ({"at_most": 1, "at_least": 1}, "at_least"), ({"at_most": 1, "above": Quantity(1, ""), "is_": ("a",)}, "above")],
)
def test_keys_that_make_no_sense_are_told(keys: dict[str, object], key: str) -> None:
    """Each mistake names its key."""
    with pytest.raises(KeyMistake) as caught:
        rule("count", **keys)
    assert caught.value.key == key


RULES = {
    "states": rule("count", "*/state", at_most=1, is_=("mute",), lasting=3.0, clear_lasting=4.0),
    "there": rule("count", "*/state", at_least=2),
    "high": rule("count", "*/x", at_most=1, above=4, lasting=2.0),
    "low": rule("count", "*/x", at_least=2, below=3, clear_lasting=5.0),
}
POINTS = [point(f"{device}/{name}", type="text" if name == "state" else "number") for device in "abc" for name in ("x", "state")]
rows = st.one_of(
    st.fixed_dictionaries({"x": st.one_of(st.integers(0, 6), st.sampled_from(HOSTILE))}),
    st.fixed_dictionaries({"state": st.sampled_from(["well", "mute"])}),
)
events = happenings(rows, devices="abc")


@given(events, st.integers(0, 60))
def test_it_keeps_the_promises_of_every_kind(events: list, cut: int) -> None:
    """Sleeping, restarts, shifted times and hostile readings change nothing."""
    keeps(RULES, POINTS, events, cut)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6)), max_size=60), st.integers(0, 2))
def test_it_tells_what_its_claim_says(readings: list[tuple[str, int]], bound: int) -> None:
    """Counting the last readings of all gives the same, as soon as it is certain."""
    subject = engine({"r": rule("count", "*/x", at_most=bound, above=3)}, [f"{device}/x" for device in "abc"])
    last: dict[str, int] = {}
    for at, (device, value) in enumerate(readings):
        run(subject, [(1.0, device, {"x": value})], float(at))
        last[device] = value
        high = sum(each > 3 for each in last.values())
        if high > bound or high + 3 - len(last) <= bound:
            assert bool(subject.open_episodes()) is (high > bound)
