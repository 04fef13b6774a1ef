"""What must hold of the engine whatever it is fed: all kinds of rules on all kinds of readings."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rules_of import engine, point, rule

from drivers.contract import Batch, NoValue, Outcome
from gateway.diagnosis.contract import Change, Quantity, RuleKeys
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.watch import NOTHING

RULES: dict[str, RuleKeys] = {
    "high": rule("threshold", "*/?", above=5, clear=3, worse=8),
    "high-for": rule("threshold", "*/a", above=5, lasting=4.0, clear_lasting=3.0),
    "outside": rule("threshold", "d/*", above=6, below=-1, lasting=2.0),
    "silent": rule("silent", "d/*", after=6.0),
    "silent-b": rule("silent", "*/b", after=3.0),
    "stuck": rule("stuck", "*/*", lasting=5.0),
    "nearly-stuck": rule("stuck", "*/a", lasting=8.0, tolerance=1),
    "jump": rule("rate", "*/?", rises=4, falls=6, within=4.0),
    "slide": rule("rate", "*/a", falls=2.5, within=16.0, lasting=2.0),
    "both": rule("when", "d", condition="a > 5 and not b > 3"),
    "either-for": rule("when", "?", condition="a > 5 for 3 s or e/b - b > 4", lasting=2.0, clear_lasting=1.0),
    "mean": rule("when", "d", condition="avg(a, 8 s) > 4 or changed(e/t, 4 s) and state == 'well'"),
    "odd-one": rule("compare", "*/?", least=Quantity(3.0, ""), within=4.0, siblings=2, lasting=2.0, clear_lasting=2.0),
}
POINTS = [point("d/a"), point("d/b"), point("d/state", type="text"), point("e/a"), point("e/b"), point("e/t", type="text")]
SHAPES = [("d", ("a", "b")), ("d", ("a",)), ("d", ("state",)), ("e", ("a", "b", "t")), ("e", ("b",))]

number = st.one_of(st.integers(-4, 12), st.integers(-16, 48).map(lambda value: value / 4), st.booleans())
odd: st.SearchStrategy[Outcome] = st.sampled_from(
    [NoValue("sensor open"), NoValue("void"), float("nan"), float("inf"), float("-inf"), "text", 10**400]
)
state = st.sampled_from(["well", "mute", "parked", "late"])
tick = st.builds(lambda dt: (dt, None), st.integers(0, 40).map(lambda eighths: eighths / 8))


@st.composite
def reading(draw: st.DrawFn, values: st.SearchStrategy[Outcome]) -> tuple[float, tuple[str, tuple[str, ...], tuple[Outcome, ...]]]:
    device, points = draw(st.sampled_from(SHAPES))
    named = {"state": state, "t": st.sampled_from(["open", "shut"])}
    row = tuple(draw(named.get(name, values)) for name in points)
    return draw(st.sampled_from([1.0, 1.0, 1.0, 0.5, 0.125, 2.0, 7.0])), (device, points, row)


plain = st.lists(st.one_of(reading(number), tick), max_size=60)
wild = st.lists(st.one_of(reading(number), reading(st.one_of(number, odd)), tick), max_size=60)
Events = list[tuple[float, Any]]


def run(subject: Engine, events: Events, start: float = 0.0) -> list[Change]:
    told: list[Change] = []
    at = start
    for dt, said in events:
        at += dt
        told += step(subject, at, said)
    return told


def step(subject: Engine, at: float, said: Any) -> list[Change]:
    """What one batch, or a tick, brings: by episode, since it does not matter which point of a batch wakes a rule over several.

    So what is said to be wrong beside it is left out: it is what has been seen by then, and the order in a batch is no promise.
    """
    changes = subject.tick(at) if said is None else subject.feed(Batch(said[0], at, *said[1:]))
    return sorted((replace(change, fault=None) for change in changes), key=lambda change: (change.at, change.episode))


def sleepless(subject: Engine) -> None:
    """Wake every rule, whether it concerns it or not."""
    for watch in subject._watches:
        watch.low, watch.high = NOTHING
    for column in subject._columns.values():
        column.wake()


@given(wild)
def test_nothing_that_is_read_raises(events: Events) -> None:
    """Whatever devices say, the engine takes it, and what it tells is text, numbers and known words."""
    for change in run(engine(RULES, *POINTS), events):
        assert change.says
        assert change.because
        assert "{" not in change.says
        assert change.at >= change.since
        assert change.evidence is None or len(change.evidence.values) <= 60
        msgspec.json.encode(change.evidence)


@given(wild)
def test_rules_that_sleep_tell_what_rules_that_never_sleep_tell(events: Events) -> None:
    """Quiet bands and deadlines save work and change nothing."""
    awake, asleep = engine(RULES, *POINTS), engine(RULES, *POINTS)
    at = 0.0
    for dt, said in events:
        at += dt
        sleepless(awake)
        assert step(awake, at, said) == step(asleep, at, said)


@given(wild, st.integers(0, 60))
def test_a_run_that_is_cut_by_a_restart_tells_the_same(events: Events, cut: int) -> None:
    """Saved after any reading and restored into a new engine, through JSON, nothing is told twice, forgotten or changed."""
    whole = run(engine(RULES, *POINTS), events)
    before = engine(RULES, *POINTS)
    told = run(before, events[:cut])
    at = sum(dt for dt, _ in events[:cut])
    after = engine(RULES, *POINTS, now=at)
    assert not after.restore(json.loads(json.dumps(before.state())))
    assert told + run(after, events[cut:], at) == whole


@given(wild, st.integers(0, 60))
def test_without_its_history_a_restart_still_tells_the_same_of_all_but_rates(events: Events, cut: int) -> None:
    """The small state is enough for every rule that does not look back on a time."""

    def bare(changes: list[Change]) -> list[Change]:
        return [msgspec.structs.replace(change, evidence=None) for change in changes]

    rules = {name: keys for name, keys in RULES.items() if keys.kind != "rate"}
    before = engine(rules, *POINTS)
    told = run(before, events[:cut])
    at = sum(dt for dt, _ in events[:cut])
    after = engine(rules, *POINTS, now=at)
    after.restore(json.loads(json.dumps(before.state(history=False))))
    assert bare(told + run(after, events[cut:], at)) == bare(run(engine(rules, *POINTS), events))


@given(wild, st.sampled_from([-4096.0, 0.125, 1000.0, 1048576.0]))
def test_shifting_all_times_shifts_what_is_told_and_nothing_else(events: Events, shift: float) -> None:
    """Only differences of times mean anything."""
    told = run(engine(RULES, *POINTS), events)
    moved = [
        msgspec.structs.replace(
            change,
            at=change.at - shift,
            since=change.since - shift,
            evidence=change.evidence and change.evidence._replace(from_at=change.evidence.from_at - shift),
        )
        for change in run(engine(RULES, *POINTS, now=shift), events, shift)
    ]
    assert moved == told


@given(wild, st.integers(0, 60), st.sampled_from([-512.0, 4096.0]))
def test_a_timeline_that_begins_anew_at_a_restart_changes_nothing_else(events: Events, cut: int, shift: float) -> None:
    """After a reboot the hub's times start over; restored with the difference, durations go on."""
    before = engine(RULES, *POINTS)
    run(before, events[:cut])
    at = sum(dt for dt, _ in events[:cut])
    same, moved = engine(RULES, *POINTS, now=at), engine(RULES, *POINTS, now=at + shift)
    same.restore(before.state())
    moved.restore(before.state(), shift=shift)
    told = [(change.episode, change.phase, change.at + shift, change.says) for change in run(same, events[cut:], at)]
    assert told == [(change.episode, change.phase, change.at, change.says) for change in run(moved, events[cut:], at + shift)]


@given(plain, st.sampled_from([1, 2, 4]))
def test_it_does_not_matter_how_often_time_is_told(events: Events, ticks: int) -> None:
    """Deadlines are dealt with in their order and at their time, even if they are only noticed at the next reading."""
    readings = [(dt, said) for dt, said in events if said is not None and dt > 0.125]
    often: Events = [step for dt, said in readings for step in (*[((dt - 0.125) / ticks, None)] * ticks, (0.125, said))]
    end: Events = [(100.0, None)]
    assert run(engine(RULES, *POINTS), readings + end) == run(engine(RULES, *POINTS), often + end)


@given(wild, st.data())
def test_duplicated_and_late_batches_change_nothing(events: Events, data: st.DataObject) -> None:
    """What comes again, or after its successor, is left aside."""
    clean, messy = engine(RULES, *POINTS), engine(RULES, *POINTS)
    told: list[Change] = []
    kept: list[Batch] = []
    at = 0.0
    for dt, said in events:
        at += dt
        if said is None:
            told += step(messy, at, None)
            continue
        batch = Batch(said[0], at, *said[1:])
        told += step(messy, at, said)
        kept.append(batch)
        old = data.draw(st.sampled_from(kept))
        newer = any(each.points == old.points and each.device == old.device and each.at > old.at for each in kept)
        if newer or old is batch:
            assert not messy.feed(old)
    assert told == run(clean, events)


@given(plain, st.sampled_from([0.25, 4.0, 1024.0]))
def test_scaling_a_unit_scales_limits_and_nothing_else(events: Events, scale: float) -> None:
    """A point in another unit, its readings scaled and the rules left as written: the same is told at the same times."""

    def to_unit(quantity: Quantity, unit: str, *, difference: bool = False) -> float:
        return quantity.value * (scale if unit == "other" else 1.0)

    def scaled(said: Any) -> Any:
        values = (value if isinstance(value, str) else value * scale for value in said[2])
        return said[0], said[1], tuple(values)

    there = [each._replace(unit="other") for each in POINTS]
    told = run(Engine(RULES, POINTS, to_unit, 0.0), events)
    other = run(Engine(RULES, there, to_unit, 0.0), [(dt, said and scaled(said)) for dt, said in events])
    assert [(change.at, change.episode, change.phase) for change in other] == [
        (change.at, change.episode, change.phase) for change in told
    ]


@given(wild)
def test_an_episode_is_opened_before_it_closes_and_has_its_own_name(events: Events) -> None:
    """opened, perhaps worsened, closed; never twice, and no name is used again."""
    subject = engine(RULES, *POINTS)
    stories: dict[str, list[str]] = {}
    for change in run(subject, events):
        stories.setdefault(change.episode, []).append(change.phase.value)
    for phases in stories.values():
        assert phases in (["opened"], ["opened", "worsened"], ["opened", "closed"], ["opened", "worsened", "closed"])
    standing = {episode for episode, phases in stories.items() if phases[-1] != "closed"}
    assert {each.episode for each in subject.open_episodes()} == standing


@given(wild)
def test_no_value_neither_opens_nor_closes(events: Events) -> None:
    """A reading without a value is the business of `silent`; and of a condition that its other points decide."""
    rules = {name: keys for name, keys in RULES.items() if keys.kind not in {"silent", "when"}}
    subject = engine(rules, *POINTS)
    at = 0.0
    for dt, said in events:
        at += dt
        if said is None:
            subject.tick(at)
            continue
        told = subject.feed(Batch(said[0], at, *said[1:]))
        void = {name for name, value in zip(said[1], said[2], strict=True) if isinstance(value, NoValue) or str(value) == "nan"}
        assert not {change.point.name for change in told} & void
