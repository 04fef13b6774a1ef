"""The desk gives a case to another owner, by downlink: told under its old number, and remembered through SIGKILL."""

import asyncio
import signal

import pytest
from setting_of import Asked

from gateway.moments import from_wire

pytestmark = pytest.mark.slow

OWNERS = """
[owner.cooling]
name = "CoolTech"
covers = ["device.freezer"]
[owner.wires]
name = "Volt & Sons"
contact = "tel:+32 9 222 22 22"
hours = ["00:00-24:00"]
"""


@pytest.fixture
async def setting(tmp_path):
    async with Asked(tmp_path) as setting:
        setting.write(extra=OWNERS)
        yield setting


async def test_the_desk_gives_a_case_to_another_owner_and_that_survives_sigkill(setting):
    async with setting.hub() as hub:
        await setting.cloud.until_online()
        setting.freezer.temp = -10.0
        number = await setting.case()
        answer = await setting.told("hand-over", case=number, to="wires", because="They were there last week.", by="An")
        assert answer == {"case": number, "owner": "wires"}
        async with asyncio.timeout(15):
            told = from_wire(await setting.cloud.moments.get())
        assert (told.data.case, told.data.phase) == (number, "handed_over")
        assert (told.data.handed_over.from_, told.data.handed_over.to) == ("cooling", "wires")
        assert (told.data.owner.name, told.data.owner.because) == ("Volt & Sons", "They were there last week.")
        assert told.data.owner.reachable == told.time
        assert await setting.told("hand-over", case=number, to="wires", because="Again.") == answer
        hub.process.send_signal(signal.SIGKILL)
    async with setting.hub():
        await setting.cloud.until_online()
        (case,) = (await setting.told("state"))["cases"]
        assert (case["case"], case["owner"]) == (number, "wires")
        refused = await setting.refused("hand-over", case=number, to="wiers", because="They were there last week.")
        assert (refused["name"], refused["field"], refused["suggestion"]) == ("not-found", "to", '"wires"')
        refused = await setting.refused("hand-over", case="hub-1-XXXX", to="wires", because="They were there last week.")
        assert (refused["name"], refused["field"]) == ("not-found", "case")
        while not setting.cloud.moments.empty():  # at least once, under one id
            assert from_wire(setting.cloud.moments.get_nowait()).id == told.id
