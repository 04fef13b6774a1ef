"""A broker that takes a few moments at once and acknowledges them late, or never: what Mosquitto cannot be told to do."""

import asyncio
from contextlib import closing, suppress

from gateway.demo.packets import read

MOST = 2**20  # bytes of a packet
QUIET = 0.02  # s
CONNECT, CONNACK, PUBLISH, PUBACK, PINGREQ, PINGRESP = 0x10, 0x20, 0x30, 0x40, 0xC0, 0xD0


class Stingy:
    """`asyncio.start_server(Stingy(...), "127.0.0.1", 0)`.

    It acknowledges the first message of a connection (that the hub is online) at once. Of the others it keeps a pile until nothing
    more comes, and then acknowledges them all; or never, without `acknowledges`.

    connections: how many there were. piles: how many messages lay there each time.
    """

    def __init__(self, *, receive_maximum: int = 65535, acknowledges: bool = True) -> None:
        self._receive_maximum = receive_maximum
        self._acknowledges = acknowledges
        self.connections = 0
        self.piles: list[int] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        pile: list[bytes] = []
        said_online = False
        with closing(writer), suppress(asyncio.IncompleteReadError, OSError):
            while True:
                try:
                    async with asyncio.timeout(QUIET if pile and self._acknowledges else None):
                        kind, packet = await read(reader, MOST)
                except TimeoutError:
                    self.piles.append(len(pile))
                    writer.write(b"".join(bytes([PUBACK, 2]) + number for number in pile))
                    pile.clear()
                    continue
                if kind == CONNECT:
                    writer.write(bytes([CONNACK, 6, 0, 0, 3, 0x21]) + self._receive_maximum.to_bytes(2, "big"))
                elif kind == PINGREQ:
                    writer.write(bytes([PINGRESP, 0]))
                elif kind & 0xF0 == PUBLISH:
                    packet.text()
                    number = packet.take(2)
                    if said_online:
                        pile.append(number)
                    else:
                        said_online = True
                        writer.write(bytes([PUBACK, 2]) + number)
