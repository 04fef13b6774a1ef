"""What the hub says of its own writing."""

import os

import pytest

from gateway.clock import VirtualClock
from gateway.outbox import Outbox, Stats
from gateway.store import Store
from gateway.views import figures
from gateway.wear import Wear, Worn, written

from bench.disk import learning
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


def counted(folder):
    """What the kernel counts where 100 kB are written and synced."""
    before = written()
    with (folder / "file").open("wb") as file:
        file.write(os.urandom(100_000))
        os.fsync(file.fileno())
    return written() - before


def test_the_kernel_counts_what_is_written_and_synced(tmp_path):
    bytes_ = counted(tmp_path)
    if not bytes_:
        pytest.skip("this file system is in memory")
    assert 100_000 <= bytes_ < 300_000


@pytest.mark.slow
def test_a_quiet_hub_with_a_hundred_devices_that_it_learns_wears_its_card_by_less_than_half_of_what_it_bears(tmp_path):
    """An hour of simulated time, by the kernel's count; a card bears 20 MB a day for years."""
    if not counted(tmp_path):
        pytest.skip("this file system is in memory")
    assert 1e6 < learning(1.0, tmp_path) < 10e6


def test_status_shows_what_waits_what_was_dropped_and_what_is_written():
    stats = Stats(rows=3, bytes=4096, seq=9, oldest=None, dropped={"full": 2}, untold={})
    assert list(figures(False, stats, Worn(7_100_000, 1440))) == [
        "uplink offline, 3 moments wait (4 KiB)",
        "dropped 2: full",
        "disk 7.1 MB and 1,440 syncs a day, at the present pace",
    ]
    assert list(figures(None, stats._replace(dropped={}), None)) == ["uplink none, 3 moments wait (4 KiB)"]
