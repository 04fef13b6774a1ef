"""What a hub knows of its own past: since when it has lived, and whether its machine was started anew."""

import pytest

from gateway.clock import VirtualClock
from gateway.lifetime import BOOT, is_first_since_boot
from gateway.store import Store

from peers.hub_process import HubProcess
from peers.mosquitto import free_port


def boots(path, *timelines: str) -> list[bool]:
    """A start of the hub in each boot of the machine."""
    found = []
    for timeline in timelines:
        clock = VirtualClock()
        clock.timeline = timeline
        with Store.open(path) as store:
            found.append(is_first_since_boot(store, clock))
    return found


def test_a_hub_knows_its_first_start_after_each_start_of_the_machine(tmp_path):
    """A new hub is no part of a fleet that comes back: whoever has just installed it waits for it."""
    assert boots(tmp_path / "canary.db", "a", "a", "b", "b", "b", "c") == [False, False, True, False, False, True]


def test_on_a_full_disk_each_start_may_be_the_first(tmp_path):
    assert boots(tmp_path / "canary.db", "a") == [False]
    clock = VirtualClock()
    with Store.open(tmp_path / "canary.db") as store:
        (pages,) = store.execute("PRAGMA page_count").fetchone()
        store.execute(f"PRAGMA max_page_count = {pages}")
        clock.timeline = "b" * 5000  # more than there is space for
        assert is_first_since_boot(store, clock)
        assert is_first_since_boot(store, clock)


CONFIG = """
[hub]
id = "hub-1"
state = "{state}"
[uplink]
url = "mqtt://127.0.0.1:{nobody}"
retry_first = "0.2 s"
"""


@pytest.mark.slow
async def test_a_hub_waits_before_it_connects_at_its_first_start_after_the_machine_s_and_at_no_other(tmp_path):
    config = tmp_path / "hub.toml"
    config.write_text(CONFIG.format(state=tmp_path, nobody=free_port()))
    waited = []
    for start in range(3):
        if start == 1:
            with Store.open(tmp_path / "canary.db") as store, store.transaction():
                store.remember(BOOT, "another start of the machine")
        async with HubProcess(config) as hub:
            await hub.until("offline")
            hub.signal()
            assert await hub.end() == 0
            waited.append(any("waits before it connects" in line for line in hub.log))
    assert waited == [False, True, False]
