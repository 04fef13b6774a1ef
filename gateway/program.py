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
from typing import NamedTuple

TAIL = 2048  # bytes of output that are kept
DRAIN = 0.5  # s for output that is still on its way when it has exited
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


class _Tail(asyncio.SubprocessProtocol):
    """Keeps the end of what a program prints, and notes when it has exited and when its output has ended."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002
        """See `asyncio.SubprocessProtocol`."""
        self.output += data
        del self.output[:-TAIL]

    def process_exited(self) -> None:
        """See `asyncio.SubprocessProtocol`."""
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """See `asyncio.SubprocessProtocol`."""
        if not self.ended.done():
            self.ended.set_result(None)


async def run(program: Sequence[str], limit: float) -> Ran:
    """Run it to its end, or for `limit` seconds. Never raises for what the program does; OSError where it cannot be started."""
    transport, tail = await asyncio.get_running_loop().subprocess_exec(
        _Tail,
        *program,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
        env=ENVIRONMENT,
        start_new_session=True,
    )
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await tail.exited
        code = transport.get_returncode()
        if code is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN):
                    await tail.ended
    finally:
        if transport.get_returncode() is None:  # not reaped yet, so the number is still its own
            with suppress(ProcessLookupError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
        transport.close()
    return Ran(code, tail.output.decode("utf-8", "replace"))
