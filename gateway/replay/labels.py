"""What really happened, written down by a person, and how well the moments of a rerun tell it.

A labels file is CSV with a head: `device`, `point` (may be empty: any point of the device), `start`, `end` (times as in a
history). Each row is a span in which something was wrong. A moment that opens within a span is a hit, further ones there are
repeats, and one outside of all spans is false.
"""

import csv
from collections.abc import Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import NamedTuple

from gateway.diagnosis.contract import Phase
from gateway.replay.history import HistoryError
from gateway.replay.rerun import Account, Told


class Label(NamedTuple):
    """Something was wrong with a device (or one point of it) from `start` to `end`, in seconds since 1970."""

    device: str
    point: str
    start: float
    end: float

    def covers(self, told: Told) -> bool:
        """Whether a moment opened within it."""
        change = told.change
        return change.point.device == self.device and self.point in {"", change.point.name} and self.start <= change.at <= self.end


class Score(NamedTuple):
    """How well the moments tell what happened. `delay` is the median time from the start of a span to its first moment (s)."""

    spans: int
    hits: int
    repeats: int
    false: int
    false_per_device_month: float
    delay: float | None

    def __str__(self) -> str:
        found = f"{self.hits} of {self.spans} labelled spans were told"
        late = f", half of them within {self.delay / 60:.0f} min" if self.delay is not None else ""
        return (
            f"{found}{late}; {self.repeats} repeats; {self.false} false moments "
            f"({self.false_per_device_month:.2f} for each device and month)"
        )


def read_labels(path: Path, zone: tzinfo) -> list[Label]:
    """The labels of a file. Raises HistoryError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = {"device", "start", "end"} - set(rows.fieldnames or ())
            if missing:
                raise HistoryError(f"{path}: the head lacks {', '.join(sorted(missing))}; expected device,point,start,end")
            return [_label(row, path, line, zone) for line, row in enumerate(rows, start=2)]
    except (OSError, UnicodeError, csv.Error) as error:
        raise HistoryError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _label(row: dict[str, str], path: Path, line: int, zone: tzinfo) -> Label:
    def time(text: str) -> float:
        try:
            stamp = datetime.fromisoformat(text.strip())
        except ValueError:
            raise HistoryError(f'{path}, line {line}: found "{text}", expected a time such as "2026-11-01 00:00:00"') from None
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=zone)).timestamp()

    return Label(row["device"], row.get("point") or "", time(row["start"]), time(row["end"]))


def score(account: Account, labels: Sequence[Label]) -> Score:
    """Hold the moments of a rerun against the labels."""
    first: dict[Label, float] = {}
    repeats = false = 0
    for told in account.told:
        if told.change.phase is not Phase.OPENED or told.change.kind == "digest":  # which claims nothing
            continue
        label = next((label for label in labels if label.covers(told)), None)
        if label is None:
            false += 1
        elif label in first:
            repeats += 1
        else:
            first[label] = told.change.at - label.start
    delays = sorted(first.values())
    delay = delays[len(delays) // 2] if delays else None
    return Score(len(labels), len(first), repeats, false, false / account.device_months, delay)
