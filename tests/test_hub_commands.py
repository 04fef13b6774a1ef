"""The cloud can ask any hub how it is and what it saw, and have it be quiet; what it was told survives SIGKILL."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from setting_of import CONFIG, Asked

from gateway.agent import Hub
from gateway.clock import SystemClock
from gateway.config import load
from gateway.control import ControlError, ask, perform
from gateway.diagnosis.contract import PointInfo
from gateway.downlink import LARGEST_ANSWER
from gateway.store import Store

from moments_of import change

pytestmark = pytest.mark.slow


@pytest.fixture
async def setting(tmp_path):
    async with Asked(tmp_path) as setting:
        yield setting


async def test_a_case_can_be_seen_more_closely_and_acknowledged_and_that_survives_sigkill(setting):
    async with setting.hub() as hub:
        await setting.cloud.until_online()
        state = await setting.told("state")
        assert (state["cases"], state["muted"], state["withheld"], state["clock"]) == ([], [], [], "synced")
        assert state["outbox"]["waiting"] == 0
        setting.freezer.temp = -10.0
        number = await setting.case()
        seen = await setting.told("evidence", case=number)
        assert (seen["point"], seen["unit"], seen["last"]["value"]) == ("freezer/temp", "°C", -10.0)
        assert {-20.0, -10.0} <= set(seen["values"])
        assert (await setting.told("evidence", case=number, point="freezer/temp"))["point"] == "freezer/temp"
        assert (await setting.refused("evidence", case=number, point="oven/temp"))["name"] == "not-found"
        assert len(seen["at_s"]) == len(seen["values"])
        assert seen["at_s"] == sorted(seen["at_s"])
        assert await setting.told("acknowledge", case=number, who="An", note="calls at noon")
        hub.process.send_signal(signal.SIGKILL)
    async with setting.hub():
        await setting.cloud.until_online()
        (case,) = (await setting.told("state"))["cases"]
        assert (case["case"], case["point"], case["severity"]) == (number, "freezer/temp", "warning")
        assert case["acknowledged"] == "An: calls at noon"
        assert any(
            "known to An: calls at noon" in line for line in await asyncio.to_thread(lambda: list(ask(setting.state, do="status")))
        )


async def test_a_rule_is_muted_until_a_time_also_through_sigkill_and_unmuted_before_it(setting):
    until = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    async with setting.hub() as hub:
        await setting.cloud.until_online()
        assert (await setting.told("mute", what="warm", until=until.isoformat()))["what"] == "warm"
        hub.process.send_signal(signal.SIGKILL)
    async with setting.hub():
        await setting.cloud.until_online()
        setting.freezer.temp = -10.0
        async with asyncio.timeout(10):
            while not (state := await setting.told("state"))["withheld"]:
                pass
        (mute,) = state["muted"]
        assert mute["what"] == "warm"
        assert abs(datetime.fromisoformat(mute["until"]) - until) < timedelta(seconds=5)
        assert state["withheld"][0]["why"] == "muted"
        assert any("muted warm, for 2 h" in line for line in await asyncio.to_thread(lambda: list(ask(setting.state, do="status"))))
        assert setting.cloud.moments.empty()
        await setting.told("unmute", what="warm")
        assert await setting.case()
        assert (await setting.told("state"))["muted"] == []


async def test_what_is_wrong_with_what_is_asked_is_said_by_name(setting):
    async with setting.hub():
        await setting.cloud.until_online()
        now = datetime.now(UTC)
        wrong = {
            "case": await setting.refused("evidence", case="hub-1-XXXX"),
            "ack": await setting.refused("acknowledge", case="hub-1-XXXX", who="An"),
            "name": await setting.refused("mute", what="wram", **{"for": "1 h"}),
            "past": await setting.refused("mute", what="warm", until=(now - timedelta(hours=1)).isoformat()),
            "long": await setting.refused("mute", what="warm", until=(now + timedelta(days=31)).isoformat()),
            "both": await setting.refused("mute", what="warm", until=now.isoformat(), **{"for": "1 h"}),
            "none": await setting.refused("mute", what="warm"),
            "not": await setting.refused("unmute", what="warm"),
        }
        assert {key: error["name"] for key, error in wrong.items()} == {
            "case": "not-found",
            "ack": "not-found",
            "name": "not-found",
            "past": "wrong-value",
            "long": "wrong-value",
            "both": "wrong-value",
            "none": "missing-field",
            "not": "not-found",
        }
        assert wrong["name"]["suggestion"] == '"warm"'
        assert (await setting.told("state"))["muted"] == []


@pytest.mark.parametrize(("private", "says"), [("household", True), ("personal", False)])
async def test_of_a_private_point_nothing_finer_leaves_than_its_moments_do(setting, private, says):
    setting.write(private=f', privacy = "{private}"')
    async with setting.hub():
        await setting.cloud.until_online()
        setting.freezer.temp = -10.0
        number = await setting.case()
        assert (await setting.refused("evidence", case=number))["name"] == "not-allowed"
        (case,) = (await setting.told("state"))["cases"]
        assert ("says" in case) is says


async def test_a_person_at_the_hub_asks_the_same_even_with_the_downlink_off(setting):
    text = setting.path.read_text().replace("enabled = true", "enabled = false")
    setting.path.write_text(text)
    async with setting.hub():
        await setting.cloud.until_online()
        await asyncio.to_thread(lambda: perform(setting.state, "mute", **{"what": "freezer", "for": "1 h"}))
        state = await asyncio.to_thread(lambda: perform(setting.state, "state"))
        assert [one["what"] for one in state["muted"]] == ["freezer"]
        with pytest.raises(ControlError, match="is not muted; did you mean"):
            await asyncio.to_thread(lambda: perform(setting.state, "unmute", what="freezr"))


async def test_the_downlink_is_turned_on_and_off_by_a_reload(setting):
    text = setting.path.read_text()
    setting.path.write_text(text.replace("enabled = true", "enabled = false"))
    async with setting.hub() as hub:
        await setting.cloud.until_online()
        setting.path.write_text(text)
        hub.signal(signal.SIGHUP)
        await setting.cloud.until_online()
        await setting.told("state")
        setting.path.write_text(text.replace("enabled = true", 'enabled = true\nallow = ["mute"]'))
        hub.signal(signal.SIGHUP)
        await setting.cloud.until_online()
        assert (await setting.refused("state"))["name"] == "not-allowed"


async def test_the_state_of_a_hub_where_everything_is_broken_fits_an_answer_with_the_worst_first(tmp_path):
    path = tmp_path / "hub.toml"
    path.write_text(CONFIG.format(state=tmp_path, mqtt=1, modbus=1, private=""))
    with Store.open(tmp_path / "canary.db") as store:
        hub = Hub(load(path), SystemClock(), store)
        for number in range(400):
            point = PointInfo(f"{number}{'d' * 60}/{'p' * 60}", f"{number}{'d' * 60}", "p" * 60, "", "", "")
            severity = "critical" if number == 399 else "warning"
            hub.service.take([change(episode=f"warm#{number}", point=point, severity=severity, says="s" * 1000)])
            hub.engine.mute(f"{number} {'x' * 190}", 1e9)
        for case in hub.service.book:
            case.acknowledged = "a" * 600
        request = hub.commands.read("state", {}, "cloud")
        answer = await request.perform()
        assert len(answer) < LARGEST_ANSWER
        told = msgspec.json.decode(answer)
        assert told["cases"][0]["severity"] == "critical"
        assert told["not_listed"] == 2 * (400 - len(told["cases"]))
