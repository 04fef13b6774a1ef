"""The store after a power cut at every point of its life.

A program puts, acknowledges and reopens, or tells of episodes; what it does to the disk is recorded, and every disk that a cut
could have left is opened with the product's own code. It must hold what was there after the last call that had returned, or after
the one that was under way: nothing else, and nothing in between.
"""

import asyncio
import hashlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path

import pytest
from rules_of import rule

from drivers.contract import Batch
from gateway.config.model import Limits
from gateway.config.units import convert
from gateway.diagnosis.contract import Phase, PointInfo, Quantity
from gateway.diagnosis.engine import Engine
from gateway.filing import Filing
from gateway.moments import from_wire
from gateway.outbox import Outbox
from gateway.saved_state import SavedState
from gateway.service.contract import Statement
from gateway.store import Store

from moments_of import change, moment
from peers.office import Office
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
import test_crash
gateway.store.LOG_PAGES = 60  # so that the log is copied often
getattr(test_crash, sys.argv[1])(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
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


def tell(path: Path, seed: int, number: int, synchronous: str) -> None:
    """Episodes come and go."""

    async def steps() -> None:
        with Store.open(path, generation=lambda: "TEST") as store:
            office, engine, luck = Office(store, limits=NONE), machines(), random.Random(seed)
            store.execute(f"PRAGMA synchronous = {synchronous}")
            filing = Filing(
                store, office.clock, AtOnce(), office.clerk, office.desk,
                state=lambda _: engine.state(history=False, calm=False), filed=lambda _: None,
            )  # fmt: skip
            for step in range(number):
                changes = engine.feed(Batch("d", step + 1.0, POINTS, tuple(luck.choice((5.0, 20.0)) for _ in POINTS)))
                filing.tell([Statement(change=one) for one in changes])
                await filing.file()
                os.write(1, b"%d\n" % step)

    asyncio.run(steps())


class AtOnce(Executor):
    """For a program of one thread, which is what can be recorded."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        future.set_result(function(*args, **kwargs))
        return future


POINTS = ("a", "b", "c")
NONE = Limits(moments_per_day=100_000, moments_per_rule_and_hour=10_000)


def machines() -> Engine:
    """One rule about three points."""
    points = [PointInfo(f"d/{name}", "d", name, "°C", name, "d") for name in POINTS]
    return Engine({"warm": rule("threshold", "d/*", above=Quantity(10.0, "°C"), folds=0)}, points, convert, 0.0)


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


@contextmanager
def opened(files: Files) -> Iterator[Store]:
    """The store as the hub finds it on this disk, after the crash."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
        path = Path(folder) / "canary.db"
        for name, data in files.items():
            path.with_name(name).write_bytes(data)
        with Store.open(path, generation=lambda: "ANOTHER") as store:
            yield store


def broken(files: Files, done: int, states: list[tuple[list[int], int]]) -> str:
    """What is wrong with this disk, if `done` operations had returned; "" if nothing is."""
    with opened(files) as store:
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


def contradiction(files: Files) -> str:
    """What the hub would say twice or forget with this disk; "" if nothing."""
    with opened(files) as store:
        if store.set_aside:
            return store.set_aside
        desk = Office(store).desk
        wires = store.execute("SELECT wire FROM moment ORDER BY seq").fetchall()
        told = {moment.data.case: moment for (wire,) in wires for moment in [from_wire(wire)]}
        is_open = {moment.subject: case for case, moment in told.items() if moment.data.phase is not Phase.CLOSED}
        saved, engine = SavedState(store).load(), machines()
        if saved:
            engine.restore(saved.engine)
        known = {one.point.id: desk.moment(change(episode=one.episode)).data.case for one in engine.open_episodes()}
        return "" if known == is_open else f"told {is_open}, known {known}"


def recorded(folder: Path, seed: int, number: int, synchronous: str, work: str = "work") -> list[Event]:
    (folder / "disk").mkdir()
    argv = [sys.executable, "-c", WORKLOAD, work, str(folder / "disk" / "canary.db"), str(seed), str(number), synchronous]
    return record(argv, folder / "disk", folder / "trace")


def test_what_put_had_returned_is_there_after_a_power_cut_at_any_point(tmp_path):
    events = recorded(tmp_path, seed=1, number=160, synchronous="FULL")
    states = outboxes(1, 160)
    tried = 0
    for done, files in images(events, seed=1, torn=2):
        tried += 1
        assert broken(files, done, states) == "", f"disk {tried}, {done} operations had returned"
    assert tried > 500


def test_what_was_told_and_what_is_known_agree_after_a_power_cut_at_any_point(tmp_path):
    """So nothing opens twice, nothing open is forgotten, and what is open has the case number under which it was told."""
    events = recorded(tmp_path, seed=3, number=60, synchronous="FULL", work="tell")
    tried = 0
    for done, files in images(events, seed=3, torn=1):
        if done >= 0:
            tried += 1
            assert contradiction(files) == "", f"disk {tried}, {done} steps had been told"
    assert tried > 150


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_a_store_that_does_not_sync_would_be_found_out(tmp_path, synchronous):
    """The check itself: without a sync at each commit, what was put is gone."""
    events = recorded(tmp_path, seed=2, number=40, synchronous=synchronous)
    states = outboxes(2, 40)
    assert any(broken(files, done, states) for done, files in images(events, seed=2, torn=0))
