"""The cloud's side of the downlink: asks over a real broker, and hears every answer."""

import asyncio
import json
import socket
from datetime import UTC, datetime
from itertools import count

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ids = count(1)


class Asker:
    """`async with Asker(port) as cloud:`; `cloud.answers` holds what came, as (topic, correlation data, bytes).

    modern: by MQTT 5, with a response topic and correlation data where the question names some.
    """

    def __init__(self, port: int, hub: str = "hub-1", *, modern: bool = True):
        version = aiomqtt.ProtocolVersion.V5 if modern else aiomqtt.ProtocolVersion.V311
        at_once = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]  # else each question waits 40 ms for the kernel
        self._client = aiomqtt.Client("127.0.0.1", port, protocol=version, socket_options=at_once)
        self._hub = hub
        self.answers = asyncio.Queue()
        self.states = asyncio.Queue()
        self.moments = asyncio.Queue()
        self._told: set[str] = set()

    async def __aenter__(self):
        await self._client.__aenter__()
        await self._client.subscribe(f"canary/{self._hub}/#", 1)
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_):
        self._listener.cancel()
        await asyncio.wait([self._listener])
        await self._client.__aexit__(None, None, None)

    async def _listen(self):
        async for message in self._client.messages:
            topic = message.topic.value
            where = topic.split("/")[2]
            if where == "state":
                self.states.put_nowait(json.loads(message.payload))
            elif where == "moments":
                self.moments.put_nowait(message.payload)
            elif where != "do":
                correlation = getattr(message.properties, "CorrelationData", b"")
                self.answers.put_nowait((topic, correlation, message.payload))

    async def until_online(self):
        """Wait until the hub says that it is there."""
        async with asyncio.timeout(15):
            while not (await self.states.get())["online"]:
                pass

    async def say(self, do, payload, *, reply_to="", correlation=b"", retain=False, qos=1):
        """Publish some bytes as a command."""
        properties = None
        if reply_to or correlation:
            properties = Properties(PacketTypes.PUBLISH)
            if reply_to:
                properties.ResponseTopic = reply_to
            if correlation:
                properties.CorrelationData = correlation
        await self._client.publish(f"canary/{self._hub}/do/{do}", payload, qos, retain, properties)

    async def answer(self, seconds=15.0):
        """The next answer: (topic, correlation data, bytes)."""
        async with asyncio.timeout(seconds):
            return await self.answers.get()

    async def ask(self, do, seconds=15.0, **fields):
        """Ask, and return what the next answer says. An answer may come twice when the hub was killed after it was sent."""
        payload = question(**fields)
        await self.say(do, payload)
        while True:
            told = json.loads((await self.answer(seconds))[2])
            if told["id"] == json.loads(payload)["id"] or told["id"] not in self._told:
                self._told.add(told["id"])
                return told

    async def none(self, do="state", **fields):
        """Assert that nothing has been answered but what was taken: the answer to a last question is the next."""
        id_ = f"last-{next(ids)}"
        told = await self.ask(do, id=id_, **fields)
        assert told["id"] == id_, told


def question(**fields):
    """A command's payload, with an id and the present time where there are none."""
    envelope = {"id": f"q{next(ids)}", "issued": datetime.now(UTC).isoformat()}
    return json.dumps({**envelope, **fields})
