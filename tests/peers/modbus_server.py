"""Modbus devices to talk to: on TCP, on a pseudo-terminal, and behind a converter; well ones, and ones with a fault on demand.

Written from the standard (Modbus Application Protocol V1.1b3, Modbus over Serial Line V1.02) without the driver's help, so that a
misunderstanding of ours does not answer itself. `well_tcp` and `well_rtu` are pymodbus's own servers, a second opinion.
"""

import asyncio
import contextlib
import os
import pty
import struct
import tty
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.base import ModbusBaseServer
from pymodbus.simulator import DataType, SimData, SimDevice

TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
WRITES = {5: "coil", 15: "coil", 6: "holding", 16: "holding"}
SEVERAL = {15, 16}


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS, low byte first, bit by bit as the standard's appendix does it."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


class Slave:
    """What one unit holds and refuses. An address that it does not hold is 0, unless `refuses` says otherwise.

    refuses: (table, address) pairs that no request may touch. most: registers that it gives at once. borders: (table, address)
    pairs across which it does not read. code: the exception code that it refuses with. lacks: function codes that it does not know.
    keeps: (table, address) pairs that it says it has written, and has not. hides: pairs that it does not let anybody read.
    """

    def __init__(
        self,
        *,
        refuses: Iterable[tuple[str, int]] = (),
        most: int = 125,
        borders: Iterable[tuple[str, int]] = (),
        code: int = 2,
        lacks: Iterable[int] = (),
        keeps: Iterable[tuple[str, int]] = (),
        hides: Iterable[tuple[str, int]] = (),
        **tables: Mapping[int, int],
    ) -> None:
        self.tables = {table: dict(cells) for table, cells in tables.items()}
        self.lacks = set(lacks)
        self.keeps = set(keeps)
        self.hides = set(hides)
        self.refuses = set(refuses)
        self.most = most
        self.borders = set(borders)
        self.code = code
        self.exception = 0  # when set, the answer to everything
        self.requests: list[tuple[str, int, int]] = []  # what it was asked: table, address, count
        self.writes: list[tuple[int, int, list[int]]] = []  # what was written, or refused: function code, address, cells

    def reply(self, pdu: bytes) -> bytes:
        """The answer to a request, both from the function code on."""
        if pdu[0] in self.lacks:
            return bytes([pdu[0] | 0x80, 1])
        if pdu[0] in WRITES:
            return self._written(pdu)
        function, address, count = struct.unpack(">BHH", pdu)
        table = TABLES[function]
        self.requests.append((table, address, count))
        span = range(address, address + count)
        if self.exception:
            return bytes([function | 0x80, self.exception])
        if (
            any((table, cell) in self.refuses | self.hides for cell in span)
            or any((table, cell) in self.borders for cell in span[1:])
            or (function > 2 and count > self.most)
        ):
            return bytes([function | 0x80, self.code])
        cells = [self.tables.get(table, {}).get(cell, 0) for cell in span]
        if function > 2:
            return struct.pack(f">BB{count}H", function, 2 * count, *cells)
        packed = bytearray((count + 7) // 8)
        for place, cell in enumerate(cells):
            packed[place // 8] |= cell << place % 8
        return bytes([function, len(packed), *packed])

    def _written(self, pdu: bytes) -> bytes:
        function, address, value = struct.unpack_from(">BHH", pdu)
        table = WRITES[function]
        if function not in SEVERAL:
            cells = [value if table == "holding" else {0: 0, 0xFF00: 1}[value]]
        elif table == "holding":
            cells = list(struct.unpack_from(f">{value}H", pdu, 6))
        else:
            cells = [pdu[6 + place // 8] >> place % 8 & 1 for place in range(value)]
        self.writes.append((function, address, cells))
        if self.exception or any((table, address + place) in self.refuses for place in range(len(cells))):
            return bytes([function | 0x80, self.exception or self.code])
        for place, cell in enumerate(cells):
            if (table, address + place) not in self.keeps:
                self.tables.setdefault(table, {})[address + place] = cell
        return pdu[:5]


class Answer:
    """One answer on its way out: what a fault may do with it."""

    def __init__(self, wire: "Wire", unit: int, pdu: bytes, number: int) -> None:
        self.wire, self.unit, self.pdu, self.number = wire, unit, pdu, number

    @property
    def frame(self) -> bytes:
        """As it should go out."""
        return self.wire.frame(self.unit, self.pdu, self.number)


Fault = Callable[[Answer], None]


def silence(answer: Answer) -> None:
    """No answer at all."""


def noise(answer: Answer) -> None:
    """Rubbish, and nothing else."""
    answer.wire.send(b"\xf0\x0f\x55\x00\xff\xaa\x13")


def noise_around(answer: Answer) -> None:
    """A good answer with rubbish before and after it, and a false start of itself."""
    answer.wire.send(b"\xf0\x0f\x55\x00\xff\xaa\x13" + answer.frame[:3] + b"\x00" + answer.frame + b"\x99")


def half(answer: Answer) -> None:
    """The first half of the answer."""
    answer.wire.send(answer.frame[: len(answer.frame) // 2])


def bad_crc(answer: Answer) -> None:
    """A whole answer with one bit turned."""
    answer.wire.send(answer.frame[:-1] + bytes([answer.frame[-1] ^ 1]))


def by_other_unit(answer: Answer) -> None:
    """The answer of the unit next door."""
    answer.wire.send(answer.wire.frame(answer.unit + 1, answer.pdu, answer.number))


def too_short(answer: Answer) -> None:
    """A sound answer with one register less than was asked for."""
    pdu = bytes([answer.pdu[0], answer.pdu[1] - 2, *answer.pdu[2:-2]])
    answer.wire.send(answer.wire.frame(answer.unit, pdu, answer.number))


def echo(answer: Answer) -> None:
    """What an adapter does that hears itself: the request comes back, then the answer."""
    answer.wire.send(answer.wire.last_request + answer.frame)


def echo_only(answer: Answer) -> None:
    """The request comes back, and no answer."""
    answer.wire.send(answer.wire.last_request)


def dribble(answer: Answer) -> None:
    """The answer byte by byte."""
    loop, frame = asyncio.get_running_loop(), answer.frame

    def send(at: int) -> None:
        answer.wire.send(frame[at : at + 1])
        if at + 1 < len(frame):
            loop.call_soon(send, at + 1)

    send(0)


def hold(answer: Answer) -> None:
    """The answer waits until `Wire.release`."""
    answer.wire.held.append(answer.frame)


def hang_up(answer: Answer) -> None:
    """The line goes dead in place of an answer."""
    answer.wire.hang_up()


def exactly(data: bytes) -> Fault:
    """These bytes in place of an answer."""
    return lambda answer: answer.wire.send(data)


class Wire:
    """What is common to all wires: units, the fault of the hour, and who was asked."""

    def __init__(self, units: Mapping[int, Slave]) -> None:
        self.units = dict(units)
        self.faults: dict[int, Fault] = {}  # unit -> what becomes of its answers
        self.held: list[bytes] = []
        self.asked: asyncio.Queue[int] = asyncio.Queue()  # units, as they are asked
        self.last_request = b""

    def send(self, data: bytes) -> None:
        """Bytes to whoever asked last."""
        raise NotImplementedError

    def hang_up(self) -> None:
        """End the connection."""
        raise NotImplementedError

    def frame(self, unit: int, pdu: bytes, number: int) -> bytes:
        """As this wire carries it; RTU unless a wire says otherwise."""
        body = bytes([unit]) + pdu
        return body + crc(body)

    def release(self) -> None:
        """Send what was held."""
        for frame in self.held:
            self.send(frame)
        self.held.clear()

    def take(self, unit: int, pdu: bytes, number: int = 0) -> None:
        """A request has come in."""
        self.asked.put_nowait(unit)
        if unit in self.units:
            answer = Answer(self, unit, self.units[unit].reply(pdu), number)
            fault = self.faults.get(unit)
            if fault is None:
                self.send(answer.frame)
            else:
                fault(answer)


class RtuWire(Wire):
    """RTU frames in a stream of bytes: requests are 8 bytes long, those that write several cells longer by what they say."""

    _pending = b""

    def feed(self, data: bytes) -> None:
        """Bytes have come in."""
        self._pending += data
        while len(self._pending) >= 8:
            size = 9 + self._pending[6] if self._pending[1] in SEVERAL else 8
            request = self._pending[:size]
            if len(request) < size:
                return
            if crc(request[:-2]) == request[-2:]:
                self._pending = self._pending[size:]
                self.last_request = request
                self.take(request[0], request[1:-2])
            else:
                self._pending = self._pending[1:]


class PtyLine(RtuWire):
    """A serial line: `path` is the port to open. `link`, when given, is a name for it, as udev makes them."""

    def __init__(self, units: Mapping[int, Slave], link: Path | None = None) -> None:
        super().__init__(units)
        self._far, near = pty.openpty()
        tty.setraw(near)
        self.path = os.ttyname(near)
        self._near: int | None = near  # kept open, or the line is dead until somebody opens it
        os.set_blocking(self._far, False)
        asyncio.get_running_loop().add_reader(self._far, self._readable)
        self._link = link
        if link is not None:
            link.symlink_to(self.path)

    def _readable(self) -> None:
        try:
            self.feed(os.read(self._far, 4096))
        except OSError:
            self.hang_up()

    def send(self, data: bytes) -> None:
        """See `Wire`."""
        if self._near is not None:
            os.write(self._far, data)

    def hang_up(self) -> None:
        """Pull the adapter out."""
        if self._near is not None:
            asyncio.get_running_loop().remove_reader(self._far)
            os.close(self._near)
            os.close(self._far)
            self._near = None
            if self._link is not None:
                self._link.unlink()


class _Connection(asyncio.Protocol):
    def __init__(self, server: "TcpWire | ConverterWire") -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.connections.append(transport)

    def data_received(self, data: bytes) -> None:
        self._server.feed(data)


class _Listening:
    """The server side of a TCP wire: answers go to the newest connection."""

    def __init__(self, units: Mapping[int, Slave]) -> None:
        super().__init__(units)
        self.connections: list[Any] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Take connections, on the same port as before if there was one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def send(self, data: bytes) -> None:
        """See `Wire`."""
        self.connections[-1].write(data)

    def hang_up(self) -> None:
        """Drop all connections; new ones are taken."""
        for connection in self.connections:
            connection.abort()

    async def stop(self) -> None:
        """Drop all connections and take no more."""
        if self._server is not None:
            self._server.close()
            self.hang_up()
            self._server = None


class ConverterWire(_Listening, RtuWire):
    """A converter that passes RTU frames between TCP and its line."""


class TcpWire(_Listening, Wire):
    """Modbus TCP."""

    _pending = b""

    def frame(self, unit: int, pdu: bytes, number: int) -> bytes:
        """See `Wire`."""
        return struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu

    def feed(self, data: bytes) -> None:
        """Bytes have come in."""
        self._pending += data
        while len(self._pending) >= 12:
            number, _, length, unit = struct.unpack_from(">HHHB", self._pending)
            self.last_request, self._pending = self._pending[: 6 + length], self._pending[6 + length :]
            self.take(unit, self.last_request[7:], number)


@asynccontextmanager
async def listening(wire: Any) -> AsyncIterator[Any]:
    """A TCP wire, from its first connection to its end."""
    await wire.listen()
    try:
        yield wire
    finally:
        await wire.stop()


@contextlib.contextmanager
def line(units: Mapping[int, Slave], link: Path | None = None):
    """A serial line on a pseudo-terminal."""
    wire = PtyLine(units, link)
    try:
        yield wire
    finally:
        wire.hang_up()


# ---------------------------------------------------------------- a second opinion


def _simulated(unit: int, tables: Mapping[str, Collection[int]]) -> SimDevice:
    bits = [[SimData(0, values=list(map(bool, tables[table])), datatype=DataType.BITS)] for table in ("coil", "discrete")]
    words = [[SimData(0, values=list(tables[table]), datatype=DataType.REGISTERS)] for table in ("holding", "input")]
    return SimDevice(id=unit, simdata=(*bits, *words))


@asynccontextmanager
async def well_tcp(unit: int, **tables: Collection[int]) -> AsyncIterator[int]:
    """Pymodbus's TCP server with these tables, each from address 0 on; gives its port."""
    async with _serving(ModbusTcpServer(_simulated(unit, tables), address=("127.0.0.1", 0))) as server:
        yield server.transport.sockets[0].getsockname()[1]


@asynccontextmanager
async def _serving(server: Any) -> AsyncIterator[Any]:
    await server.listen()
    try:
        yield server
    finally:
        await server.shutdown()


async def stands_in(unit: int, table: str, address: int, count: int = 1) -> list[int]:
    """What pymodbus's server that was started last holds: looked up in its own store, past any wire."""
    function = {name: code for code, name in TABLES.items()}[table]
    cells = await ModbusBaseServer.active_server.async_getValues(unit, function, address, count)
    return [int(cell) for cell in cells]


async def stand(unit: int, table: str, address: int, *cells: int) -> None:
    """Put cells into the store of pymodbus's server that was started last, past any wire."""
    function = {name: code for code, name in TABLES.items()}[table]
    await ModbusBaseServer.active_server.async_setValues(unit, function, address, list(cells))


@asynccontextmanager
async def well_rtu(unit: int, **tables: Collection[int]) -> AsyncIterator[str]:
    """Pymodbus's RTU server at the far end of a pair of pseudo-terminals; gives the port to open."""
    ends = [pty.openpty() for _ in range(2)]
    for _, near in ends:
        tty.setraw(near)
    loop = asyncio.get_running_loop()
    for (mine, _), (other, _) in (ends, ends[::-1]):
        os.set_blocking(mine, False)
        loop.add_reader(mine, lambda mine=mine, other=other: os.write(other, os.read(mine, 4096)))
    server = ModbusSerialServer(_simulated(unit, tables), framer=FramerType.RTU, port=os.ttyname(ends[0][1]), parity="N")
    await server.listen()
    try:
        yield os.ttyname(ends[1][1])
    finally:
        await server.shutdown()
        for end in ends:
            loop.remove_reader(end[0])
            for fd in end:
                os.close(fd)
