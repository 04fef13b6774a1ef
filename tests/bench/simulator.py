"""A Modbus TCP server for the bench: many units, each with registers that change at every read. A process of its own.

Register 0 of a unit counts its reads; register k is (7 x count + 100 x unit + k) mod 2^16. On standard output the port, then one
line of JSON for each line that it gets on standard input: what happened since the line before.
"""

import asyncio
import json
import struct
import sys
import time


class Units:
    def __init__(self) -> None:
        self.count = [0] * 256
        self.last = [0.0] * 256
        self.reset()

    def reset(self) -> None:
        self.requests = self.registers = 0
        self.gaps: list[float] = []  # s between two reads of one unit
        self.first = 0.0

    def read(self, unit: int, start: int, number: int) -> bytes:
        self.requests += 1
        self.registers += number
        if start == 0:
            now = time.monotonic()
            self.first = self.first or now
            if self.last[unit]:
                self.gaps.append(now - self.last[unit])
            self.last[unit] = now
            self.count[unit] += 1
        base = 7 * self.count[unit] + 100 * unit
        values = [(base + register) & 0xFFFF for register in range(start, start + number)]
        if start == 0:
            values[0] = self.count[unit] & 0xFFFF
        return struct.pack(f">{number}H", *values)


class Server(asyncio.Protocol):
    units: Units

    def connection_made(self, transport) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 12:
            transaction, _, length, unit, function, start, number = struct.unpack(">HHHBBHH", self.buffer[:12])
            self.buffer = self.buffer[6 + length :]
            payload = self.units.read(unit, start, number)
            head = struct.pack(">HHHBBB", transaction, 0, 3 + len(payload), unit, function, len(payload))
            self.transport.write(head + payload)


async def main() -> None:
    Server.units = units = Units()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while await orders.readline():
        facts = {"requests": units.requests, "registers": units.registers, "gaps": units.gaps, "first": units.first}
        print(json.dumps(facts), flush=True)
        units.reset()


asyncio.run(main())
