"""What a process costs, from /proc: CPU time, memory, bytes written to disk."""

import asyncio
import contextlib
import re
from pathlib import Path


def cpu(pid: int) -> float:
    """Seconds that all threads of a process have run; finer than the 10 ms of `stat`."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ended just now
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def pss(pid: int) -> float:
    """Memory in MB, with shared pages divided among those who share them."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024


def rss(pid: int) -> float:
    """Memory in MB, shared pages counted in full."""
    found = re.search(r"^Rss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024


def written(pid: int) -> int:
    """Bytes that a process has caused to be written to disk."""
    return int(re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)[1])


class Counter:
    """A TCP relay that counts what passes upward; stands between the hub and the broker."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.up = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()

    async def _relay(self, reader, writer) -> None:
        back, out = await asyncio.open_connection("127.0.0.1", self._target)

        async def pump(source, sink, *, count: bool) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    if count:
                        self.up += len(data)
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, out, count=True), pump(back, writer, count=False))
