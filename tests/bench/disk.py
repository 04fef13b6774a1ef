"""What the hub writes: while its broker is down, a moment at a time, and what it learns when there is nothing to tell."""

import asyncio
import math
import random
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from drivers.contract import Batch
from gateway.config.units import convert
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import Evidence, PointInfo, Quantity
from gateway.diagnosis.engine import Engine
from gateway.saved_state import SavedState, Stamp
from gateway.store import Store
from gateway.wear import written

import moments_of
from bench import polling, processes
from peers.mosquitto import free_port
from peers.office import Office

EVERY = 300.0  # s between two moments, on a hub that now and then has something to tell
WARM = 70.0  # s until all has been saved once
PLACE = Path("/var/tmp")  # not /tmp, which may be in memory, and then nothing is counted


async def quiet(window: float) -> float:
    """Bytes a second of a hub with ten devices at 1 Hz, four rules each, and a broker that is not there."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=PLACE)))
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
    with tempfile.TemporaryDirectory(dir=PLACE) as folder, Store.open(Path(folder) / "canary.db") as store:
        office = Office(store)
        office.file_one(moments_of.change(evidence=evidence))
        before = written()
        for place in range(number):
            office.file_one(moments_of.change(episode=f"episode {place}", rule_id=f"rule {place}", evidence=evidence))
        return (written() - before) / number


LEARNING: dict[str, dict[str, Any]] = {
    "threshold": {"above": Quantity(70.0, "°C"), "lasting": 10.0},
    "stuck": {},
    "rate": {"rises": Quantity(50.0, "°C"), "within": 600.0},
    "trend": {"above": Quantity(100.0, "°C")},
    "anomaly": {},
    "drift": {},
}


def learning(hours: float, where: Path, devices: int = 100) -> float:
    """Bytes a day of what is saved of so many devices with two points and six rules each, in simulated time, once it is under way.

    How often a device is read makes no difference to that: once a minute here, as often as is saved.
    """
    points = [
        PointInfo(f"d{device}/{name}", f"d{device}", name, "°C", name, f"d{device}") for device in range(devices) for name in "ab"
    ]
    rules = {kind: load_kind(kind).Keys(kind=kind, on=("*/*",), **keys) for kind, keys in LEARNING.items()}
    engine, chance, begun = Engine(rules, points, convert, 0.0), random.Random(1), 0
    with tempfile.TemporaryDirectory(dir=where) as folder, Store.open(Path(folder) / "canary.db") as store:
        saved = SavedState(store)
        for minute in range(1, round((hours + 1) * 60)):
            at = 60.0 * minute
            for device in range(devices):
                values = 20 + math.sin(at / 86400 * math.tau) + chance.gauss(0, 0.2), 5 + chance.gauss(0, 0.1)
                engine.feed(Batch(f"d{device}", at + device / 1000, ("a", "b"), values))
            engine.tick(at + 1.0)
            saved.save(engine.state(history=False, calm=False), Stamp("bench", at + 1.0, None))
            if minute == 60:
                begun = written()
        return (written() - begun) * 24 / hours


def report(row, seconds: float) -> None:
    rest, moment = asyncio.run(quiet(max(60.0, seconds))), each()
    row("written while the broker is down, 10 readings a second", "", "", "", "")
    row("  nothing to tell (MB a day)", f"{rest * 86400 / 1e6:.1f}", "", "20", "5")
    row(f"  a moment every {EVERY / 60:.0f} min (MB a day)", f"{(rest + moment / EVERY) * 86400 / 1e6:.1f}", "", "20", "5")
    row("  one moment (kB)", f"{moment / 1000:.1f}")
    row("written with nothing to tell, 100 devices, learning (MB a day)", f"{learning(6.0, PLACE) / 1e6:.1f}", "", "20", "5")
