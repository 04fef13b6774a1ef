"""Two hundred reconnects under way: nothing grows, nothing is lost, and a wall clock that leaps changes nothing."""

import asyncio
import json
import random
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ledger.book import Book
from ledger.machines import Machines
from peers.bad_link import BadLink
from peers.mosquitto import Mosquitto
from peers.subscriber import subscribe

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
RECONNECTS = 200
WARM = 60  # reconnects after which the memory has settled
LOOKS = 10  # reconnects between two looks
TIMEOUT = 30.0  # s that anything may take
HOUR = 3600.0


class Soak:
    """A hub that is looked into, machines that make a moment at every reading, and a link that does not last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.book = Book()
        self._news = asyncio.Event()

    async def __aenter__(self):
        self._stack = AsyncExitStack()
        self.machines = Machines(5)
        await self.machines.wire.listen()
        self._stack.push_async_callback(self.machines.wire.stop)
        broker = self._stack.enter_context(Mosquitto(self._folder, "max_queued_messages 0"))
        self.link = await self._stack.enter_async_context(BadLink(broker.port))
        listening = asyncio.Event()
        listener = asyncio.create_task(subscribe(broker.port, "canary/+/moments", self._hear, listening))
        self._stack.callback(listener.cancel)
        await listening.wait()
        config = self._folder / "hub.toml"
        config.write_text(self.machines.config(state=self._folder / "state", mqtt=self.link.port, every=0.1))
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "peers.probed_hub", config, cwd=HERE, stdin=pipe, stdout=pipe, stderr=pipe
        )
        self.log: list[str] = []
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading
        await self._stack.aclose()

    async def _read(self):
        async for line in self.process.stderr:
            self.log.append(line.decode().rstrip())
            self.book.journal(self.log[-1])
            self._news.set()

    def _hear(self, wire):
        self.book.arrive(wire)
        self._news.set()

    async def until(self, condition):
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def ask(self, line="look"):
        self.process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(TIMEOUT):
            return json.loads(await self.process.stdout.readline())

    async def reconnect(self, luck):
        """The link breaks in one way or another, and the hub delivers again."""
        before, connections = self.book.arrived, self.link.connections
        how = luck.choice(["cut", "cut in mid-packet", "refuse"])
        if how == "refuse":
            await self.link.refuse()
            await self.link.accept()
        else:
            self.link.cut(after=luck.randint(1, 3000) if how == "cut in mid-packet" else 0)
        await self.until(lambda: self.link.connections > connections)
        self.link.mend()
        before = self.book.arrived
        await self.until(lambda: self.book.arrived > before)


async def test_through_two_hundred_reconnects_nothing_grows_and_a_leaping_clock_changes_nothing(tmp_path, pytestconfig):
    luck = random.Random(1)
    looks = []
    async with Soak(tmp_path) as soak:
        await soak.until(lambda: soak.book.arrived > 10)
        for number in range(RECONNECTS * pytestconfig.getoption("--soak")):
            await soak.reconnect(luck)
            await soak.ask(luck.choice([f"leap {luck.uniform(-30, 30) * HOUR}", "trust 0", "trust 1"]))
            if number >= WARM and number % LOOKS == 0:
                looks.append(await soak.ask())
        soak.machines.stop()
        await soak.ask()  # whatever was read before is a moment by now, or on its way
        soak.process.terminate()
        async with asyncio.timeout(TIMEOUT):
            assert await soak.process.wait() == 0  # it has delivered what it had, within the time it has for that
        await soak.until(lambda: not soak.book.awaited())
    verdict = soak.book.close()
    assert verdict.clean, verdict
    assert not [line for line in soak.log if "Traceback" in line]
    assert max(look["rss"] for look in looks) - looks[0]["rss"] < 2.0  # MB
    assert len({tuple(re.sub(r"Task-\d+", "a task of a library", task) for task in look["tasks"]) for look in looks}) == 1
    assert len({len(look["files"]) for look in looks}) == 1
    assert len(looks) > 10
