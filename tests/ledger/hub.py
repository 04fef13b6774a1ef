"""The hub under test: its process, its private disk, and what lies in its file."""

import asyncio
import random
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from bench import processes
from peers.hub_process import WITH_A_CLOCK_THAT_LEAPS, HubProcess

DISK = 24 * 2**20  # bytes
RESTART = 1.0  # s until a hub that has ended by itself is started again, as systemd does


class Content(NamedTuple):
    """What lies in the hub's file: the moments that wait, and how far it has counted."""

    generation: str
    seq: int
    wires: list[bytes]


class Disk:
    """A folder on a small disk of its own: a tmpfs in a mount namespace that outlives the hub.

    No rights are needed for that where the kernel gives user namespaces. Where it does not, `is_small` is False, and the folder is
    an ordinary one. `path` is the folder as seen from outside; what is to see it as `folder` is started by the command `within`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder
        self.is_small = False
        self.within: list[str] = []
        self._holder: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self.folder.mkdir()
        if not shutil.which("unshare"):
            return self
        script = f"mount -t tmpfs -o size={DISK} none {self.folder} && echo mounted && exec cat"
        holder = await asyncio.create_subprocess_exec(
            *("unshare", "--map-root-user", "--mount", "sh", "-c", script),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert holder.stdout
        if await holder.stdout.readline() == b"mounted\n":
            self._holder = holder
            self.is_small = True
            self.path = Path(f"/proc/{holder.pid}/root{self.folder}")
            self.within = ["nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials", "--"]
        else:
            await holder.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._holder:
            assert self._holder.stdin
            self._holder.stdin.close()
            await self._holder.wait()

    def fill(self) -> None:
        """Not a byte is left."""
        with (self.path / "ballast").open("ab", buffering=0) as ballast:
            for size in (65536, 512, 1):
                try:
                    while ballast.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        """There is space again."""
        (self.path / "ballast").unlink(missing_ok=True)

    def used(self) -> int:
        """Bytes that the hub has on it."""
        return sum(file.stat().st_size for file in self.path.glob("canary*"))


class Hub:
    """Runs until `close`; started again whenever it ends by itself, which is counted with its last words in `ended`."""

    def __init__(self, config: Path, disk: Disk, journal: Callable[[str], None]) -> None:
        self._config = config
        self._leap = config.with_name("leap")
        self._leap.write_text("0")
        self._disk = disk
        self._journal = journal
        self._process: HubProcess | None = None
        self._read = 0
        self._watch: asyncio.Task[None] | None = None
        self.lock = asyncio.Lock()
        self.starts = 0
        self.ended: list[str] = []
        self.tracebacks: list[str] = []

    async def start(self) -> None:
        """Begin, or begin again."""
        assert self._process is None
        self.starts += 1
        self._process = await HubProcess(self._config, within=self._disk.within, program=WITH_A_CLOCK_THAT_LEAPS).__aenter__()
        self._read = 0
        self._watch = asyncio.create_task(self._start_again(self._process))

    async def end(self, number: int) -> Content | None:
        """End it with a signal; what lies in its file then."""
        process = self._process
        if process is None:
            return None
        assert self._watch
        self._watch.cancel()
        await asyncio.wait([self._watch])
        if process.process.returncode is None:
            process.signal(number)
            try:
                await process.end(10.0)
            except TimeoutError:
                self.ended.append("it did not end within 10 s")
        await self._gone(process)
        return self.content()

    async def _gone(self, process: HubProcess) -> None:
        await process.__aexit__()
        self._process = None
        self.listen(process)
        self.tracebacks += [line for line in process.log if "Traceback" in line or "Error:" in line]

    async def _start_again(self, process: HubProcess) -> None:
        code = await process.process.wait()
        async with self.lock:
            await self._gone(process)
            self.ended.append(f"exit code {code}: {process.log[-1] if process.log else ''}")
            await asyncio.sleep(RESTART)
            await self.start()

    def suspend(self) -> None:
        """SIGSTOP."""
        if self._process:
            self._process.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        if self._process:
            self._process.signal(signal.SIGCONT)

    def leap(self, seconds: float) -> None:
        """The wall clock is wrong by so much from now on, across restarts too."""
        self._leap.write_text(str(seconds))
        if self._process and any("at work" in line for line in self._process.log):  # it takes the signal for its end before that
            self._process.signal(signal.SIGUSR1)

    def listen(self, process: HubProcess | None = None) -> None:
        """Take in what the journal says since the last time."""
        process = process or self._process
        if process:
            for line in process.log[self._read :]:
                self._journal(line)
            self._read = len(process.log)

    def memory(self) -> float:
        """In MB; 0 when it does not run."""
        try:
            return processes.rss(self._process.process.pid) if self._process else 0.0
        except (OSError, TypeError):  # it has ended just now
            return 0.0

    # ------------------------------------------------------------ its file, while it does not run

    def content(self) -> Content | None:
        """From a copy, so that nothing of the original is touched."""
        with tempfile.TemporaryDirectory() as folder:
            for file in self._disk.path.glob("canary.db*"):
                shutil.copy(file, folder)
            path = Path(folder) / "canary.db"
            if not path.exists():
                return None
            connection = sqlite3.connect(path)
            try:
                (generation,) = connection.execute("SELECT generation FROM store").fetchone()
                (seq,) = connection.execute("SELECT seq FROM tally").fetchone()
                return Content(generation, seq, [wire for (wire,) in connection.execute("SELECT wire FROM moment")])
            except sqlite3.DatabaseError:  # not begun, or damaged before
                return None
            finally:
                connection.close()

    def tear_page(self) -> None:
        """The second half of the page that was written last is gone, as after a power cut on a card that lies about its cache."""
        log = self._disk.path / "canary.db-wal"
        if not log.exists() or log.stat().st_size == 0:
            return
        data = log.read_bytes()
        size = 24 + int.from_bytes(data[8:12], "big")  # a frame: its head and a page (sqlite.org/fileformat2.html, 4.1)
        frames = [at for at in range(32, len(data), size) if data[at + 8 : at + 16] == data[16:24]]
        if frames:
            half = frames[-1] + 24 + (size - 24) // 2
            _overwrite(log, half, bytes(len(data[half : half + (size - 24) // 2])))

    def flip_bytes(self, luck: random.Random) -> None:
        """Some bits of the file are others, as in a card that wears out."""
        files = [file for file in self._disk.path.glob("canary.db*") if not file.name.endswith("corrupt") and file.stat().st_size]
        for _ in range(luck.randint(1, 6) if files else 0):
            file = luck.choice(files)
            data = file.read_bytes()
            at = luck.randrange(len(data))
            _overwrite(file, at, bytes([data[at] ^ 1 << luck.randrange(8)]))


def _overwrite(file: Path, at: int, data: bytes) -> None:
    """In place: that needs no space on a disk that is full."""
    with file.open("r+b", buffering=0) as opened:
        opened.seek(at)
        opened.write(data)
