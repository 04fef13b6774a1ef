"""Answers "what would the hub have told me last month?": recorded readings through the very rules of a config.

HISTORY is CSV (also .gz), one file a device (its name is the device's: freezer-1.csv) with a column a point, or one long table with
the columns timestamp, device, point, value. The moments that there would have been are printed, each with a chart of its evidence.
"""

import argparse
import contextlib
import shutil
import sys
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

from gateway.cli import EX_CONFIG, EX_FAILURE, EX_OK, complain
from gateway.clock import SystemClock

if TYPE_CHECKING:
    from gateway.replay.rerun import Account, Told

SUMMARY = "try rules on recorded readings"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary replay`."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a hub's config")
    parser.add_argument("histories", nargs="+", type=Path, metavar="HISTORY", help="recorded readings, CSV or CSV.gz")
    parser.add_argument("--rule", type=Path, metavar="FILE", help="a file with [rule.*] tables to try beside those of the config")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page with every point and its episodes")
    parser.add_argument("--against", type=Path, metavar="LABELS", help="CSV with device,point,start,end of what really happened")
    parser.add_argument("--brief", action="store_true", help="leave out the charts")


def main(args: argparse.Namespace) -> int:
    """Load, run, and tell."""
    from gateway.config import ConfigError, load
    from gateway.replay.history import History, HistoryError
    from gateway.replay.labels import read_labels, score
    from gateway.replay.page import page
    from gateway.replay.rerun import rerun

    try:
        config = load([args.config, *([args.rule] if args.rule else [])], resolve_secrets=False)
        zone = ZoneInfo(config.hub.time_zone)
        labels = read_labels(args.against, zone) if args.against else []
        with History(args.histories, zone) as history, _Bar(history.size) as bar:
            account = rerun(
                config, history.batches(), lambda _: bar.show(history.read), lambda told: bar.say(_words(told, zone, args.brief))
            )
        _summary(account)
        if args.against:
            print(score(account, labels))
        if args.html:
            args.html.write_text(page(config, account, zone), encoding="utf-8")
            print(f"written: {args.html}")
    except ConfigError as error:
        complain(str(error))
        return EX_CONFIG
    except HistoryError as error:
        complain(str(error))
        return EX_FAILURE
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}")
        return EX_FAILURE
    return EX_OK


def _words(told: "Told", zone: tzinfo, brief: bool) -> str:
    from gateway.replay.chart import chart

    data = told.moment.data
    lines = [
        f"{told.moment.time.astimezone(zone):%Y-%m-%d %H:%M:%S}  {data.severity:<8} {data.phase.value:<9} {data.says}",
        f"{'':<21}{data.case}  {data.because}",
    ]
    if data.evidence and not brief and data.phase.value == "opened":
        lines += [f"{'':<21}{line}" for line in chart(data.evidence, zone)]
    return "\n".join(lines)


def _summary(account: "Account") -> None:
    told = len(account.told)
    days = (account.last - account.first) / 86400
    ratio = f", one moment for {account.readings // told:,} readings" if told else ""
    devices = f"{account.devices} device{'s' if account.devices != 1 else ''}"
    print(f"{account.readings:,} readings of {devices} in {days:.1f} days, {told} moments{ratio}")
    print(f"{told / account.device_months:.2f} moments for each device and month")
    if account.late:
        print(f"{account.late} batches came late or twice and were left aside")
    if account.strangers:
        names = ", ".join(sorted(account.strangers)[:8])
        print(f"not in the config, so no rule saw them: {names}{' and more' if len(account.strangers) > 8 else ''}")


class _Bar:
    """A progress bar on standard error, where that is a terminal; drawn ten times a second at most."""

    def __init__(self, size: int) -> None:
        self._size = max(size, 1)
        self._live = sys.stderr.isatty()
        self._clock = SystemClock()
        self._calls = 0
        self._next = 0.0

    def show(self, done: int) -> None:
        """So many bytes are behind us."""
        self._calls += 1
        if not self._live or self._calls % 256:
            return
        now = self._clock.now()
        if now >= self._next:
            self._next = now + 0.1
            width = max(10, min(60, shutil.get_terminal_size().columns - 20))
            full = min(width, done * width // self._size)
            sys.stderr.write(f"\r{'█' * full}{'░' * (width - full)} {min(100, done * 100 // self._size):3d} %")
            sys.stderr.flush()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._clear()
        print(text)

    def _clear(self) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._clear()
