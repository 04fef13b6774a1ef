"""Running one program of the hub's owner, under a time limit.

Promises
- No shell, no input, and nothing of the hub's own environment: only PATH and LANG. It runs in /, in a session of its own.
- At its time limit, and when whoever waits is cancelled, it is killed with all that it started (its process group).
- Of its output, which may be endless, the last 2 KiB are kept.
- It has ended when it has exited, even where something that it started goes on and holds its output open.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

from gateway.polling import to_the_end

TAIL = 2048  # bytes of output that are kept
DRAIN = 0.5  # s for output that is still on its way when it has exited
BURIAL = 2.0  # s that a killed one may take to be gone; one that hangs in the kernel takes for ever
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Ran(NamedTuple):
    """How it ended. code: its exit code; below 0 the signal that ended it; None where it was never started, or was cut short."""

    code: int | None
    output: str

    @property
    def last_line(self) -> str:
        """What it said last, where it said anything."""
        return next((line.strip() for line in reversed(self.output.splitlines()) if line.strip()), "")


def refusal(program: str) -> str:
    """Why this cannot be run; the empty text where it can."""
    path = Path(program)
    if not path.is_absolute():
        return f"{program} is not the whole path of a program"
    if not path.is_file():
        return f"there is no program {program}"
    return "" if os.access(path, os.X_OK) else f"{program} may not be run by this user; chmod +x, or another user"


class _Running(asyncio.SubprocessProtocol):
    """A program that runs: the end of what it has printed, and whether it has exited and its output has ended."""

    def __init__(self) -> None:
        self.transport: asyncio.SubprocessTransport | None = None
        self.output = bytearray()
        self.exited, self.ended = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.SubprocessProtocol`."""
        self.transport = cast("asyncio.SubprocessTransport", transport)

    @property
    def code(self) -> int | None:
        """Its exit code, once it has exited."""
        return self.transport.get_returncode() if self.transport else None

    async def end(self) -> None:
        """Kill it with all that it started, where it has not exited, and let go of its output. Returns when it is buried."""
        if self.transport is None:
            return
        if self.code is None:  # not buried yet, so the number is still its own
            with suppress(ProcessLookupError):
                os.killpg(self.transport.get_pid(), signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(BURIAL):
                    await self.exited.wait()
        self.transport.close()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002
        """See `asyncio.SubprocessProtocol`."""
        self.output += data
        del self.output[:-TAIL]

    def process_exited(self) -> None:
        """See `asyncio.SubprocessProtocol`."""
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """See `asyncio.SubprocessProtocol`."""
        self.ended.set()


async def run(program: Sequence[str], limit: float) -> Ran:
    """Run it to its end, or for `limit` seconds. Never raises for what the program does; OSError where it cannot be started."""
    running = _Running()
    start = asyncio.get_running_loop().subprocess_exec(
        lambda: running,
        *program,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
        env=ENVIRONMENT,
        start_new_session=True,
    )
    try:
        await to_the_end(start)  # cut in half, asyncio kills the program and not what that has started already
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await running.exited.wait()
        code = running.code
        if code is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN):
                    await running.ended.wait()
    finally:
        await to_the_end(running.end())
    return Ran(code, running.output.decode("utf-8", "replace"))
