"""A subscriber that loses nothing of what a broker had sent it before it was killed.

It subscribes with QoS 0 and never writes after that: a client that acknowledges gets an error from a broker that is gone, and then
throws away what it had received and not yet read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from gateway.demo.packets import read, text, variable

MOST = 2**20  # bytes of a packet


async def subscribe(port: int, topic: str, heard: Callable[[bytes], None], listening: asyncio.Event) -> None:
    """Hear every payload for ever, over as many connections as it takes; `listening` is set while there is one."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            async with _subscribed(port, topic) as reader:
                listening.set()
                while True:
                    _, packet = await read(reader, MOST)
                    packet.text()
                    heard(packet.take(packet.left))
        listening.clear()
        await asyncio.sleep(0.002)


@asynccontextmanager
async def _subscribed(port: int, topic: str) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        connect = text("MQTT") + b"\x04\x02\0\0" + text("subscriber")
        subscribe = b"\0\x01" + text(topic) + b"\0"
        for kind, body in ((0x10, connect), (0x82, subscribe)):
            writer.write(bytes([kind]) + variable(len(body)) + body)
            answer, _ = await read(reader, MOST)
            assert answer in {0x20, 0x90}
        yield reader
    finally:
        writer.close()
