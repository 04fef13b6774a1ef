"""What must hold of every trend: on points and on units with a model, whatever is read."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rules_of import engine, point, rule

import drivers
from drivers.contract import Batch, NoValue, Outcome
from gateway.diagnosis.contract import Change, Quantity, RuleKeys
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.watch import NOTHING

MODEL = (Path(drivers.__file__).parent / "profiles" / "turbofan.json").read_text(encoding="utf-8")
NAMES: tuple[str, ...] = tuple(json.loads(MODEL)["points"])
HEALTHY = [642.0, 1585.0, 1400.0, 554.0, 2388.05, 9060.0, 47.3, 522.0, 2388.05, 8140.0, 8.42, 391.5, 38.95, 23.37]
WORN = [643.5, 1602.0, 1426.0, 551.5, 2388.2, 9075.0, 48.1, 519.8, 2388.2, 8155.0, 8.51, 395.5, 38.5, 23.1]
HOUR = 3600.0
RULES: dict[str, RuleKeys] = {
    "falls": rule("trend", "d/a", below=20, lead=3 * HOUR, rhythm=0.0),
    "rises": rule("trend", "d/*", above=60, lead=6 * HOUR, confidence=0.75),
    "rhythm": rule("trend", "d/b", below=20, lead=4 * HOUR, rhythm=HOUR / 4),
    "life": rule("trend", "e/*", model=MODEL),
}
POINTS = [point("d/a"), point("d/b"), *(point(f"e/{name}") for name in NAMES)]

ODD: list[Outcome] = [NoValue("void"), NoValue("void"), float("nan"), float("inf"), "text", 1e308, -(10**400), True]
Event = tuple[float, str, tuple[str, ...], tuple[Outcome, ...]]


def spoilt(row: list[Outcome], chance: random.Random, wild: bool) -> tuple[Outcome, ...]:
    if wild and chance.random() < 0.1:
        row[chance.randrange(len(row))] = chance.choice(ODD)
    return tuple(row)


@st.composite
def walks(draw: st.DrawFn, wild: bool = False) -> list[Event]:
    """Hours of two points on their way, with turns, steps, gaps and bursts; times in eighths of a second."""
    chance = random.Random(draw(st.integers(0, 10**9)))
    events: list[Event] = []
    at, a, b = 0.0, chance.uniform(50, 90), chance.uniform(22, 40)
    for _ in range(draw(st.integers(1, 5))):
        slope_a, slope_b = draw(st.sampled_from([-0.3, -0.15, 0.0, 0.3])), draw(st.sampled_from([-0.05, 0.1, 0.15]))
        step = draw(st.sampled_from([240.0, 240.0, 120.0, 1.5]))
        a += draw(st.sampled_from([0.0, 0.0, 0.0, 40.0]))
        at += draw(st.sampled_from([0.0, 0.0, 9000.0]))
        for _ in range(draw(st.sampled_from([60, 100, 30, 3]))):
            at += step
            a, b = a + slope_a * step / 60, b + slope_b * step / 60
            row: list[Outcome] = [round(a + chance.gauss(0, 0.5), 3), round(b + chance.gauss(0, 0.5), 3)]
            events.append((at, "d", ("a", "b"), spoilt(row, chance, wild)))
    return events


@st.composite
def lives(draw: st.DrawFn, wild: bool = False) -> list[Event]:
    """A unit that ages, read once a day or in two halves."""
    chance = random.Random(draw(st.integers(0, 10**9)))
    halves = draw(st.sampled_from([[NAMES], [NAMES[:6], NAMES[6:]]]))
    events: list[Event] = []
    for day in range(draw(st.sampled_from([20, 80, 150]))):
        share = (day / 150) ** 3
        unit = {
            name: healthy + (share + chance.gauss(0, 0.05)) * (worn - healthy)
            for name, healthy, worn in zip(NAMES, HEALTHY, WORN, strict=True)
        }
        for half, names in enumerate(halves):
            row: list[Outcome] = [unit[name] for name in names]
            events.append((86400.0 * day + 64.0 * half + 8.0, "e", names, spoilt(row, chance, wild)))
    return events


def stories(wild: bool = False) -> st.SearchStrategy[list[Event]]:
    return st.one_of(walks(wild), walks(wild), lives(wild))


def batch(event: Event, shift: float = 0.0) -> Batch:
    at, device, names, row = event
    return Batch(device, at + shift, names, row)


def run(subject: Engine, events: list[Event], shift: float = 0.0) -> list[Change]:
    return [change for event in events for change in subject.feed(batch(event, shift))]


def bare(changes: Sequence[Change], shift: float = 0.0) -> list[Any]:
    """What the rule has to say; the evidence is the history's business."""
    return [(change.episode, change.phase, change.at - shift, change.says, change.because, change.forecast) for change in changes]


def test_the_stories_are_about_something():
    """The properties below would hold of nothing as well: here something of each is told."""
    ends: dict[str, set[str]] = {name: set() for name in RULES}

    @settings(max_examples=100, database=None, derandomize=True, deadline=None)
    @given(stories())
    def gather(events: list[Event]) -> None:
        for change in run(engine(RULES, *POINTS), events):
            ends[change.rule_id].add(change.how or change.phase.value)

    gather()
    assert {"opened", "eased", "came true", "averted"} <= ends["falls"] | ends["rises"]
    assert ends["rhythm"] >= {"opened", "came true"}
    assert ends["life"] >= {"opened"}


@settings(max_examples=40, deadline=None)
@given(stories(wild=True))
def test_whatever_is_read_nothing_raises_and_nothing_is_invented(events):
    """A forecast is made of finite, ordered numbers, its words are whole, and it can be saved as JSON."""
    subject = engine(RULES, *POINTS)
    for change in run(subject, events):
        assert "{" not in change.says
        assert change.because
        if change.forecast:
            _, in_s, earliest, latest, confidence = change.forecast
            assert 0 <= earliest <= in_s <= latest
            assert 0 <= confidence <= 1
    json.dumps(subject.state(), allow_nan=False)


@settings(max_examples=40, deadline=None)
@given(stories(wild=True), st.data())
def test_a_run_that_is_cut_by_restarts_tells_the_same(events, data):
    """Saved and restored through JSON at any readings, the moments and the forecasts in between are the same to the last bit."""
    whole = engine(RULES, *POINTS)
    cuts = set(data.draw(st.lists(st.integers(0, len(events) - 1), max_size=4)))
    subject = engine(RULES, *POINTS)
    for number, event in enumerate(events):
        if number in cuts:
            state = json.loads(json.dumps(subject.state()))
            subject = engine(RULES, *POINTS, now=event[0])
            assert not subject.restore(state)
            assert json.loads(json.dumps(subject.state()))["rules"] == state["rules"]
        assert bare(subject.feed(batch(event))) == bare(whole.feed(batch(event)))
        if number in cuts or number == len(events) - 1:
            assert subject.forecasts(event[0]) == whole.forecasts(event[0])


@settings(max_examples=40, deadline=None)
@given(stories(), st.sampled_from([-4096.0, 1048576.0]))
def test_shifting_all_times_shifts_what_is_told_and_nothing_else(events, shift):
    """Only differences of times mean anything."""
    moved = run(engine(RULES, *POINTS, now=shift), events, shift)
    assert bare(moved, shift) == bare(run(engine(RULES, *POINTS), events))


@settings(max_examples=40, deadline=None)
@given(stories(), st.sampled_from([-4096.0, 1048576.0]), st.data())
def test_a_timeline_that_begins_anew_at_a_restart_changes_nothing_else(events, shift, data):
    """After a reboot the hub's times start over; restored with the difference, forecasts go on."""
    cut = data.draw(st.integers(0, len(events)))
    before = engine(RULES, *POINTS)
    told = run(before, events[:cut])
    after = engine(RULES, *POINTS, now=events[cut - 1][0] + shift)
    after.restore(json.loads(json.dumps(before.state())), shift=shift)
    assert bare(told) + bare(run(after, events[cut:], shift), shift) == bare(run(engine(RULES, *POINTS), events))


@settings(max_examples=40, deadline=None)
@given(stories(), st.sampled_from([0.25, 1024.0]))
def test_scaling_a_unit_scales_limits_and_nothing_else(events, scale):
    """The same readings in another unit: the same is foretold, for the same time."""

    def to_unit(quantity: Quantity, unit: str, *, difference: bool = False) -> float:
        return quantity.value * scale

    rules = {name: keys for name, keys in RULES.items() if not keys.model}
    scaled = [(at, device, names, tuple(value * scale for value in row)) for at, device, names, row in events if device == "d"]
    told = run(engine(rules, *POINTS), [event for event in events if event[1] == "d"])
    other = run(Engine(rules, POINTS, to_unit, 0.0), scaled)
    assert [(change.at, change.phase, change.forecast and change.forecast[1:]) for change in other] == [
        (change.at, change.phase, change.forecast and change.forecast[1:]) for change in told
    ]


@settings(max_examples=40, deadline=None)
@given(stories(), st.data())
def test_duplicated_and_late_batches_change_nothing(events, data):
    """What comes again, or after its successor, is left aside."""
    clean, messy = engine(RULES, *POINTS), engine(RULES, *POINTS)
    told = []
    for number, event in enumerate(events):
        told += messy.feed(batch(event))
        if data.draw(st.booleans()) and number < 40:
            old = events[data.draw(st.integers(0, number))]
            assert not messy.feed(batch((old[0], old[1], old[2], tuple(1e9 for _ in old[3]))))
    assert bare(told) == bare(run(clean, events))


@settings(max_examples=40, deadline=None)
@given(stories(wild=True))
def test_to_be_asked_more_often_than_it_wishes_changes_nothing(events):
    """Sleeping between samples saves work and is no part of the verdict."""
    awake, asleep = engine(RULES, *POINTS), engine(RULES, *POINTS)
    for event in events:
        for watch in awake._watches:
            watch.low, watch.high = NOTHING
        for column in awake._columns.values():
            column.wake()
        assert bare(awake.feed(batch(event))) == bare(asleep.feed(batch(event)))


@settings(max_examples=40, deadline=None)
@given(stories())
def test_an_episode_has_one_opening_few_revisions_and_one_end(events):
    """Nothing is told after the end, and a date is not told anew whenever it moves."""
    episodes: dict[str, list[str]] = {}
    for change in run(engine(RULES, *POINTS), events):
        episodes.setdefault(change.episode, []).append(change.phase.value)
    for phases in episodes.values():
        assert phases[0] == "opened"
        assert not {"opened", "closed", "withdrawn"} & set(phases[1:-1])
        assert len(phases) <= 8
