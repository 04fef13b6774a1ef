"""rate: what it tells, and that it keeps to its claim on any readings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_of import Story, every, rule

from drivers.contract import KeyMistake, NoValue, Outcome
from gateway.diagnosis.contract import Quantity

WITHIN = 16.0
Readings = list[tuple[float, Outcome]]

steps = st.sampled_from([0.0, 0.0, 0.25, -0.25, 0.5, -0.5, 1.0, -1.0, 4.0, -4.0, None])
readings = st.lists(st.tuples(st.sampled_from([0.5, 1.0, 1.0, 1.0, 3.0]), steps), max_size=120)


def walk(moves: list[tuple[float, float | None]]) -> Readings:
    """Times and values from steps of both; None for no value."""
    at, value, out = 0.0, 20.0, []
    for dt, step in moves:
        at += dt
        value += step or 0.0
        out.append((at, NoValue("void") if step is None else value))
    return out


def moved(readings: Readings, at: float, within: float, rises: float, falls: float) -> bool:
    """The claim, word by word: whether the value at `at` is too far from any within the time before."""
    past = [(when, value) for when, value in readings if at - within <= when <= at and not isinstance(value, NoValue)]
    now = past[-1][1]
    return any(now - value > rises or value - now > falls for _, value in past)  # type: ignore[operator]


@given(readings, st.sampled_from([(2.0, 2.0), (2.0, 1e9), (1e9, 3.0), (1.0, 5.0)]))
def test_it_is_open_when_its_claim_holds_and_only_then(
    moves: list[tuple[float, float | None]], limits: tuple[float, float]
) -> None:
    """Open after each reading if the change took less than seven eighths of the time; not open if it took more than the time."""
    rises, falls = limits
    story = Story(rule("rate", rises=rises, falls=falls, within=WITHIN))
    seen: Readings = []
    for at, value in walk(moves):
        seen.append((at, value))
        story.read([(at, value)])
        if isinstance(value, NoValue):
            continue
        if moved(seen, at, WITHIN * 7 / 8, rises, falls):
            assert story.engine.open_episodes()
        if not moved(seen, at, WITHIN, rises, falls):
            assert not story.engine.open_episodes()


def test_a_burst_pipe_is_told_in_plain_words() -> None:
    """From where to where, and what is allowed."""
    story = Story(rule("rate", falls=Quantity(1.0, "bar"), within=60.0), unit="bar")
    story.read(every(1, [3.21] * 120 + [3.1, 2.6, 2.05, 1.4, 0.9] + [0.8] * 100))
    assert [(change.at, change.phase.value) for change in story.told] == [(123, "opened"), (182, "closed")]
    opened, closed = story.told
    assert opened.says == "d x falls by more than 1 bar within 1 min: 2.05 bar."
    assert opened.because == "it fell from 3.21 bar to 2.05 bar, by 1.16 bar; allowed are 1 bar within 1 min"
    assert closed.because == "it has changed by no more than 1 bar within 1 min"


def test_only_the_direction_that_is_asked_for_counts() -> None:
    """A tank that is filled is no leak."""
    assert Story(rule("rate", falls=1, within=60.0)).read(every(1, [1, 5, 9, 9.5])).phases() == []
    assert Story(rule("rate", rises=1, within=60.0)).read(every(1, [9, 5, 1])).phases() == []


def test_an_amount_is_a_difference_in_any_unit() -> None:
    """A rise of 9 °F is one of 5 °C."""
    story = Story(rule("rate", rises=Quantity(9.0, "°F"), within=60.0), unit="°C").read(every(1, [20, 24.9, 25.1]))
    assert [change.at for change in story.told] == [3]


def test_of_readings_further_apart_than_the_time_nothing_is_claimed() -> None:
    """A value that differs after an hour's pause may have changed slowly."""
    assert Story(rule("rate", rises=1, within=600.0)).read([(0, 20), (3600, 90), (7200, 20)]).phases() == []


def test_a_steady_climb_within_the_limit_is_looked_at_a_few_times_only() -> None:
    """At half the allowed rate about twice per `within`, though every reading is a new maximum."""
    story = Story(rule("rate", rises=600, within=600.0))
    (watch,) = story.engine._watches
    bands = set()
    for reading in every(1, [0.5 * second for second in range(6000)]):
        story.read([reading])
        bands.add((watch.low, watch.high))
    assert len(bands) < 30


@pytest.mark.parametrize(("keys", "key"), [({}, ""), ({"rises": 0}, "rises"), ({"falls": -3}, "falls")])
def test_mistakes_are_told_with_the_key_to_look_at(keys: dict[str, float], key: str) -> None:
    """What cannot be meant is refused when the rule is read."""
    with pytest.raises(KeyMistake) as mistake:
        rule("rate", **keys)
    assert mistake.value.key == key
