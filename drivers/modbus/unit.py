"""One device on a Modbus bus: which requests read its points, and what it has turned out to refuse.

Promises
- The points are read in the fewest, shortest requests that the device allows (`blocks.py`).
- A device that refuses an address of a block is asked in smaller and smaller blocks until it is clear what it refuses: a point, a
  gap that was read along, or so much at once. The other points are read all the while. What is known to be refused is not asked
  again for an hour, its points have no value, and a person is told once.
- What was learnt is kept when a read is cancelled in the middle.

How a request travels and what a fault looks like is not known here: `prepare` and `ask` are given.
"""

import asyncio
import math
import struct
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from drivers.contract import DeviceFault, DeviceSpec, NoValue, Outcome, Tell
from drivers.modbus.blocks import Block, Span, halves, plan
from drivers.modbus.faults import AddressRefusedError
from drivers.modbus.keys import BITS, TABLES, ModbusDevice, ModbusPoint, ModbusSample, Table
from drivers.modbus.registers import Decode, Place, decoder

REFUSED = NoValue("the device refuses this address")
NOT_YET = NoValue("not read yet: the device refuses some addresses, and it is being found out which")
SHARE = 0.95  # of a device's timeout: what is wrong is told by who saw it, just before the caller would cut the read short
REMEMBERED = 3600.0  # s: a device that was starting up, or got new firmware, may answer what it refused before

Prepare: TypeAlias = Callable[[int, Table, Span], Any]
"""prepare(unit, table, span): a request, in whatever form `ask` takes."""

Ask: TypeAlias = Callable[[Any], Awaitable[bytes]]
"""ask(request): the answer from its function code on, of the length that belongs to the request. Raises DeviceFault."""

Where: TypeAlias = tuple[Table, Span]

ANSWER_HEAD = 2  # bytes before the data of an answer: function code, byte count


class Request(NamedTuple):
    """A block and how it is asked for."""

    table: Table
    block: Block
    prepared: Any


class Suspect(NamedTuple):
    """A refused block that was cut in two, and what is to blame if nothing smaller is found in it."""

    table: Table
    extent: Span
    culprit: Span


class Unit:
    """The reads of one device. `max_gap` is its bus's, for a device that says nothing of its own.

    points: names, in the order of the values. patience: seconds that one read of them may take.
    """

    def __init__(self, spec: DeviceSpec, *, max_gap: int, prepare: Prepare, tell: Tell) -> None:
        self.points = tuple(spec.points)
        self.patience = spec.timeout * SHARE
        self._name = spec.name
        self._keys: ModbusDevice = spec.keys
        self._points: Mapping[str, ModbusPoint] = spec.points
        self._max_gap = max_gap
        self._prepare = prepare
        self._tell = tell
        self._told: set[Where] = set()
        self._forget()

    def _forget(self) -> None:
        """Back to the plan of the first day."""
        self._refused: dict[Table, set[Span]] = {table: set() for table in TABLES}
        self._lost: set[Where] = set()  # of what is wanted, what the device refuses
        self._suspects: list[Suspect] = []
        self._searching = False
        self._forget_at = math.inf  # on the loop's clock
        self._plan()

    def _plan(self) -> None:
        blocks = blocks_of(self._keys, self._points.values(), self._max_gap, self._refused, self._lost)
        self._requests = [self._request(table, block) for table, block in blocks]
        self._decode: Decode | None = None

    def _request(self, table: Table, block: Block) -> Request:
        return Request(table, block, self._prepare(self._keys.unit, table, block.extent))

    async def read(self, ask: Ask, until: float) -> tuple[Outcome, ...]:
        """The values of all points, in the order of the config.

        After `until`, on the loop's clock, no further pieces of a refused block are asked for: what is not known by then has no
        value this time, and the search goes on at the next read.
        """
        now = asyncio.get_running_loop().time
        if now() >= self._forget_at:
            self._forget()
        if not self._requests and self._points:
            await self._ask_again(ask)
        answers: list[bytes] = []
        while len(answers) < len(self._requests):  # no `for`: a refused request is replaced by smaller ones
            try:
                answers.append(await ask(self._requests[len(answers)].prepared))
            except AddressRefusedError as refusal:
                self._split(len(answers))
                if not self._requests:
                    raise self._misfit() from refusal
                if now() > until:
                    break
        if self._searching:
            values = self._decoder(len(answers))(b"".join(answers))
            if len(answers) == len(self._requests):
                self._conclude(now())
            return values
        if self._decode is None:
            self._decode = self._decoder(len(answers))
        return self._decode(b"".join(answers))

    def _decoder(self, answered: int) -> Decode:
        """For the answers to the first `answered` requests."""
        places: dict[Where, Place | NoValue] = dict.fromkeys(self._lost, REFUSED)
        at = ANSWER_HEAD
        for table, block, _ in self._requests[:answered]:
            place = Place(at, block.extent.start)
            places.update(((table, span), place) for span in block.spans)
            at += ANSWER_HEAD + size_of(table, block.extent)
        return decoder(
            [(point, places.get(point.where, NOT_YET)) for point in self._points.values()],
            word_order=self._keys.word_order,
            byte_order=self._keys.byte_order,
        )

    # ------------------------------------------------------------ learning what is refused

    def _split(self, index: int) -> None:
        """Put two smaller requests in place of a refused one. What cannot be split is lost."""
        table, block, _ = self._requests[index]
        self._searching = True
        if len(block.spans) == 1:
            self._lost.add((table, block.extent))
            self._refused[table].add(block.extent)
            del self._requests[index]
            return
        left, right, culprit = halves(block)
        self._suspects.append(Suspect(table, block.extent, culprit))
        self._requests[index : index + 1] = [self._request(table, left), self._request(table, right)]

    def _conclude(self, now: float) -> None:
        """Every piece was answered or is lost: settle what is to blame, plan afresh around it, and tell."""
        for table, extent, culprit in reversed(self._suspects):  # the smallest first: they may explain the larger
            if not any(extent.holds(bad) for bad in self._refused[table]):
                self._refused[table].add(culprit)
        self._suspects.clear()
        self._searching = False
        self._forget_at = now + REMEMBERED
        self._plan()
        news = self._lost - self._told
        if news:
            self._told |= news
            names = [f"{name} ({point.table} {point.span.start})" for name, point in self._points.items() if point.where in news]
            self._tell(
                self._name, f"refuses the address of {', '.join(names)}: no value from there; check the profile against the model"
            )

    async def _ask_again(self, ask: Ask) -> None:
        """It refused all that it was asked. See whether it still does, by one question."""
        point = next(iter(self._points.values()))
        try:
            await ask(self._prepare(self._keys.unit, point.table, point.span))
        except AddressRefusedError as refusal:
            raise self._misfit() from refusal
        self._forget()

    def _misfit(self) -> DeviceFault:
        return DeviceFault(
            f"unit {self._keys.unit} refuses every address that it is asked for",
            kind="misfit",
            hint="is it the model that its profile is for, and do the addresses count from 0?",
        )


def blocks_of(
    keys: ModbusDevice,
    points: Collection[ModbusPoint],
    max_gap: int,
    refused: Mapping[Table, Collection[Span]] = MappingProxyType({}),
    lost: Collection[Where] = (),
) -> Iterator[tuple[Table, Block]]:
    """The plan of a device, table by table. `max_gap` is that of its bus, for a device without its own."""
    gap = max_gap if keys.max_gap is None else keys.max_gap
    for table in TABLES:
        wanted = {point.span for point in points if point.table == table and point.where not in lost}
        if table in BITS:  # 16 of them are as long as one register
            blocks = plan(wanted, limit=keys.max_coils, max_gap=16 * gap, refused=refused.get(table, ()))
        else:
            blocks = plan(wanted, limit=keys.max_registers, max_gap=gap, refused=refused.get(table, ()))
        yield from ((table, block) for block in blocks)


def size_of(table: Table, extent: Span) -> int:
    """Bytes of the data in an answer."""
    count = extent.end - extent.start
    return (count + 7) // 8 if table in BITS else 2 * count


def decode_sample(spec: DeviceSpec, sample: ModbusSample) -> dict[str, Outcome]:
    """What a device would say if its tables held a sample: the readings of those points that the sample covers in full."""
    keys: ModbusDevice = spec.keys
    tables = {table: sample.cells(table) for table in TABLES}
    known = {name: point for name, point in spec.points.items() if tables[point.table].keys() >= set(range(*point.span))}
    answers = b""
    places: dict[Where, Place] = {}
    for table, block in blocks_of(keys, known.values(), max_gap=0):
        place = Place(len(answers), block.extent.start)
        places.update(((table, span), place) for span in block.spans)
        answers += _pack(table, [tables[table].get(address, 0) for address in range(*block.extent)])
    decode = decoder(
        [(point, places[point.where]) for point in known.values()], word_order=keys.word_order, byte_order=keys.byte_order
    )
    return dict(zip(known, decode(answers), strict=True))


def _pack(table: Table, cells: Sequence[int]) -> bytes:
    """The data of an answer, as a device packs it: registers most significant byte first, bits lowest first."""
    if table not in BITS:
        return struct.pack(f">{len(cells)}H", *cells)
    return sum(bit << place for place, bit in enumerate(cells)).to_bytes((len(cells) + 7) // 8, "little")
