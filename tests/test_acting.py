"""What the hub does with its hands: once, in its turn among the polls, and never leaving off what it switched off."""

import asyncio
import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_polling import ScriptedBus, Watched

from drivers.contract import DeviceFault, Misfit, NotTaken, NoValue
from gateway.acting import ATTEMPTS, SWITCHING_ON, Rehearsal, Result, perform, rehearse, restore
from gateway.config.actions import Cycle, Reopen, Reset, Run, Write
from gateway.polling import DOWN, OPENING, WELL, Poller, Schedule
from gateway.watchdog import Pulse

from peers import virtual_time

SILENT = DeviceFault("no answer", kind="silent")


class Relay(ScriptedBus):
    """A bus on which `relay/out` can be written. `takes`: seconds that a write takes, or what it raises; one after the other."""

    def __init__(self, clock, script=None, *, takes=(), writes=None, **options):
        super().__init__(clock, {"relay": 0.0} | (script or {}), **options)
        self.polled = dict.fromkeys(self.script, ("out",))
        self.writable = {"relay": frozenset({"out"})}
        self.out, self.written, self.resets, self.closed_in_use = True, [], 0, 0
        self.takes = iter(takes)
        self.opening = 0

    async def connect(self):
        self.opening += 1
        assert self.opening == 1, "two open the bus at once"
        try:
            await asyncio.sleep(0)
            await super().connect()
        finally:
            self.opening -= 1

    def misfit(self, device, point, value):
        return None if isinstance(value, bool) else Misfit(repr(value), "true or false")

    async def read(self, device):
        await super().read(device)
        return (self.out,)

    async def write(self, device, point, value):
        self.written.append((value, self.clock.now()))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            takes = next(self.takes, 0.0)
            if isinstance(takes, Exception):
                raise takes
            await asyncio.sleep(takes)
            self.out = value
            return value
        finally:
            self.at_once -= 1

    async def reset(self):
        self.resets += 1
        self.cannot_open = None

    async def restore(self):
        self.restored = True

    async def close(self):
        self.closed_in_use += self.at_once
        await super().close()


ON, OFF, CYCLE = Write("relay", "out", True), Write("relay", "out", False), Cycle("relay", "out", 30.0)


def story(tell, **options):
    """Let `tell(watched, pollers)` happen while the bus is polled, in virtual time; what it gives, and the bus."""

    async def main(clock):
        watched = Watched(clock, Relay(clock, **options))
        polling = asyncio.create_task(watched.poller.run())
        await asyncio.sleep(1)
        try:
            return await tell(watched, {"line": watched.poller}), watched
        finally:
            polling.cancel()
            await asyncio.wait([polling])

    return virtual_time.run(main)


def done(action, **options):
    """The result of one action, and the bus."""
    result, watched = story(lambda _, pollers: perform(action, pollers, asyncio.sleep), **options)
    return result, watched.bus


# ---------------------------------------------------------------- writing


def test_a_write_tells_what_was_and_what_is():
    result, bus = done(OFF)
    assert result == Result(done=True, says="relay/out was set to off and reads off, it was on", before=True, after=False)
    assert [value for value, _ in bus.written] == [False]


def test_a_write_that_fails_is_told_and_not_tried_again():
    result, bus = done(OFF, takes=[DeviceFault("no answer", kind="silent", hint="check power")])
    assert result == Result(done=False, says="no answer; check power", before=True)
    assert len(bus.written) == 1


def test_a_write_that_reads_back_as_something_else_tells_what():
    result, _ = done(OFF, takes=[NotTaken("out was set to off, but reads back on", found=True)])
    assert (result.done, result.before, result.after) == (False, True, True)


def test_a_driver_that_hangs_or_has_a_bug_is_a_fault_and_nothing_else():
    result, _ = done(OFF, takes=[1e9])
    assert (result.done, result.says) == (False, "no answer within 2 s; check power, wiring and address")
    result, _ = done(OFF, takes=[ZeroDivisionError("oops")])
    assert not result.done
    assert "its driver failed" in result.says


@pytest.mark.parametrize(
    ("action", "obstacle"),
    [
        (Write("relay", "out", 7), "relay/out: 7; expected true or false"),
        (Write("relay", "in", True), "relay/in: in is not declared writable; of relay: out"),
        (Write("meter", "out", True), "no device called meter can be written to"),
        (Cycle("relay", "out", 1.0, off=0, on=True), "relay/out: 0; expected true or false"),
        (Cycle("relay", "out", 1.0, off=False, on=1), "relay/out: 1; expected true or false"),
        (Reopen("plant"), "there is no bus plant"),
        (Reset("plant"), "there is no bus plant"),
        (Run(("/no/such/program",), 1.0), "there is no program /no/such/program"),
        (Run(("/etc/passwd",), 1.0), "/etc/passwd may not be run by this user; chmod +x, or another user"),
    ],
)
def test_what_cannot_be_done_is_found_out_without_touching_anything(action, obstacle):
    """A relay whose `on` does not fit is not switched off first."""

    async def tell(_, pollers):
        return rehearse(action, pollers), await perform(action, pollers, asyncio.sleep)

    (rehearsal, result), watched = story(tell)
    assert rehearsal.obstacles == (obstacle,)
    assert result == Result(done=False, says=obstacle)
    assert watched.bus.written == []


def test_a_rehearsal_says_what_would_be_done_and_does_nothing():
    async def tell(watched, pollers):
        asked = len(watched.bus.asked)
        said = [rehearse(action, pollers) for action in (OFF, CYCLE, Reopen("line"), Reset("line"), Run(("/bin/true", "-v"), 5))]
        assert len(watched.bus.asked) == asked
        return said

    said, watched = story(tell)
    assert [rehearsal.obstacles for rehearsal in said] == [()] * 5
    assert said[1] == Rehearsal("writes off to relay/out, waits 30 s, and writes on")
    assert said[4].says == "runs /bin/true -v, for 5 s at most"
    assert (watched.bus.written, watched.bus.closed, watched.bus.resets) == ([], 1, 0)  # closed at the end of the story


# ---------------------------------------------------------------- switching off and on again


def test_a_cycle_is_off_for_as_long_as_it_should():
    result, bus = done(CYCLE)
    (off, at), (on, later) = bus.written
    assert (off, on, later - at) == (False, True, 30.0)
    assert result == Result(done=True, says="relay/out was off for 30 s and reads on", before=True, after=True)


def test_polls_go_on_while_something_is_off():
    _, watched = story(lambda _, pollers: perform(Cycle("relay", "out", 95.0), pollers, asyncio.sleep), script={"b": 0.0})
    assert len(watched.questions("b")) >= 10


def test_what_is_not_known_to_be_off_is_switched_on_in_any_case():
    result, bus = done(CYCLE, takes=[SILENT])
    assert [value for value, _ in bus.written] == [False, True]
    assert result == Result(done=False, says="no answer; it was switched on in any case", before=True, after=True)


def test_one_lost_frame_does_not_leave_a_thing_off():
    result, bus = done(CYCLE, takes=[0.0, SILENT])
    assert [value for value, _ in bus.written] == [False, True, True]
    assert (result.done, bus.out) == (True, True)


def test_what_may_be_left_off_is_said(capsys):
    result, bus = done(CYCLE, takes=[0.0] + [SILENT] * ATTEMPTS)
    assert [value for value, _ in bus.written] == [False] + [True] * ATTEMPTS
    assert (result.done, result.says) == (False, "relay/out may be left off: no answer")
    assert "may be left off" in "".join(capsys.readouterr())


@pytest.mark.parametrize("moment", [0.2, 0.7, 5.0, 30.9, 31.2, 31.7])
@pytest.mark.parametrize("cancels", [1, 2, 5])
def test_whoever_is_cancelled_at_whatever_moment_leaves_nothing_off(moment, cancels):
    """Before, while it is written off, while it is off, while it is written on; and cancelled again while that lasts."""

    async def tell(watched, pollers):
        task = asyncio.create_task(perform(CYCLE, pollers, asyncio.sleep))
        await asyncio.sleep(moment)
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0.1)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    cancelled, watched = story(tell, takes=[1.0, 1.0])
    assert cancelled
    assert watched.bus.out is True
    assert [value for value, _ in watched.bus.written] in ([False, True], [])


def test_a_hub_that_shuts_down_in_the_middle_switches_on_first():
    """Cancelled together with the poller, whose bus is closed only after that; or is opened once more for it."""

    async def main(clock):
        watched = Watched(clock, Relay(clock, takes=[0.0, 1.0]))
        polling = asyncio.create_task(watched.poller.run())
        await asyncio.sleep(1)
        acting = asyncio.create_task(perform(CYCLE, {"line": watched.poller}, asyncio.sleep))
        await asyncio.sleep(5)
        for task in (polling, acting):
            task.cancel()
        await asyncio.wait([polling, acting])
        return watched.bus

    bus = virtual_time.run(main)
    assert [value for value, _ in bus.written] == [False, True]
    assert bus.closed >= 1
    assert bus.closed_in_use == 0


class Dying(Relay):
    """From the moment in which the relay is off, opening, reading and writing take their very longest."""

    async def connect(self):
        await super().connect()
        if self.written:
            await asyncio.sleep(OPENING * 0.999)


def stopped_while_off(timeout, every):
    """The hub is stopped while a relay is off on a bus that has died since: how long that took, and what was written."""

    async def main(clock):
        dead = lambda _: 1e9 if watched.bus.written else 0.0  # noqa: E731
        watched = Watched(clock, Dying(clock, {"relay": dead}, takes=[0.0] + [1e9] * 9), every=every, timeout=timeout)
        polling = asyncio.create_task(watched.poller.run())
        acting = asyncio.create_task(perform(CYCLE, {"line": watched.poller}, asyncio.sleep))
        await asyncio.sleep(5)
        began = clock.now()
        for task in (acting, polling):  # as the hub does
            task.cancel()
            await asyncio.wait([task])
        return clock.now() - began, [value for value, _ in watched.bus.written]

    return virtual_time.run(main)


def test_on_a_dead_bus_there_is_time_for_all_attempts_before_a_stop_is_cut_short():
    took, written = stopped_while_off(timeout=1.0, every=0.5)
    assert written == [False] + [True] * ATTEMPTS
    assert took <= SWITCHING_ON


@pytest.mark.parametrize("timeout", [5.0, 60.0])
def test_whatever_the_config_gives_a_device_a_stop_is_not_held_up_for_longer(timeout, capsys):
    took, written = stopped_while_off(timeout, every=0.5)
    assert took <= SWITCHING_ON
    assert written[:2] == [False, True][: len(written)]
    assert "may be left off" in "".join(capsys.readouterr())


def test_after_a_kill_the_first_thing_is_to_switch_on():
    """Before any poll, by a poller that does not run yet: the bus is opened for it and closed again."""

    async def main(clock):
        bus = Relay(clock)
        bus.out = False  # the hub was killed in the middle
        poller = Poller("line", bus, {"relay": Schedule(10, 1)}, clock, print, Pulse())
        return await restore(CYCLE, {"line": poller}), await restore(OFF, {"line": poller}), bus

    result, nothing, bus = virtual_time.run(main)
    assert result == Result(done=True, says="relay/out was set to on and reads on, it was off", before=False, after=True)
    assert nothing is None
    assert (bus.opened > 0, bus.closed > 0, bus.out) == (True, True, True)


# ---------------------------------------------------------------- buses


def test_a_bus_is_opened_again_while_nobody_uses_it():
    result, bus = done(Reopen("line"), script={str(n): 0.9 for n in range(4)}, parallel=3)
    assert result == Result(done=True, says="bus line was opened again")
    assert (bus.closed, bus.opened) == (2, 3 + 1)  # each of three tasks made sure of it; the last close is the end of the story
    assert (bus.most, bus.closed_in_use) == (3, 0)


def test_a_bus_that_does_not_open_again_is_told_and_found_by_the_polls():
    async def tell(watched, pollers):
        watched.bus.cannot_open = DeviceFault("port is gone", kind="gone")
        result = await perform(Reopen("line"), pollers, asyncio.sleep)
        with pytest.raises(DeviceFault) as caught:
            await pollers["line"].write("relay", "out", False)
        return result, caught.value.layer

    (result, layer), watched = story(tell)
    assert (result.done, result.says, layer) == (False, "port is gone", "bus")
    assert watched.bus.written == []


class Aerial(Relay):
    """A bus on which somebody listens, too; who listens notices when it is closed."""

    async def listen(self, hear):
        self.hearing = asyncio.get_running_loop().create_future()
        await self.hearing
        raise DeviceFault("port is gone", kind="gone", layer="bus")

    async def close(self):
        self.closed += 1
        if not self.hearing.done():
            self.hearing.set_result(None)


def test_a_bus_with_listeners_is_heard_again_at_once_and_was_never_down():
    async def main(clock):
        watched = Watched(clock, Aerial(clock, heard=("beacon",)))
        polling = asyncio.create_task(watched.poller.run())
        await asyncio.sleep(5)
        first = watched.bus.hearing
        result = await perform(Reopen("line"), {"line": watched.poller}, asyncio.sleep)
        await asyncio.sleep(0.001)
        again = watched.bus.hearing
        polling.cancel()
        await asyncio.wait([polling])
        return watched, result, (first.result(), again is not first)

    watched, result, listened = virtual_time.run(main)
    assert result.done
    assert listened == (None, True)
    assert watched.states("bus.line") == [WELL]


class Speakers:
    """A bus on which devices only speak: whoever listens opens it."""

    polled, heard, parallel = {}, {"beacon": ("value",)}, 1

    def __init__(self):
        self.begun, self.closing = 0, asyncio.Event()

    async def listen(self, hear):
        self.begun += 1
        self.closing.clear()
        hear("beacon", ("value",), (1,))
        await self.closing.wait()
        raise DeviceFault("adapter is gone", kind="gone", layer="bus")

    async def close(self):
        self.closing.set()


def test_a_bus_on_which_devices_only_speak_is_opened_again_by_who_listens():
    async def main(clock):
        watched = Watched(clock, Speakers())
        polling = asyncio.create_task(watched.poller.run())
        await asyncio.sleep(5)
        result = await perform(Reopen("line"), {"line": watched.poller}, asyncio.sleep)
        await asyncio.sleep(0.001)
        begun = watched.bus.begun
        polling.cancel()
        await asyncio.wait([polling])
        return result, begun, watched.states("bus.line")

    result, begun, states = virtual_time.run(main)
    assert (result.done, begun, states) == (True, 2, [WELL])


def test_a_driver_that_cannot_even_close_is_a_fault_and_nothing_else():
    async def tell(watched, pollers):
        async def close():
            watched.bus.close = Relay(None).close
            raise ZeroDivisionError("oops")

        watched.bus.close = close
        return await perform(Reopen("line"), pollers, asyncio.sleep)

    result, _ = story(tell)
    assert result.done


def test_a_medium_is_reset_by_a_bus_that_can():
    result, bus = done(Reset("line"))
    assert (result.done, bus.resets) == (True, 1)


def test_a_medium_is_reset_that_is_why_the_bus_cannot_be_opened():
    async def hang_and_reset(watched, pollers):
        watched.bus.cannot_open = watched.bus.script["relay"] = DeviceFault("it hangs", kind="gone", layer="bus")
        await asyncio.sleep(30)
        down = watched.states("bus.line")
        watched.bus.script["relay"] = 0.0
        return down, await perform(Reset("line"), pollers, asyncio.sleep)

    (down, result), watched = story(hang_and_reset, script={"relay": 0.0})
    assert down[-1] == DOWN
    assert (result.done, watched.bus.resets) == (True, 1)


def test_after_a_kill_a_medium_is_switched_on_and_not_reset_again():
    async def main(clock):
        bus = Relay(clock)
        bus.cannot_open = DeviceFault("it is off", kind="gone", layer="bus")
        poller = Poller("line", bus, {"relay": Schedule(10, 1)}, clock, print, Pulse())
        return await restore(Reset("line"), {"line": poller}), await restore(Reset("other"), {"line": poller}), bus

    result, gone, bus = virtual_time.run(main)
    assert result == Result(done=True, says="the medium of bus line is on")
    assert gone == Result(done=False, says="there is no bus other")
    assert (bus.restored, bus.resets) == (True, 0)


def test_a_bus_without_a_medium_of_its_own_is_not_reset():
    async def main(clock):
        pollers = {"line": Watched(clock, ScriptedBus(clock, {"a": 0.0})).poller}
        with pytest.raises(DeviceFault, match="nothing that could be reset"):
            await pollers["line"].reset()
        return rehearse(Reset("line"), pollers).obstacles, await perform(OFF, pollers, asyncio.sleep)

    obstacles, result = virtual_time.run(main)
    assert obstacles == ("bus line has nothing that could be reset",)
    assert result.says == "no device called relay can be written to"


# ---------------------------------------------------------------- acts and polls

acts = st.lists(
    st.tuples(
        st.floats(0, 60), st.sampled_from(["write", "cycle", "reopen", "reset", "value"]), st.floats(0, 3), st.booleans(),
    ),
    max_size=8,
)  # fmt: skip


@given(acts, st.integers(1, 3), st.lists(st.sampled_from([0.0, 0.3, 0.9, 2.0, SILENT]), max_size=20))
def test_whatever_happens_each_act_is_done_once_and_polls_go_on(acts, parallel, takes):
    """Acts at any time, some of them given up by whoever asked, on a bus that is slow or silent now and then."""

    async def main(clock):
        bus = Relay(clock, {"b": 0.2, "c": 0.1}, parallel=parallel, takes=takes)
        watched = Watched(clock, bus)
        pollers = {"line": watched.poller}
        polling = asyncio.create_task(watched.poller.run())
        outcomes = []

        async def act(at, kind, patience, impatient):
            await asyncio.sleep(at)
            work = {
                "write": lambda: perform(OFF, pollers, asyncio.sleep),
                "cycle": lambda: perform(Cycle("relay", "out", 4.0), pollers, asyncio.sleep),
                "reopen": lambda: perform(Reopen("line"), pollers, asyncio.sleep),
                "reset": lambda: perform(Reset("line"), pollers, asyncio.sleep),
                "value": lambda: watched.poller.value("relay", "out"),
            }[kind]
            try:
                async with asyncio.timeout(patience if impatient else None):
                    outcomes.append((kind, await work()))
            except TimeoutError:
                outcomes.append((kind, None))

        async with asyncio.TaskGroup() as group:
            for each in acts:
                group.create_task(act(*each))
        await asyncio.sleep(60)
        polling.cancel()
        await asyncio.wait([polling])
        return watched, outcomes

    watched, outcomes = virtual_time.run(main)
    bus = watched.bus
    assert len(outcomes) == len(acts)
    offs = [at for value, at in bus.written if value is False]
    ons = [at for value, at in bus.written if value is True]
    whole = sum(kind in ("write", "cycle") and result is not None for kind, result in outcomes)
    begun = sum(kind in ("write", "cycle") for kind, _ in outcomes)
    assert whole <= len(offs) <= begun  # each once; one that was given up while it queued may never have begun
    cycles = [result for kind, result in outcomes if kind == "cycle" and result]
    assert len(ons) <= ATTEMPTS * sum(kind == "cycle" for kind, _ in outcomes)
    assert len(ons) >= len(cycles)
    assert bus.most <= parallel
    for device in ("b", "c"):
        gaps = [later - at for at, later in itertools.pairwise(watched.questions(device))]
        assert max(gaps) < 10 + 5 + 10 * (len(acts) + 1)  # polls wait for acts, and never for ever
        assert watched.questions(device)[-1] > 40
    assert bus.at_once == 0


def test_many_acts_at_once_do_not_starve_the_polls():
    """A hundred writes that take a second each, all asked for at once: between any two the polls have their turn."""

    async def tell(watched, pollers):
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(pollers["line"].write("relay", "out", True))
        return watched.questions("b")

    asked, _ = story(tell, script={"b": 0.0}, takes=[1.0] * 100)
    assert max(later - at for at, later in itertools.pairwise(asked)) <= 10 + 2
    assert len(asked) >= 10


def test_a_value_is_asked_for_in_turn_and_only_where_there_is_one():
    async def tell(_, pollers):
        with pytest.raises(DeviceFault, match="cannot be asked for"):
            await pollers["line"].value("relay", "nothing")
        return await pollers["line"].value("relay", "out")

    value, _ = story(tell)
    assert value is True


def test_what_cannot_be_read_back_is_said():
    async def tell(watched, pollers):
        async def write(*_):
            return NoValue("it only starts something")

        watched.bus.write = write
        return await perform(OFF, pollers, asyncio.sleep)

    result, _ = story(tell)
    assert result.done
    assert result.says == "relay/out was set to off and cannot be read back (it only starts something), it was on"
