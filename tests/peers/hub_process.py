"""`canary run` as a process, with what a test needs to see of it: its journal, its notifications, its end."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

CANARY = Path(sys.executable).with_name("canary")
RUN = (str(CANARY), "run", "--config")
WITH_ITS_CLOCK_SET = (sys.executable, str(Path(__file__).with_name("set_hub.py")))
WITH_A_CLOCK_THAT_LEAPS = (sys.executable, str(Path(__file__).with_name("leaping_hub.py")))


class HubProcess:
    """`async with HubProcess(config) as hub:`; `hub.log` grows while it runs.

    within: a command that starts it, such as nsenter with its arguments. program: what runs it, in place of `canary run --config`.
    """

    def __init__(
        self, config: Path, *, env: dict[str, str] | None = None, within: Sequence[str] = (), program: Sequence[str] = RUN
    ) -> None:
        self._config = config
        self._within = within
        self._program = program
        self._env = env or {}
        self.log: list[str] = []
        self.told: list[str] = []
        self._news = asyncio.Event()

    async def __aenter__(self):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        path = self._config.parent / "notify.sock"
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        asyncio.get_running_loop().add_reader(self._socket, self._notified)
        env = os.environ | {"NOTIFY_SOCKET": str(path)} | self._env
        argv = [*self._within, *self._program, self._config]
        self.process = await asyncio.create_subprocess_exec(
            *argv, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reader
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _notified(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told += self._socket.recv(4096).decode().splitlines()
                self._news.set()

    async def _read(self):
        async for line in self.process.stderr:
            self.log.append(line.decode().rstrip())
            self._news.set()
        self._news.set()

    async def until(self, what, seconds=15.0):
        """Wait until a line with `what` has been logged, or told to systemd."""
        try:
            async with asyncio.timeout(seconds):
                while not any(what in line for line in (*self.log, *self.told)):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"never said {what!r}: {self.log}") from None

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def end(self, seconds=5.0) -> int:
        """Its exit code, within the time that it has to end in."""
        async with asyncio.timeout(seconds):
            return await self.process.wait()
