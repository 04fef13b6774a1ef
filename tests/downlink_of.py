"""A hub's downlink and uplink by themselves, with commands that count what they do, for tests."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from gateway.clock import SystemClock
from gateway.commands import Command, CommandError, Commands, Effect
from gateway.config.downlink import Downlink as Keys
from gateway.config.model import Uplink as UplinkKeys
from gateway.downlink import Downlink
from gateway.outbox import Outbox
from gateway.store import Store
from gateway.uplink import Uplink

from peers.patience import until


class Clock(SystemClock):
    trusted = True

    def synced(self):
        return self.trusted


class Note(Command, frozen=True, kw_only=True):
    """Something to write down."""

    text: str = ""


class House:
    """A hub's downlink and uplink on one store, with three commands: look (no effect), note (once), set (repeatable)."""

    def __init__(self, folder, broker, **keys):
        self.clock = Clock()
        self.keys = Keys(enabled=True, **keys)
        self.uplink_keys = UplinkKeys(url=broker.url, retry_first=0.1, retry_longest=0.1)
        self.path = folder / "canary.db"
        self.notes = []
        self.held = asyncio.Event()
        self.held.set()
        self.begun = asyncio.Event()

    def commands(self):
        commands = Commands()
        commands.add("look", Note, lambda note: {"text": note.text, "notes": len(self.notes)}, Effect.NONE)
        commands.add("note", Note, self.note, Effect.ONCE)
        commands.add("set", Note, self.note, Effect.REPEATABLE)
        commands.add("long", Note, lambda note: {"text": "x" * int(note.text)}, Effect.NONE)
        commands.add("fail", Note, self.fail, Effect.ONCE)
        commands.add("here", Note, self.note, Effect.ONCE, cloud=False)
        return commands

    async def note(self, command):
        self.begun.set()
        await self.held.wait()
        self.notes.append(command.text)
        return {"notes": len(self.notes)}

    async def until_sent(self):
        """Wait until the broker has all moments."""
        await until(self._is_sent)

    async def _is_sent(self):
        return not (await asyncio.to_thread(self.outbox.stats)).rows

    def fail(self, command):
        raise CommandError("not-found", f"there is no {command.text}", field="text")

    @asynccontextmanager
    async def at_work(self):
        """From a start to a stop."""
        wake = asyncio.Event()
        with Store.open(self.path) as store, ThreadPoolExecutor(1) as thread:
            self.store = store
            self.downlink = Downlink("hub-1", self.keys, self.clock, self.commands(), store=store, thread=thread, wake=wake)
            uplink = Uplink(self.uplink_keys, "hub-1", self.clock, random=lambda: 0.5, downlink=self.downlink)
            self.outbox = Outbox(store)
            self.wake = wake
            tasks = [
                asyncio.create_task(self.downlink.run(lambda work, name: asyncio.create_task(work, name=name))),
                asyncio.create_task(uplink.run(self.outbox, thread, wake)),
            ]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                assert all(task.cancelled() for task in tasks), tasks
