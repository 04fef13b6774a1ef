"""`canary run` on a machine whose clock is known to be right: `python set_hub.py CONFIG`."""

import asyncio
import sys
from pathlib import Path

from gateway import agent, log
from gateway.clock import SystemClock


class SetClock(SystemClock):
    """The machine's clocks, and they are trusted."""

    def synced(self) -> bool:
        """See `Clock`."""
        return True


if __name__ == "__main__":
    log.set_up()
    agent.SystemClock = SetClock
    asyncio.run(agent.serve(Path(sys.argv[1])))
