"""What each rule kind costs by itself (CPU microseconds per reading, history included), and how fast recordings are replayed."""

import gc
import tempfile
import time
from datetime import UTC
from pathlib import Path
from typing import Any

from gateway.config import load
from gateway.config.units import convert
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import Quantity
from gateway.diagnosis.engine import Engine
from gateway.replay.history import History
from gateway.replay.rerun import rerun

from bench import rules

SETTLED, SECONDS = 40, 20  # until every kind knows how often its points are read, and measured after that


def level(value: float) -> Quantity:
    return Quantity(value, "")


KINDS: dict[str, dict[str, Any]] = {
    "threshold": {"above": level(66_000.0)},
    "silent": {"after": 60.0},
    "stuck": {"lasting": 600.0},
    "rate": {"rises": level(1000.0), "within": 60.0},
    "implausible": {"below": level(-1e9), "above": level(1e9)},
    "trend": {"above": level(1e6)},
    "anomaly": {},
    "drift": {},
    "usage": {"hours": 1e9},
    "baseline": {"rest": level(0.0)},
    "cycling": {"starts": 1000},
    "presence": {},
    "count": {"at_most": 5},
    "change": {"event": ("visit",), "better": "lower"},
    "compare": {"on": ("device-?/p0",), "least": level(1e6)},
    "when": {"on": ("device-*",), "condition": "p1 > 66000"},
}
"""Each with the fewest keys that it needs, on every point where nothing else is said."""

REPLAYED = """
[hub]
id = "bench"
[bus.line]
driver = "modbus-tcp"
host = "127.0.0.1"
[device.meter]
bus = "line"
unit = 1
points.a = { holding = 1 }
points.b = { holding = 2 }
[rule.high]
kind = "threshold"
on = "meter/*"
above = 1000
[rule.frozen]
kind = "stuck"
on = "meter/*"
"""


def cost(kind: str) -> float:
    """The lower of two runs: the first pays for what the interpreter has yet to learn of the code, and for others' garbage."""
    return min(_cost(kind), _cost(kind))


def _cost(kind: str) -> float:
    gc.collect()
    written = {"on": ("*/p*",)} | KINDS[kind]
    engine = Engine({kind: load_kind(kind).Keys(kind=kind, **written)}, rules.points(), convert, 0.0)
    rules.run(engine, rules.noise(SETTLED))
    took, _ = rules.run(engine, rules.noise(SECONDS), at=SETTLED)
    return took / (SECONDS * rules.DEVICES * rules.POINTS) * 1e6


def replay_rate(rows: int = 50_000) -> float:
    """Readings a second."""
    with tempfile.TemporaryDirectory() as folder:
        path, config = Path(folder) / "meter.csv", Path(folder) / "hub.toml"
        config.write_text(REPLAYED)
        path.write_text("timestamp,a,b\n" + "".join(f"{60 * row},{row % 97},{row % 89}\n" for row in range(rows)))
        began = time.process_time()
        with History([path], UTC) as history:
            account = rerun(load(config), history.batches())
        return account.readings / (time.process_time() - began)


def report(row) -> None:
    for kind in KINDS:
        must, aim = ("10", "4") if kind == "anomaly" else ("2", "0.5")  # it looks at every reading from several sides
        row(f"rules: CPU us per reading, {kind}", f"{cost(kind):.2f}", "", must, aim)
    row("replay: readings per CPU second", f"{replay_rate():,.0f}")
