"""A hub among its peers, for tests that look into it while they make trouble."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from ledger.book import Book
from ledger.machines import Machines
from peers.bad_link import BadLink
from peers.mosquitto import Mosquitto
from peers.subscriber import subscribe

TESTS = Path(__file__).parent.parent
TIMEOUT = 30.0  # s that anything may take


class Setting:
    """A hub that is looked into, machines that make a moment at every reading, a link that can be broken, and a book of it all."""

    def __init__(self, folder: Path, *more: str) -> None:
        """more: lines of the hub's config."""
        self._folder = folder
        self._more = more
        self.book = Book()
        self._news = asyncio.Event()

    async def __aenter__(self):
        self._stack = AsyncExitStack()
        self.machines = Machines(5)
        await self.machines.wire.listen()
        self._stack.push_async_callback(self.machines.wire.stop)
        self.broker = self._stack.enter_context(Mosquitto(self._folder, "max_queued_messages 0"))
        self.link = await self._stack.enter_async_context(BadLink(self.broker.port))
        listening = asyncio.Event()
        listener = asyncio.create_task(subscribe(self.broker.port, "canary/+/moments", self.hear, listening))
        self._stack.callback(listener.cancel)
        await listening.wait()
        config = self._folder / "hub.toml"
        text = self.machines.config(state=self._folder / "state", mqtt=self.link.port, every=0.1)
        config.write_text("\n".join([text, *self._more]))
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "peers.probed_hub", config, cwd=TESTS, stdin=pipe, stdout=pipe, stderr=pipe
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

    def hear(self, wire):
        """Somebody has got a moment."""
        self.book.arrive(wire)
        self._news.set()

    async def until(self, condition):
        """Wait for something that the journal or a subscriber tells."""
        try:
            async with asyncio.timeout(TIMEOUT):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError("\n".join(["the hub does not get there:", *self.log[-20:]])) from None

    async def ask(self, line="look"):
        """See `peers.probed_hub`."""
        self.process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(TIMEOUT):
            return json.loads(await self.process.stdout.readline())

    async def close(self):
        """No more news; the hub is stopped and delivers what it has, within the time that it has for that."""
        self.machines.stop()
        await self.ask()  # whatever was read before is a moment by now, or on its way
        await self.until(lambda: self.book.awaited() == 0)
        self.process.terminate()
        async with asyncio.timeout(TIMEOUT):
            assert await self.process.wait() == 0
        await self.until(lambda: not self.book.awaited())

    async def reconnect(self, luck):
        """The link breaks in one way or another, and the hub delivers again."""
        connections = self.link.connections
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
