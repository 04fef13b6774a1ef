"""Power cuts: what a program does to its files is recorded by strace, and every disk that a cut could have left is made from that.

The disk of this model promises no more than POSIX does. What was written to a file is there for certain after a sync of that file,
and its name after a sync of the folder; until then any part of it may be missing, in any mixture, down to sectors of 512 bytes.
"""

import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
CALLS = "openat,write,pwrite64,fsync,fdatasync,ftruncate,unlink,rename,mmap,pwritev,writev,fallocate,unlinkat,renameat,renameat2"
HANDLE = r"(\d+)<([^>]*)>"
TEXT = r'"([^"]*)"(?:\.\.\.)?'
PATTERNS = {
    "create": re.compile(rf"openat\([^,]*, {TEXT}, \S*O_CREAT\S*, \d+\)"),
    "write": re.compile(rf"pwrite64\({HANDLE}, {TEXT}, \d+, (\d+)\)"),
    "sync": re.compile(rf"f(?:data)?sync\({HANDLE}\)"),
    "truncate": re.compile(rf"ftruncate\({HANDLE}, (\d+)\)"),
    "unlink": re.compile(rf"unlink\({TEXT}\)"),
    "rename": re.compile(rf"rename\({TEXT}, {TEXT}\)"),
    "mark": re.compile(rf"write\(1<[^>]*>, {TEXT}, \d+\)"),
}


class Event(NamedTuple):
    """One thing that the program did. kind: a key of PATTERNS; name: the file's own, "" for the folder."""

    kind: str
    name: str
    data: bytes = b""  # of a write; the text of a mark; the new name of a rename
    offset: int = 0  # of a write; the new size of a truncate


def may_trace() -> bool:
    """Whether strace is there and the kernel lets it work."""
    if not shutil.which("strace"):
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode == 0


def record(argv: Sequence[str], folder: Path, log: Path) -> list[Event]:
    """Run a program of one thread to its end and tell what it did to the files of a folder and said on standard output."""
    subprocess.run(
        ["strace", "-qq", "-y", "-xx", "-s", "1048576", "-o", log, "-e", f"trace={CALLS}", *argv], check=True, capture_output=True
    )
    return list(_events(log, str(folder)))


def _events(log: Path, folder: str) -> Iterator[Event]:
    mine = "".join(f"\\x{byte:02x}" for byte in folder.encode())
    with log.open() as lines:
        for line in lines:
            call, _, result = line.rpartition(" = ")
            if result.startswith("-1") or (mine not in call and not call.startswith("write(1<")):
                continue
            for kind, pattern in PATTERNS.items():
                found = pattern.match(call)
                if found:
                    yield _event(kind, found.groups(), len(folder) + 1)
                    break
            else:
                assert "O_RDONLY" in call, f"this model knows no {call[:200]}"


def _event(kind: str, groups: Sequence[str], skip: int) -> Event:
    if kind == "mark":
        return Event(kind, "", _bytes(groups[0]))
    if kind in {"create", "unlink"}:
        return Event(kind, _bytes(groups[0]).decode()[skip:])
    if kind == "rename":
        return Event(kind, _bytes(groups[0]).decode()[skip:], _bytes(groups[1])[skip:])
    name = _bytes(groups[1]).decode()[skip:]
    if kind == "write":
        return Event(kind, name, _bytes(groups[2]), int(groups[3]))
    return Event(kind, name, offset=int(groups[2]) if kind == "truncate" else 0)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


Files = dict[str, bytearray]


class Disk:
    """What is certain, and what is on its way there."""

    def __init__(self) -> None:
        self._certain: dict[str, int] = {}  # name -> file
        self._names: dict[str, int] = {}  # as the program sees them
        self._naming: list[dict[str, int]] = []  # each step of the folder that is not certain yet
        self._content: dict[int, bytearray] = {}
        self._writing: dict[int, list[Event]] = {}

    def do(self, event: Event) -> None:
        """The program goes on by one event."""
        name = event.name
        if event.kind == "sync" and not name:
            self._certain = dict(self._names)
            self._naming.clear()
        elif event.kind == "sync":
            for part in self._writing[self._names[name]]:
                _apply(self._content[self._names[name]], part)
            self._writing[self._names[name]].clear()
        elif event.kind in {"write", "truncate"}:
            self._writing[self._names[name]].append(event)
        elif event.kind == "create" and name not in self._names:
            file = len(self._content)
            self._content[file], self._writing[file] = bytearray(), []
            self._step(self._names | {name: file})
        elif event.kind == "unlink":
            self._step({other: file for other, file in self._names.items() if other != name})
        elif event.kind == "rename":
            file = self._names[name]
            self._step({other: kept for other, kept in self._names.items() if other != name} | {event.data.decode(): file})

    def _step(self, names: dict[str, int]) -> None:
        self._names = names
        self._naming.append(names)

    def after_a_kill(self) -> Files:
        """The process is gone and the machine runs on: all is there."""
        return self._made(self._names, lambda parts: parts)

    def after_a_cut(self, luck: random.Random | None = None) -> Files:
        """The power is gone: what was certain, and of the rest whatever `luck` says, nothing without."""
        if luck is None:
            return self._made(self._certain, lambda _: [])
        names = luck.choice([self._certain, *self._naming])
        share = luck.choice([0.1, 0.5, 0.9])
        return self._made(names, lambda parts: [bit for part in parts for bit in _sectors(part) if luck.random() < share])

    def _made(self, names: dict[str, int], choose) -> Files:
        files = {}
        for name, file in names.items():
            files[name] = content = bytearray(self._content[file])
            for part in choose(self._writing[file]):
                _apply(content, part)
        return files


def _sectors(event: Event) -> Iterator[Event]:
    """The pieces of a write that reach the disk whole or not at all."""
    if event.kind != "write":
        yield event
        return
    start = event.offset
    while start < event.offset + len(event.data):
        end = min((start // SECTOR + 1) * SECTOR, event.offset + len(event.data))
        yield Event("write", event.name, event.data[start - event.offset : end - event.offset], start)
        start = end


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
    else:
        content.extend(bytes(max(0, event.offset + len(event.data) - len(content))))
        content[event.offset : event.offset + len(event.data)] = event.data
