"""`canary run` on a machine whose wall clock leaps: `python leaping_hub.py CONFIG`.

The file "leap" beside the config says by how many seconds the wall clock is wrong; SIGUSR1 has it read again.
"""

import asyncio
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

from gateway import agent, log
from gateway.clock import SystemClock

CONFIG = Path(sys.argv[-1])
LEAP = CONFIG.with_name("leap")


class LeapingClock(SystemClock):
    """The machine's clocks, of which the one on the wall is trusted, and wrong."""

    wrong = timedelta(0)

    def utc(self, at: float) -> datetime:
        """See `Clock.utc`."""
        return super().utc(at) + LeapingClock.wrong

    def synced(self) -> bool:
        """See `Clock`."""
        return True


def leap(*_: object) -> None:
    """The wall clock is set."""
    LeapingClock.wrong = timedelta(seconds=float(LEAP.read_text()))


if __name__ == "__main__":
    log.set_up()
    leap()
    signal.signal(signal.SIGUSR1, leap)
    agent.SystemClock = LeapingClock
    asyncio.run(agent.serve(CONFIG))
