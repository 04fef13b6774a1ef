"""A hub's downlink as a process, whose command "note" writes down what it is told: `python noting_hub.py FOLDER PORT`.

It takes a little time at it, so that there is something to be killed in the middle of.
"""

import asyncio
import os
import sys
from pathlib import Path

from downlink_of import House


class Broker:
    """Where it is."""

    def __init__(self, port):
        self.url = f"mqtt://127.0.0.1:{port}"


class Noting(House):
    """Writes to a file, and syncs it."""

    def __init__(self, folder, broker):
        super().__init__(folder, broker, per_minute=6000)
        self._file = folder / "notes"

    async def note(self, command):
        await asyncio.sleep(0.005)
        with self._file.open("a") as file:
            file.write(f"{command.text}\n")
            file.flush()
            os.fsync(file.fileno())
        await asyncio.sleep(0.1)
        return {"noted": command.text}


async def main():
    async with Noting(Path(sys.argv[1]), Broker(sys.argv[2])).at_work():
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
