"""Recorded readings: CSV files (also .gz) into batches, in the order of their times and without holding a file in memory.

Two forms, told apart by the first line:

    timestamp,core_temp,door                 one file a device: the file's name (before the first dot) is the device's
    2026-11-01 00:00:00,-18.5,0              an empty cell is a reading without a value

    timestamp,device,point,value             one long table of any number of devices
    2026-11-01T00:00:00+01:00,freezer-1,core_temp,-18.5

A timestamp is ISO 8601, or seconds since 1970; one without an offset is local time at the hub. Numbers are numbers, `true` and
`false` are flags, and all else is text. Rows that go back in time are passed on as they are: the engine leaves them aside and
counts them.
"""

import contextlib
import csv
import gzip
import heapq
import io
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Self

from drivers.contract import Batch, NoValue, Outcome

LONG = ["timestamp", "device", "point", "value"]
EMPTY = NoValue("empty in the recording")
FLAGS = {"true": True, "false": False}


class HistoryError(Exception):
    """A file cannot be read as a history; one line for a person."""


class History:
    """Files of recorded readings, closed by `with`. `read` of `size` bytes are behind the batches given so far."""

    def __init__(self, paths: Sequence[Path], zone: tzinfo) -> None:
        self._zone = zone
        self._tables: list[_Table] = []
        try:
            for path in paths:
                self._tables.append(_Table(path))
        except HistoryError:
            self.close()
            raise
        self.size = sum(table.size for table in self._tables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        for table in self._tables:
            table.close()

    @property
    def read(self) -> int:
        """Bytes behind the batches given so far."""
        return sum(table.raw.tell() for table in self._tables if not table.raw.closed) + sum(
            table.size for table in self._tables if table.raw.closed
        )

    def batches(self) -> Iterator[Batch]:
        """Every batch of every file; `at` is in seconds since 1970 (UTC). Raises HistoryError."""
        return heapq.merge(*map(self._batches, self._tables), key=lambda batch: batch.at)

    def _batches(self, table: "_Table") -> Iterator[Batch]:
        with contextlib.closing(table):
            yield from self._long(table) if table.head[:4] == LONG else self._wide(table)

    def _wide(self, table: "_Table") -> Iterator[Batch]:
        points = tuple(table.head[1:])
        for line, row in table.rows:
            cells = (row[1:] + [""] * len(points))[: len(points)]
            yield Batch(table.device, self._time(row[0], table, line), points, tuple(map(_outcome, cells)))

    def _long(self, table: "_Table") -> Iterator[Batch]:
        """Rows of one device and time are one batch, as they were when they were read."""
        at, device = 0.0, ""
        found: dict[str, Outcome] = {}
        shapes: dict[tuple[str, ...], tuple[str, ...]] = {}  # the same tuple for the same points, so that the engine keeps its plan

        def batch() -> Batch:
            points = tuple(found)
            return Batch(device, at, shapes.setdefault(points, points), tuple(found.values()))

        for line, row in table.rows:
            if len(row) < len(LONG):
                raise HistoryError(f"{table.path}, line {line}: found {len(row)} cells, expected {', '.join(LONG)}")
            time = self._time(row[0], table, line)
            if found and (time != at or row[1] != device or row[2] in found):
                yield batch()
                found = {}
            at, device = time, row[1]
            found[row[2]] = _outcome(row[3])
        if found:
            yield batch()

    def _time(self, text: str, table: "_Table", line: int) -> float:
        try:
            return float(text)
        except ValueError:
            pass
        try:
            stamp = datetime.fromisoformat(text.strip())
        except ValueError:
            expected = '"2026-11-01 00:00:00" or seconds since 1970'
            raise HistoryError(f'{table.path}, line {line}: found "{text}" for a time, expected one such as {expected}') from None
        if stamp.tzinfo:
            return stamp.timestamp()
        time = stamp.replace(tzinfo=self._zone).timestamp()
        if time < table.last:  # the hour that comes twice in autumn: the second time it is the later one
            time = max(time, stamp.replace(tzinfo=self._zone, fold=1).timestamp())
        table.last = max(table.last, time)
        return time


class _Table:
    """One file: its first line, and its rows with the number of their line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.device = path.name.split(".", maxsplit=1)[0]
        try:
            self.raw = path.open("rb")
        except OSError as error:
            raise HistoryError(f"{path} cannot be read: {error.strerror}") from error
        packed = gzip.GzipFile(fileobj=self.raw) if path.suffix == ".gz" else self.raw
        self._text = io.TextIOWrapper(packed, "utf-8-sig", newline="")
        rows = csv.reader(self._text)
        try:
            self.size = path.stat().st_size
            first = next(rows, [])
        except (OSError, EOFError, UnicodeError, csv.Error) as error:
            self.close()
            raise HistoryError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        self.head = [name.strip() for name in first]
        if not self.head or self.head[0].lower() not in {"timestamp", "time"} or len(self.head) < 2:
            self.close()
            raise HistoryError(f'{path}: the first line is no head; expected "timestamp,POINT,..." or "{",".join(LONG)}"')
        self.head[0] = "timestamp"
        self.last = 0.0
        self.rows = self._numbered(rows)

    def close(self) -> None:
        """Let go of the file."""
        self._text.close()
        self.raw.close()

    def _numbered(self, rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
        line = 1
        try:
            for line, row in enumerate(rows, start=2):
                if row:
                    yield line, row
        except (OSError, EOFError, UnicodeError, csv.Error) as error:
            raise HistoryError(f"{self.path}, after line {line}: {error}") from error


def _outcome(cell: str) -> Outcome:
    cell = cell.strip()
    if not cell:
        return EMPTY
    try:
        number = float(cell)
    except ValueError:
        return FLAGS.get(cell.lower(), cell)
    return number if number - number == 0 else NoValue("not a number")
