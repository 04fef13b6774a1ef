"""CPU of one put: singly, and grouped by a hundred."""

import tempfile
import time
from pathlib import Path

from gateway.outbox import Outbox
from gateway.store import Store

import moments_of

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


def report(row) -> None:
    row("outbox: CPU us a put, singly", f"{cost(1, 300):.0f}", "", "250", "160")
    row("outbox: CPU us a put, by 100", f"{cost(100, 10_000):.0f}", "", "20", "12")
