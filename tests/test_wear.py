"""What the hub says of its own writing."""

import os

import pytest

from gateway.clock import VirtualClock
from gateway.outbox import Outbox
from gateway.store import Store
from gateway.wear import Wear, written

from moments_of import moment


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        yield store


def test_a_commit_is_one_sync_and_reading_is_none(store):
    outbox = Outbox(store)
    before = store.commits
    outbox.put(*map(moment, range(100)))
    outbox.put(moment())
    outbox.peek(50)
    outbox.stats()
    outbox.ack([1, 2])
    outbox.ack([1, 2])
    assert store.commits - before == 3


def test_it_is_told_for_a_day_from_the_last_one(store, tmp_path):
    """A storm of two days ago is forgotten."""
    clock = VirtualClock()
    io = tmp_path / "io"
    io.write_text("rchar: 9\nwrite_bytes: 1000000\ncancelled_write_bytes: 0\n")
    wear = Wear(store, clock.now, io)
    assert wear.day() is None
    for hour in range(72):
        io.write_text(f"rchar: 9\nwrite_bytes: {1_000_000 + 100_000 * min(hour, 10) + 4096 * hour}\n")
        store.commits += 2
        clock.advance(3600.0)
        worn = wear.day()
        if hour == 0:
            assert worn.bytes_per_day == 0
        if hour == 10:
            assert 2_000_000 < worn.bytes_per_day < 2_500_000
    assert worn == (4096 * 24, 48)


def test_where_the_kernel_does_not_count_nothing_is_said(store, tmp_path):
    clock = VirtualClock()
    wear = Wear(store, clock.now, tmp_path / "none")
    clock.advance(7200.0)
    assert wear.day() is None


def test_the_kernel_counts_what_is_written_and_synced(tmp_path):
    before = written()
    with (tmp_path / "file").open("wb") as file:
        file.write(os.urandom(100_000))
        os.fsync(file.fileno())
    if written() == before:
        pytest.skip("this file system is in memory")
    assert 100_000 <= written() - before < 300_000
