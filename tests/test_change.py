"""change: what an event made better or worse, and nothing that chance did."""

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from promises_of import HOSTILE, engine, keeps, run, scales
from rules_of import point, rule

from drivers.contract import Batch, KeyMistake
from gateway.diagnosis.contract import Change, Quantity
from gateway.diagnosis.engine import Engine

DAY = 86400.0
POINTS = [point("d/power", "W"), point("d/firmware", type="text"), point("e/firmware", type="text")]
KEYS = {"event": ("*/firmware",), "better": "lower"}


def power(days: int, level: float, chance: random.Random, start: float = 0.0, noise: float = 3.0) -> list[tuple[float, float]]:
    """Readings every 10 min: a level, a daily rhythm of half of it, and noise; days differ by some percent."""
    values = []
    for day in range(days):
        factor = 1 + chance.gauss(0, 0.03)
        for tick in range(144):
            rhythm = 1.25 if 48 <= tick < 132 else 0.75
            values.append((start + day * DAY + tick * 600.0, level * rhythm * factor + chance.gauss(0, noise)))
    return values


def feed(subject: Engine, readings: list[tuple[float, float]], firmware: str = "") -> list[Change]:
    told: list[Change] = []
    for at, value in readings:
        if firmware:
            told += subject.feed(Batch("d", at, ("power", "firmware"), (value, firmware)))
        else:
            told += subject.feed(Batch("d", at, ("power",), (value,)))
    return told


def story(before: float, after: float, seed: int = 1, **keys: object) -> list[Change]:
    """Two weeks with one firmware, two with the next."""
    chance = random.Random(seed)
    subject = engine({"r": rule("change", "d/power", **{**KEYS, **keys})}, POINTS)
    told = feed(subject, power(14, before, chance), "1.2")
    return told + feed(subject, power(14, after, chance, 14 * DAY), "1.3")


def test_a_firmware_that_makes_it_better_is_told_once_as_good_news() -> None:
    """A week after: a milestone with both numbers, and no episode stays open."""
    (told,) = story(100.0, 80.0)
    assert (told.kind, told.phase.value, told.severity) == ("milestone", "opened", "info")
    assert told.at / DAY == pytest.approx(22, abs=0.1)
    assert told.says.startswith("d power is better since d firmware went from 1.2 to 1.3: 8")
    assert " % less)." in told.says
    assert told.because.startswith("the median day went from ")
    assert "days since then were lower than days before in 100 % of pairs" in told.because


def test_worse_is_told_as_a_problem_that_closes_when_it_is_as_before() -> None:
    """Three days as they were before."""
    chance = random.Random(2)
    subject = engine({"r": rule("change", "d/power", **KEYS)}, POINTS)
    told = feed(subject, power(14, 80, chance), "1.2") + feed(subject, power(20, 100, chance, 14 * DAY), "1.3")
    assert [(change.kind, change.phase.value) for change in told] == [("problem", "opened")]
    assert len(subject.open_episodes()) == 1
    closed = feed(subject, power(8, 80, chance, 34 * DAY), "1.3")
    assert [(change.phase.value, round((change.at - 34 * DAY) / DAY)) for change in closed] == [("closed", 3)]


@pytest.mark.parametrize("seed", range(20))
def test_an_update_that_changes_nothing_is_not_told(seed: int) -> None:
    """Days differ; that is no effect."""
    assert story(100.0, 100.0, seed) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_tenth_less_is_found(seed: int) -> None:
    """Where days differ by three percent."""
    assert [change.kind for change in story(100.0, 90.0, seed)] == ["milestone"]


def test_a_difference_that_is_too_small_to_matter_is_not_told() -> None:
    """The technician says what matters."""
    assert story(100.0, 90.0, least=Quantity(30.0, "W")) == []
    assert len(story(100.0, 50.0, least=Quantity(30.0, "W"))) == 1


def test_a_visit_is_an_event_too_of_this_device_only() -> None:
    """Whoever notes it, names the device."""
    for device, told in (("d", 1), ("e", 0)):
        chance = random.Random(3)
        subject = engine({"r": rule("change", "d/power", event=("visit",), better="lower")}, POINTS)
        feed(subject, power(10, 100, chance))
        assert not subject.note("visit", device, 10 * DAY)
        assert not subject.note("remedy", "d", 10 * DAY)
        changes = feed(subject, power(10, 75, chance, 10 * DAY))
        assert len(changes) == told
        assert all("is better since the visit" in change.says for change in changes)


def test_another_device_s_firmware_is_no_event() -> None:
    """The glob is narrowed to the device that is watched."""
    chance = random.Random(4)
    subject = engine({"r": rule("change", "d/power", **KEYS)}, POINTS)
    feed(subject, power(14, 100, chance))
    for at, version in ((0.0, "1"), (14 * DAY - 1, "2")):
        subject.feed(Batch("e", at, ("firmware",), (version,)))
    assert feed(subject, power(14, 70, chance, 14 * DAY)) == []


def test_the_first_that_is_heard_of_a_firmware_is_no_event() -> None:
    """It may have been there all along."""
    chance = random.Random(6)
    subject = engine({"r": rule("change", "d/power", **KEYS)}, POINTS)
    assert feed(subject, power(14, 100, chance)) + feed(subject, power(14, 70, chance, 14 * DAY), "1.2") == []


def test_with_too_few_days_before_there_is_nothing_to_hold_it_against() -> None:
    """Four days are too few."""
    chance = random.Random(5)
    subject = engine({"r": rule("change", "d/power", **KEYS)}, POINTS)
    assert feed(subject, power(4, 100, chance), "1") + feed(subject, power(20, 50, chance, 4 * DAY), "2") == []


def test_a_restart_within_the_comparison_changes_nothing() -> None:
    """Saved and restored every five days, through JSON, with the same result."""
    chance = random.Random(1)
    rules = {"r": rule("change", "d/power", **KEYS)}
    subject = engine(rules, POINTS)
    told: list[Change] = []
    readings = power(14, 100.0, chance) + power(14, 80.0, chance, 14 * DAY)
    for index, (at, value) in enumerate(readings):
        told += subject.feed(Batch("d", at, ("power", "firmware"), (value, "1.2" if index < 14 * 144 else "1.3")))
        if index % 720 == 719:
            state = json.loads(json.dumps(subject.state()))
            subject = engine(rules, POINTS, now=at)
            subject.restore(state)
    assert [change.says for change in told] == [change.says for change in story(100.0, 80.0)]


@pytest.mark.parametrize(
    ("keys", "key"), [({"lasting": 5.0}, "lasting"), ({"least": Quantity(0, "")}, "least"), ({"event": ("vist",)}, "event")]
)
def test_keys_that_make_no_sense_are_told(keys: dict[str, object], key: str) -> None:
    """Each mistake names its key."""
    with pytest.raises(KeyMistake) as caught:
        rule("change", **{**KEYS, **keys})
    assert caught.value.key == key


RULES = {
    "firmware": rule("change", "d/x", event=("d/t", "d/n"), better="lower", days=5),
    "settled": rule("change", "d/x", event=("d/t",), better="higher", days=6),
}
rows = st.one_of(
    st.fixed_dictionaries({"x": st.integers(0, 9)}),
    st.fixed_dictionaries({"x": st.sampled_from(HOSTILE), "t": st.sampled_from(["1", "2", HOSTILE[0]]), "n": st.integers(0, 2)}),
)
events = st.lists(
    st.tuples(st.sampled_from([600.0, 3600.0, 14400.0, 28800.0]), st.just("d"), st.one_of(rows, rows, st.none())), max_size=150
)


@settings(max_examples=60)
@given(events, st.integers(0, 150))
def test_it_keeps_the_promises_of_every_kind(events: list, cut: int) -> None:
    """Sleeping, restarts, shifted times and hostile readings change nothing."""
    keeps(RULES, ["d/x", point("d/t", type="text"), "d/n"], events, cut)


@st.composite
def lives(draw: st.DrawFn) -> list:
    """Days of six readings at some level, and a new version now and then."""
    told = []
    for version in range(draw(st.integers(2, 4))):
        level = draw(st.integers(1, 9))
        for _ in range(draw(st.integers(3, 12))):
            told += [(14400.0, "d", {"x": level + draw(st.integers(0, 2)), "t": str(version)})] * 6
    return told


@settings(max_examples=40)
@given(lives(), st.integers(0, 200))
def test_whole_lives_keep_them_too(events: list, cut: int) -> None:
    """With events that are told of; and each at most once."""
    told = keeps(RULES, ["d/x", point("d/t", type="text"), "d/n"], events, cut)
    scales(RULES, ["d/x", "d/t", "d/n"], events)
    news = sum(before[2]["t"] != after[2]["t"] for before, after in pairwise(events))
    assert len([change for change in told if change.phase.value == "opened"]) <= 2 * news


def test_hostile_points_of_events_raise_nothing() -> None:
    """A firmware that is a number, or nothing, is as good as a text."""
    subject = engine({"r": RULES["firmware"]}, ["d/x", "d/n", point("d/t", type="text")])
    assert run(subject, [(3600.0, "d", {"x": 1, "n": value, "t": value}) for value in (*HOSTILE, 5, 6, True)]) == []
