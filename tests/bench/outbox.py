"""CPU of one put, singly and grouped by a hundred; how a full outbox starts, and how fast it is emptied."""

import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.config.model import Uplink as Keys
from gateway.outbox import MAX_BYTES, Outbox
from gateway.store import Store
from gateway.uplink import Uplink

import moments_of
from peers.mosquitto import Mosquitto

MOMENT = moments_of.moment()


def cost(group: int, number: int) -> float:
    """CPU microseconds a put, median of five."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "bench.db") as store:
        box = Outbox(store)
        found = []
        for _ in range(5):
            began = time.process_time()
            for _ in range(number // group):
                box.put(*[MOMENT] * group)
            found.append((time.process_time() - began) / number * 1e6)
    return sorted(found)[2]


def fill(path: Path) -> int:
    """Put moments of 1.4 kB until there is no room; how many there are."""
    with Store.open(path) as store:
        box = Outbox(store)
        number = 0
        while not box.stats().dropped:
            box.put(*(moments_of.moment(number + more, says="x" * 900) for more in range(100)))
            number += 100
        return box.stats().rows


async def drain(box: Outbox, broker: Mosquitto, seconds: float) -> tuple[float, float]:
    """Moments a second to a broker on this machine, and CPU microseconds each."""
    with ThreadPoolExecutor(1) as thread, capture_logs():
        uplink = Uplink(Keys(url=broker.url), "hub-0042", SystemClock(), random=lambda: 0.0)
        task = asyncio.create_task(uplink.run(box, thread, asyncio.Event()))
        while not uplink.online:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        rows, began, spent = box.stats().rows, time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        sent, took, spent = rows - box.stats().rows, time.perf_counter() - began, time.process_time() - spent
        task.cancel()
        await asyncio.wait([task])
    return sent / took, spent / sent * 1e6


def backlog(row) -> None:
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker:
        path = Path(folder) / "bench.db"
        rows = fill(path)
        began = time.perf_counter()
        with Store.open(path) as store:
            box = Outbox(store)
            box.peek(32)
            row(f"outbox: start with {MAX_BYTES >> 20} MiB in {rows} moments (s)", f"{time.perf_counter() - began:.2f}")
            rate, cpu = asyncio.run(drain(box, broker, 5.0))
    row("uplink: moments a second after an outage", f"{rate:.0f}")
    row("  CPU us a moment", f"{cpu:.0f}")


def report(row) -> None:
    row("outbox: CPU us a put, singly", f"{cost(1, 300):.0f}", "", "250", "160")
    row("outbox: CPU us a put, by 100", f"{cost(100, 10_000):.0f}", "", "20", "12")
    backlog(row)
