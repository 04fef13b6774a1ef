"""What a hub tells and what it remembers of that reach the disk together, or neither does."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from rules_of import point
from structlog.testing import capture_logs

from gateway import filing
from gateway.agent import Hub
from gateway.clock import SystemClock
from gateway.config import load
from gateway.moments import from_wire
from gateway.outbox import Outbox
from gateway.saved_state import SavedState
from gateway.service.contract import Statement
from gateway.store import Store
from gateway.waiting import Waiting
from gateway.watchdog import Notifier

from moments_of import change
from peers.patience import until


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        yield store


@pytest.fixture
async def hub(tmp_path, store):
    config = tmp_path / "hub.toml"
    config.write_text(f'[hub]\nid = "hub-1"\nstate = "{tmp_path}"\n')
    return Hub(load(config), SystemClock(), store)


@asynccontextmanager
async def at_work(hub):
    stop = asyncio.Event()
    running = asyncio.create_task(hub.run(stop, Notifier()))
    async with asyncio.timeout(10):
        yield
        stop.set()
        await running


async def test_what_is_found_at_the_start_is_told_without_waiting_for_other_news(hub, store):
    hub.filing.tell([Statement(change=change())])
    async with at_work(hub):
        await until(lambda: Outbox(store).stats().rows == 1)


async def test_an_episode_is_not_remembered_before_its_moment_is_stored(hub, store):
    """The disk was full and has space again; the moment waits for the next try, and the state is saved in between."""
    with capture_logs() as told:
        async with at_work(hub):
            (pages,) = store.execute("PRAGMA page_count").fetchone()
            store.execute(f"PRAGMA max_page_count = {pages}")
            points = [point(f"freezer-{number}/core_temp") for number in range(30)]
            hub.tell(hub.service.take([change(episode=f"one {one.id}", point=one, says="x" * 900) for one in points]))
            await until(lambda: any(line["event"] == "moments wait in memory" for line in told))
            store.execute("PRAGMA max_page_count = 1000000")
            await hub.filing.save(all_of_it=True)
            assert Outbox(store).stats().rows == 0
            assert SavedState(store).load() is None
    assert Outbox(store).stats().rows == 30
    assert SavedState(store).load() is not None


async def test_what_a_command_tells_is_not_stored_twice_when_it_is_cut_off_in_the_middle_of_the_write(hub, store):
    """The write goes on in its thread; who is cancelled waits for its end, and then knows that nothing of it waits any more."""
    async with at_work(hub):
        with store._lock:  # the disk takes its time
            asked = asyncio.create_task(hub.told([Statement(change=change())]))
            await asyncio.sleep(0)
            for _ in range(50):
                await asyncio.sleep(0)
            asked.cancel()
            for _ in range(50):
                await asyncio.sleep(0)
        await asyncio.wait([asked])
        assert asked.cancelled()
    assert Outbox(store).stats().seq == 1


async def test_while_the_disk_is_full_the_least_important_go_and_are_counted(hub, store, monkeypatch):
    """No more wait in memory than there is room for; how many were lost is known as soon as there is space."""
    monkeypatch.setattr(hub.filing, "_waiting", Waiting(20))
    monkeypatch.setattr(filing, "RETRY", 0.01)
    with capture_logs() as told:
        async with at_work(hub):
            await until(lambda: SavedState(store).load() is not None)
            store.execute("PRAGMA max_page_count = 1")
            for number in range(45):
                severity = "info" if number < 30 else "critical"
                says = "x" * 2000  # more than there is room for in what the file has already
                hub.filing.tell([Statement(change=change(episode=f"one {number}", severity=severity, says=says))])
            await until(lambda: any(line["event"] == "moments wait in memory" for line in told))
            assert Outbox(store).stats().rows == 0
            store.execute("PRAGMA max_page_count = 1000000")
            await until(lambda: Outbox(store).stats().rows == 20)
    assert Outbox(store).stats().dropped == {"disk full": 25}
    waiting = [from_wire(entry.wire).data.severity for entry in Outbox(store).peek(50)]
    assert waiting == ["critical"] * 15 + ["info"] * 5
