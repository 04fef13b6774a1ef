"""when: a condition over several points."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_of import batch, point

from drivers.contract import Batch, KeyMistake, NoValue, Outcome
from gateway.config.units import convert
from gateway.diagnosis.contract import Change, PointInfo, RuleKeys
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.expression import Scope, parse
from gateway.diagnosis.kinds import when
from gateway.diagnosis.watch import NOTHING

HOUSE = [
    point("hp-1/supply", "°C"), point("hp-1/running"), point("hp-1/state", type="text"),
    point("hp-2/supply", "°C"), point("hp-2/running"), point("hp-2/state", type="text"),
    point("pump/running"), point("pump/state", type="text"), point("meter/power", "W"),
]  # fmt: skip


def rule(condition: str, on: tuple[str, ...] = (), **keys: Any) -> RuleKeys:
    return when.Keys(**{"kind": "when", "condition": condition, "on": on, "folds": 0, **keys})


def engine(*rules: RuleKeys, points: Iterable[PointInfo] = HOUSE, now: float = 0.0, **where: Any) -> Engine:
    return Engine({f"r{number}": keys for number, keys in enumerate(rules)}, list(points), convert, now, **where)


def feed(subject: Engine, device: str, at: float, **values: Outcome) -> list[tuple[float, str, str]]:
    return told(subject.feed(Batch(device, at, tuple(values), tuple(values.values()))))


def told(changes: Iterable[Change]) -> list[tuple[float, str, str]]:
    return [(change.at, change.point.id, change.phase.value) for change in changes]


HOT = rule("hp-1/supply > 60 °C and not pump/running")


def test_an_episode_lasts_as_long_as_the_condition_holds() -> None:
    """Over points of two devices, read at different times."""
    subject = engine(HOT)
    assert not feed(subject, "hp-1", 1.0, supply=65)  # nobody knows yet whether the pump runs
    assert feed(subject, "pump", 2.0, running=False) == [(2.0, "hp-1/supply", "opened")]
    assert not feed(subject, "hp-1", 3.0, supply=61)
    assert feed(subject, "pump", 4.0, running=True) == [(4.0, "hp-1/supply", "closed")]
    assert not feed(subject, "hp-1", 5.0, supply=70)
    assert not feed(subject, "pump", 6.0, running=True)
    assert not feed(subject, "hp-1", 7.0, supply=60)
    assert not feed(subject, "pump", 8.0, running=False)


def test_one_rule_covers_a_shop() -> None:
    """One episode for each device that has the points; the rest of the condition may be of another."""
    subject = engine(rule("supply > 60 °C and running and meter/power < 500", on=("*",), except_=("hp-9/*",)))
    assert {watch.point.id for watch in subject._watches} >= {"hp-1/*", "hp-2/*"}
    feed(subject, "meter", 1.0, power=100)
    assert feed(subject, "hp-1", 2.0, supply=65, running=True) == [(2.0, "hp-1/supply", "opened")]
    assert feed(subject, "hp-2", 3.0, supply=65, running=True) == [(3.0, "hp-2/supply", "opened")]
    assert {each.episode for each in subject.open_episodes()} == {"r0:hp-1/*#1", "r0:hp-2/*#1"}
    assert sorted(feed(subject, "meter", 4.0, power=600)) == [(4.0, "hp-1/supply", "closed"), (4.0, "hp-2/supply", "closed")]
    assert not engine(rule("supply > 60 °C", on=("hp-*",), except_=("hp-*/*",)))._watches


def test_readings_of_one_time_but_of_two_devices_are_both_judged() -> None:
    """A clock is not that fine."""
    subject = engine(HOT)
    assert not feed(subject, "hp-1", 1.0, supply=65)
    assert feed(subject, "pump", 1.0, running=False) == [(1.0, "hp-1/supply", "opened")]


def test_readings_of_one_poll_are_judged_together() -> None:
    """No moment in between, in which one point is new and the other old."""
    one = rule("supply > 60 and not running", on=("hp-1",))
    other = rule("not running and supply > 60", on=("hp-1",))
    subject = engine(one, other)
    assert not feed(subject, "hp-1", 1.0, supply=50, running=False)
    assert not feed(subject, "hp-1", 2.0, supply=65, running=True)
    assert not feed(subject, "hp-1", 3.0, running=False, supply=50)
    assert not feed(subject, "hp-1", 4.0, running=True, supply=65)


def test_no_value_holds_what_was_thought() -> None:
    """Unless what is known decides; and a device that is away has no values."""
    subject = engine(rule("hp-1/supply > 60 and pump/running", lasting=10.0))
    feed(subject, "pump", 0.0, running=True)
    feed(subject, "hp-1", 1.0, supply=65)
    feed(subject, "hp-1", 5.0, supply=NoValue("sensor open"))
    assert not feed(subject, "hp-1", 50.0, supply=NoValue("sensor open"))
    assert not feed(subject, "hp-1", 51.0, supply=65)
    assert not feed(subject, "hp-1", 56.0, supply=65)
    assert feed(subject, "hp-1", 57.0, supply=65) == [(57.0, "hp-1/supply", "opened")]
    assert not feed(subject, "hp-1", 57.5, state="mute")
    assert [each.held for each in subject.open_episodes()] == ["mute"]
    assert not feed(subject, "hp-1", 57.6, state="well")
    assert not feed(subject, "hp-1", 57.7, supply=65)
    assert not feed(subject, "pump", 57.8, running=NoValue("void"))
    assert [each.held for each in subject.open_episodes()] == ["another point that it looks at has no value"]
    assert not feed(subject, "pump", 57.9, running=True)
    assert [each.held for each in subject.open_episodes()] == [""]
    assert not feed(subject, "hp-1", 58.0, state="mute")
    assert feed(subject, "pump", 59.0, running=False) == [(59.0, "hp-1/supply", "closed")]  # unknown and false is false
    assert not feed(subject, "pump", 60.0, running=True)
    assert not feed(subject, "hp-1", 61.0, state="well")
    assert not feed(subject, "pump", 75.0, running=True)
    assert not feed(subject, "hp-1", 80.0, supply=65)
    assert feed(subject, "hp-1", 90.0, supply=65) == [(90.0, "hp-1/supply", "opened")]


def test_what_the_others_decide_does_not_wait_for_a_value() -> None:
    """Time goes on where the unknown does not matter."""
    subject = engine(rule("hp-1/supply > 60 or pump/running", lasting=10.0))
    feed(subject, "hp-1", 0.0, supply=50)
    feed(subject, "pump", 1.0, running=True)
    feed(subject, "hp-1", 2.0, supply=NoValue("sensor open"))
    assert [each[0] for each in feed(subject, "pump", 11.0, running=True)] == [11.0]


def test_nothing_is_known_of_a_device_that_is_away_whatever_it_said_last() -> None:
    """Its last value is no value; and comes back with the next."""
    subject = engine(HOT)
    feed(subject, "hp-1", 1.0, supply=65)
    feed(subject, "hp-1", 2.0, state="mute")
    assert not feed(subject, "pump", 3.0, running=False)
    feed(subject, "hp-1", 4.0, state="well")
    assert not feed(subject, "pump", 5.0, running=False)
    assert feed(subject, "hp-1", 6.0, supply=65) == [(6.0, "hp-1/supply", "opened")]


def test_what_a_device_is_doing_can_be_part_of_a_condition() -> None:
    """Its state is a text like another."""
    subject = engine(rule('pump/state == "mute" and meter/power > 2 kW'))
    feed(subject, "meter", 1.0, power=2500)
    feed(subject, "pump", 2.0, state="well")
    assert feed(subject, "pump", 3.0, state="mute") == [(3.0, "meter/power", "opened")]
    assert feed(subject, "pump", 4.0, state="late") == [(4.0, "meter/power", "closed")]


def test_a_time_in_the_condition_is_looked_at_when_it_is_up() -> None:
    """The next reading of any of its points decides, however long they have slept."""
    subject = engine(rule("hp-1/supply > 60 for 30 s and not pump/running"))
    feed(subject, "hp-1", 1.0, supply=65)
    feed(subject, "pump", 2.0, running=False)
    assert subject.next_due == 31.0
    assert not feed(subject, "hp-1", 30.0, supply=65)
    assert not told(subject.tick(40.0))
    assert feed(subject, "pump", 41.0, running=False) == [(41.0, "hp-1/supply", "opened")]
    assert subject.next_due == float("inf")


def test_the_hour_turns_while_nothing_else_does() -> None:
    """By the clock on the wall."""
    subject = engine(rule("pump/running and hour >= 22"), local=lambda at: 21 * 3600 + at)
    assert not feed(subject, "pump", 10.0, running=True)
    assert subject.next_due == 3600.0
    assert not feed(subject, "pump", 3599.0, running=True)
    assert feed(subject, "pump", 3601.0, running=True) == [(3601.0, "pump/running", "opened")]


def test_it_sleeps_while_its_points_stay_between_numbers_of_the_text() -> None:
    """A reading in between costs what one without a rule does."""
    subject = engine(HOT, rule("hp-2/supply - hp-1/supply > 5 K"))
    feed(subject, "pump", 1.0, running=True)
    feed(subject, "hp-1", 1.0, supply=50)
    feed(subject, "hp-2", 1.0, supply=50)
    judged = []
    original = when.When.judge
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(when.When, "judge", lambda self, at: judged.append((self.rule.id, at)) or original(self, at))
        feed(subject, "hp-1", 2.0, supply=55)
        feed(subject, "pump", 3.0, running=True)
        feed(subject, "hp-1", 4.0, supply=60.5)
    assert judged == [("r1", 2.0), ("r0", 4.0), ("r1", 4.0)]


def test_it_says_what_its_points_say_and_why() -> None:
    """In words of its own, or in those of the rule."""
    subject = engine(
        rule("supply > 60 °C and not running", on=("hp-1",), lasting=60.0),
        rule("supply > 60 °C", on=("hp-1",), says="{device}: {value}; {values}; {limit}"),
    )
    feed(subject, "hp-1", 0.0, supply=65, running=False)
    (opened,) = subject.feed(Batch("hp-1", 60.0, ("supply", "running"), (66.25, False)))
    assert opened.says == "hp-1: hp-1 supply is 66.25 °C and hp-1 running is off, for 1 min."
    assert opened.because == "it holds that supply > 60 °C and not running; the rule waits 1 min"
    assert (opened.value, opened.point.id, opened.evidence and opened.evidence.unit) == (66.25, "hp-1/supply", "°C")
    first, second = subject.feed(Batch("hp-1", 70.0, ("supply", "running"), (59, NoValue("void"))))
    assert first.says == "hp-1 is well again after 1 min 10 s: hp-1 supply is 59 °C and hp-1 running is no value (void)."
    assert first.because == "it no longer holds that supply > 60 °C and not running"
    assert second.phase.value == "closed"
    (third,) = subject.feed(Batch("hp-1", 80.0, ("supply",), (61,)))
    assert third.says.startswith("hp-1: 61 °C; hp-1 supply is 61 °C; supply > 60 °C")


def test_a_word_in_braces_that_nobody_fills_is_a_mistake() -> None:
    """Of the kind's own words, too."""
    with pytest.raises(KeyMistake, match="valeus"):
        rule("pump/running", says="{valeus}")


def test_what_other_devices_said_survives_a_restart() -> None:
    """Also in the small state; unless it was no value."""
    for said, is_told in ((65, True), (NoValue("void"), False)):
        before, after = engine(HOT), engine(HOT, now=5.0)
        feed(before, "hp-1", 1.0, supply=65)
        feed(before, "hp-1", 2.0, supply=said)
        after.restore(json.loads(json.dumps(before.state(history=False))))
        assert bool(feed(after, "pump", 6.0, running=False)) is is_told


def test_time_that_the_hub_was_off_counts_for_nothing() -> None:
    """Not as lasting, nor for the times of the condition."""
    text = "pump/running for 30 s"
    before, after = engine(rule(text)), engine(rule(text), now=1000.0)
    feed(before, "pump", 0.0, running=True)
    feed(before, "pump", 20.0, running=True)
    after.restore(json.loads(json.dumps(before.state())), off=980.0)
    assert not feed(after, "pump", 1009.0, running=True)
    assert feed(after, "pump", 1010.0, running=True) == [(1010.0, "pump/running", "opened")]


def test_what_a_changed_condition_had_told_goes_on_until_the_new_one_knows() -> None:
    """And is judged by that."""
    before, after = engine(rule("pump/running and meter/power > 5")), engine(rule("pump/running and meter/power > 7"), now=5.0)
    feed(before, "pump", 0.0, running=True)
    feed(before, "meter", 1.0, power=6)
    assert not after.restore(before.state(history=False))
    assert not feed(after, "pump", 6.0, running=True)
    assert [each.episode for each in after.open_episodes()] == ["r0:pump/*#1"]
    assert feed(after, "meter", 7.0, power=6) == [(7.0, "meter/power", "closed")]


# ---------------------------------------------------------------- mistakes


def mistakes(**written: Any) -> list[tuple[Any, ...]]:
    return [(each.path, each.offset, each.found, each.suggestion) for each in when.mistakes(written, HOUSE, convert)]


def test_of_many_devices_some_may_lack_a_point() -> None:
    """They are not meant; but if all do, it is a mistake, told once."""
    assert not mistakes(condition="supply > 60 °C", on=("*",))
    assert not mistakes(condition="meter/power > 60 W")
    slip = (("condition",), 19, 'no point is called "suply"', '"supply"')
    assert mistakes(condition="supply > 60 °C and suply < 3", on=("*",)) == [slip]
    misfit = (("condition",), 9, "60 bar does not fit supply, which is in °C", "")
    assert mistakes(condition="supply > 60 bar", on=("*",)) == [misfit]
    assert mistakes(condition="suply > 60 && y", on=("meter",)) == [
        (("condition",), 11, '"&&"', '"and"'),
        (("condition",), 0, 'no point is called "suply"', ""),
        (("condition",), 14, 'no point is called "y"', ""),
    ]


def test_devices_and_condition_must_speak_of_each_other() -> None:
    """A glob of points, one of nobody, one that is not asked."""
    assert mistakes(condition="supply > 60", on=("hp-*/supply",)) == [(("on", 0), None, '"hp-*/supply" is for points', '"hp-*"')]
    assert mistakes(condition="supply > 60", on=("hp-1", "hpp-*")) == [(("on", 1), None, 'no device is called "hpp-*"', '"hp-*"')]
    assert mistakes(condition="pump/running", on=("hp-1",)) == [(("on",), None, "devices that the condition does not ask", "")]
    assert mistakes(on=("hp-1",)) == []


# ---------------------------------------------------------------- against a slow and obvious reading

POINTS = [point("d/a"), point("d/b"), point("d/state", type="text"), point("e/a", "W"), point("e/b")]
SHAPES = [("d", ("a", "b")), ("d", ("a",)), ("d", ("state",)), ("e", ("a", "b")), ("e", ("b",))]
CONDITIONS = [
    "d/a > 3 and not e/b", "d/a > 3 or e/b > 5", "1 < d/a < e/b", "not (d/a > 3 or e/a > 4 W)", "d/a + e/b > 6",
    "d/a == 'x' or d/b", "d/a > 3 for 4 s and e/b > 1", "max(d/a, 8 s) > 5 or e/b == 2", "avg(d/a, 8 s) > 3",
    "changed(e/b, 4 s) and d/a > 2", "d/state == 'mute' or d/a > e/b", "hour == 1 and d/a > 0", "not d/a / e/b > 1",
]  # fmt: skip
value: st.SearchStrategy[Outcome] = st.one_of(
    st.integers(-2, 8), st.booleans(), st.sampled_from([NoValue("void"), float("nan"), "x", 10**400, 2.5])
)
state = st.sampled_from(["well", "mute"])


@st.composite
def reading(draw: st.DrawFn) -> tuple[float, str, dict[str, Outcome]]:
    device, names = draw(st.sampled_from(SHAPES))
    return draw(st.sampled_from([0.5, 1.0, 2.0, 5.0])), device, {name: draw(state if name == "state" else value) for name in names}


readings = st.lists(reading(), max_size=40)


def local(at: float) -> float:
    return 3540.0 + at


def slowly(text: str, steps: list[tuple[float, str, dict[str, Outcome]]]) -> list[tuple[float, str]]:
    """All points are kept, and the condition is asked at each reading of any of them."""
    expression = parse(text, Scope(POINTS, convert))
    known: dict[str, Any] = {}
    at, is_open, found = 0.0, False, []
    for dt, device, values in steps:
        at += dt
        concerned = set()  # the points that have a value, or no longer have one
        for name, said in values.items():
            is_void = isinstance(said, NoValue) or said != said or said == 10**400  # noqa: PLR0124  (that is what NaN does)
            fresh = None if is_void else said
            concerned |= {f"{device}/{name}"} if fresh is not None or known.get(f"{device}/{name}") is not None else set()
            known[f"{device}/{name}"] = fresh
        if values.get("state") == "mute":
            concerned |= {name for name in ("d/a", "d/b") if known.get(name) is not None}
            known.update({"d/a": None, "d/b": None})
        if not concerned & {each.id for each in expression.points}:
            continue
        answer = expression.evaluate([known.get(each.id) for each in expression.points], at, local)
        if answer is not None and answer is not is_open:
            is_open = answer
            found.append((at, "opened" if answer else "closed"))
    return found


@given(st.sampled_from(CONDITIONS), readings)
def test_it_tells_what_an_obvious_reading_tells(text: str, steps: list[tuple[float, str, dict[str, Outcome]]]) -> None:
    """Whatever its points say, in whichever order; and asleep as awake."""
    subject, awake = (engine(rule(text), points=POINTS, local=local) for _ in range(2))
    at, found, found_awake = 0.0, [], []
    for dt, device, values in steps:
        at += dt
        for watch in awake._watches:
            watch.low, watch.high = NOTHING
        for column in awake._columns.values():
            column.wake()
        found += feed(subject, device, at, **values)
        found_awake += feed(awake, device, at, **values)
    assert [(when, phase) for when, _, phase in found] == slowly(text, steps)
    assert found_awake == found


@given(
    st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=3),
    readings,
    st.integers(0, 40),
    st.sampled_from([0.0, -512.0, 4096.0]),
)
def test_a_run_that_is_cut_by_a_restart_tells_the_same(
    texts: list[str], steps: list[tuple[float, str, dict[str, Outcome]]], cut: int, shift: float
) -> None:
    """Through JSON, onto a timeline that begins anew."""
    rules = [rule(text, lasting=2.0) for text in texts if "hour" not in text]
    whole, before = engine(*rules, points=POINTS), engine(*rules, points=POINTS)
    expected = play(whole, steps)
    found = play(before, steps[:cut])
    at = sum(dt for dt, _, _ in steps[:cut])
    after = engine(*rules, points=POINTS, now=at + shift)
    after.restore(json.loads(json.dumps(before.state())), shift=shift)
    assert found + [(time - shift, *rest) for time, *rest in play(after, steps[cut:], at + shift)] == expected


def play(subject: Engine, steps: list[tuple[float, str, dict[str, Outcome]]], at: float = 0.0) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for dt, device, values in steps:
        at += dt
        changes = sorted(subject.feed(Batch(device, at, tuple(values), tuple(values.values()))), key=lambda change: change.episode)
        found += [(change.at, change.episode, change.phase, change.says, change.value) for change in changes]
    return found


def test_batches_of_other_devices_do_not_matter() -> None:
    """A rule without points that exist watches nothing, and raises nothing."""
    subject = engine(rule("nobody/x > 3"), rule("x > 3 &&", on=("hp-1",)), points=POINTS)
    assert not subject._watches
    assert not subject.feed(batch(1.0, a=1))
