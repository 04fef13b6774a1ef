"""Learns how units of one make age, from recorded readings of units that were run to their end, and writes a life model.

A history is a CSV file (or .csv.gz) a unit: `timestamp`, then a column a point; its last row is the unit's end. Some twenty are
wanted, ten are the least. The model is a small JSON file; a rule with kind = "trend" and model = "NAME" uses NAME.json from the
folder of the profiles.

What is printed about how good it is was measured on units that were left out while it was learnt.
"""

import argparse
import json
import math
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.cli import EX_FAILURE, EX_OK, complain

if TYPE_CHECKING:
    from gateway.diagnosis.learning import History
    from gateway.diagnosis.life import LifeModel

SUMMARY = "learn how units of one make age, from histories run to the end"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary learn`."""
    parser.add_argument("histories", nargs="+", type=Path, metavar="HISTORY", help="CSV file of one unit, run to its end")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="MODEL.json", help="where the model goes; its name is the model's"
    )
    parser.add_argument("--points", default="", metavar="A,B,...", help="the points to learn from (default: all that move)")
    parser.add_argument("--source", default="", metavar="TEXT", help="where the histories are from, to be kept in the model")


def main(args: argparse.Namespace) -> int:
    """Read, learn, write, and say how good it is."""
    from gateway.diagnosis.learning import UnlearnableError, learn
    from gateway.replay.history import HistoryError

    try:
        names, histories = read(args.histories, [name.strip() for name in args.points.split(",") if name.strip()])
        model = learn(histories, names, args.out.stem, args.source)
    except (HistoryError, UnlearnableError) as error:
        complain(str(error))
        return EX_FAILURE
    try:
        args.out.write_text(written(model), encoding="utf-8")
    except OSError as error:
        complain(f"{args.out} cannot be written: {error.strerror}")
        return EX_FAILURE
    print(account(model, args.out))
    return EX_OK


def read(paths: Sequence[Path], wanted: Sequence[str]) -> tuple[list[str], list["History"]]:
    """The names of the points, and one history a file. Raises HistoryError."""
    from gateway.replay.history import HistoryError

    units = [_unit(path) for path in paths]
    names = list(wanted or units[0][0])
    for path, (found, _) in zip(paths, units, strict=True):
        lacking = [name for name in names if name not in found]
        if lacking:
            raise HistoryError(f"{path}: there is no column {', '.join(lacking)}; every history needs the same points")
    return names, [_history(path, names, rows) for path, (_, rows) in zip(paths, units, strict=True)]


def _unit(path: Path) -> tuple[dict[str, None], list[tuple[float, dict[str, Any]]]]:
    """The points of a file, and its rows in the order of time."""
    from gateway.replay import history

    rows: list[tuple[float, dict[str, Any]]] = []
    devices: set[str] = set()
    for batch in history.History([path], UTC).batches():
        rows.append((batch.at, dict(zip(batch.points, batch.values, strict=True))))
        devices.add(batch.device)
    if len(devices) > 1:
        raise history.HistoryError(f"{path}: holds {len(devices)} devices; a history is of one unit, a file each")
    rows.sort(key=lambda row: row[0])
    return dict.fromkeys(name for _, row in rows for name in row), rows


def _history(path: Path, names: Sequence[str], rows: Sequence[tuple[float, dict[str, Any]]]) -> "History":
    from gateway.diagnosis.learning import History
    from gateway.replay.history import HistoryError

    if len(rows) < 2:
        raise HistoryError(f"{path}: holds {len(rows)} row{'s' if not rows else ''}; a history is a unit's whole life")
    return History([at for at, _ in rows], [[_number(row.get(name)) for name in names] for _, row in rows])


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def written(model: "LifeModel") -> str:
    """The model as JSON, an entry a line."""
    entries = msgspec.to_builtins(model)
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items()) + "\n}\n"


def account(model: "LifeModel", path: Path) -> str:
    """What was learnt, and how good it is, in plain words."""
    from gateway.diagnosis.foreseen import roughly
    from gateway.diagnosis.learning import LEAST

    made, ways = model.made_from, "one way" if len(model.axes) == 1 else f"{len(model.axes)} ways"
    lines = [
        f"{path}: learnt from {made.units} units of about {roughly(made.median_life_s)} of life, {made.rows} rows.",
        f"It goes by {len(model.points)} points that move in {ways}: {', '.join(model.points)}.",
        f"On units that it had not seen it was off by {roughly(made.held_out_rmse_s)} (root mean square).",
    ]
    for share in (0.05, 0.1, 0.25):
        left = share * made.median_life_s
        low, high = model.between(left)
        lines.append(f"When it said {roughly(left)}, eight units in ten had {roughly(low)} to {roughly(high)} left.")
    if made.units < 2 * LEAST:
        lines.append(f"{made.units} units are few: with {2 * LEAST} or more it would be markedly better.")
    return "\n".join(lines)
