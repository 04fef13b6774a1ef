"""`make bench`: every figure beside its budget. About two minutes; `ARGS="--seconds 20"` for a shorter look."""

import argparse
import asyncio
import tempfile
from pathlib import Path

from gateway.config.units import convert
from gateway.diagnosis.engine import Engine

from bench import disk, kinds, outbox, polling, rules
from peers.mosquitto import Mosquitto

ROW = "{:<58} {:>12} {:>12} {:>9} {:>8}"


def row(figure: str, measured: str, beside: str = "", must: str = "", aim: str = "") -> None:
    print(ROW.format(figure, measured, beside, must, aim), flush=True)


async def poll(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker:
        found = await polling.measure(broker.port, window=seconds)
    hub, bare = found["hub"], found["yardstick"]
    ratio = hub["cpu_ms_per_1k"] / bare["cpu_ms_per_1k"]
    row("CPU / yardstick", f"{ratio:.2f}", "1", "0.80", "0.45")
    row("  CPU ms per 1,000 registers", f"{hub['cpu_ms_per_1k']:.2f}", f"{bare['cpu_ms_per_1k']:.2f}")
    row("Modbus requests per 1,000 registers", f"{hub['requests_per_1k']:.1f}", f"{bare['requests_per_1k']:.1f}", "20", "20")
    row("  registers read, share of what was due", f"{hub['rate']:.3f}", f"{bare['rate']:.3f}")
    row("error of the poll interval, p50 (ms)", f"{hub['jitter_p50_ms']:.2f}", f"{bare['jitter_p50_ms']:.2f}")
    row("error of the poll interval, p99 (ms)", f"{hub['jitter_p99_ms']:.2f}", f"{bare['jitter_p99_ms']:.2f}")
    share = hub["jitter_p99_ms"] / bare["jitter_p99_ms"]
    row("  p99 / yardstick", f"{share:.2f}", "1", "1.0", "0.5")
    row("memory after the run, PSS (MB)", f"{hub['pss']:.1f}", f"{bare['pss']:.1f}", "45", "34")
    row("  RSS (MB)", f"{hub['rss']:.1f}", f"{bare['rss']:.1f}")
    row("bytes on the uplink a minute, nothing wrong", f"{hub['uplink_per_min']:.0f}", "", "2000", "200")
    row("written to disk in that minute, its first (kB)", f"{hub['disk_kb']:.0f}")
    own, other = await polling.start_time()
    row("start: exec to first request, 10 devices (s)", f"{own:.2f}", f"{other:.2f}", "1.0", "0.4")


def cost_of_rules() -> None:
    written, seconds = rules.rules(), 60
    for name, signal in (("ramp", rules.ramp), ("noise", rules.noise)):
        engine = Engine(written, rules.points(), convert, 0.0)
        rules.run(engine, signal(10))
        took, _ = rules.run(engine, signal(seconds), at=10.0)
        each = took / (seconds * rules.DEVICES * rules.POINTS * len(written)) * 1e6
        row(f"rules: CPU us per reading and rule, mix of four, {name}", f"{each:.2f}", "", "2", "0.5")
    row("rules: bytes per rule, history apart", f"{rules.memory()[0] / (rules.DEVICES * rules.POINTS * len(written)):.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the run beside the yardstick")
    args = parser.parse_args()
    print("100 Modbus TCP devices x 50 registers at 1 Hz, 4 rules a point (20,000 rules), outbox and uplink on\n")
    row("figure", "measured", "yardstick", "must", "aim")
    asyncio.run(poll(args.seconds))
    cost_of_rules()
    kinds.report(row)
    outbox.report(row)
    disk.report(row, args.seconds)


main()
