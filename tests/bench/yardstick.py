"""What everything is compared with: a bare loop of pymodbus and aiomqtt that reads the registers and publishes one JSON a device.

No storage, no rules, no faults. Arguments: Modbus port, MQTT port, units, registers.
"""

import asyncio
import json
import sys
import time

import aiomqtt
from pymodbus.client import AsyncModbusTcpClient


async def main(modbus: int, mqtt: int, units: int, registers: int) -> None:
    client = AsyncModbusTcpClient("127.0.0.1", port=modbus)
    await client.connect()
    async with aiomqtt.Client("127.0.0.1", mqtt, identifier="yardstick") as broker:
        due = time.monotonic()
        while True:
            for unit in range(1, units + 1):
                answer = await client.read_holding_registers(0, count=registers, device_id=unit)
                message = json.dumps({"ts": time.time_ns() // 1_000_000, "v": answer.registers}, separators=(",", ":"))
                await broker.publish(f"yardstick/{unit}", message, qos=1)
            due += 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))


asyncio.run(main(*map(int, sys.argv[1:5])))
