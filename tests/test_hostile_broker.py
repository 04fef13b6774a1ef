"""Whatever a broker says, the hub goes on polling and diagnosing, does not grow, and keeps what the broker has not acknowledged."""

import asyncio
import json
import random

import pytest

from ledger.setting import TIMEOUT, Setting
from peers import hostile, hostile_commands
from peers.asker import Asker

pytestmark = pytest.mark.slow

BURST = 4.0  # MB that the hub may need for a moment
WORK = 10  # readings, each of which becomes a moment, that show that the hub is at work


async def test_a_hostile_broker_stops_neither_polling_nor_diagnosis_and_nothing_is_lost(tmp_path):
    """Every trick in turn on one hub; then the real broker gets all that no other has acknowledged."""
    async with Setting(tmp_path) as setting:
        await play(setting, hostile.TRICKS)
        await setting.close()
    verdict = setting.book.close()
    assert verdict.clean, verdict
    assert "Traceback" not in "\n".join(setting.log)


async def test_hostile_commands_stop_nothing_and_change_nothing_and_the_next_good_one_is_answered(tmp_path):
    """The same with a hub that takes commands, and a broker that knows it."""
    async with Setting(tmp_path, "[downlink]", "enabled = true", "per_minute = 6000") as setting:
        await play(setting, hostile_commands.TRICKS)
        async with Asker(setting.broker.port, "ledger") as cloud:
            await cloud.until_online()
            told = {}
            while told.get("id") != "good":
                await cloud.say("state", hostile_commands.state("good"))
                told = json.loads((await cloud.answer(TIMEOUT))[2])
            assert told["ok"]
            assert told["answer"]["muted"] == []
        await setting.close()
    verdict = setting.book.close()
    assert verdict.clean, verdict
    assert "Traceback" not in "\n".join(setting.log)


async def play(setting, tricks):
    """Have a hostile broker play each trick on the hub, which goes on with its work; then the real broker is there again."""
    await setting.until(lambda: setting.book.arrived > WORK)
    bad = hostile.Hostile(setting.hear)
    good = setting.link.target
    async with await asyncio.start_server(bad, "127.0.0.1", 0) as server:
        setting.link.target = server.sockets[0].getsockname()[1]
        for trick in random.Random(1).sample(tricks, len(tricks)):
            bad.trick, bad.played = trick, asyncio.Event()
            memory = (await setting.ask())["rss"]
            setting.link.cut()
            async with asyncio.timeout(TIMEOUT):
                await bad.played.wait()
            made = setting.book.promised
            await setting.until(lambda made=made: setting.book.promised >= made + WORK)
            grown = (await setting.ask())["rss"] - memory
            assert grown < BURST, trick.__name__
    setting.link.target = good
    setting.link.cut()
