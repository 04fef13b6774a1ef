"""From the desk to the outbox: all or nothing, within the ceilings, and with what the hub has to say of itself."""

import asyncio
import os

import pytest

from gateway.clock import SystemClock
from gateway.config.model import Limits, Outbox, Uplink
from gateway.link import listen
from gateway.moments import from_wire
from gateway.store import DiskFullError, Store

from peers.hub_process import HubProcess
from peers.mosquitto import Mosquitto
from peers.office import Office, config


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        yield store


def test_of_a_hundred_that_break_at_once_a_few_are_told_and_the_rest_is_counted(store):
    office = Office(store, limits=Limits(moments_per_rule_and_hour=10))
    told = office.file(*range(100))
    assert [each.data.kind for each in told] == ["problem"] * 10 + ["hub"]
    assert [each.seq for each in office.waiting()] == list(range(1, 12))  # what is folded leaves no gap
    assert not office.clerk.is_due()
    office.clock.advance(3600.0)
    assert office.clerk.is_due()
    (summary,) = office.clerk.file(office.desk, [])
    assert summary.data.counts == {"freezer-warm": 90}
    assert summary.data.case == told[-1].data.case
    assert not office.clerk.is_due()


def test_what_was_folded_before_a_restart_is_told_after_it(tmp_path):
    for _ in range(2):
        with Store.open(tmp_path / "canary.db") as store:
            office = Office(store, limits=Limits(moments_per_rule_and_hour=10))
            office.file(*range(50))
    with Store.open(tmp_path / "canary.db") as store:
        office = Office(store, limits=Limits(moments_per_rule_and_hour=10))
        assert office.clerk.is_due()  # to find out when it really is
        assert office.clerk.file(office.desk, []) == []
        office.clock.advance(3600.0)
        (summary,) = office.clerk.file(office.desk, [])
        assert summary.data.counts == {"freezer-warm": 90}


def test_a_full_disk_leaves_no_trace_of_what_could_not_be_stored(store):
    office = Office(store)
    office.file(1)
    with store.transaction():
        (pages,) = store.execute("PRAGMA page_count").fetchone()
    store.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(DiskFullError):
        office.file(*range(2, 30))
    store.execute("PRAGMA max_page_count = 1000000")
    assert [each.data.seq for each in office.file(*range(2, 30))] == [0] * 28
    assert [each.seq for each in office.waiting()] == list(range(1, 30))
    assert len({each.case for each in office.waiting()}) == 29


def test_a_hub_starts_on_a_full_disk(tmp_path):
    """Beginning again on a store that is there writes nothing."""
    with Store.open(tmp_path / "canary.db") as store:
        Office(store).file(1)
    with Store.open(tmp_path / "canary.db") as store:
        Office(store)
        assert store.commits == 0


def test_what_was_dropped_is_told_once(store):
    office = Office(store, outbox=Outbox(max_moments=10))
    office.file(*range(15))
    (told,) = office.clerk.account(office.desk)
    assert told.data.counts == {"full": 5}
    assert office.clerk.account(office.desk) != []  # telling it cost another one its place, and that is told, too
    office.clerk.outbox.ack(range(100))
    office.clerk.account(office.desk)
    assert office.clerk.account(office.desk) == []


def test_changes_that_a_full_disk_kept_away_are_counted_when_there_is_space(store):
    office = Office(store)
    office.clerk.file(office.desk, [], missed=7)
    (told,) = office.clerk.account(office.desk)
    assert told.data.says == "7 moments never left this hub."
    assert told.data.because == "7 because the disk was full"


def test_another_config_changes_the_bounds_at_once(store):
    office = Office(store)
    office.file(*range(20))
    office.clerk.adopt(config(outbox=Outbox(max_moments=10), limits=Limits(moments_per_day=30)))
    office.file(*range(20, 40))
    assert office.clerk.outbox.stats().rows == 10


DAMAGED_HUB = """
[hub]
id = "hub-0042"
state = "{state}"
[uplink]
url = "{url}"
"""


@pytest.mark.slow
async def test_a_hub_whose_store_was_damaged_starts_and_says_so_upstream(tmp_path):
    state = tmp_path / "state"
    with Store.open(state / "canary.db") as store:
        Office(store).file(*range(25))
    content = bytearray((state / "canary.db").read_bytes())
    content[20 * 1024 : 21 * 1024] = os.urandom(1024)
    (state / "canary.db").write_bytes(content)
    with Mosquitto(tmp_path) as broker:
        path = tmp_path / "hub.toml"
        path.write_text(DAMAGED_HUB.format(state=state, url=broker.url))
        async with listen(Uplink(url=broker.url), "canary/+/moments", SystemClock()) as publications:
            heard = []
            async with asyncio.timeout(15), HubProcess(path):
                while len(heard) < 20 or not any(each.data.kind == "hub" for each in heard):
                    heard.append(from_wire((await anext(publications)).payload))
    (told,) = (each for each in heard if each.data.kind == "hub")
    assert told.data.says == "The hub's store was damaged and begun anew; numbers begin again."
    assert "could be saved" in told.data.because
    assert told.data.seq == 1
    saved = {each.data.generation for each in heard} - {told.data.generation}
    assert len(saved) == 1
    assert (state / "canary.db.corrupt").exists()
