"""A broker that takes what it likes: it answers each moment as a test says, in the reason codes of MQTT 5."""

import asyncio
from collections.abc import Callable
from contextlib import closing, suppress

from gateway.demo.packets import read, variable

MOST = 2**20  # bytes of a packet
CONNECT, CONNACK, PUBLISH, PUBACK, PINGREQ, PINGRESP, DISCONNECT = 0x10, 0x20, 0x30, 0x40, 0xC0, 0xD0, 0xE0


class Farewell(Exception):  # noqa: N818
    """Raised by a test's judgement: the connection ends with this reason code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Picky:
    """`asyncio.start_server(Picky(judge), "127.0.0.1", 0)`.

    judge: from (topic, payload) of each message to the reason code of its PUBACK, or None for no answer; may raise `Farewell`.
    connack: reason code of each connection, in turn; the last for all that follow. properties: of the CONNACK.
    heard: (topic, payload, properties) of what was published; retained: whether each was to be; connections: how many there were.
    """

    def __init__(
        self,
        judge: Callable[[str, bytes], int | None] = lambda topic, payload: 0,
        *,
        connack: tuple[int, ...] = (0,),
        properties: bytes = b"",
    ) -> None:
        self._judge = judge
        self._connack = list(connack)
        self._properties = properties
        self.heard: list[tuple[str, bytes, bytes]] = []
        self.retained: list[bool] = []
        self.connections = 0

    def moments(self) -> list[bytes]:
        """The payloads that are moments, in the order in which they came."""
        return [payload for topic, payload, _ in self.heard if topic.endswith("/moments")]

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        with closing(writer), suppress(asyncio.IncompleteReadError, OSError):
            try:
                while True:
                    kind, packet = await read(reader, MOST)
                    if kind == CONNECT:
                        code = self._connack[0] if len(self._connack) == 1 else self._connack.pop(0)
                        body = bytes([0, code]) + variable(len(self._properties)) + self._properties
                        writer.write(bytes([CONNACK]) + variable(len(body)) + body)
                    elif kind == PINGREQ:
                        writer.write(bytes([PINGRESP, 0]))
                    elif kind & 0xF0 == PUBLISH:
                        topic, number = packet.text(), packet.take(2)
                        properties = packet.take(packet.variable())
                        payload = packet.take(packet.left)
                        self.retained.append(bool(kind & 1))
                        self.heard.append((topic, payload, properties))
                        answer = self._judge(topic, payload)
                        if answer is not None:
                            writer.write(bytes([PUBACK, 3]) + number + bytes([answer]))
            except Farewell as farewell:
                writer.write(bytes([DISCONNECT, 1, farewell.code]))
                await writer.drain()
