"""A TCP link that fails in the ways in which links fail: refused, slow, cut in the middle of a packet, or half open."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Self

PIECE = 16384  # bytes
NEVER = float("inf")


class BadLink:
    """`async with BadLink(target_port) as link:`; clients connect to `link.port`, which stays the same. Well until told otherwise.

    connections: how many there were so far. target: the port behind it, for the connections to come.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._server: asyncio.Server | None = None
        self._passing: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._silent = False
        self._rate = NEVER  # bytes a second
        self._until_cut = NEVER  # bytes
        self.port = 0
        self.connections = 0

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def accept(self) -> None:
        """Connections are taken again."""
        if self._server is None:
            self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Nobody listens any more, and who was there is thrown out."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self, after: float = 0) -> None:
        """Reset every connection, after so many more bytes of either direction: in the middle of a packet as likely as not."""
        self._until_cut = after or NEVER
        if not after:
            for near in self._passing.values():
                near.transport.abort()

    def silence(self) -> None:
        """Half open from now on, as behind a router that has forgotten: all is taken and nothing arrives. New connections too."""
        self._silent = True

    def slow_down(self, rate: float) -> None:
        """No more than so many bytes a second, each way."""
        self._rate = rate

    def mend(self) -> None:
        """Well again; a connection that was half open is reset as soon as somebody says something, as routers do."""
        self._silent, self._rate, self._until_cut = False, NEVER, NEVER

    async def _pass(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._passing[task] = back
        out: asyncio.StreamWriter | None = None
        try:
            with suppress(OSError):
                if self._silent:
                    while await near.read(PIECE):
                        pass
                    return
                far, out = await asyncio.open_connection("127.0.0.1", self.target)
                pumps = [asyncio.ensure_future(self._pump(near, out)), asyncio.ensure_future(self._pump(far, back))]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            _reset(back)
            if out:
                _reset(out)
            del self._passing[task]

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        lost = False
        while data := await source.read(PIECE if self._rate == NEVER else max(1, int(self._rate / 10))):
            lost = lost or self._silent
            if lost:
                if self._silent:
                    continue
                return  # what was said in between is gone for good
            if self._until_cut <= len(data):
                sink.write(data[: int(self._until_cut)])
                await sink.drain()
                self.cut()
                return
            self._until_cut -= len(data)
            sink.write(data)
            await sink.drain()
            if self._rate != NEVER:
                await asyncio.sleep(len(data) / self._rate)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection without a goodbye."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
