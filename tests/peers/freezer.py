"""A freezer on a real Modbus server: a test sets its temperature, and may watch how often it is asked."""

import asyncio
from collections.abc import Callable

from gateway.demo import modbus_machine


class Freezer:
    """`async with Freezer() as freezer:`; input register 0 of unit 1 is `freezer.temp`, an int16 in tenths of a degree."""

    def __init__(self):
        self.temp = -20.0
        self._asked = asyncio.Queue()  # when (s of the loop)

    async def __aenter__(self):
        self._server, self.port = await modbus_machine.serve_tcp(modbus_machine.device(1, range(1), self._answer))
        return self

    async def __aexit__(self, *_):
        await self.off()

    async def off(self):
        """It is switched off."""
        await self._server.shutdown()

    def _answer(self):
        self._asked.put_nowait(asyncio.get_running_loop().time())
        return {0: modbus_machine.int16(self.temp, 0.1)}

    async def until_left_alone_for(self, fits: Callable[[float], bool], within: float = 15.0) -> None:
        """Wait until the time between two questions from now on (s) is one that fits."""
        while not self._asked.empty():
            self._asked.get_nowait()
        pauses = []
        try:
            async with asyncio.timeout(within):
                before = await self._asked.get()
                while not (pauses and fits(pauses[-1])):
                    now = await self._asked.get()
                    pauses.append(now - before)
                    before = now
        except TimeoutError:
            raise AssertionError(f"never left alone for as long, only for {pauses} s") from None
