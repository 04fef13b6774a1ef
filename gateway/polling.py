"""Asks the devices of each bus in turn. The only place that times, retries, parks and isolates a device.

Promises
- One task a bus (more only where the bus says that it can read in parallel). Devices are asked in the order in which they are due,
  all of them once at the start, and from then on in a few bursts that share the period: a burst saves the CPU a waking for each
  device, and spreading keeps the last of a hundred from waiting for ninety-nine.
- A poll that is late is skipped, never queued: a slow bus gives fewer readings, not older ones. Lateness is counted (`Lateness`).
- One bad device is one bad device. Hanging, raising, garbling or unplugged, it costs its neighbours at most its own timeout, and
  is asked less and less often. Another bus notices nothing.
- Whoever wants to act on a bus (write a point, open it again) takes its turn between two polls, one at a time, with a time limit:
  polls wait for at most one such act, and acts for at most one poll.
- Devices may be asked faster for a while (`hurry`), such as during a visit.
- How a device is doing is itself a point, `<device>/state`, so that rules can watch it. A bus has one too: `bus.<name>/state`.

Nothing here knows what a reading means or where it goes: batches are handed to `deliver`, which returns at once.
"""

import asyncio
import heapq
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any, TypeVar

import structlog

from drivers.contract import Batch, Bus, DeviceFault, Outcome, Value
from gateway.clock import Clock
from gateway.turns import (
    DOWN,
    JITTER,
    LATE,
    MUTE,
    MUTE_AFTER,
    PARK_AFTER,
    PARKED,
    SLOWEST,
    SLOWEST_HURRIED,
    WELL,
    Lateness,
    Schedule,
    Turn,
    Voice,
    spread,
)
from gateway.watchdog import Pulse

__all__ = ["DOWN", "LATE", "MUTE", "PARKED", "WELL", "Lateness", "Poller", "Schedule", "to_the_end"]

log = structlog.get_logger("polling")

STATE = ("state",)
REOPEN = 60.0  # s at most between two attempts to open a bus
OPENING = 10.0  # s that opening a bus may take
NOTICING = 1.0  # s after which whoever listened has noticed that the bus was closed
RESETTING = 30.0  # s that putting a medium right may take
MISSED = 3.0  # a device that speaks by itself is mute when it has been quiet for so many of its periods

T = TypeVar("T")


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. Whoever waits may be cancelled meanwhile, and more than once: that is raised when it has ended.

    For what must not be cut short and has its own time limit, such as switching on again what was switched off.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled and not task.cancelled():
        task.exception()  # it has been looked at
        raise cancelled
    return task.result()


class Poller:
    """The devices of one bus; `run` is its task.

    `turn` is where all who use the bus queue, polls and acts alike: first come, first served. The acts are `value`, `write`,
    `reopen`, `reset` and `restore`; they raise DeviceFault and nothing else for what goes wrong, and work also while `run` does
    not: then they open the bus for themselves.
    """

    def __init__(
        self,
        name: str,
        bus: Bus,
        schedules: Mapping[str, Schedule],
        clock: Clock,
        deliver: Callable[[Batch], None],
        pulse: Pulse,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.bus = bus
        self.lateness = Lateness()
        self._now = clock.now
        self._deliver = deliver
        self._pulse = pulse
        self._chance = chance
        now = clock.now()
        self._turns = [Turn(device, points, schedules[device], now) for device, points in bus.polled.items()]
        self._voices = {device: Voice(device, schedules[device], now) for device in bus.heard}
        spread(self._turns)
        self._order = count()  # breaks ties, so that devices due together keep their order
        self._queue = [(turn.due, next(self._order), turn) for turn in self._turns]
        self._parallel = max(1, min(bus.parallel, len(self._turns))) if self._turns else 1
        self.turn = asyncio.Semaphore(self._parallel)
        self.writable: Mapping[str, Collection[str]] = getattr(bus, "writable", {})
        self.resettable = hasattr(bus, "reset")
        self._schedules = dict(schedules)
        self._naps: set[asyncio.Future[bool]] = set()  # of those who wait for the next turn
        self._acting = asyncio.Lock()
        self._running = False
        self._reopened = -NOTICING  # when it was, on purpose: whoever listened need not wait before it listens again
        self._opening = asyncio.Lock()
        self._attempts = 0  # to open the bus, in vain, in a row
        self._state = ""

    def states(self) -> dict[str, str]:
        """Each device's state; the empty text before anything is known."""
        devices: list[Turn | Voice] = [*self._turns, *self._voices.values()]
        return {device.name: device.state for device in devices}

    def hurry(self, every: Mapping[str, float]) -> None:
        """Ask these devices so often from now on (s), all others as their schedules say, and first those that this changes.

        Those that do not answer are not left alone for long either.
        """
        wanted = {turn.name: every.get(turn.name, self._schedules[turn.name].every) for turn in self._turns}
        changed = [turn for turn in self._turns if turn.every != wanted[turn.name]]
        for turn in self._turns:
            turn.slowest = SLOWEST_HURRIED if turn.name in every else SLOWEST
        for turn in changed:
            turn.every, turn.due = wanted[turn.name], min(turn.due, self._now())
        spread(changed)
        self._queue = [(turn.due, number, turn) for _, number, turn in self._queue]
        heapq.heapify(self._queue)
        for nap in self._naps:
            _wake(nap, True)

    async def run(self) -> None:
        """Poll and listen until cancelled; then let go of the bus."""
        work: dict[str, Coroutine[Any, Any, None]] = {}
        if self._turns:
            work |= {name: self._poll(name) for name in (f"poll:{self.name}:{worker}" for worker in range(self._parallel))}
        if self._voices:
            work |= {f"listen:{self.name}": self._listen(), f"quiet:{self.name}": self._watch_quiet(f"quiet:{self.name}")}
        self._running = True
        try:
            async with asyncio.TaskGroup() as group:
                for name, task in work.items():
                    group.create_task(task, name=name)
        finally:
            self._running = False
            for name in work:
                self._pulse.forget(name)
            try:
                async with self._acting:  # a relay that is just being switched on again is not left off
                    pass
            finally:
                await self.bus.close()

    # ------------------------------------------------------------ acts

    def misfit(self, device: str, point: str, value: Value) -> str:
        """Why this cannot be written, found without touching the device; the empty text where it can."""
        if point in self.writable.get(device, ()):
            return str(self.bus.misfit(device, point, value) or "")
        known = ", ".join(sorted(self.writable.get(device, ()))) or "none of its points is"
        return f"{point} is not declared writable; of {device}: {known}"

    async def value(self, device: str, point: str) -> Outcome:
        """What one point of a device that is asked says now."""
        points = self.bus.polled.get(device, ())
        if point not in points:
            raise DeviceFault(f"{device}/{point} cannot be asked for", kind="misfit")
        async with self._between_polls():
            values = await self._act(lambda: self.bus.read(device), self._schedules[device].timeout, device)
        return values[points.index(point)]  # type: ignore[no-any-return]

    async def write(self, device: str, point: str, value: Value) -> Outcome:
        """See `ActingBus.write`. What cannot be written is refused before anything is sent."""
        if why := self.misfit(device, point, value):
            raise DeviceFault(f"{device}/{point}: {why}", kind="misfit")
        async with self._between_polls():
            limit = 2 * self._schedules[device].timeout  # once to write, once to read back
            return await self._act(lambda: self.bus.write(device, point, value), limit, device)  # type: ignore[no-any-return]

    async def reopen(self) -> None:
        """Let go of the bus and open it again, while nobody uses it."""
        async with self._between_polls(alone=True):
            await self._close()
            self._reopened = self._now()
            await self._act(None, OPENING, f"bus.{self.name}")

    async def reset(self) -> None:
        """See `ResettableBus.reset`; nobody uses the bus meanwhile."""
        if not self.resettable:
            raise DeviceFault(f"bus {self.name} has nothing that could be reset", kind="misfit", layer="bus")
        await self._put_right(self.bus.reset)

    async def restore(self) -> None:
        """See `ResettableBus.restore`; nobody uses the bus meanwhile. Does nothing where no reset leaves anything off."""
        if act := getattr(self.bus, "restore", None):
            await self._put_right(act)

    async def _put_right(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do this to the medium, which may be why the bus cannot be opened: so it is not opened first."""
        async with self._between_polls(alone=True):
            fault: DeviceFault | None = await self._guard(act(), RESETTING, f"bus.{self.name}")
        if fault:
            raise fault

    @asynccontextmanager
    async def _between_polls(self, *, alone: bool = False) -> AsyncIterator[None]:
        """The bus, as one who is served in turn; `alone` as the only one."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._acting)
            for _ in range(self._parallel if alone else 1):
                await stack.enter_async_context(self.turn)
            try:
                yield
            finally:
                if not self._running:
                    await self._close()

    async def _act(self, act: Callable[[], Awaitable[Any]] | None, limit: float, who: str) -> Any:
        """Open the bus where it is not open, then do this."""
        result: Any = await self._open()
        if result is None and act is not None:
            result = await self._guard(act(), limit, who)
        if isinstance(result, DeviceFault):
            raise result
        return result

    async def _close(self) -> None:
        await self._guard(self.bus.close(), OPENING, f"bus.{self.name}")  # it never raises, where its driver is as it should be

    # ------------------------------------------------------------ devices that are asked

    async def _poll(self, task: str) -> None:
        while True:
            _, _, turn = heapq.heappop(self._queue)
            wait = turn.due - self._now()
            self._pulse.expect(task, max(turn.due, self._now()) + OPENING + REOPEN + self._parallel * turn.timeout)
            if wait > 0 and await self._nap(wait):
                heapq.heappush(self._queue, (turn.due, next(self._order), turn))
                continue
            async with self.turn:
                began = self._now()
                result = await self._ask(turn)
            if isinstance(result, tuple):
                self.lateness.add(began - turn.due)
                self._deliver(Batch(turn.name, self._now(), turn.points, result))
                self._answered(turn, began)
            elif result.layer == "bus":
                await self._lose_bus(result)
            else:
                self._failed(turn, result)
            self._plan(turn, began)
            heapq.heappush(self._queue, (turn.due, next(self._order), turn))

    async def _nap(self, seconds: float) -> bool:
        """Sleep; whether it was cut short, because another turn may have come first."""
        loop = asyncio.get_running_loop()
        nap: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _wake, nap, False)
        self._naps.add(nap)
        try:
            return await nap
        finally:
            timer.cancel()
            self._naps.discard(nap)

    async def _ask(self, turn: Turn) -> tuple[Outcome, ...] | DeviceFault:
        """One question to one device, opening the bus first if need be."""
        if self._state != WELL:
            if fault := await self._open():
                return fault
            self._bus_is_well()
        return await self._guard(self.bus.read(turn.name), turn.timeout, turn.name)  # type: ignore[no-any-return]

    async def _open(self) -> DeviceFault | None:
        """Make sure that the bus is open; the fault where it cannot be."""
        if not hasattr(self.bus, "connect"):  # one on which devices only speak is opened by whoever listens
            return None
        async with self._opening:
            fault: DeviceFault | None = await self._guard(self.bus.connect(), OPENING, f"bus.{self.name}")
        if fault:
            fault.layer = "bus"
        return fault

    async def _guard(self, work: Awaitable[Any], limit: float | None, who: str) -> Any:
        """What `work` gives within `limit` seconds, or the fault that it ended with. Whatever a driver does wrong stops here."""
        try:
            async with asyncio.timeout(limit):
                return await work
        except DeviceFault as fault:
            return fault
        except TimeoutError:
            return DeviceFault(f"no answer within {limit or 0:g} s", kind="silent", hint="check power, wiring and address")
        except Exception as error:  # The one broad except: a bug in one driver must not take its neighbours down.
            log.exception("driver failed", who=who)
            return DeviceFault(f"its driver failed ({error!r})", kind="misfit", hint="please report this, with the log")

    def _plan(self, turn: Turn, began: float) -> None:
        """When it is asked next: on its own grid while it answers, further and further away while it does not."""
        if turn.failures:
            turn.due = began + turn.pause(self._chance())
            return
        turn.due += turn.phase or turn.every  # all are asked at once at the start; from then on they share the period
        turn.phase = 0.0
        behind = self._now() - turn.due
        if behind >= 0:  # skip what is late; the grid is kept and nothing piles up
            missed = int(behind / turn.every) + 1
            turn.due += missed * turn.every
            self.lateness.skipped += missed

    def _answered(self, turn: Turn, began: float) -> None:
        if turn.failures:
            if turn.failures >= MUTE_AFTER:
                log.info("answers again", device=turn.name, after_failures=turn.failures)
            turn.failures = 0
            turn.due = began
        # Half a period late is as good as a poll lost; to be well again it must be clearly in time, or the state would flap.
        slip = (began - turn.due) / turn.every
        if slip > 0.5:
            self._device_is(turn, LATE)
        elif slip < 0.1 or turn.state != LATE:
            self._device_is(turn, WELL)

    def _failed(self, turn: Turn, fault: DeviceFault) -> None:
        # What does not fit will not fit in a second either: it is parked at once, and looked at again now and then.
        turn.failures = max(turn.failures + 1, PARK_AFTER if fault.kind == "misfit" else 0)
        if turn.failures in {MUTE_AFTER, PARK_AFTER}:
            log.warning("does not answer", device=turn.name, failures=turn.failures, fault=fault.what, hint=fault.hint)
        if turn.failures >= PARK_AFTER:
            self._device_is(turn, PARKED)
        elif turn.failures >= MUTE_AFTER:
            self._device_is(turn, MUTE)

    # ------------------------------------------------------------ devices that speak by themselves

    async def _listen(self) -> None:
        while True:
            fault = await self._guard(self.bus.listen(self._hear), None, f"bus.{self.name}")
            if self._now() - self._reopened < NOTICING:
                self._reopened = -NOTICING
                continue
            await self._lose_bus(fault or DeviceFault("listening ended", kind="gone", layer="bus"))

    def _hear(self, device: str, points: tuple[str, ...], values: tuple[Outcome, ...]) -> None:
        if self._state != WELL:
            self._bus_is_well()
        voice = self._voices[device]
        voice.last = self._now()
        self._deliver(Batch(device, voice.last, points, values))
        self._device_is(voice, WELL)

    async def _watch_quiet(self, task: str) -> None:
        """Says which devices have fallen quiet. A pass costs a comparison a device, and there is at most one a second."""
        while True:
            now = self._now()
            for voice in self._voices.values():
                if now - voice.last > voice.every * MISSED:
                    self._device_is(voice, MUTE)
            speaking = (voice.last + voice.every * MISSED for voice in self._voices.values() if voice.state != MUTE)
            wait = min(max(min(speaking, default=now + REOPEN) - now, 1.0), REOPEN)
            self._pulse.expect(task, now + wait)
            await asyncio.sleep(wait)

    # ------------------------------------------------------------ states

    async def _lose_bus(self, fault: DeviceFault) -> None:
        """Nothing on this bus can work now: let go of it and wait before the next attempt."""
        await self.bus.close()
        self._attempts += 1
        if self._attempts == 1:
            log.warning("bus is down", bus=self.name, fault=fault.what, hint=fault.hint)
        if self._state != DOWN:
            self._state = DOWN
            self._deliver(Batch(f"bus.{self.name}", self._now(), STATE, (DOWN,)))
        for turn in self._turns:
            self._device_is(turn, MUTE)
        await asyncio.sleep(min(2.0 ** min(self._attempts - 1, 16), REOPEN) * (1 + JITTER * self._chance()))

    def _bus_is_well(self) -> None:
        if self._attempts:
            log.info("bus is back", bus=self.name, after_attempts=self._attempts)
            self._attempts = 0
        self._state = WELL
        self._deliver(Batch(f"bus.{self.name}", self._now(), STATE, (WELL,)))

    def _device_is(self, device: Turn | Voice, state: str) -> None:
        if state != device.state:
            device.state = state
            self._deliver(Batch(device.name, self._now(), STATE, (state,)))


def _wake(nap: asyncio.Future[bool], early: bool) -> None:
    if not nap.done():
        nap.set_result(early)
