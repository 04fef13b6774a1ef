"""What is sent on a Modbus bus, and which of the bytes that are heard there are the answer to it.

The only file that imports pymodbus, of which it takes what the standard fixes: requests, frames, checksum. It is pure: connections
and time are `drivers/modbus/__init__.py`'s business.
"""

import logging
from collections.abc import Collection
from typing import NamedTuple

from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from drivers.contract import DeviceFault
from drivers.modbus import faults
from drivers.modbus.blocks import Span
from drivers.modbus.keys import Table
from drivers.modbus.unit import ANSWER_HEAD, size_of

# What pymodbus would log reaches people as a DeviceFault.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

LONGEST = 256  # bytes of an RTU frame
TCP_FRAMES = FramerSocket(DecodePDU(is_server=False))

_RTU_FRAMES = FramerRTU(DecodePDU(is_server=False))
_REQUESTS: dict[Table, type[ModbusPDU]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "input": ReadInputRegistersRequest,
    "holding": ReadHoldingRegistersRequest,
}
_FUNCTIONS = {1, 2, 3, 4, 5, 6, 15, 16}


class Question(NamedTuple):
    """A request, and how its answer must look."""

    unit: int
    pdu: bytes  # function code, address, count (of a write: and what is to be written)
    head: bytes  # what the answer begins with: function code and byte count (of a write: all of it)
    length: int  # of the answer, from its function code on
    frame: bytes  # the request on a serial line
    marks: tuple[tuple[bytes, int], ...]  # how an answer begins there, refusal or not, and how long the frame is


def question(unit: int, table: Table, span: Span) -> Question:
    """The request that reads a span."""
    request = _REQUESTS[table](dev_id=unit, address=span.start, count=span.end - span.start)
    size = size_of(table, span)
    pdu = bytes([request.function_code]) + request.encode()
    return _question(unit, pdu, bytes([request.function_code, size]), ANSWER_HEAD + size)


def instruction(unit: int, table: Table, start: int, data: bytes, *, several: bool) -> Question:
    """The request that writes registers (their bytes as on the wire) or one coil (a byte, 0 or 1) from `start` on.

    several: by the function for several, of which one is a case, too.
    """
    request: ModbusPDU
    if table == "coil":
        bits = [data != b"\0"]
        request = WriteMultipleCoilsRequest(start, bits) if several else WriteSingleCoilRequest(address=start, bits=bits)
    else:
        words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
        if several:
            request = WriteMultipleRegistersRequest(address=start, count=len(words), registers=words)
        else:
            request = WriteSingleRegisterRequest(address=start, registers=words)
    pdu = bytes([request.function_code]) + request.encode()
    return _question(unit, pdu, pdu[:5], 5)  # the answer repeats the address, and the value or the count


def _question(unit: int, pdu: bytes, head: bytes, length: int) -> Question:
    marks = ((bytes([unit, *head]), 1 + length + 2), (bytes([unit, head[0] | 0x80]), 5))
    return Question(unit, pdu, head, length, _RTU_FRAMES.encode(pdu, unit, 0), marks)


def answer(asked: Question, pdu: bytes) -> bytes:
    """The answer, if it is one to this question. Raises DeviceFault otherwise."""
    if pdu.startswith(asked.head) and len(pdu) == asked.length:
        return pdu
    if len(pdu) >= 2 and pdu[0] == asked.head[0] | 0x80:
        raise faults.refused(asked.unit, pdu[1])
    raise faults.other_answer(asked.unit)


# ---------------------------------------------------------------- on a serial line


def find(asked: Question, heard: bytes) -> bytes | None:
    """The answer in what was heard on a serial line, if it is there whole and sound; noise may stand before and after it."""
    for mark, length in asked.marks:
        at = heard.find(mark)
        while at >= 0:
            frame = heard[at : at + length]
            if len(frame) == length and sound(frame):
                return frame[1:-2]
            at = heard.find(mark, at + 1)
    return None


def sound(frame: bytes) -> bool:
    """Whether an RTU frame's checksum is right."""
    return FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))


def diagnosis(asked: Question, heard: bytes, late: Collection[int]) -> DeviceFault | None:
    """What went wrong, from all that was heard in place of the answer; None where nothing was.

    late: units whose answer to an earlier request may still come, and then means nothing.
    """
    heard = heard.replace(asked.frame, b"")  # an adapter that hears itself
    for unit in filter(None, (unit_at(heard, at) for at in range(len(heard)))):
        if unit in late:
            return None
        return faults.other_answer(unit) if unit == asked.unit else faults.other_unit(asked.unit, unit)
    if not heard:
        return None
    for mark, length in asked.marks:
        at = heard.find(mark)
        if at >= 0:
            count = len(heard) - at
            return faults.bad_checksum(asked.unit) if count >= length else faults.half(asked.unit, count, length)
    return faults.noise(asked.unit, len(heard))


def unit_at(heard: bytes, at: int) -> int:
    """The unit whose whole, sound frame (an answer, a refusal, or somebody's request) begins here; 0 for none."""
    unit, function, size = [*heard[at : at + 3], 0, 0, 0][:3]
    known, refusal = function & 0x7F in _FUNCTIONS, function & 0x80
    lengths = () if not known else (5,) if refusal else (size + 5, 8) if function <= 4 else (8,)
    return unit if any(len(heard) >= at + length and sound(heard[at : at + length]) for length in lengths) else 0
