"""What the poller promises, in virtual time, with a bus whose devices misbehave by script."""

import asyncio
import contextlib
import itertools

import pytest

from drivers.contract import DeviceFault
from gateway.polling import LATE, MUTE, PARKED, WELL, Lateness, Poller, Schedule
from gateway.watchdog import Pulse

from peers import virtual_time


class ScriptedBus:
    """A driver's bus. `script[device]` says what happens to a question: seconds to answer, or an exception."""

    def __init__(self, clock, script=None, heard=(), parallel=1):
        self.clock, self.script, self.parallel = clock, script or {}, parallel
        self.polled = dict.fromkeys(self.script, ("value",))
        self.heard = dict.fromkeys(heard, ("value",))
        self.asked, self.opened, self.closed, self.at_once, self.most = [], 0, 0, 0, 0
        self.cannot_open = None
        self.speak = asyncio.Queue()

    async def connect(self):
        if self.cannot_open:
            raise self.cannot_open
        self.opened += 1

    async def read(self, device):
        self.asked.append((device, self.clock.now()))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            outcome = self.script[device]
            outcome = outcome(self.clock.now()) if callable(outcome) else outcome
            if isinstance(outcome, BaseException):
                raise outcome
            await asyncio.sleep(outcome)
            return (1,)
        finally:
            self.at_once -= 1

    async def listen(self, hear):
        while True:
            said = await self.speak.get()
            if isinstance(said, Exception):
                raise said
            hear(said, ("value",), (1,))

    async def close(self):
        self.closed += 1


class Watched:
    """A poller at work on a scripted bus, and what it delivered."""

    def __init__(self, clock, bus, every=10.0, timeout=1.0):
        self.clock, self.bus, self.batches = clock, bus, []
        schedules = {device: Schedule(every, timeout) for device in (*bus.polled, *bus.heard)}
        self.pulse = Pulse()
        self.poller = Poller("line", bus, schedules, clock, self.batches.append, self.pulse, chance=lambda: 0.0)

    async def work(self, seconds):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.poller.run()

    def readings(self, device):
        return [batch.at for batch in self.batches if batch.device == device and batch.points == ("value",)]

    def states(self, device):
        return [batch.values[0] for batch in self.batches if batch.device == device and batch.points == ("state",)]

    def questions(self, device):
        return [at for who, at in self.bus.asked if who == device]


def poll(script, seconds, **options):
    """Poll a scripted bus for so many virtual seconds."""

    async def main(clock):
        bus = ScriptedBus(clock, script, parallel=options.pop("parallel", 1))
        watched = Watched(clock, bus, **options)
        await watched.work(seconds)
        return watched

    return virtual_time.run(main)


def test_devices_are_asked_in_turn_at_their_own_period():
    seen = poll({"a": 0.1, "b": 0.1}, 36)
    assert seen.questions("a") == pytest.approx([0, 10, 20, 30])
    assert seen.questions("b") == pytest.approx([0.1, 5, 15, 25, 35])
    assert seen.states("a") == [WELL]


def test_a_hanging_device_costs_its_neighbours_one_timeout_a_round_and_less_and_less_often():
    seen = poll({"hung": 1e9, "well": 0.0}, 3600)
    gaps = [b - a for a, b in zip(seen.readings("well"), seen.readings("well")[1:], strict=False)]
    assert max(gaps) <= 11.0
    assert len(seen.readings("well")) >= 355
    pauses = [b - a for a, b in zip(seen.questions("hung"), seen.questions("hung")[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 300
    assert seen.states("hung") == [MUTE, PARKED]


def test_a_device_that_answers_again_is_asked_at_its_own_period_again():
    seen = poll({"a": lambda now: DeviceFault("no", kind="silent") if now < 900 else 0.0}, 3600)
    assert seen.states("a") == [MUTE, PARKED, WELL]
    last = seen.questions("a")[-5:]
    assert [b - a for a, b in itertools.pairwise(last)] == pytest.approx([10.0] * 4)


def test_devices_that_are_hurried_are_asked_at_once_and_faster_and_the_others_as_ever():
    async def scenario(clock):
        watched = Watched(clock, ScriptedBus(clock, {"a": 0.01, "b": 0.01, "c": 0.01}), every=60.0)
        work = asyncio.create_task(watched.work(300.0))
        await asyncio.sleep(100.0)
        watched.poller.hurry({"a": 5.0, "b": 5.0})
        await asyncio.sleep(100.0)
        watched.poller.hurry({})
        await work
        return watched

    watched = virtual_time.run(scenario)
    hurried = [at for at in watched.readings("a") if 100.0 <= at < 200.0]
    assert hurried[0] < 100.1
    assert len(hurried) == 20
    assert {round(after - before) for before, after in itertools.pairwise(hurried)} == {5}
    apart = {round(b - a, 1) for a, b in zip(hurried[1:], [at for at in watched.readings("b") if at >= 100.1][1:], strict=False)}
    assert 1.0 < min(apart) <= max(apart) < 4.0, "they share the period"
    assert len(watched.readings("c")) == 6
    assert len([at for at in watched.readings("a") if at >= 200.5]) == 1


def test_a_parked_device_that_is_hurried_is_asked_at_least_every_half_minute():
    async def scenario(clock):
        watched = Watched(clock, ScriptedBus(clock, {"a": DeviceFault("no", kind="silent")}))
        work = asyncio.create_task(watched.work(5000.0))
        await asyncio.sleep(3000.0)
        watched.poller.hurry({"a": 2.0})
        await work
        return watched.questions("a")

    asked = virtual_time.run(scenario)
    before, after = [at for at in asked if at < 3000.0], [at for at in asked if at >= 3000.0]
    assert before[-1] - before[-2] == pytest.approx(300.0)
    assert after[0] == pytest.approx(3000.0)
    assert max(later - at for at, later in itertools.pairwise(after)) == pytest.approx(30.0)


def test_one_lost_answer_is_nothing_to_talk_about():
    answers = iter([0.0, DeviceFault("noise", kind="garbled"), 0.0, 0.0, 0.0])
    seen = poll({"a": lambda _: next(answers)}, 45)
    assert seen.states("a") == [WELL]
    assert len(seen.readings("a")) == 4


def test_a_bug_in_one_driver_parks_that_device_and_leaves_the_others_running(capsys):
    seen = poll({"buggy": ZeroDivisionError("oops"), "well": 0.0}, 3600)
    assert seen.states("buggy") == [PARKED]
    assert len(seen.questions("buggy")) <= 14
    assert len(seen.readings("well")) >= 360
    assert "oops" in "".join(capsys.readouterr())


def test_a_bus_that_is_gone_is_let_go_opened_again_and_asked_from_where_it_was():
    gone = DeviceFault("port is gone", kind="gone", layer="bus")
    seen = poll({"a": lambda now: gone if 95 < now < 200 else 0.0, "b": 0.0}, 600)
    assert seen.bus.closed >= 2
    assert seen.states("bus.line")[:3] == [WELL, "down", WELL]
    assert seen.states("bus.line")[-1] == WELL
    assert seen.states("a")[-1] == seen.states("b")[-1] == WELL
    assert MUTE in seen.states("b")
    assert seen.readings("a")[-1] > 580


def test_attempts_to_open_a_bus_become_rarer_up_to_a_minute():
    async def main(clock):
        bus = ScriptedBus(clock, {"a": 0.0})
        bus.cannot_open = DeviceFault("no such port", kind="gone", layer="bus")
        attempts = []
        connect = bus.connect

        async def counted():
            attempts.append(clock.now())
            await connect()

        bus.connect = counted
        await Watched(clock, bus).work(3600)
        return attempts

    attempts = virtual_time.run(main)
    pauses = [b - a for a, b in itertools.pairwise(attempts)]
    assert 55 <= len(attempts) <= 75
    assert max(pauses) < 75


def test_a_late_poll_is_skipped_not_queued_and_counted():
    seen = poll({"slow": 3.0, "b": 0.0}, 100, every=2.0, timeout=5.0)
    asked = seen.questions("b")
    assert min(b - a for a, b in itertools.pairwise(asked)) >= 2.0
    assert seen.poller.lateness.skipped > 10
    assert LATE in seen.states("b")


def test_lateness_tells_quantiles_as_the_upper_bound_of_a_class():
    lateness = Lateness()
    for _ in range(99):
        lateness.add(0.0002)
    lateness.add(0.9)
    assert lateness.quantile(0.5) == pytest.approx(0.0005)
    assert 0.9 <= lateness.quantile(0.999) <= 1.8


def test_at_most_as_many_reads_at_once_as_the_bus_allows():
    assert poll({str(n): 0.5 for n in range(6)}, 30, parallel=3).bus.most == 3
    assert poll({str(n): 0.5 for n in range(6)}, 30).bus.most == 1


def test_a_device_that_speaks_by_itself_is_mute_after_three_quiet_periods_and_well_when_it_speaks():
    async def main(clock):
        bus = ScriptedBus(clock, heard=("beacon",))
        watched = Watched(clock, bus)

        async def talk():
            for pause in (5, 10, 10, 100):
                await asyncio.sleep(pause)
                bus.speak.put_nowait("beacon")
            await asyncio.sleep(5)

        async with asyncio.TaskGroup() as group:
            group.create_task(watched.work(135))
            group.create_task(talk())
        return watched

    seen = virtual_time.run(main)
    assert seen.states("beacon") == [WELL, MUTE, WELL]
    assert len(seen.readings("beacon")) == 4


def test_listening_that_fails_is_taken_up_again():
    async def main(clock):
        bus = ScriptedBus(clock, heard=("beacon",))
        watched = Watched(clock, bus)
        for said in ("beacon", DeviceFault("adapter is gone", kind="gone", layer="bus"), RuntimeError("bug"), "beacon"):
            bus.speak.put_nowait(said)
        await watched.work(20)
        return watched

    seen = virtual_time.run(main)
    assert len(seen.readings("beacon")) == 2
    assert seen.states("bus.line") == [WELL, "down", WELL]


def test_the_bus_is_let_go_when_the_poller_is_cancelled_and_nothing_is_overdue():
    seen = poll({"a": 1e9}, 10.5)
    assert seen.bus.closed == 1
    assert seen.pulse.overdue(1e9) == []


def test_a_poller_that_hangs_is_overdue():
    pulse = Pulse()
    pulse.expect("poll:line", 100.0)
    assert pulse.overdue(129.0) == []
    assert pulse.overdue(131.0) == ["poll:line"]
