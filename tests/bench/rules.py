"""What rules cost: µs of CPU per reading and rule, and bytes per rule, in the mix that the budgets speak of.

    python -m bench.rules [seconds of simulated time]          from tests/, or by `make bench`

100 devices x 50 points are read once a second, every value changes at every read, and each point is watched by a threshold, a
silent, a stuck and a rate rule: 20,000 rules. Two shapes of signal, because what a sleeping rule costs depends on how often it
wakes: *ramp* climbs steadily and wraps (as the simulated devices of the other benches do), *noise* is a wandering value with noise.
"""

import gc
import random
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence

from drivers.contract import Batch
from gateway.config.units import convert
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import PointInfo, Quantity, RuleKeys
from gateway.diagnosis.engine import Engine

DEVICES, POINTS, RULES = 100, 50, 4
NAMES = tuple(f"p{index}" for index in range(POINTS))


def rules(*kinds: str) -> dict[str, RuleKeys]:
    """The rules of the mix, or some of them."""
    written = {
        "threshold": {"above": Quantity(66000.0, ""), "lasting": 60.0},
        "silent": {"after": 60.0},
        "stuck": {"lasting": 600.0},
        "rate": {"rises": Quantity(1000.0, ""), "within": 60.0},
    }
    return {kind: load_kind(kind).Keys(kind=kind, on=("*/p*",), **written[kind]) for kind in kinds or written}


def points() -> list[PointInfo]:
    ids = [(f"device-{number}", name) for number in range(DEVICES) for name in NAMES]
    return [PointInfo(f"{device}/{name}", device, name, "", f"{device} {name}", device) for device, name in ids]


def ramp(seconds: int) -> Iterator[list[tuple[float, ...]]]:
    for second in range(seconds):
        yield [tuple(float((second * 7 + device * 100 + k) % 65536) for k in range(POINTS)) for device in range(DEVICES)]


def noise(seconds: int) -> Iterator[list[tuple[float, ...]]]:
    chance = random.Random(1)
    levels = [1000.0] * DEVICES
    for _ in range(seconds):
        levels = [level + chance.gauss(0, 5) for level in levels]
        yield [tuple(level + chance.random() * 100 for _ in range(POINTS)) for level in levels]


def run(engine: Engine, signal: Iterator[Sequence[tuple[float, ...]]], at: float = 0.0) -> tuple[float, int]:
    """CPU seconds that the engine takes for a signal, and how many changes it tells."""
    took, told = 0.0, 0
    for second, rows in enumerate(signal, 1):
        batches = [Batch(f"device-{number}", at + second + number / 128, NAMES, values) for number, values in enumerate(rows)]
        begun = time.process_time()
        for batch in batches:
            told += len(engine.feed(batch))
        told += len(engine.tick(at + second + 0.9))
        took += time.process_time() - begun
    return took, told


def memory() -> tuple[int, int]:
    """Bytes of all rules when they have settled, and of the history that they share when it is full, for all points."""
    tracemalloc.start()
    sizes = []
    for mix in ({}, rules()):
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        engine = Engine(mix, points(), convert, 0.0)
        run(engine, noise(300))
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0] - before - history())
        del engine
    engine = Engine(rules("rate"), points()[: 5 * POINTS], convert, 0.0)
    for poll, rows in enumerate(noise(3500)):  # four days, a poll every 100 s
        for number in range(5):
            engine.feed(Batch(f"device-{number}", poll * 100.0, NAMES, rows[number]))
    gc.collect()
    full = history() * DEVICES // 5
    tracemalloc.stop()
    return sizes[1] - sizes[0], full


def history() -> int:
    """Bytes that the history holds now."""
    own = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/diagnosis/history.py")])
    return sum(trace.size for trace in own.statistics("filename"))


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    print(f"{DEVICES} devices x {POINTS} points at 1 Hz, {seconds} s; aim 0.5, must 2 µs per reading and rule")
    for name, signal in (("ramp", ramp), ("noise", noise)):
        for mix in (("threshold",), ("silent",), ("stuck",), ("rate",), ()):
            written = rules(*mix)
            engine = Engine(written, points(), convert, 0.0)
            run(engine, signal(10))
            took, told = run(engine, signal(seconds), at=10.0)
            each = took / (seconds * DEVICES * POINTS) * 1e6
            label = mix[0] if mix else "all four"
            print(f"{name:6} {label:10} {each / len(written):6.3f} µs per reading and rule {each:6.3f} per reading, {told} changes")
    of_rules, of_history = memory()
    number = DEVICES * POINTS
    print(f"{of_rules / (number * RULES):.0f} bytes per rule, {of_rules / 1e6:.1f} MB for {number * RULES} rules")
    print(f"{of_history / number:.0f} bytes of history per point, {of_history / 1e6:.1f} MB in all, when it is full")


if __name__ == "__main__":
    main()
