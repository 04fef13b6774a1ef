"""stuck: what it tells, and that it keeps to its claim on any readings."""

from hypothesis import given
from hypothesis import strategies as st
from rules_of import Story, engine, every, point, rule

from drivers.contract import Batch, NoValue, Outcome
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import Quantity

LASTING = 16.0
Readings = list[tuple[float, Outcome]]

levels = st.sampled_from([4.0, 4.0, 4.0, 4.25, 5.0, 9.0, True, NoValue("void")])
runs = st.lists(st.tuples(levels, st.integers(1, 50)), max_size=8).map(
    lambda runs: [value for value, length in runs for _ in range(length)]
)


def still(readings: Readings, tolerance: float) -> bool:
    """Whether all values lie within the tolerance of the first."""
    values = [float(value) for _, value in readings if not isinstance(value, NoValue)]  # type: ignore[arg-type]
    return all(abs(value - values[0]) <= tolerance for value in values)


@given(runs, st.sampled_from([0.0, 0.25]))
def test_what_is_told_as_stuck_has_not_moved(values: list[Outcome], tolerance: float) -> None:
    """From the time that is told on, and for at least as long as the rule waits, every reading was where the first was."""
    readings = every(1, values)
    story = Story(rule("stuck", lasting=LASTING, tolerance=tolerance)).read(readings)
    for change in story.told:
        if change.phase.value == "opened":
            run = [(at, value) for at, value in readings if change.since <= at <= change.at]
            assert still(run, tolerance)
            assert change.at - change.since >= LASTING
        else:
            (moved,) = [value for at, value in readings if at == change.at]
            assert not still([(0, moved), *((at, value) for at, value in readings if change.since <= at < change.at)], tolerance)


@given(runs, st.sampled_from([0.0, 0.25]))
def test_what_has_not_moved_is_told_within_a_quarter_more(values: list[Outcome], tolerance: float) -> None:
    """After 1 1/4 times what the rule waits, and two readings, an episode is open."""
    readings = every(1, values)
    story = Story(rule("stuck", lasting=LASTING, tolerance=tolerance))
    for index, (at, value) in enumerate(readings):
        story.read([(at, value)])
        run = readings[max(0, index - round(1.25 * LASTING) - 2) : index + 1]
        if len(run) > 1.25 * LASTING + 2 and still(run, tolerance / 2) and not any(isinstance(value, NoValue) for _, value in run):
            assert story.engine.open_episodes()


def test_a_frozen_sensor_is_told_in_plain_words() -> None:
    """What it is stuck at, since when, and when it moves again."""
    keys = {"lasting": 3600.0, "tolerance": Quantity(0.05, "°C")}
    story = Story(rule("stuck", **keys), unit="°C").read(every(60, [20.1, 20.3, *[20.5, 20.54] * 40, 20.7]))
    assert [(change.phase.value, change.says) for change in story.told] == [
        ("opened", "d x has not moved from 20.5 °C for 1 h."),
        ("closed", "d x moves again after 1 h 6 min: 20.7 °C."),
    ]
    assert story.told[0].because == "all readings were within 0.05 °C of 20.5 °C for 1 h; the rule waits 1 h"


def test_a_tolerance_is_a_difference_in_any_unit() -> None:
    """0.9 °F are half a degree Celsius, not minus seventeen."""
    story = Story(rule("stuck", lasting=10.0, tolerance=Quantity(0.9, "°F")), unit="°C").read(every(1, [20, 20.4] * 12))
    assert story.told[0].because.startswith("all readings were within 0.5 °C of 20")


def test_a_point_that_is_not_read_is_not_stuck() -> None:
    """Two readings apart by the time are needed; silence is another rule's business."""
    story = Story(rule("stuck", lasting=10.0)).read([(1, 5)]).wait(100)
    assert story.phases() == []
    assert story.read([(101, 5)]).phases() == [(101, "opened")]


def test_a_text_can_be_stuck_too() -> None:
    """A mode that should change, and does not."""
    subject = engine({"r": rule("stuck", lasting=10.0)}, point("d/mode", type="text"))
    told = [change for at in range(1, 30) for change in subject.feed(Batch("d", at, ("mode",), ("heat" if at < 25 else "cool",)))]
    assert [(change.at, change.phase.value, change.value) for change in told] == [(11, "opened", "heat"), (25, "closed", "cool")]


def test_the_state_of_a_device_is_never_stuck() -> None:
    """It is meant to be "well" for ever."""
    assert load_kind("stuck").fits(point("d/state", type="text"))
    subject = engine({"r": rule("stuck", "d/*", lasting=10.0)}, point("d/state", type="text"))
    assert not [*subject.feed(Batch("d", 1, ("state",), ("well",))), *subject.feed(Batch("d", 100, ("state",), ("well",)))]


def test_a_point_that_moves_at_every_reading_is_looked_at_a_few_times_only() -> None:
    """Some eight looks in the time that the rule waits, however many readings there are."""
    story = Story(rule("stuck", lasting=3600.0))
    (watch,) = story.engine._watches
    looks = []
    judge = watch.look
    type(watch).look = lambda self, *args: looks.append(args) or judge(*args)  # type: ignore[func-returns-value]
    try:
        story.read(every(1, [float(number) for number in range(7200)]))
    finally:
        del type(watch).look
        type(watch).look = judge.__func__  # type: ignore[attr-defined]
    assert len(looks) < 20
