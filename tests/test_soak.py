"""Two hundred reconnects under way: nothing grows, nothing is lost, and a wall clock that leaps changes nothing."""

import random
import re

import pytest

from ledger.setting import Setting

pytestmark = pytest.mark.slow

RECONNECTS = 200
WARM = 60  # reconnects after which the memory has settled
LOOKS = 10  # reconnects between two looks
HOUR = 3600.0


async def test_through_two_hundred_reconnects_nothing_grows_and_a_leaping_clock_changes_nothing(tmp_path, pytestconfig):
    luck = random.Random(1)
    looks = []
    async with Setting(tmp_path) as soak:
        await soak.until(lambda: soak.book.arrived > 10)
        for number in range(RECONNECTS * pytestconfig.getoption("--soak")):
            await soak.reconnect(luck)
            await soak.ask(luck.choice([f"leap {luck.uniform(-30, 30) * HOUR}", "trust 0", "trust 1"]))
            if number >= WARM and number % LOOKS == 0:
                looks.append(await soak.ask())
        await soak.close()
    verdict = soak.book.close()
    assert verdict.clean, verdict
    assert not [line for line in soak.log if "Traceback" in line]
    assert max(look["rss"] for look in looks) - looks[0]["rss"] < 2.0  # MB
    tasks = [[task for task in look["tasks"] if not re.match(r"Task-\d+", task)] for look in looks]
    assert all(task == tasks[0] for task in tasks)
    passing = [len(look["tasks"]) - len(own) for look, own in zip(looks, tasks, strict=True)]
    assert max(passing) <= 4, "those of a connection, and a write that is under way"
    assert len({len(look["files"]) for look in looks}) == 1
    assert len(looks) > 10
