"""Whether the write-ahead log of a database has lost something, read without SQLite.

SQLite reads a log up to the first frame that is not as it was written, and forgets what comes after it without a word. After a
crash that is right: those frames had not been committed. Where they had been, something is gone of which somebody may have heard.
Format: sqlite.org/fileformat2.html, chapter 4. Takes some 20 ms for a MiB here; only a crash leaves a log at all.
"""

import struct
from pathlib import Path
from typing import BinaryIO

HEAD, FRAME_HEAD = 32, 24  # bytes
LITTLE, BIG = 0x377F0682, 0x377F0683  # how a log begins: the byte order of the words over which its checksums go


def torn(log: Path) -> bool:
    """Whether a commit in the log cannot be read any more, or nothing of it.

    A process that is killed between the two writes of which a frame consists, head and page, leaves such a frame, too.
    """
    try:
        with log.open("rb") as file:
            return _torn(file)
    except FileNotFoundError:
        return False
    except OSError:  # a card that has lost its pages; SQLite will say so, too
        return True


def _torn(file: BinaryIO) -> bool:
    head = file.read(HEAD)
    if not head:
        return False
    if not _sound(head):
        return True
    order = _order(head)
    page, salt, sums = int.from_bytes(head[8:12], "big"), head[16:24], struct.unpack(">2I", head[24:])
    readable = True
    while len(frame := file.read(FRAME_HEAD + page)) >= FRAME_HEAD:
        if readable and len(frame) == FRAME_HEAD + page:
            sums = _checksum(frame[:8] + frame[FRAME_HEAD:], order, sums)
            readable = frame[8:FRAME_HEAD] == salt + struct.pack(">2I", *sums)
        else:
            readable = False
        if not readable and _committed(frame) and _of_this_round(frame, salt):
            return True
    return False


def _committed(frame: bytes) -> bool:
    """The last frame of a commit says how many pages the database has after it, any other 0."""
    return any(frame[4:8])


def _of_this_round(frame: bytes, salt: bytes) -> bool:
    """Frames of earlier rounds lie behind those of the present one, and both halves of their salt are others.

    One half is enough: damage to the other does not hide a frame.
    """
    return frame[8:12] == salt[:4] or frame[12:16] == salt[4:]


def _sound(head: bytes) -> bool:
    """Whether the head of a log is as it was written."""
    if len(head) < HEAD or int.from_bytes(head[:4], "big") not in {LITTLE, BIG}:
        return False
    return struct.pack(">2I", *_checksum(head[:24], _order(head), (0, 0))) == head[24:]


def _order(head: bytes) -> str:
    return "<" if int.from_bytes(head[:4], "big") == LITTLE else ">"


def _checksum(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """Goes on from the checksum of what came before."""
    one, other = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for word in words:
        one += word + other
        other += next(words) + one
    return one % 2**32, other % 2**32
