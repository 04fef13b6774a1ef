"""silent: what it tells, and that it tells it when a slow and obvious reading of its claim does."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_of import Story, batch, engine, point, rule

from drivers.contract import Batch, KeyMistake, NoValue, Outcome
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.watch import NEVER

VOID = NoValue("sensor open")
AFTER = 10.0


def expected(readings: list[tuple[float, Outcome]], after: float, until: float) -> list[tuple[float, str]]:
    """The claim, word by word: every pause between two values that is longer than `after`."""
    heard = [0.0, *(at for at, value in readings if not isinstance(value, NoValue))]
    told = []
    for last, following in zip(heard, [*heard[1:], float("inf")], strict=True):
        if last + after < following and last + after <= until:
            told.append((last + after, "opened"))
            if following <= until:
                told.append((following, "closed"))
    return told


steps = st.lists(
    st.tuples(st.sampled_from([0.5, 1.0, 4.0, 10.0, 10.5, 30.0]), st.sampled_from([VOID, 1, 1.5, "on", True])), max_size=40
)


@given(steps, st.booleans())
def test_it_tells_what_its_claim_says(steps: list[tuple[float, Outcome]], ticking: bool) -> None:
    """Opened `after` after the last value, closed by the next, whoever reminds the engine of the time."""
    at, readings = 0.0, []
    story = Story(rule("silent", after=AFTER))
    for dt, value in steps:
        at += dt
        readings.append((at, value))
        if ticking:
            story.wait(at - 0.25)
        story.read([(at, value)])
    story.wait(at + 100)
    assert story.phases() == expected(readings, AFTER, at + 100)


def test_a_cut_cable_is_told_in_plain_words() -> None:
    """How long, and why if the device says so."""
    story = (
        Story(rule("silent", after=600.0), unit="°C").read([(60, -18.0), (120, VOID), (600, VOID)]).wait(700).read([(900, -18.2)])
    )
    assert [(change.at, change.since, change.says) for change in story.told] == [
        (660, 60, "d x has had no value for 10 min."),
        (900, 60, "d x is back after 14 min: -18.2 °C."),
    ]
    assert story.told[0].because == "no value came for 10 min (sensor open); the rule waits 10 min"
    assert story.told[0].value == VOID


def test_a_point_that_was_never_heard_is_silent_since_the_hub_started() -> None:
    """A device that is dead from the first day is found on the first day."""
    assert Story(rule("silent", after=10.0), now=1000.0).wait(5000).phases() == [(1010, "opened")]


def whole_device() -> Engine:
    return engine({"r": rule("silent", "d/*", after=10.0)}, "d/a", "d/b", point("d/state", type="text"))


def test_a_device_that_falls_silent_as_a_whole_is_told_once() -> None:
    """Not for each of its points; and it is heard again as a whole."""
    subject = whole_device()
    told = [*subject.feed(batch(5, a=1, b=2)), *subject.tick(100), *subject.feed(batch(101, a=1, b=2)), *subject.tick(104)]
    assert [(change.point.id, change.at, change.phase.value) for change in told] == [
        ("d/state", 15, "opened"),
        ("d/state", 101.25, "closed"),
    ]
    assert told[0].says == "d has been silent for 10 s."


def test_the_state_that_the_poller_tells_closes_at_once() -> None:
    """No need to look now and then where somebody says it."""
    subject = whole_device()
    told = [*subject.feed(batch(5, a=1, b=2)), *subject.feed(batch(8, state="mute")), *subject.tick(100)]
    told += [*subject.feed(batch(101, a=1, b=2)), *subject.feed(batch(101.125, state="well"))]
    assert [(change.at, change.phase.value, change.says) for change in told] == [
        (15, "opened", "d has been silent for 10 s."),
        (101.125, "closed", "d is heard again after 1 min 36 s."),
    ]


def test_one_point_that_falls_silent_in_a_device_that_speaks_is_told_by_itself() -> None:
    """The device is well; its sensor is not."""
    subject = whole_device()
    told = [change for second in range(1, 40) for change in subject.feed(batch(second, a=1, b=2 if second < 5 else VOID))]
    assert [(change.point.id, change.at, change.phase.value) for change in told] == [("d/b", 14, "opened")]


def test_without_the_state_among_its_points_each_point_speaks_for_itself() -> None:
    """A rule for one point is about that point."""
    subject = engine({"r": rule("silent", "d/a", after=10.0)}, "d/a", "d/b", point("d/state", type="text"))
    told = [*subject.feed(batch(5, a=1, b=2)), *subject.tick(100)]
    assert [(change.point.id, change.at) for change in told] == [("d/a", 15)]


def test_a_point_that_comes_in_two_shapes_was_heard_in_either() -> None:
    """An advert that brings it alone counts as much as a poll that brings it among others."""
    subject = engine({"r": rule("silent", "d/a", after=10.0)}, "d/a", "d/b")
    told = [change for each in (batch(1, a=1, b=1), batch(5, a=1), batch(6, a=VOID, b=1)) for change in subject.feed(each)]
    assert [(change.at, change.since) for change in (*told, *subject.tick(100))] == [(15, 5)]


def test_a_batch_a_little_older_than_the_deadline_ends_the_silence_but_not_before_it_was_told() -> None:
    """Batches of other buses may be under way while a deadline is dealt with."""
    story = Story(rule("silent", after=10.0)).read([(5, 1)]).wait(15).read([(14.9, 1)])
    assert story.phases() == [(15, "opened"), (15, "closed")]


def test_a_bus_is_silent_while_it_is_down() -> None:
    """A bus has no points but its state."""
    subject = engine({"r": rule("silent", "bus.*/*", after=10.0)}, point("bus.plant/state", type="text"))
    told = []
    for at, state in ((1.0, "well"), (50.0, "down"), (55.0, "well"), (60.0, "down"), (80.0, "well")):
        told += [*subject.tick(at - 0.1), *subject.feed(Batch("bus.plant", at, ("state",), (state,)))]
    assert [(change.at, change.since, change.phase.value) for change in told] == [(70, 60, "opened"), (80, 60, "closed")]


def bus(after: float = 10.0, **keys: float) -> Engine:
    return engine({"r": rule("silent", "bus.*/*", after=after, **keys)}, point("bus.plant/state", type="text"))


def state(at: float, told: str) -> Batch:
    return Batch("bus.plant", at, ("state",), (told,))


def test_a_bus_that_says_nothing_new_wakes_nobody() -> None:
    """The hub sleeps for as long as nothing can happen, be the bus well or down: there is a deadline only until it is told."""
    subject = bus()
    deadlines = [subject.next_due]
    for at, says in ((1.0, "well"), (50.0, "down"), (55.0, "well"), (100.0, "down"), (100.5, "mute")):
        subject.tick(at)
        subject.feed(state(at, says))
        deadlines.append(subject.next_due)
    assert [change.at for change in subject.tick(1e6)] == [110.0]
    assert deadlines == [NEVER, NEVER, 60.0, 60.0, 110.0, 110.0]
    assert subject.next_due == NEVER
    assert [change.at for change in subject.feed(state(2e6, "well"))] == [2e6]
    assert subject.next_due == NEVER


@given(
    st.lists(
        st.tuples(st.sampled_from([1.0, 5.0, 10.0, 10.5, 30.0]), st.sampled_from(["well", "late", "down", "mute"])), max_size=20
    ),
    st.sampled_from([0.0, 7.0]),
    st.integers(0, 20),
)
def test_a_bus_is_told_as_its_states_say_whenever_the_hub_is_restarted(
    steps: list[tuple[float, str]], clear_lasting: float, restart: int
) -> None:
    """What is saved goes through JSON, which knows no infinity."""
    told = []
    for cut in (restart, None):
        subject, at = bus(clear_lasting=clear_lasting), 0.0
        told.append(changes := [])
        for number, (dt, says) in enumerate(steps):
            at += dt
            changes += [*subject.tick(at - 0.5), *subject.feed(state(at, says))]
            if number == cut:
                saved = msgspec.json.decode(msgspec.json.encode(subject.state()))
                subject = bus(clear_lasting=clear_lasting)
                subject.restore(saved)
        changes += subject.tick(at + 100.0)
    assert [(change.at, change.phase) for change in told[0]] == [(change.at, change.phase) for change in told[1]]
    downs = [at for at, phase in ((change.at, change.phase.value) for change in told[1]) if phase == "opened"]
    if clear_lasting == 0.0:
        assert downs == expected_of_a_bus(steps)


def expected_of_a_bus(steps: list[tuple[float, str]]) -> list[float]:
    """Ten seconds after each time that it went away, unless it was back before."""
    at, since, opened = 0.0, None, []
    for dt, says in [*steps, (100.0, "end")]:
        if since is not None and since + 10.0 <= at + dt:
            opened.append(since + 10.0)
            since = float("inf")  # told
        at += dt
        away = says in ("down", "mute")
        since = (at if since is None else since) if away else None
    return opened


def test_a_device_that_is_mute_holds_what_was_thought_of_its_points() -> None:
    """While nobody answers nothing is known: an open episode stays, and a pending one does not become sure."""
    subject = engine(
        {"hot": rule("threshold", "d/a", above=5), "long": rule("threshold", "d/b", above=5, lasting=10.0)}, "d/a", "d/b"
    )
    told = [*subject.feed(batch(1, a=6, b=6)), *subject.feed(batch(3, state="mute"))]
    assert [each.held for each in subject.open_episodes()] == ["mute"]
    told += [*subject.feed(batch(33, a=6, b=6)), *subject.feed(batch(40, a=6, b=6)), *subject.feed(batch(41, a=4, b=6))]
    assert [(change.rule_id, change.at, change.phase.value) for change in told] == [
        ("hot", 1, "opened"),
        ("hot", 41, "closed"),
        ("long", 41, "opened"),
    ]


def test_the_time_that_the_hub_was_off_is_no_silence() -> None:
    """After a night without power nothing is told that is not so."""
    before = engine({"r": rule("silent", after=10.0)}, "d/x")
    before.feed(batch(5, x=1))
    after = engine({"r": rule("silent", after=10.0)}, "d/x", now=1000.0)
    after.restore(before.state(), off=995.0)
    assert [change.at for change in after.tick(2000)] == [1010]


@given(st.floats(0.5, 60.0), st.floats(0.5, 300.0), st.sampled_from(["d", "bus.b"]))
def test_what_is_silent_is_not_taken_to_be_heard_again_because_the_hub_was_off(told: float, off: float, device: str) -> None:
    """However long the silence had lasted, and however long the hub was off."""
    rules, points = {"r": rule("silent", f"{device}/*", after=10.0)}, ("d/x", "d/state", "bus.b/state")
    before = engine(rules, *points)
    before.feed(batch(1, x=1))
    before.feed(Batch(device, 2, ("state",), ("mute" if device == "d" else "down",)))
    assert [change.phase.value for change in before.tick(12 + told)] == ["opened"]
    saved = msgspec.json.decode(msgspec.json.encode(before.state(history=False, calm=False)))
    after = engine(rules, *points, now=12 + told + off)
    after.restore(saved, off=off)
    assert list(after.tick(12 + told + off + 1000)) == []
    assert len(after.open_episodes()) == 1


def test_lasting_is_refused() -> None:
    """Two times for one thing would be a riddle."""
    with pytest.raises(KeyMistake, match="after"):
        rule("silent", lasting=5.0)
