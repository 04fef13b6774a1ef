"""One run: everything is started, everything fails by the schedule, everything is mended, and the book is closed."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from ledger.book import Book, Verdict
from ledger.hub import Disk, Hub
from ledger.machines import Machines
from ledger.schedule import Fault, schedule
from peers.bad_link import BadLink
from peers.mosquitto import Mosquitto
from peers.subscriber import subscribe

MACHINES = 10
READINGS = 12_000  # at most: each machine is read once a second, and less often in a run of more than 20 minutes
SAMPLES = 60
DRAIN = 120.0  # s that the hub has in the end to deliver what it has
LEAP = 30 * 3600.0  # s, in either direction
CARD = "the disk or card may be failing"  # the last words of a hub whose file shows damage at work
QUIET = 2.0  # s without anything new: it has delivered


class Sample(NamedTuple):
    """The state of the hub at one time: MB, bytes on the disk, moments that are promised and have not arrived."""

    memory: float
    disk: int
    waiting: int


class Report(NamedTuple):
    """What a run has shown."""

    verdict: Verdict
    readings: int
    faults: Counter[str]
    starts: int
    ended: list[str]
    tracebacks: list[str]
    recovery: tuple[float, str]
    samples: list[Sample]
    seconds: float
    small_disk: bool

    @property
    def clean(self) -> bool:
        """Nothing lost, told twice or out of order; and the hub has ended when it was told to, or because its file was damaged."""
        return self.verdict.clean and not self.tracebacks and all(CARD in words for words in self.ended)


class Run:
    """One edition of the ledger. `say` is told what happens."""

    def __init__(self, folder: Path, seed: int, seconds: float, say=lambda _: None) -> None:
        self._folder = folder
        self._faults = schedule(seed, seconds)
        self._seconds = seconds
        self._say = say
        self._book = Book()
        self._machines = Machines(MACHINES)
        self._listening = asyncio.Event()
        self._closed = 0  # who wants the link to refuse
        self._wrong = 0  # how many faults there are just now
        self._mended: tuple[float, str] | None = None
        self._recovery = (0.0, "")
        self._samples: list[Sample] = []
        self._done: Counter[str] = Counter()

    async def run(self) -> Report:
        """All of it."""
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            await self._machines.wire.listen()
            stack.push_async_callback(self._machines.wire.stop)
            # Of what has been acknowledged nothing may wait in the broker, or a kill of the broker would lose it there.
            lines = ("max_queued_messages 0", "set_tcp_nodelay true")
            self._broker = stack.enter_context(Mosquitto(self._folder, *lines))
            self._link = await stack.enter_async_context(BadLink(self._broker.port))
            self._disk = await stack.enter_async_context(Disk(self._folder / "state"))
            config = self._folder / "hub.toml"
            every = max(1.0, self._seconds * MACHINES / READINGS)
            config.write_text(
                self._machines.config(state=self._disk.folder, mqtt=self._link.port, every=every, retry=0.5, longest=8.0)
            )
            self._hub = Hub(config, self._disk, self._book.journal)
            stack.push_async_callback(self._hub.end, signal.SIGKILL)
            self._broker_lock, self._link_lock, self._disk_lock = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
            await stack.enter_async_context(_running(subscribe(self._broker.port, "canary/+/moments", self._hear, self._listening)))
            await self._listening.wait()
            await self._hub.start()
            async with _running(self._sample()):
                async with asyncio.TaskGroup() as group:
                    for fault in self._faults:
                        group.create_task(self._happen(fault))
                readings = self._machines.stop()
                await self._drain()
        return Report(
            verdict=self._book.close(),
            readings=readings,
            faults=self._done,
            starts=self._hub.starts,
            ended=self._hub.ended,
            tracebacks=self._hub.tracebacks,
            recovery=self._recovery,
            samples=self._samples,
            seconds=time.monotonic() - began,
            small_disk=self._disk.is_small,
        )

    def _hear(self, wire: bytes) -> None:
        if self._book.arrive(wire) and self._mended:
            since, kind = self._mended
            self._recovery = max(self._recovery, (time.monotonic() - since, kind))
            self._mended = None

    async def _sample(self) -> None:
        while True:
            self._hub.listen()
            self._samples.append(Sample(self._hub.memory(), self._disk.used(), self._book.awaited()))
            await asyncio.sleep(self._seconds / SAMPLES)

    async def _drain(self) -> None:
        """All is well again and nothing new happens: the hub is restarted until its file is empty."""
        self._say("all is mended")
        give_up = time.monotonic() + DRAIN
        await asyncio.sleep(QUIET)
        left = None
        while time.monotonic() < give_up:
            async with self._hub.lock:
                left = await self._hub.end(signal.SIGTERM)
                if left is not None:
                    self._book.found(left.wires)
                    if not left.wires and not self._book.awaited():
                        return
                await self._hub.start()
            before = -1
            while before != self._book.arrived and time.monotonic() < give_up:
                before = self._book.arrived
                await asyncio.sleep(QUIET)
        self._say(f"not empty in the end: {len(left.wires) if left else 'no file'}")

    # ------------------------------------------------------------ what goes wrong

    async def _happen(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)
        if "disk" in fault.kind and not self._disk.is_small:
            return
        self._wrong += 1
        self._mended = None
        self._done[fault.kind] += 1
        self._say(f"{fault.at:7.1f} s  {fault.kind} for {fault.lasting:.1f} s")
        await getattr(self, "_" + fault.kind.replace(" ", "_").replace("-", "_"))(fault)
        self._wrong -= 1
        if not self._wrong:
            self._mended = time.monotonic(), fault.kind

    async def _hub_killed(self, fault: Fault, damage=None) -> None:
        async with self._hub.lock:
            content = await self._hub.end(signal.SIGKILL)
            if content:
                self._book.found(content.wires)
            if damage and content:
                self._book.damage(*content)
                damage()
            await asyncio.sleep(fault.lasting / 3)
            await self._hub.start()

    async def _hub_stopped_and_started(self, fault: Fault) -> None:
        async with self._hub.lock:
            content = await self._hub.end(signal.SIGTERM)
            if content:
                self._book.found(content.wires)
            await asyncio.sleep(fault.lasting / 3)
            await self._hub.start()

    async def _hub_suspended(self, fault: Fault) -> None:
        async with self._hub.lock:
            self._hub.suspend()
            await asyncio.sleep(fault.lasting)
            self._hub.go_on()

    async def _broker_killed(self, fault: Fault) -> None:
        async with self._broker_lock, self._refusing():
            self._broker.kill()
            await asyncio.sleep(fault.lasting)
            self._listening.clear()
            await asyncio.to_thread(self._broker.start)
            await self._listening.wait()  # nobody would hear what the hub says before that

    async def _broker_suspended(self, fault: Fault) -> None:
        async with self._broker_lock:
            self._broker.stop()
            await asyncio.sleep(fault.lasting)
            self._broker.go_on()

    async def _link_cut_in_mid_packet(self, fault: Fault) -> None:
        async with self._link_lock:
            self._link.cut(after=random.Random(fault.luck).randint(1, 6000))
            await asyncio.sleep(fault.lasting)
            self._link.mend()

    async def _link_half_open(self, fault: Fault) -> None:
        async with self._link_lock:
            self._link.silence()
            await asyncio.sleep(fault.lasting)
            self._link.mend()

    async def _link_slow(self, fault: Fault) -> None:
        async with self._link_lock:
            self._link.slow_down(random.Random(fault.luck).choice([200, 1000, 5000]))
            await asyncio.sleep(fault.lasting)
            self._link.mend()

    async def _link_refused(self, fault: Fault) -> None:
        async with self._refusing():
            await asyncio.sleep(fault.lasting)

    @asynccontextmanager
    async def _refusing(self) -> AsyncIterator[None]:
        self._closed += 1
        await self._link.refuse()
        yield
        self._closed -= 1
        if not self._closed:
            await self._link.accept()

    async def _disk_full(self, fault: Fault) -> None:
        async with self._disk_lock:
            self._disk.fill()
            await asyncio.sleep(fault.lasting)
            self._disk.free()

    async def _hub_killed_on_a_full_disk(self, fault: Fault) -> None:
        async with self._disk_lock:
            self._disk.fill()
            await self._hub_killed(fault)
            await asyncio.sleep(fault.lasting)
            self._disk.free()

    async def _torn_page(self, fault: Fault) -> None:
        await self._hub_killed(fault, self._hub.tear_page)

    async def _flipped_bytes(self, fault: Fault) -> None:
        await self._hub_killed(fault, lambda: self._hub.flip_bytes(random.Random(fault.luck)))

    async def _clock_leaps(self, fault: Fault) -> None:
        luck = random.Random(fault.luck)
        async with self._hub.lock:
            self._hub.leap(luck.uniform(-LEAP, LEAP))
        await asyncio.sleep(fault.lasting)
        async with self._hub.lock:
            self._hub.leap(0.0)


@asynccontextmanager
async def _running(work) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
