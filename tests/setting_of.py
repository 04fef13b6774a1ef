"""Where a hub runs as a process: a freezer on one side, a broker on the other, and the cloud that asks through it."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from gateway.moments import from_wire

from peers.asker import Asker
from peers.freezer import Freezer
from peers.hub_process import WITH_ITS_CLOCK_SET, HubProcess
from peers.mosquitto import Mosquitto

CONFIG = """
[hub]
id = "hub-1"
state = "{state}"
[uplink]
url = "mqtt://127.0.0.1:{mqtt}"
retry_first = "0.1 s"
retry_longest = "0.1 s"
[downlink]
enabled = true
per_minute = 600
[bus.line]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {modbus}
[device.freezer]
bus = "line"
unit = 1
every = "50 ms"
points.temp = {{ input = 0, type = "int16", scale = 0.1, unit = "°C"{private} }}
[rule.warm]
kind = "threshold"
on = ["freezer/temp"]
above = "-15 °C"
clear = "-18 °C"
"""


class Setting:
    """A freezer and a broker; `write` puts down the config of a hub that joins them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / "hub.toml"
        self.state = folder / "state"
        self.peers = AsyncExitStack()

    async def __aenter__(self):
        self.freezer = await self.peers.enter_async_context(Freezer())
        self.broker = self.peers.enter_context(Mosquitto(self.folder))
        self.write()
        return self

    async def __aexit__(self, *_):
        await self.peers.aclose()

    def write(self, private="", extra=""):
        text = CONFIG.format(state=self.state, mqtt=self.broker.port, modbus=self.freezer.port, private=private)
        self.path.write_text(text + extra)


class Asked(Setting):
    """And the cloud, which asks a hub whose clock is right."""

    async def __aenter__(self):
        await super().__aenter__()
        self.cloud = await self.peers.enter_async_context(Asker(self.broker.port))
        return self

    def hub(self):
        return HubProcess(self.path, program=WITH_ITS_CLOCK_SET)

    async def told(self, do, **fields):
        """The answer to a question that is answered well."""
        answer = await self.cloud.ask(do, **fields)
        assert answer["ok"], answer
        return answer["answer"]

    async def refused(self, do, **fields):
        """The mistake in a question, or the reason why it is not answered."""
        answer = await self.cloud.ask(do, **fields)
        assert not answer["ok"], answer
        return answer["error"]

    async def case(self):
        """The number of the case that is opened next."""
        async with asyncio.timeout(15):
            return from_wire(await self.cloud.moments.get()).data.case
