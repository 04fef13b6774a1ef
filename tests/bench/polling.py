"""100 Modbus TCP devices x 50 registers at 1 Hz with 4 rules a point, the hub beside the yardstick in the same minute."""

import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from gateway.demo.broker import Broker

from bench import processes

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent

HUB = """
[hub]
id = "bench"
state = "{state}"
[uplink]
url = "mqtt://127.0.0.1:{mqtt}"
[bus.line]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {modbus}
{devices}
[rule.high]
kind = "threshold"
on = ["meter-*/r*"]
above = 70000
lasting = "10 s"
[rule.quiet]
kind = "silent"
on = ["meter-*/r*"]
after = "1 min"
[rule.frozen]
kind = "stuck"
on = ["meter-*/r*"]
lasting = "10 min"
[rule.fast]
kind = "rate"
on = ["meter-*/r*"]
rises = 70000
within = "1 min"
"""


def config(folder: Path, modbus: int, mqtt: int, units: int, registers: int, extra: str = "") -> Path:
    """A hub's config for the simulator."""
    points = "\n".join(f"points.r{register} = {{ holding = {register} }}" for register in range(registers))
    devices = "\n".join(
        f'[device.meter-{unit}]\nbus = "line"\nunit = {unit}\nevery = "1 s"\n{points}' for unit in range(1, units + 1)
    )
    path = folder / "hub.toml"
    path.write_text(HUB.format(state=folder / "state", modbus=modbus, mqtt=mqtt, devices=devices) + extra)
    return path


class Simulator:
    """The simulator as a process."""

    async def __aenter__(self):
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, HERE / "simulator.py", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24
        )
        self.port = int(await self._process.stdout.readline())
        return self

    async def __aexit__(self, *_) -> None:
        self._process.stdin.close()
        await self._process.wait()

    async def facts(self) -> dict:
        """What happened since the last call."""
        self._process.stdin.write(b"\n")
        return json.loads(await self._process.stdout.readline())


class Program:
    """A process under measurement."""

    def __init__(self, name: str, *argv: object) -> None:
        self.name, self.argv = name, [str(word) for word in argv]

    async def __aenter__(self):
        self.began = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(*self.argv, env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""})
        self.pid = self._process.pid
        return self

    async def __aexit__(self, *_) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()


async def measure(mosquitto: int, *, units: int = 100, registers: int = 50, warm: float = 10.0, window: float = 60.0) -> dict:
    """Run both for `warm` + `window` seconds; the figures of each by its name."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        own, other = [await stack.enter_async_context(Simulator()) for _ in range(2)]
        counter = await stack.enter_async_context(processes.Counter(mosquitto))
        path = config(folder, own.port, counter.port, units, registers)
        hub = await stack.enter_async_context(Program("hub", BIN / "canary", "run", "--log", "warning", "--config", path))
        bare = await stack.enter_async_context(
            Program("yardstick", sys.executable, HERE / "yardstick.py", other.port, mosquitto, units, registers)
        )
        pairs = ((hub, own), (bare, other))
        await asyncio.sleep(warm)
        starts = {program.name: (await simulator.facts())["first"] - program.began for program, simulator in pairs}
        before = {program.name: processes.cpu(program.pid) for program, _ in pairs}
        up, disk = counter.up, processes.written(hub.pid)
        await asyncio.sleep(window)
        figures = {}
        for program, simulator in pairs:
            spent = processes.cpu(program.pid) - before[program.name]
            facts = await simulator.facts()
            errors = sorted(abs(gap - 1.0) for gap in facts["gaps"])
            figures[program.name] = {
                "cpu_ms_per_1k": 1e6 * spent / facts["registers"],
                "requests_per_1k": 1000 * facts["requests"] / facts["registers"],
                "rate": facts["registers"] / window / units / registers,
                "jitter_p50_ms": 1000 * errors[len(errors) // 2],
                "jitter_p99_ms": 1000 * errors[int(0.99 * len(errors))],
                "pss": processes.pss(program.pid),
                "rss": processes.rss(program.pid),
                "start_s": starts[program.name],
            }
        figures["hub"]["uplink_per_min"] = (counter.up - up) * 60 / window
        figures["hub"]["disk_kb"] = (processes.written(hub.pid) - disk) / 1e3
        return figures


async def start_time(units: int = 10) -> tuple[float, float]:
    """Seconds from exec to the first request, for a hub of a usual size and for the yardstick, each alone; best of five."""
    return await _start(units, hub=True), await _start(units, hub=False)


async def _start(units: int, *, hub: bool) -> float:
    best = float("inf")
    for _ in range(5):
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            simulator = await stack.enter_async_context(Simulator())
            if hub:
                path = config(folder, simulator.port, 9, units, 50)
                argv = [BIN / "canary", "run", "--log", "error", "--config", path]
            else:
                broker = await stack.enter_async_context(Broker())
                argv = [sys.executable, HERE / "yardstick.py", simulator.port, broker.port, units, 50]
            program = await stack.enter_async_context(Program("start", *argv))
            first = 0.0
            while not first:
                await asyncio.sleep(0.02)
                first = (await simulator.facts())["first"]
            best = min(best, first - program.began)
    return best
