"""`make ledger`: the book of one run, with what was lost (0), told twice (0) and out of order (0)."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from ledger.charts import chart
from ledger.run import Report, Run


def tell(report: Report) -> None:
    verdict = report.verdict
    rows = [
        ("readings that the machines gave", report.readings),
        ("moments that the hub promised", verdict.promised),
        ("moments that arrived", verdict.arrived),
        ("", ""),
        ("LOST", len(verdict.lost)),
        ("TOLD TWICE", len(verdict.twice)),
        ("OUT OF ORDER", len(verdict.disordered)),
        ("GARBLED", len(verdict.garbled)),
        ("", ""),
        ("sent again under the same id", verdict.repeats),
        ("in the hub's file when its bytes were destroyed, and gone", verdict.destroyed),
        ("told twice or out of order because of such bytes", len(verdict.after_damage)),
        ("starts of the hub", report.starts),
        ("ended by itself", len(report.ended)),
        ("tracebacks", len(report.tracebacks)),
        ("longest recovery, s", f"{report.recovery[0]:.1f} ({report.recovery[1]})"),
    ]
    for name, figure in rows:
        print(f"{name:<60}{figure:>12}" if name else "")
    print("\nfaults: " + ", ".join(f"{kind} {number}" for kind, number in sorted(report.faults.items())))
    if not report.small_disk:
        print("no full disk: this kernel gives no user namespace to mount a small one in")
    print()
    print(chart("memory, MB", [sample.memory for sample in report.samples]))
    print(chart("disk, kB", [sample.disk / 1000 for sample in report.samples]))
    print(chart("moments under way", [sample.waiting for sample in report.samples]))
    findings = (*verdict.lost, *verdict.twice, *verdict.disordered, *verdict.garbled)
    for words in (*findings[:30], *(f"after damage: {words}" for words in verdict.after_damage[:10])):
        print(words)
    for words in (*report.ended, *report.tracebacks[:10]):
        print(f"hub: {words}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make ledger", description=__doc__)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=0.0, help="20 if neither is given: about 10,000 moments")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--quiet", action="store_true", help="only the sum")
    args = parser.parse_args()
    seconds = args.hours * 3600 + args.minutes * 60 or 1200.0
    print(f"seed {args.seed}, {seconds / 60:g} minutes\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), args.seed, seconds, (lambda _: None) if args.quiet else lambda words: print(words, flush=True))
        report = asyncio.run(run.run())
    print()
    tell(report)
    return 0 if report.clean else 1


sys.exit(main())
