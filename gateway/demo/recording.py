"""Recorded data, played over Modbus TCP: one device, a column a point, and the next row at each read.

The file is CSV: a first line with names, then rows; a column called `timestamp` is left out, an empty cell is a reading without a
value. Each column travels as two registers (a 32-bit float); "no value" is the float NaN, as real devices say it.
"""

import asyncio
import csv
import math
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from gateway.demo import modbus_machine

EVERY = "50 ms"  # between two rows
MOST = 62  # columns: 124 registers fit into one request


class RecordingError(Exception):
    """The file cannot be played; one line for a person."""


class Recording:
    """A recording at play. `config` is the config file made for it; `settings` as for `Stage`."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._names, self._rows = read(path)
        self._row = next(self._rows)
        self._stack = AsyncExitStack()
        self.settings: dict[str, Mapping[str, Any]] = {}
        self.finished = asyncio.Event()
        self._fault: RecordingError | None = None

    @property
    def config(self) -> Path:
        """A config with one point a column, and the rules that fit anything."""
        points = "\n".join(
            f'points."{name}" = {{ input = {2 * column}, type = "float32" }}' for column, name in enumerate(self._names)
        )
        path = self._folder / "recording.toml"
        path.write_text(
            f"""
[hub]
id = "demo"
[uplink]
url = "mqtt://localhost"
[bus.recorder]
driver = "modbus-tcp"
host = "localhost"
[device.recording]
bus = "recorder"
unit = 1
every = "{EVERY}"
{points}
[rule.frozen]
kind = "stuck"
on = ["recording/*"]
lasting = "3 s"
[rule.quiet]
kind = "silent"
on = ["recording/*"]
after = "3 s"
""",
            encoding="utf-8",
        )
        return path

    async def __aenter__(self) -> Self:
        """Put the player up."""
        machine = modbus_machine.device(1, range(2 * len(self._names)), self._registers)
        server, port = await modbus_machine.serve_tcp(machine)
        self._stack.push_async_callback(server.shutdown)
        self.settings["recorder"] = {"host": "127.0.0.1", "port": port}
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take it down."""
        await self._stack.aclose()

    async def play(self) -> None:
        """The hub's reads move it on; this only waits for the end. Raises RecordingError for a row that cannot be played."""
        await self.finished.wait()
        if self._fault:
            raise self._fault

    def _registers(self) -> dict[int, int]:
        registers: dict[int, int] = {}
        for column, value in enumerate(self._row):
            registers |= modbus_machine.float32(2 * column, value)
        try:
            self._row = next(self._rows)
        except StopIteration:
            self.finished.set()
        except RecordingError as fault:  # the server that asks would keep it to itself
            self._fault = fault
            self.finished.set()
        return registers


def read(path: Path) -> tuple[list[str], Iterator[list[float]]]:
    """The names of the columns, and the rows. Raises RecordingError."""
    try:
        file = path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    table = csv.reader(file)
    head = next(table, [])
    columns = [index for index, name in enumerate(head) if name.strip().lower() != "timestamp"]
    first = next(table, None)
    if not columns or first is None:
        raise RecordingError(f"{path} holds no recording: expected a line of column names, then rows of numbers")
    if len(columns) > MOST:
        raise RecordingError(f"{path} has {len(columns)} columns; at most {MOST} can be played")

    def rows() -> Iterator[list[float]]:
        with file:
            for number, row in enumerate((first, *table), start=2):
                yield [_number(row[index] if index < len(row) else "", path, number) for index in columns]

    return [head[index].strip() or f"column_{index}" for index in columns], rows()


def _number(text: str, path: Path, line: int) -> float:
    if not text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise RecordingError(f'{path}, line {line}: found "{text}", expected a number') from None
