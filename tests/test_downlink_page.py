"""The page about the downlink says what is so: each example does, each command and error is there, and its shell function works."""

import asyncio
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from gateway.agent import Hub
from gateway.clock import SystemClock
from gateway.commands import ErrorName
from gateway.config import load
from gateway.store import Store
from gateway.trial import Trial

from peers.asker import Asker
from peers.hub_process import WITH_ITS_CLOCK_SET, HubProcess
from peers.mosquitto import Mosquitto

PAGE = (Path(__file__).parent.parent / "docs" / "downlink.md").read_text()
EXAMPLE = re.compile(r"^    (?:\$ )?ask ([a-z-]+)(?: '(.*)')?$", re.MULTILINE)
CONFIG = '[hub]\nid = "hub-0042"\nstate = "{state}"\n'


@pytest.fixture
async def commands(tmp_path):
    path = tmp_path / "hub.toml"
    path.write_text(CONFIG.format(state=tmp_path))
    with Store.open(tmp_path / "canary.db") as store:
        hub = Hub(load(path), SystemClock(), store)
        Trial(hub, path).offer(hub.commands)
        yield hub.commands


def examples():
    """(command, its fields) of the page, but for the one that shows a mistake."""
    return [(do, json.loads(f"{{{said}}}")) for do, said in EXAMPLE.findall(PAGE) if "freezr" not in said]


async def test_every_example_of_the_page_is_without_a_mistake(commands):
    for do, said in examples():
        assert commands.read(do, said, "cloud").name == do


async def test_every_command_that_the_cloud_may_ask_for_is_on_the_page_with_all_its_fields(commands):
    shown = {}
    for do, said in examples():
        shown.setdefault(do, set()).update(said)
    assert shown == {do: set(commands.fields(do)) for do in commands.names("cloud")}


def test_every_error_is_on_the_page():
    table = PAGE.partition("## Errors")[2]
    assert set(re.findall(r"`([a-z-]+)`", table)) >= set(get_args(ErrorName))


@pytest.mark.slow
async def test_the_shell_function_of_the_page_asks_a_real_hub_through_a_real_broker(tmp_path):
    function = re.search(r"^    ask\(\).*?\}$", PAGE, re.MULTILINE | re.DOTALL).group()
    with Mosquitto(tmp_path) as broker:
        path = tmp_path / "hub.toml"
        more = f'[uplink]\nurl = "{broker.url}"\nretry_first = "0.1 s"\nretry_longest = "0.1 s"\n[downlink]\nenabled = true\n'
        path.write_text(CONFIG.format(state=tmp_path) + more)
        function = function.replace("-h broker.example.com", f"-h 127.0.0.1 -p {broker.port}")
        async with Asker(broker.port, "hub-0042") as cloud, HubProcess(path, program=WITH_ITS_CLOCK_SET):
            await cloud.until_online()
            script = f'{function}\nask mute \'"what": "hub", "for": "2 h"\'\nask state'
            shell = await asyncio.create_subprocess_exec("bash", "-c", script, stdout=asyncio.subprocess.PIPE)
            out, _ = await shell.communicate()
        mute, state = map(json.loads, out.splitlines())
        assert mute["answer"]["what"] == state["answer"]["muted"][0]["what"] == "hub"
