"""Time that jumps moves no duration; moments made before the clock was trusted say so, and are corrected."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import Batch
from gateway import clock as clock_module
from gateway import moments
from gateway.clock import SystemClock, VirtualClock, week_time
from gateway.config.units import convert
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import Evidence, PointInfo, Quantity
from gateway.diagnosis.engine import Engine

from moments_of import change

GHENT = ZoneInfo("Europe/Brussels")


def made(clock, at):
    """A moment of a time of the hub's timeline, on the wire."""
    trusted = clock.synced()
    moment = moments.compose(
        change(at=at, since=at - 600, evidence=Evidence("°C", at - 3600, 60.0, (1.0, 2.0), 60)),
        hub_id="hub-1",
        hub=moments.Hub(clock="synced", version="0")
        if trusted
        else moments.Hub(clock="unsynced", version="0", timeline=clock.timeline),
        case="hub-1-0000",
        owner=moments.Owner(id="desk", because="nobody covers it"),
        desk=moments.Desk(),
        device=None,
        utc=clock.utc,
    )
    return moments.to_wire(moments.numbered(moment, "GEN", 1))


@given(st.integers(-(10**9), 10**9), st.integers(0, 10**6))
def test_a_moment_of_an_untrusted_clock_says_so_and_is_put_right_before_it_leaves(error, wait):
    clock = VirtualClock(datetime(2026, 6, 1, tzinfo=UTC) + timedelta(seconds=error))
    clock.trusted = False
    clock.advance(4000.0)
    wire = made(clock, 3990.0)
    before = moments.from_wire(wire)
    assert before.data.hub.clock == "unsynced"
    clock.advance(wait)
    assert moments.restamped(wire, clock) == wire
    clock.leap(-error)
    clock.trusted = True
    after = moments.from_wire(moments.restamped(wire, clock))
    assert after.data.hub.clock == "corrected"
    assert after.time == datetime(2026, 6, 1, tzinfo=UTC) + timedelta(seconds=3990)
    assert after.time - after.data.since == before.time - before.data.since
    assert after.time - after.data.evidence.from_ == before.time - before.data.evidence.from_
    assert (after.id, after.data.seq) == (before.id, before.data.seq)


def test_a_moment_of_a_trusted_clock_stays_as_it_is_to_the_letter():
    clock = VirtualClock()
    wire = made(clock, 100.0)
    clock.leap(86400.0)
    assert moments.restamped(wire, clock) == wire


def test_a_moment_of_another_timeline_cannot_be_put_right_and_is_left_alone():
    clock = VirtualClock()
    clock.trusted = False
    wire = made(clock, 100.0)
    clock.trusted = True
    clock.timeline = "another"
    assert moments.restamped(wire, clock) == wire


@pytest.mark.parametrize("leap", [3 * 3600.0, -3 * 3600.0, 30 * 365 * 86400.0])
def test_a_leap_of_the_wall_clock_moves_no_duration(leap):
    clock = VirtualClock()
    rule = load_kind("threshold").Keys(kind="threshold", on=("d/x",), above=Quantity(10.0, ""), lasting=600.0)
    engine = Engine({"warm": rule}, [PointInfo("d/x", "d", "x", "", "x", "d")], convert, clock.now(), week_time(clock, GHENT))
    told = []
    for minute in range(1, 15):
        clock.advance(60.0)
        if minute == 5:
            clock.leap(leap)
        told += [(change.phase, change.at) for change in engine.feed(Batch("d", clock.now(), ("x",), (20.0,)))]
    assert told == [("opened", 660.0)]


def test_local_time_is_unknown_while_the_clock_is_not_trusted():
    clock = VirtualClock()
    local = week_time(clock, GHENT)
    clock.trusted = False
    assert local(0.0) is None
    clock.trusted = True
    assert local(0.0) == 3 * 86400 + 3600  # a Thursday, one o'clock


def test_local_time_follows_the_hour_that_is_set_forward_and_back():
    clock = VirtualClock(datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC))  # two o'clock becomes three
    local = week_time(clock, GHENT)
    assert local(0.0) % 86400 == 2 * 3600 - 1
    assert local(1.0) % 86400 == 3 * 3600


def test_the_machine_s_own_clocks_agree_with_one_another():
    clock = SystemClock()
    now = clock.now()
    assert abs((clock.utc(now) - datetime.now(UTC)).total_seconds()) < 1
    assert (clock.utc(now + 60) - clock.utc(now)).total_seconds() == pytest.approx(60, abs=1)
    assert clock.synced() in {True, False}
    assert clock.timeline


class Machine:
    """Its three clocks, as the kernel keeps them."""

    def __init__(self):
        self.monotonic, self.boottime, self.wall = 100.0, 130.0, 1.7e9

    def runs(self, seconds):
        self.monotonic += seconds
        self.boottime += seconds
        self.wall += seconds

    def is_suspended(self, seconds):
        self.boottime += seconds
        self.wall += seconds

    def clock(self):
        return SystemClock(lambda: self.monotonic, lambda: self.boottime, lambda: self.wall)


@given(st.lists(st.tuples(st.floats(0.1, 1e5), st.sampled_from([0.0, 0.0, 3.0, 3600.0, 1e6])), min_size=1, max_size=40))
def test_a_suspend_moves_no_duration_and_no_stamp(course):
    """Whenever it is asked: a time of before a suspend keeps its hour, and one of after it has the right one."""
    machine = Machine()
    clock = machine.clock()
    hours = {}
    for runs, is_suspended in course:
        before = clock.now()
        machine.runs(runs)
        machine.is_suspended(is_suspended)
        now = clock.now()
        assert now - before == pytest.approx(runs)
        hours[now] = machine.wall
    for at, hour in hours.items():
        assert clock.utc(at).timestamp() == pytest.approx(hour, abs=0.01)


def test_the_first_stamp_that_is_asked_for_after_a_suspend_is_right():
    machine = Machine()
    clock = machine.clock()
    before, hour = clock.now(), machine.wall
    machine.runs(60.0)
    machine.is_suspended(8 * 3600.0)
    assert clock.utc(before).timestamp() == pytest.approx(hour)


@pytest.mark.parametrize(
    ("kernel", "stamp", "trusted"),
    [(0, False, True), (1, False, True), (5, False, False), (5, True, False), (-1, False, False), (-1, True, True)],
)
def test_the_clock_is_trusted_when_the_kernel_says_so_and_by_a_stamp_where_it_may_not_be_asked(
    kernel, stamp, trusted, monkeypatch, tmp_path
):
    """adjtimex(2): 5 is TIME_ERROR, what is below is a clock that somebody disciplines (1: a leap second is due)."""
    if stamp:
        (tmp_path / "synchronized").touch()
    monkeypatch.setattr(clock_module, "TIMESYNCD", tmp_path / "synchronized")
    monkeypatch.setattr(clock_module, "_adjtimex", lambda: kernel)
    assert SystemClock().synced() == trusted
