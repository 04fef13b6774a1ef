"""A hub as a process that tries remedies, and the cloud that hears of it through a real broker."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.moments import from_wire

from peers.asker import Asker
from peers.hub_process import HubProcess
from peers.mosquitto import Mosquitto

KILLED = str(Path(__file__).parent / "peers" / "killed_hub.py")
ENV = {"PYTHONPATH": os.pathsep.join(sys.path)}
HUB = """
[hub]
id = "hub-1"
state = "{state}"
settle = "0 s"
[uplink]
url = "mqtt://127.0.0.1:{mqtt}"
retry_first = "0.1 s"
retry_longest = "0.1 s"
"""
INTERRUPTED = [("problem", "opened", []), ("problem", "worsened", ["interrupted"])]  # what is told of a try that was cut short
WORKED = [("problem", "opened", []), ("recovery", "opened", ["worked"]), ("problem", "closed", ["worked"])]
TRIED_AGAIN = [
    *INTERRUPTED, ("recovery", "opened", ["interrupted", "worked"]), ("problem", "closed", ["interrupted", "worked"]),
]  # fmt: skip
WELL_BY_ITSELF = [*INTERRUPTED, ("problem", "closed", ["interrupted"])]


def life(path, moment="never"):
    """A hub of this config that ends itself at a moment; see `killed_hub.py`."""
    return HubProcess(path, program=(sys.executable, KILLED, moment), env=ENV)


async def stopped(hub):
    """It is stopped in good order."""
    hub.signal()
    assert await hub.end(15.0) == 0


def steps(moments):
    """Kind and phase of each, and the results of what was tried so far."""
    return [(one.kind, one.phase.value, [tried.result for tried in one.tried]) for one in moments]


def acts(hub):
    """What a hub has done by itself, as its journal has it, but for what it has switched on again."""
    return [line for line in hub.log if "hands: acts" in line and "restores=False" in line]


class Cloud:
    """What the cloud has heard over the hub's lives: `moments`, each once, in the order in which they came."""

    def __init__(self, asker):
        self.moments = []
        self._asker = asker
        self._known = set()

    async def hears(self, kind, phase, within=15.0):
        """Wait for the next moment of this kind and phase, and return it."""
        try:
            async with asyncio.timeout(within):
                while True:
                    moment = from_wire(await self._asker.moments.get())
                    if moment.id in self._known:
                        continue
                    self._known.add(moment.id)
                    self.moments.append(moment.data)
                    if (moment.data.kind, moment.data.phase.value) == (kind, phase):
                        return moment.data
        except TimeoutError:
            raise AssertionError(f"never heard of a {kind} {phase}: {steps(self.moments)}") from None

    async def hears_that_it_has_worked(self, point, before, after, how):
        """A recovery that says what was better than before, and that nobody has to come; then the end of the case."""
        recovery = await self.hears("recovery", "opened")
        (compared,) = recovery.comparisons
        assert (compared.point, compared.before, compared.after) == (point, before, after)
        assert recovery.says.endswith("No visit is needed.")
        closed = await self.hears("problem", "closed")
        assert (closed.how, closed.openings) == (how, 1)
        assert len({one.case for one in self.moments}) == 1
        return recovery


@asynccontextmanager
async def cloud(folder):
    """A broker, and the cloud behind it; `cloud.hub` is the head of the config of a hub that tells them."""
    with Mosquitto(folder) as broker:
        async with Asker(broker.port) as asker:
            heard = Cloud(asker)
            heard.hub = HUB.format(state=folder / "state", mqtt=broker.port)
            yield heard
