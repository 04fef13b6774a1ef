"""Machines that speak Modbus: a server whose registers are filled from a machine at the moment of asking."""

import asyncio
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.base import ModbusBaseServer
from pymodbus.simulator import DataType, SimData, SimDevice

Registers = Callable[[], Mapping[int, int]]
"""Address to 16-bit content, asked for at each read."""

INPUT, DISCRETE = 4, 2  # function codes


def device(unit: int, addresses: range, inputs: Registers, discretes: Registers | None = None) -> SimDevice:
    """A Modbus device whose input registers (at `addresses`) and discrete inputs are what these functions say when it is read."""

    async def fill(
        function: int, start: int, _address: int, _count: int, current: list[int], _written: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        if function == INPUT:
            for address, content in inputs().items():
                current[address - start] = content
        elif function == DISCRETE and discretes:
            for address, content in discretes().items():  # the server keeps sixteen of them in a word
                current[address // 16] = current[address // 16] & ~(1 << address % 16) | content << address % 16
        return None

    registers = [SimData(addresses.start, count=len(addresses), values=0, datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    return SimDevice(id=unit, simdata=(bits, bits, registers, registers), action=fill)


def int16(value: float, scale: float) -> int:
    """One register with a signed number in steps of `scale`."""
    return max(-32768, min(32767, round(value / scale))) & 0xFFFF


def float32(address: int, value: float) -> dict[int, int]:
    """Two registers with a float, most significant first."""
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return {address: high, address + 1: low}


async def serve_tcp(machine: SimDevice) -> tuple[ModbusBaseServer, int]:
    """A Modbus TCP server on a free port of this machine; gives the port."""
    server = ModbusTcpServer(machine, address=("127.0.0.1", 0))
    await server.listen()
    transport: Any = server.transport
    return server, transport.sockets[0].getsockname()[1]


async def serve_rtu(machine: SimDevice, port: Path) -> ModbusBaseServer:
    """A Modbus RTU slave on a serial port."""
    server = ModbusSerialServer(machine, framer=FramerType.RTU, port=str(port), baudrate=19200)
    await server.listen()
    await asyncio.sleep(0)
    return server
