"""`canary run` with a look inside and with time compressed: `python -m peers.probed_hub CONFIG`, from the folder of the tests.

For each line on standard input it does what that says ("leap SECONDS": the wall clock jumps, "trust 0": the clock is known to be
wrong from now on) and answers with one line of JSON on standard output: what the process has open and under way.
"""

import asyncio
import gc
import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

from gateway import agent, backoff, filing, log
from gateway.clock import SystemClock

from bench import processes


class LeapingClock(SystemClock):
    """The machine's clocks, with a wall clock that jumps when it is told to."""

    leap = 0.0
    trusted = True

    def utc(self, at: float) -> datetime:
        """See `Clock`."""
        return super().utc(at) + timedelta(seconds=LeapingClock.leap)

    def synced(self) -> bool:
        """See `Clock`."""
        return LeapingClock.trusted


def obey(words: list[str]) -> None:
    """Do what a line says."""
    if words[:1] == ["leap"]:
        LeapingClock.leap += float(words[1])
    elif words[:1] == ["trust"]:
        LeapingClock.trusted = words[1] == "1"


def look() -> dict[str, object]:
    """What is open and under way just now."""
    gc.collect()
    return {
        "tasks": sorted(task.get_name() for task in asyncio.all_tasks()),
        "files": sorted(str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.exists()),
        "rss": processes.rss(os.getpid()),
    }


async def main() -> None:
    backoff.FIRST_HOLD = backoff.LONGEST_HOLD = 0.1
    filing.SAVING = 0.5
    agent.SystemClock = LeapingClock
    log.set_up()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    hub = asyncio.create_task(agent.serve(Path(sys.argv[1])), name="hub")
    reading = asyncio.create_task(answer(lines), name="probe")
    await hub
    reading.cancel()


async def answer(lines: asyncio.StreamReader) -> None:
    while line := await lines.readline():
        obey(line.decode().split())
        sys.stdout.write(json.dumps(look()) + "\n")
        sys.stdout.flush()


asyncio.run(main())
