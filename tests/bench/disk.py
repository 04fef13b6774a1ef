"""What the hub writes while its broker is down: 10 readings a second, on a hub that has nothing to tell, and a moment at a time."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from gateway.diagnosis.contract import Evidence
from gateway.store import Store
from gateway.wear import written

import moments_of
from bench import polling, processes
from peers.mosquitto import free_port
from peers.office import Office

EVERY = 300.0  # s between two moments, on a hub that now and then has something to tell
WARM = 70.0  # s until all has been saved once


async def quiet(window: float) -> float:
    """Bytes a second of a hub with ten devices at 1 Hz, four rules each, and a broker that is not there."""
    async with AsyncExitStack() as stack:
        # Not in /tmp, which may be in memory, and then nothing is counted.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp")))
        simulator = await stack.enter_async_context(polling.Simulator())
        path = polling.config(folder, simulator.port, free_port(), 10, 1)
        hub = await stack.enter_async_context(
            polling.Program("hub", polling.BIN / "canary", "run", "--log", "error", "--config", path)
        )
        await asyncio.sleep(WARM)
        before = processes.written(hub.pid)
        await asyncio.sleep(window)
        return (processes.written(hub.pid) - before) / window


def each(number: int = 50) -> float:
    """Bytes for one moment with evidence, from the desk to the outbox."""
    evidence = Evidence("°C", 0.0, 60.0, tuple(-18 + place * 0.0937 for place in range(60)), 3600)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, Store.open(Path(folder) / "canary.db") as store:
        office = Office(store)
        office.file_one(moments_of.change(evidence=evidence))
        before = written()
        for place in range(number):
            office.file_one(moments_of.change(episode=f"episode {place}", rule_id=f"rule {place}", evidence=evidence))
        return (written() - before) / number


def report(row, seconds: float) -> None:
    rest, moment = asyncio.run(quiet(max(60.0, seconds))), each()
    row("written while the broker is down, 10 readings a second", "", "", "", "")
    row("  nothing to tell (MB a day)", f"{rest * 86400 / 1e6:.1f}", "", "20", "5")
    row(f"  a moment every {EVERY / 60:.0f} min (MB a day)", f"{(rest + moment / EVERY) * 86400 / 1e6:.1f}", "", "20", "5")
    row("  one moment (kB)", f"{moment / 1000:.1f}")
