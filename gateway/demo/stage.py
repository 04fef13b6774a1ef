"""The demo's stage: machines of `machines/` behind the protocols that such machines speak, on this computer alone.

The freezer is a Modbus TCP server, the heat pump a Modbus RTU slave on a pseudo-terminal, the water meter answers lines of text on
another, and the thermometer sends Bluetooth adverts: with no adapter to hear them, they enter the agent's Bluetooth path from a
stand-in. Nothing is installed, no fixed port is used, and all of it is gone afterwards.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol, Self

from gateway.demo import modbus_machine
from gateway.demo.lines import Cable, Line
from gateway.demo.machines.battery_sensor import BatterySensor
from gateway.demo.machines.freezer import Freezer
from gateway.demo.machines.heat_pump import HeatPump
from gateway.demo.machines.water_meter import WaterMeter

SPEED = 600.0  # seconds of a machine's life in a second of the demo: ten minutes
TICK = 0.25  # s between two steps of all machines


class Machine(Protocol):
    """What the stage needs of a machine."""

    def advance(self, seconds: float) -> None:
        """Move its own time on."""


class Stage:
    """Machines at work. `settings` are the config keys that only the stage can know: bus -> key -> value."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()
        self.settings: dict[str, Mapping[str, Any]] = {}
        self._freezer, self._pump, self._meter, self._sensor = Freezer(), HeatPump(), WaterMeter(), BatterySensor()

    async def __aenter__(self) -> Self:
        """Put everything up."""
        await self._put_up_freezer()
        await self._put_up_heat_pump()
        self._put_up_water_meter()
        self._put_up_thermometer()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take everything down."""
        await self._stack.aclose()

    async def play(self) -> None:
        """Let the machines live, and let things go wrong with them, until cancelled."""
        script = {8.0: self._shut_tank, 5.0: self._leak}
        loop = asyncio.get_running_loop()
        start = last = loop.time()
        while True:
            await asyncio.sleep(TICK)
            now = loop.time()
            for machine in self._machines():
                machine.advance((now - last) * SPEED)
            last = now
            for due in [due for due in script if due <= now - start]:
                script.pop(due)()
            self._advertise()

    def _machines(self) -> tuple[Machine, ...]:
        return self._freezer, self._pump, self._meter, self._sensor

    def _shut_tank(self) -> None:
        self._pump.tank_shut = True

    def _leak(self) -> None:
        self._meter.leaking = True

    # ------------------------------------------------------------ how they speak

    async def _put_up_freezer(self) -> None:
        freezer = self._freezer
        machine = modbus_machine.device(
            1,
            range(100, 103),
            lambda: {
                100: modbus_machine.int16(freezer.core_temp, 0.1),
                101: modbus_machine.int16(freezer.condenser_temp, 0.1),
                102: round(freezer.power),
            },
            lambda: {3: freezer.door_open},
        )
        server, port = await modbus_machine.serve_tcp(machine)
        self._stack.push_async_callback(server.shutdown)
        self.settings["shop"] = {"host": "127.0.0.1", "port": port}

    async def _put_up_heat_pump(self) -> None:
        pump = self._pump
        cable = Cable(self._folder / "heat-pump", self._folder / "heat-pump-inside")
        self._stack.callback(cable.close)
        machine = modbus_machine.device(
            7,
            range(5),
            lambda: {
                0: modbus_machine.int16(pump.supply_temp, 0.1),
                1: modbus_machine.int16(pump.return_temp, 0.1),
                2: round(pump.power) & 0xFFFF,
                3: pump.starts >> 16,
                4: pump.starts & 0xFFFF,
            },
            lambda: {0: pump.running},
        )
        server = await modbus_machine.serve_rtu(machine, cable.machine.path)
        self._stack.push_async_callback(server.shutdown)
        self.settings["cellar"] = {"port": str(cable.hub.path)}

    def _put_up_water_meter(self) -> None:
        meter = self._meter

        def answer(request: bytes) -> bytes:
            if b"?" not in request:
                return b""
            text = f"WM1,{meter.volume:011.1f},{meter.flow:06.2f}"
            check = 0
            for byte in text.encode():
                check ^= byte
            return f"${text}*{check:02X}\r\n".encode()

        line = Line(self._folder / "water-meter", answer)
        self._stack.callback(line.close)
        self.settings["meter"] = {"port": str(line.path)}

    def _put_up_thermometer(self) -> None:
        path = self._folder / "adverts"
        self._air = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._stack.callback(self._air.close)
        self.settings["air"] = {"adapter": f"stand-in:{path}"}
        self._adverts = str(path)

    def _advertise(self) -> None:
        """Say what a thermometer with BTHome v2 firmware says, as an advert would carry it."""
        sensor = self._sensor
        if sensor.dead:
            return
        objects = struct.pack(
            "<BBBBBhBHBH",
            0x00, sensor.packet, 0x01, sensor.battery, 0x02, round(sensor.temperature * 100),
            0x03, round(sensor.humidity * 100), 0x0C, round(sensor.voltage * 1000),
        )  # fmt: skip
        advert = {"address": "A4:C1:38:0C:0F:FE", "rssi": -67, "service_data": {"fcd2": (b"\x40" + objects).hex()}}
        try:
            self._air.sendto(json.dumps(advert).encode(), self._adverts)
        except OSError:
            return  # the hub is not listening (yet): an advert in an empty room
