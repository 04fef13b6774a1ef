"""Brings stage, hub, broker and audience together for one performance, and takes them apart again.

The hub is the real one: the same config reader, drivers, engine, outbox and uplink that `canary run` uses. The backend's side is a
subscriber at the broker, so that what is shown as received has really been there.
"""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from gateway.agent import Hub
from gateway.clock import SystemClock
from gateway.config import load
from gateway.config.model import Config, Uplink
from gateway.demo.broker import Broker
from gateway.demo.recording import Recording
from gateway.demo.stage import Stage
from gateway.demo.view import Board, View
from gateway.link import listen
from gateway.store import Store
from gateway.watchdog import Notifier

CONFIG = Path(__file__).parents[2] / "config" / "demo.toml"
REFRESH = 0.25  # s between two pictures


class Performance(Protocol):
    """Machines that a demo can put up: `settings` are what only they know of the config, bus -> key -> value."""

    settings: dict[str, Mapping[str, Any]]

    async def play(self) -> None:
        """Let things happen until cancelled."""


class Demo:
    """One run of the demo. `broker_url` "" stands for the embedded broker, `recording` for the machines of the stage."""

    def __init__(self, *, broker_url: str = "", recording: Path | None = None, seconds: float | None = None) -> None:
        self._broker_url = broker_url
        self._recording = recording
        self._seconds = seconds
        self._clock = SystemClock()
        self._stop = asyncio.Event()

    async def show(self) -> None:
        """For people: a live picture on the terminal."""
        async with self._performance() as (config, performance, folder):
            board = Board(config.points(), self._clock.now())
            with View(board, _notes(config, self._recording)) as view:

                async def draw() -> None:
                    while True:
                        view.draw()
                        await asyncio.sleep(REFRESH)

                await self._run(config, performance, folder, board, lambda wire: board.receive(wire, self._clock.now()), draw)

    async def tell(self, out: Callable[[str], None]) -> None:
        """For programs: each moment as the backend received it, a line of JSON each, to `out`."""
        async with self._performance() as (config, performance, folder):
            board = Board(config.points(), self._clock.now())
            await self._run(config, performance, folder, board, lambda wire: out(wire.decode()))

    @asynccontextmanager
    async def _performance(self) -> AsyncIterator[tuple[Config, Performance, Path]]:
        """The config with what only this run knows: ports, paths, the broker."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canary-demo-")))
            if self._recording:
                performance: Any = await stack.enter_async_context(Recording(self._recording, folder))
                config = load(performance.config)
            else:
                performance = await stack.enter_async_context(Stage(folder))
                config = load(CONFIG)
            url = self._broker_url or (await stack.enter_async_context(Broker())).url
            yield _settled(config, performance.settings, url, folder), performance, folder

    async def _run(
        self,
        config: Config,
        performance: Performance,
        folder: Path,
        board: Board,
        received: Callable[[bytes], object],
        *others: Callable[[], Any],
    ) -> None:
        if self._seconds:
            asyncio.get_running_loop().call_later(self._seconds, self._stop.set)
        assert config.uplink
        with Store.open(folder / "canary.db") as store:
            async with asyncio.TaskGroup() as group:
                hub = Hub(config, self._clock, store, board)
                ready = asyncio.Event()
                backend = group.create_task(self._backend(config.uplink, config.hub.id, received, ready), name="backend")
                await ready.wait()
                side = [group.create_task(work(), name="demo") for work in (performance.play, *others)]
                await hub.run(self._stop, Notifier(""))
                await asyncio.sleep(0.2)  # what the hub sent last is still on its way to the backend
                for task in (backend, *side):
                    task.cancel()

    async def _backend(self, uplink: Uplink, hub_id: str, received: Callable[[bytes], object], ready: asyncio.Event) -> None:
        async with listen(uplink, f"canary/{hub_id}/moments", self._clock) as publications:
            ready.set()
            async for publication in publications:
                received(publication.payload)


def _settled(config: Config, settings: Mapping[str, Mapping[str, Any]], url: str, folder: Path) -> Config:
    buses = {
        name: replace(bus, spec=replace(bus.spec, keys=replace(bus.spec.keys, **settings.get(name, {}))))
        for name, bus in config.buses.items()
    }
    uplink = replace(config.uplink, url=url) if config.uplink else Uplink(url=url)
    return replace(config, buses=buses, uplink=uplink, hub=replace(config.hub, state=str(folder)))


def _notes(config: Config, recording: Path | None) -> list[str]:
    if recording:
        return [f"Plays {recording.name} over Modbus TCP, a row at each read."]
    notes = ["Simulated machines behind real protocols; ten minutes of theirs pass in a second."]
    if any(bus.common.driver == "ble" for bus in config.buses.values()):
        notes.append("Bluetooth: adverts come from a stand-in, not from an adapter; the path behind it is the hub's own.")
    return notes
