"""threshold: what it tells, and that it tells it when a slow and obvious reading of its claim does."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_of import Story, every, point, rule

from drivers.contract import KeyMistake, NoValue, Outcome
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import Quantity

CELSIUS = {"above": Quantity(-15.0, "°C"), "clear": Quantity(-17.0, "°C")}
VOID = NoValue("sensor open")

Readings = list[tuple[float, Outcome]]


def expected(readings: Readings, above: float, clear: float, lasting: float, clear_lasting: float) -> list[tuple[float, str]]:
    """The claim, word by word: collects every reading of a stretch and judges the stretch as a whole."""

    def known(stretch: Readings) -> float:
        """How long the stretch is, without the times that began with "no value"."""
        total = 0.0
        for (at, value), (after, _) in pairwise(stretch):
            total += 0.0 if isinstance(value, NoValue) else after - at
        return total

    told: list[tuple[float, str]] = []
    is_open = False
    stretch: Readings = []
    for at, value in readings:
        if isinstance(value, NoValue):
            if stretch:
                stretch.append((at, value))
            continue
        wants_change = value <= clear if is_open else value > above  # type: ignore[operator]
        stretch = [*stretch, (at, value)] if wants_change else []
        if stretch and known(stretch) >= (clear_lasting if is_open else lasting):
            told.append((at, "closed" if is_open else "opened"))
            is_open = not is_open
            stretch = []
    return told


values = st.one_of(st.integers(-4, 12), st.floats(-5, 12, width=16), st.just(VOID), st.booleans())
times = st.sampled_from([0.5, 1.0, 2.0, 5.0])


@given(
    st.lists(st.tuples(times, values), max_size=80),
    st.sampled_from([(5.0, 5.0), (5.0, 3.0), (5.5, -1.0)]),
    st.sampled_from([0.0, 1.0, 4.0]),
    st.sampled_from([0.0, 1.0, 6.0]),
    st.booleans(),
)
def test_it_tells_what_its_claim_says(
    steps: list[tuple[float, Outcome]], levels: tuple[float, float], lasting: float, clear_lasting: float, below: bool
) -> None:
    """Told when every known reading of `lasting` was beyond the limit; closed when every one of `clear_lasting` was clear."""
    at, readings = 0.0, []
    for dt, value in steps:
        at += dt
        readings.append((at, value))
    above, clear = levels
    keys = {"lasting": lasting, "clear_lasting": clear_lasting}
    if below:
        mirrored = [(at, value if isinstance(value, NoValue) else -value) for at, value in readings]  # type: ignore[operator]
        story = Story(rule("threshold", below=-above, clear=-clear, **keys)).read(mirrored)
    else:
        story = Story(rule("threshold", above=above, clear=clear, **keys)).read(readings)
    assert story.phases() == expected(readings, above, clear, lasting, clear_lasting)


def test_a_freezer_that_stays_too_warm_is_told_in_plain_words() -> None:
    """Value, limit, units and time are in the text; the reason says what was compared with what."""
    story = Story(rule("threshold", **CELSIUS, lasting=600.0), unit="°C")
    story.read(every(60, [-18.0] * 5 + [-14.2] * 11))
    (opened,) = story.told
    assert opened.says == "d x is -14.2 °C, above -15 °C for 10 min."
    assert opened.because == "-14.2 °C is above the limit of -15 °C; the rule waits 10 min"
    assert (opened.at, opened.since, opened.value, opened.severity) == (960, 360, -14.2, "warning")


def test_a_technicians_own_words_are_filled_in() -> None:
    """{device}, {point}, {value}, {limit} and {lasting} stand for what was seen."""
    says = "{device}: {point} at {value}, limit {limit}, for {lasting}."
    story = Story(rule("threshold", **CELSIUS, lasting=600.0, says=says), unit="°C").read(every(300, [-14.0] * 3))
    assert [change.says for change in story.told] == ["d: d x at -14 °C, limit -15 °C, for 10 min."]


def test_a_limit_in_another_unit_is_converted() -> None:
    """5 °F is -15 °C; the text speaks the unit of the point."""
    story = Story(rule("threshold", above=Quantity(5.0, "°F")), unit="°C").read([(1, -15.1), (2, -14.9)])
    assert [change.says for change in story.told] == ["d x is -14.9 °C, above -15 °C."]


def test_between_limit_and_clear_level_an_episode_stays_as_it_is() -> None:
    """Noise around the limit opens one episode, not many."""
    story = Story(rule("threshold", above=5, clear=3)).read(every(1, [4, 6, 4, 6, 4, 6, 3.1, 3, 4, 6]))
    assert story.phases() == [(2, "opened"), (8, "closed"), (10, "opened")]


def test_without_readings_it_does_not_become_sure() -> None:
    """One hot reading and then silence is not ten minutes of heat; the next hot reading makes it so."""
    story = Story(rule("threshold", above=5, lasting=600.0)).read([(0.5, 6)]).wait(10_000)
    assert story.phases() == []
    assert story.read([(10_001, 6)]).phases() == [(10_001, "opened")]


def test_no_value_holds_an_episode_and_says_so() -> None:
    """An open episode neither closes nor is told again while its sensor is open; views show why nothing is known."""
    story = Story(rule("threshold", above=5)).read([(1, 6), (2, VOID), (3, VOID)])
    assert [each.held for each in story.engine.open_episodes()] == ["sensor open"]
    story.read([(62, 7), (63, 1)])
    assert story.phases() == [(1, "opened"), (63, "closed")]
    assert story.told[-1].because == "1 is no longer above 5; nothing was known for 1 min of that"
    assert story.engine.open_episodes() == []


def test_a_second_level_is_told_once_and_one_severity_up() -> None:
    """Opened as a warning, worsened to critical, and critical until it is closed."""
    story = Story(rule("threshold", above=5, worse=8)).read(every(1, [6, 7, 9, 7, 9, 4]))
    assert [(change.at, change.phase.value, change.severity) for change in story.told] == [
        (1, "opened", "warning"),
        (3, "worsened", "critical"),
        (6, "closed", "critical"),
    ]


def test_what_opens_beyond_the_second_level_is_severe_from_the_start() -> None:
    """No need to tell the lesser first."""
    story = Story(rule("threshold", below=5, worse=1, severity="info")).read(every(1, [6, 0, 4, 0, 6]))
    assert [(change.phase.value, change.severity) for change in story.told] == [("opened", "warning"), ("closed", "warning")]


def test_two_limits_in_one_rule_each_speak_for_themselves() -> None:
    """Out of a band on either side; the text names the limit that was broken."""
    story = Story(rule("threshold", above=25, below=18), unit="°C").read(every(1, [20, 17, 19, 26, 20]))
    assert [change.says for change in story.told if change.phase.value == "opened"] == [
        "d x is 17 °C, below 18 °C.",
        "d x is 26 °C, above 25 °C. The second time in 2 s.",
    ]


def test_a_value_a_hair_beyond_its_limit_does_not_read_as_equal_to_it() -> None:
    """As many digits as it takes to see the difference, and no more."""
    (opened,) = Story(rule("threshold", above=15), unit="°C").read([(1, 15.0004)]).told
    assert opened.because == "15.0004 °C is above the limit of 15 °C"


def test_the_limit_itself_is_still_well() -> None:
    """Above means above, however near."""
    assert Story(rule("threshold", above=5)).read([(1, 5), (2, 5.0)]).phases() == []
    assert Story(rule("threshold", above=5, lasting=2.0)).read([(1, 5.000001), (2, 5.0), (3, 5.1), (4, 6)]).phases() == []


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({}, ""),
        ({"above": 5, "below": 1, "clear": 3}, "clear"),
        ({"above": 5, "below": 1, "worse": 7}, "worse"),
        ({"above": 5, "clear": 6}, "clear"),
        ({"below": 5, "clear": 4}, "clear"),
        ({"above": 5, "worse": 4}, "worse"),
        ({"above": 5, "says": "{devise} is hot"}, "says"),
    ],
)
def test_mistakes_are_told_with_the_key_to_look_at(keys: dict[str, float], key: str) -> None:
    """What cannot be meant is refused when the rule is read."""
    with pytest.raises(KeyMistake) as mistake:
        rule("threshold", **keys)
    assert mistake.value.key == key


def test_it_does_not_fit_a_text() -> None:
    """The config can say why before anything runs; an engine leaves such a point alone."""
    fits = load_kind("threshold").fits
    assert fits(point("d/state", type="text"))
    assert fits(point("d/door", type="flag")) is None
    assert Story(rule("threshold", above=5)).read([(1, "high"), (2, 6), (3, "high"), (4, 4)]).phases() == [
        (2, "opened"),
        (4, "closed"),
    ]
