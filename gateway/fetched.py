"""The config that is in force: the files of this machine, or one that the cloud had the hub fetch in their place.

Promises
- A fetched config is in force only as long as the files of this machine are what they were when it was tried: a technician's edit
  on the spot wins, and that is logged.
- It is one file in the state folder (`fetched.toml`), because the hub cannot write to /etc. It is there whole or not at all, after
  a power cut too.
- One that cannot be read any more (a profile is gone, an older program runs again) costs itself, not the start.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import structlog

from gateway.config import Config, ConfigError, load
from gateway.config.document import Document
from gateway.config.fragments import documents
from gateway.config.reader import load_one

log = structlog.get_logger("config")

FILE = "fetched.toml"
OLD = "fetched.toml.replaced"
HEAD = "# Fetched from {url}\n# in place of {path}, as long as that is unchanged:\n# {digest}\n"
HEAD_LINES = HEAD.count("\n")


class Kept(NamedTuple):
    """A fetched config: the digest of the files that it stands in for, and its own bytes."""

    replaces: str
    raw: bytes


def in_force(path: Path) -> Config:
    """The config of a machine whose own is at this path. Raises ConfigError, of the files of this machine only."""
    local = load(path)
    folder = Path(local.hub.state)
    kept = read(folder)
    if kept is None:
        return local
    if kept.replaces != digest(path):
        log.warning("the config on this machine has changed: it is in force again, and the fetched one is set aside", kept=OLD)
        _set_aside(folder)
        return local
    try:
        return load_one(Document.decode(str(folder / FILE), kept.raw))
    except ConfigError as error:
        log.error("the fetched config cannot be read any more, the one on this machine is in force", mistakes=error)
        return local


def digest(path: Path) -> str:
    """Changes with every change of a config's files."""
    texts = ((document.file, document.text) for document in documents([path]))
    return hashlib.sha256(repr(list(texts)).encode()).hexdigest()


def read(folder: Path) -> Kept | None:
    """The fetched config in a state folder, if there is one."""
    try:
        raw = (folder / FILE).read_bytes()
    except OSError:
        return None
    lines = raw.split(b"\n", HEAD_LINES)
    if len(lines) <= HEAD_LINES:
        return None
    return Kept(lines[HEAD_LINES - 1].removeprefix(b"# ").decode("ascii", "replace"), lines[HEAD_LINES])


def keep(folder: Path, raw: bytes, *, url: str, path: Path, replaces: str) -> None:
    """Keep a config that was fetched, in place of the one at `path`, of that digest. Raises OSError; then nothing has changed."""
    new = folder / f"{FILE}.new"
    with new.open("wb") as file:
        file.write(HEAD.format(url=url, path=path, digest=replaces).encode() + raw)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / FILE)
    _sync(folder)


def _set_aside(folder: Path) -> None:
    try:
        (folder / FILE).replace(folder / OLD)
    except OSError as error:  # then at the next start; it is not in force either way
        log.warning("the fetched config cannot be set aside", fault=error)


def _sync(folder: Path) -> None:
    """The name of a new file is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
