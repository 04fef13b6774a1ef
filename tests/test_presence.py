"""presence: what left, what stayed, and what came back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promises_of import HOSTILE, engine, happenings, keeps, run
from rules_of import point, rule

from drivers.contract import KeyMistake, Outcome
from gateway.config.units import convert
from gateway.diagnosis.contract import Change, Quantity
from gateway.diagnosis.engine import Engine

HOUR, DAY = 3600.0, 86400.0
NIGHT = ("18:00..07:00",)


def told(rule_keys: dict[str, Any], readings: list[tuple[float, dict[str, Outcome] | None]]) -> list[Change]:
    points = [point("d/state", type="text"), point("d/rssi", "dBm"), point("d/room", type="text")]
    subject = engine({"r": rule("presence", **rule_keys)}, points)
    at, events = 0.0, []
    for when, values in readings:
        events.append((when - at, "d", values))
        at = when
    return run(subject, events)  # type: ignore[arg-type]


def steps(changes: list[Change]) -> list[tuple[float, str, str]]:
    return [(change.at, change.phase.value, change.says) for change in changes]


def heard(*spans: tuple[float, float], every: float = 30.0) -> list[tuple[float, dict[str, Outcome] | None]]:
    return [(start + every * tick, {"rssi": -60}) for start, end in spans for tick in range(int((end - start) / every))]


def test_a_tag_that_left_and_came_back_is_told_both_ways() -> None:
    """Away is what has not been heard for so long, since it was last heard."""
    assert steps(told({"on": "d/rssi"}, heard((30, 3600), (9000, 9600)))) == [
        (4170, "opened", "d has been away for 10 min."),
        (9000, "closed", "d is back after 1 h 30 min."),
    ]


def test_a_tool_left_behind_after_hours_is_told_and_closed_when_it_goes() -> None:
    """From 18:00 on it should be away; it may take ten minutes."""
    changes = told({"on": "d/rssi", "expect": "away", "hours": NIGHT}, [*heard((8 * HOUR, 20 * HOUR)), (21 * HOUR, None)])
    assert steps(changes) == [
        (18 * HOUR + 600, "opened", "d is still here, for 10 min now."),
        (20 * HOUR - 30 + 600, "closed", "d has left after 2 h 10 min."),
    ]
    assert changes[0].since == 18 * HOUR
    assert changes[0].because == "it should be away within 18:00..07:00; the rule waits 10 min"


def test_in_the_morning_it_may_be_here_again() -> None:
    """The episode ends with the hours, and says so."""
    changes = told({"on": "d/rssi", "expect": "away", "hours": NIGHT}, heard((8 * HOUR, DAY + 8 * HOUR)))
    assert [(change.at, change.phase.value) for change in changes] == [(18 * HOUR + 600, "opened"), (DAY + 7 * HOUR, "closed")]
    assert changes[1].because == "it matters only within 18:00..07:00, and that is over"


def test_a_clock_that_is_put_forward_ends_the_hours_earlier() -> None:
    """At two it is three: seven in the morning comes an hour sooner."""
    keys = {"r": rule("presence", "d/state", expect="away", hours=NIGHT)}
    subject = Engine(keys, [point("d/state", type="text")], convert, 0.0, lambda at: at if at < 2 * HOUR else at + HOUR)
    told = run(subject, [(300.0, "d", {"state": "well"}), *[(HOUR, "d", None)] * 8])
    assert [(change.phase.value, change.at <= 6 * HOUR + 600) for change in told] == [("opened", True), ("closed", True)]


def test_days_of_the_week_count() -> None:
    """Monday to Friday only; the timeline begins on a Monday."""
    changes = told({"on": "d/rssi", "expect": "away", "hours": ("Sat-Sun 00:00..24:00",)}, heard((4 * DAY, 6 * DAY)))
    assert [change.at for change in changes] == [5 * DAY + 600]


def test_the_state_of_a_device_is_believed_until_it_changes() -> None:
    """It is told once, so a deadline decides."""
    readings: list[tuple[float, dict[str, Outcome] | None]] = [
        (10, {"state": "well"}), (100, {"state": "mute"}), (5000, None), (6000, {"state": "parked"}), (7000, {"state": "late"}),
    ]  # fmt: skip
    assert steps(told({"on": "d/state"}, readings)) == [
        (700, "opened", "d has been away for 10 min."),
        (7000, "closed", "d is back after 1 h 55 min."),
    ]


def test_what_was_never_heard_is_away() -> None:
    """Since the hub looks."""
    assert [change.at for change in told({"on": "d/rssi", "after": 60.0}, [(500, None)])] == [60]


def test_a_weak_signal_is_far_away() -> None:
    """Heard, but not near enough."""
    near: list[tuple[float, dict[str, Outcome] | None]] = [
        (10.0 * tick, {"rssi": -70 if tick < 20 else -90}) for tick in range(1, 150)
    ]
    changes = told({"on": "d/rssi", "above": Quantity(-80, "dBm")}, [*near, (1500, {"rssi": -75})])
    assert [(change.at, change.phase.value) for change in changes] == [(800, "opened"), (1500, "closed")]


def test_a_text_may_say_where_it_is() -> None:
    """By its own words."""
    readings: list[tuple[float, dict[str, Outcome] | None]] = [(10, {"room": "hall"}), (20, {"room": "yard"}), (700, None)]
    assert [change.at for change in told({"on": "d/room", "is_": ("hall", "shop")}, readings)] == [620]


def test_it_may_be_only_worth_knowing() -> None:
    """`tell` makes an insight of it."""
    assert [change.kind for change in told({"on": "d/rssi", "tell": "insight"}, [(700, None)])] == ["insight"]
    assert [change.kind for change in told({"on": "d/rssi"}, [(700, None)])] == ["problem"]


@pytest.mark.parametrize(
    ("keys", "key"),
    [({"lasting": 5.0}, "lasting"), ({"hours": ("07:00..07:00",)}, "hours"), ({"is_": ("a",), "above": Quantity(5, "")}, "is")],
)
def test_keys_that_make_no_sense_are_told(keys: dict[str, object], key: str) -> None:
    """Each mistake names its key."""
    with pytest.raises(KeyMistake) as caught:
        rule("presence", **keys)
    assert caught.value.key == key


HOURS = ("00:00..00:01", "00:02..00:03")
RULES = {
    "left": rule("presence", "d/x", after=10.0),
    "stayed": rule("presence", "d/x", expect="away", after=5.0, hours=HOURS),
    "near": rule("presence", "d/x", after=8.0, above=Quantity(3, ""), hours=HOURS),
    "far": rule("presence", "d/x", after=8.0, above=Quantity(3, ""), expect="away", tell="insight"),
    "state": rule("presence", "d/state", after=12.0),
    "state away": rule("presence", "d/state", expect="away", after=6.0, hours=HOURS),
    "text": rule("presence", "d/t", is_=("hall",), after=6.0),
}
POINTS = ["d/x", point("d/t", type="text"), point("d/state", type="text")]
values = st.one_of(st.integers(0, 6), st.sampled_from(HOSTILE))
rows = st.one_of(
    st.fixed_dictionaries({"x": values, "t": st.sampled_from(["hall", "yard", HOSTILE[0]])}),
    st.fixed_dictionaries({"state": st.sampled_from(["well", "mute", "late"])}),
)
events = happenings(rows)


@given(events, st.integers(0, 60))
def test_it_keeps_the_promises_of_every_kind(events: list, cut: int) -> None:
    """Sleeping, restarts, shifted times and hostile readings change nothing."""
    keeps(RULES, POINTS, events, cut)
