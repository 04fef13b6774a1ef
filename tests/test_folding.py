"""One story, told once: gaps, flapping, recurrence, age, and what nobody wanted to hear of for a while."""

import json
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_of import Story, batch, every, point, rule

from gateway.config.units import convert
from gateway.diagnosis.causes import Surroundings
from gateway.diagnosis.contract import Forecast
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.mute import Window
from gateway.diagnosis.telling import notice, noticed

from moments_of import change

DAY = 86400.0


def wall(at: float) -> float:
    """It is Monday, and time has just begun."""
    return at


def door(**keys) -> Story:
    return Story(rule("threshold", above=0.5, **keys))


def knock(story: Story, times: int, start: float, each: float = 60.0) -> Story:
    """Open for half of `each` seconds and shut for the other, so many times."""
    return story.read(reading for number in range(times)
                      for reading in ((start + number * each, 1), (start + (number + 0.5) * each, 0)))  # fmt: skip


# ---------------------------------------------------------------- gap


def test_an_opening_soon_after_the_end_is_the_same_episode() -> None:
    """Its end is told when it is certain, as of when it was; and says how often it came."""
    story = knock(door(gap=40.0), 3, 60).wait(400)
    assert [(change.phase.value, change.at, change.openings, change.episode) for change in story.told] == [
        ("opened", 60, 1, "r0:d/x#1"),
        ("closed", 210, 3, "r0:d/x#1"),
    ]
    assert story.told[1].says == "d x is well again after 30 s: 0. It has opened and closed 3 times in 2 min 30 s."
    assert knock(story, 1, 500).told[-1].episode == "r0:d/x#4"


def test_without_a_gap_every_end_is_told_at_once() -> None:
    assert [change.at for change in knock(door(), 2, 60).told] == [60, 90, 120, 150]


# ---------------------------------------------------------------- flapping


def test_what_comes_and_goes_is_told_as_unstable_and_counted() -> None:
    """Three times it is told as it is; the fourth within an hour is the last word until it has been steady for an hour."""
    story = knock(door(folds=4), 12, 60).wait(3000)
    assert [change.phase.value for change in story.told] == ["opened", "closed"] * 3 + ["opened"]
    assert story.told[-1].says == "Unstable: it has opened 4 times in 3 min. d x is 1, above 0.5."
    assert len(story.engine.open_episodes()) == 1
    (*_, closed) = story.wait(60 + 11 * 60 + 3600).told
    assert (closed.phase.value, closed.episode, closed.openings) == ("closed", story.told[-2].episode, 12)
    assert closed.says == "d x is well again after 30 s: 0. It has opened and closed 12 times in 12 min."


def test_steady_and_open_is_open_until_it_is_shut() -> None:
    """A door that flapped and then stays open: one episode, closed when the door is."""
    story = knock(door(folds=4), 3, 60).read([(300, 1), (90000, 0)])
    assert [(change.phase.value, change.at) for change in story.told[-2:]] == [("opened", 300), ("closed", 90000)]


@settings(deadline=None)
@given(st.lists(st.sampled_from([1.0, 20.0, 50.0, 200.0, 900.0]), max_size=80))
def test_a_flapping_point_never_tells_more_than_its_folds_in_their_time(pauses) -> None:
    """At most `folds` openings in any stretch of `folds_within`, and each opening is told or counted."""
    story, at = door(folds=3, folds_within=600.0), 0.0
    for number, pause in enumerate(pauses):
        at += pause
        story.read([(at, (number + 1) % 2)])
    story.read([(at + 1, 0)]).wait(at + 10_000)
    opened = [change.at for change in story.told if change.phase.value == "opened"]
    assert all(after - before > 600.0 for before, after in zip(opened, opened[3:], strict=False))
    closed = {change.episode: change.openings for change in story.told if change.phase.value == "closed"}
    unstable = {change.episode for change in story.told if change.says.startswith("Unstable")}
    assert sum(closed.values()) - 2 * len(unstable) == (len(pauses) + 1) // 2
    assert not story.engine.open_episodes()


# ---------------------------------------------------------------- recurrence


def test_a_fault_that_comes_back_says_which_time_it_is() -> None:
    """Over months, in a few numbers; after half a year without it the next one is the first."""
    story = door(folds=4)
    for day in (1, 20, 36, 300, 310):
        story.read([(day * DAY, 1), (day * DAY + 60, 0)])
    says = [(change.recurrence, change.says) for change in story.told if change.phase.value == "opened"]
    assert says == [
        (1, "d x is 1, above 0.5."),
        (2, "d x is 1, above 0.5. The second time in 3 weeks."),
        (3, "d x is 1, above 0.5. The third time in 5 weeks."),
        (1, "d x is 1, above 0.5."),
        (2, "d x is 1, above 0.5. The second time in 10 days."),
    ]


# ---------------------------------------------------------------- age


def test_what_stays_open_is_raised_once() -> None:
    story = door(escalate=3600.0).read([(60, 1)]).wait(DAY).read([(DAY + 1, 0)])
    assert [(change.phase.value, change.at, change.severity) for change in story.told] == [
        ("opened", 60, "warning"),
        ("worsened", 3660, "critical"),
        ("closed", DAY + 1, "critical"),
    ]
    assert story.told[1].because.startswith("it has been open for 1 h; ")


def test_what_falls_due_is_told_in_its_order_however_late_it_is_noticed() -> None:
    story = Story(rule("threshold", above=0.5, escalate=100.0), rule("silent", after=200.0)).read([(10, 1)]).wait(1000)
    assert [(change.at, change.phase.value) for change in story.told] == [(10, "opened"), (110, "worsened"), (210, "opened")]


def test_what_is_critical_already_is_not_raised() -> None:
    assert len(door(escalate=3600.0, severity="critical").read([(60, 1)]).wait(DAY).told) == 1


# ---------------------------------------------------------------- muted


@pytest.mark.parametrize("what", ["r0", "d", "d/x", "d/*"])
def test_what_is_muted_and_still_open_is_told_when_that_is_over(what: str) -> None:
    story = door()
    story.engine.mute(what, 1000.0)
    story.read([(100, 1)]).wait(999)
    assert story.told == []
    assert [one.why for one in story.engine.withheld()] == ["muted"]
    (told,) = story.wait(1000).told
    assert (told.phase.value, told.at, told.since) == ("opened", 1000, 100)
    assert told.because.endswith("; it was muted, and is still open")


def test_what_came_and_went_while_it_was_muted_is_counted() -> None:
    story = door()
    story.engine.mute("d", 1000.0)
    (told,) = knock(story, 3, 60).wait(2000).told
    assert told.says == "3 episodes came and went while d was muted: r0 on d x (3 times)."
    assert (told.kind, told.phase.value, told.at) == ("insight", "closed", 1000)


def test_the_end_of_what_had_been_told_is_told_though_it_is_muted() -> None:
    story = door().read([(10, 1)])
    story.engine.mute("d", 1000.0)
    assert [change.phase.value for change in story.read([(20, 0)]).told] == ["opened", "closed"]


def at_night(**keys) -> Story:
    story = door(**keys)
    window = Window(on=("d/*",), days=frozenset({0, 1}), begin=22 * 3600.0, end=6 * 3600.0)
    surroundings = Surroundings(windows={"cleaning": window}, wall=wall)
    story.engine = Engine({"r0": rule("threshold", above=0.5, **keys)}, [point("d/x")], convert, 0.0, surroundings=surroundings)
    return story


def test_a_maintenance_window_is_kept_by_the_clock_on_the_wall() -> None:
    """From ten at night to six in the morning, on two days of the week."""
    story = at_night()
    for day in range(7):
        for hour in (12, 23, 29, 30.5):
            story.read([(day * DAY + hour * 3600, 1), (day * DAY + hour * 3600 + 60, 0)])
    hours = [round((change.at % (7 * DAY)) / 3600 % 24, 1) for change in story.told if change.phase.value == "opened"]
    assert hours == [12, 6.5, 12, 6.5, *[12, 23, 5, 6.5] * 5]
    assert [change.says for change in story.told if change.kind == "insight"] == [
        "2 episodes came and went during maintenance cleaning: r0 on d x (2 times)."
    ] * 2


def test_a_window_that_is_taken_out_of_the_config_is_over() -> None:
    before = at_night().read([(23 * 3600, 1)])
    assert before.told == []
    after = door()
    after.engine.restore(before.engine.state())
    assert [change.phase.value for change in after.wait(23 * 3600 + 1).told] == ["opened"]


def test_while_nobody_knows_the_time_nothing_is_kept_back() -> None:
    assert Window(on=("*",)).edge(None) == (False, 60.0)


# ---------------------------------------------------------------- restarts

steps = st.lists(st.tuples(st.sampled_from([1.0, 40.0, 500.0, 4000.0, 30000.0]), st.sampled_from([0, 1, 1, "mute"])), max_size=30)


@settings(deadline=None)
@given(steps, st.integers(0, 30))
def test_a_run_that_is_cut_by_a_restart_tells_the_same(steps, cut) -> None:
    """Saved and restored anywhere: gap, folds, age, recurrence and silence go on."""

    def live(cut: int):
        story, at = at_night(gap=50.0, folds=3, folds_within=1000.0, escalate=600.0), 0.0
        for number, (pause, value) in enumerate(steps):
            at += pause
            if number == cut:
                state = json.loads(json.dumps(story.engine.state()))
                story.wait(at - pause)
                story.engine = at_night(gap=50.0, folds=3, folds_within=1000.0, escalate=600.0).engine
                story.engine._now = at - pause
                story.told += story.engine.restore(state)
            if value == "mute":
                story.wait(at)
                story.engine.mute("d", at + 700.0)
            else:
                story.read([(at, value)])
        return story.wait(at + DAY).told

    assert live(cut) == live(-1)


def test_readings_that_change_nothing_tell_nothing() -> None:
    assert door(folds=4, gap=10.0, escalate=5.0).read(every(1, [0, 0.25, 0.5] * 10)).told == []
    assert batch(1, x=1).values == (1,)


def test_a_forecast_that_may_never_come_true_waits_across_a_restart() -> None:
    """A span has no latest end where nobody knows one; what is saved has no word for that."""
    watch = door().engine._watches[0]
    waiting = change(forecast=Forecast(-15.0, DAY, 0.5 * DAY, math.inf, 0.9), rule=watch.rule.keys, point=watch.about)
    kept = noticed(msgspec.json.decode(msgspec.json.encode(notice(waiting))), watch, 0.0)
    assert kept is not None
    assert kept.forecast == waiting.forecast
