"""The outbox after a power cut at every point of its life.

A program puts, acknowledges and reopens; what it does to the disk is recorded, and every disk that a cut could have left is opened
with the product's own code. It must hold the outbox as it was after the last call that had returned, or after the one that was
under way: nothing else, and nothing in between.
"""

import hashlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.moments import from_wire
from gateway.outbox import Outbox
from gateway.store import Store

from moments_of import moment
from peers.power_cut import Disk, Event, Files, may_trace, record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not may_trace(), reason="strace may not be used here"),
]

HERE = Path(__file__).parent
MEMORY = Path("/dev/shm")  # a disk that is made to be thrown away needs none
MAX_ROWS = 40

WORKLOAD = f"""
import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]
from pathlib import Path
import gateway.store
from test_crash import work
gateway.store.LOG_PAGES = 60  # so that the log is copied often
work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
"""


def operations(seed: int, number: int) -> Iterator[tuple[str, list[int]]]:
    """The life of an outbox: ("put", what the moments are known by), ("ack", the seqs), ("refuse", the seqs), ("reopen", [])."""
    luck = random.Random(seed)
    waiting: list[int] = []
    seq = 0
    for _ in range(number):
        kind = luck.choices(["put", "ack", "refuse", "reopen"], [60, 35, 3, 2])[0]
        if kind == "put":
            made = list(range(seq + 1, seq + 1 + luck.choice([1, 1, 1, 2, 7])))
            seq += len(made)
            waiting += made
            yield kind, made
        elif kind == "reopen":
            yield kind, []
        else:
            chosen = luck.sample(waiting, min(len(waiting), luck.choice([1, 3, 8])))
            waiting = [one for one in waiting if one not in chosen]
            yield kind, chosen


def work(path: Path, seed: int, number: int, synchronous: str) -> None:
    """Run in a process of its own: each call is followed by a word on standard output."""
    store = Store.open(path, generation=lambda: "TEST")
    outbox = Outbox(store, max_rows=MAX_ROWS)
    store.execute(f"PRAGMA synchronous = {synchronous}")
    for done, (kind, what) in enumerate([("put", []), *operations(seed, number)]):
        if kind == "put" and what:
            outbox.put(*(moment(each, says="x" * (each * 97 % 700)) for each in what))
        elif kind == "reopen":
            store.close()
            store = Store.open(path, generation=lambda: "TEST")
            store.execute(f"PRAGMA synchronous = {synchronous}")
            outbox = Outbox(store, max_rows=MAX_ROWS)
        elif what:
            outbox.ack(what, refused="no" if kind == "refuse" else "")
        os.write(1, b"%d\n" % done)


def outboxes(seed: int, number: int) -> list[tuple[list[int], int]]:
    """What waits after each operation, and the last number that was given, by the plainest model of it."""
    waiting: list[int] = []
    seq = 0
    after = [(waiting, seq)]
    for kind, what in operations(seed, number):
        waiting = (waiting + what)[-MAX_ROWS:] if kind == "put" else [one for one in waiting if one not in what]
        seq = max([seq, *what]) if kind == "put" else seq
        after.append((waiting, seq))
    return after


def images(events: list[Event], seed: int, torn: int) -> Iterator[tuple[int, Files]]:
    """(operations that had returned, a disk after a crash), before each sync and in between."""
    luck = random.Random(seed)
    disk = Disk()
    done = -1
    seen = set()
    for event in events:
        if event.kind == "sync" or (event.kind == "write" and luck.random() < 0.1):
            disks = [disk.after_a_kill(), disk.after_a_cut(), *(disk.after_a_cut(luck) for _ in range(torn))]
            for files in disks:
                content = hashlib.blake2b(repr(sorted((name, bytes(data)) for name, data in files.items())).encode()).digest()
                if (done, content) not in seen:
                    seen.add((done, content))
                    yield done, files
        if event.kind == "mark":
            done = int(event.data)
        else:
            disk.do(event)


def broken(files: Files, done: int, states: list[tuple[list[int], int]]) -> str:
    """What is wrong with this disk, if `done` operations had returned; "" if nothing is."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
        path = Path(folder) / "canary.db"
        for name, data in files.items():
            path.with_name(name).write_bytes(data)
        with Store.open(path, generation=lambda: "ANOTHER") as store:
            if store.set_aside:
                return store.set_aside
            outbox = Outbox(store, max_rows=MAX_ROWS)
            found = [int(from_wire(entry.wire).data.case.rpartition("-")[2]) for entry in outbox.peek(10**6)]
            if done < 0:  # it had not been opened yet
                return "" if not found else f"holds {found}"
            if found not in [waiting for waiting, _ in states[done : done + 2]]:
                return f"holds {found}, not {states[done][0]}"
            (given,) = outbox.put(moment())
            if store.generation == "TEST" and given <= states[done][1]:
                return f"gives the number {given} for the second time"
            (verdict,) = store.execute("PRAGMA integrity_check").fetchone()
            return "" if verdict == "ok" else str(verdict)


def recorded(folder: Path, seed: int, number: int, synchronous: str) -> list[Event]:
    (folder / "disk").mkdir()
    argv = [sys.executable, "-c", WORKLOAD, str(folder / "disk" / "canary.db"), str(seed), str(number), synchronous]
    return record(argv, folder / "disk", folder / "trace")


def test_what_put_had_returned_is_there_after_a_power_cut_at_any_point(tmp_path):
    events = recorded(tmp_path, seed=1, number=160, synchronous="FULL")
    states = outboxes(1, 160)
    tried = 0
    for done, files in images(events, seed=1, torn=2):
        tried += 1
        assert broken(files, done, states) == "", f"disk {tried}, {done} operations had returned"
    assert tried > 500


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_a_store_that_does_not_sync_would_be_found_out(tmp_path, synchronous):
    """The check itself: without a sync at each commit, what was put is gone."""
    events = recorded(tmp_path, seed=2, number=40, synchronous=synchronous)
    states = outboxes(2, 40)
    assert any(broken(files, done, states) for done, files in images(events, seed=2, torn=0))
