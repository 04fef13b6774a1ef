"""Frames out of a stream of bytes: where one begins, where it ends, and whether it arrived whole.

Pure: no port, no clock. Promises
- Any bytes give frames or `Garbled`, nothing else, and how the stream is cut into pieces changes neither.
- The buffer never holds more than the longest frame that the keys allow, and the piece that was just fed.
- After noise, a half frame or a false start it finds the next good frame by itself.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from drivers.contract import KeyMistake, Keys, Seconds
from drivers.serial_line.checksum import Checksum


def octets(text: str) -> bytes:
    r"""The bytes that a key means: text, one byte a character ("\r\n", "\x02"), or hexadecimal digits after "hex:".

    Raises ValueError where it is neither.
    """
    if text.startswith("hex:"):
        return bytes.fromhex(text[4:])
    return text.encode("latin-1")


def check_octets(key: str, text: str) -> None:
    """Raises KeyMistake where `octets` would fail."""
    try:
        octets(text)
    except ValueError:
        raise KeyMistake(key, f'"{text}"', 'characters of one byte each, or pairs of hex digits after "hex:"') from None


class LengthField(Keys, frozen=True, kw_only=True):
    """`length_field`: the frame says its own length."""

    at: Annotated[int, Meta(ge=0, le=255, description="Where it lies, in bytes from the start of the frame.")]
    size: Annotated[Literal[1, 2], Meta(description="Bytes that it takes.")] = 1
    endian: Annotated[Literal["little", "big"], Meta(description="Which of its bytes comes first.")] = "big"
    plus: Annotated[int, Meta(ge=-255, le=255, description="Bytes of the frame that it does not count.")] = 0


class FrameKeys(Keys, frozen=True, kw_only=True):
    """`frame`: where a frame begins and ends; exactly one of `end`, `length`, `length_field` and `gap`."""

    start: Annotated[
        str, Meta(description='What every frame begins with, and nothing else in it: "$", "/", "\\x02", "hex: 42 4D".')
    ] = ""
    end: Annotated[str, Meta(description='What every frame ends with: "\\r\\n", "\\x03".')] = ""
    tail: Annotated[int, Meta(ge=0, le=64, description="Bytes that still follow `end`, such as a checksum.")] = 0
    length: Annotated[Annotated[int, Meta(ge=1, le=65535)] | None, Meta(description="Every frame has so many bytes.")] = None
    length_field: LengthField | None = None
    gap: Annotated[
        Annotated[Seconds, Meta(ge=0.001, le=10)] | None,
        Meta(description="The line is silent for so long after a frame; of USB adapters not less than 20 ms."),
    ] = None
    longest: Annotated[int, Meta(ge=1, le=65535, description="A frame with more bytes than this is noise.")] = 1024

    def __post_init__(self) -> None:
        ways = [key for key in ("end", "length", "length_field", "gap") if getattr(self, key) not in ("", None)]
        if len(ways) != 1:
            raise KeyMistake(ways[1] if ways else "end", " and ".join(ways) or "none", "one of end, length, length_field and gap")
        if self.tail and not self.end:
            raise KeyMistake("tail", "a tail without an end", "`end`, which the tail follows")
        if self.length and self.length > self.longest:
            raise KeyMistake("length", f"{self.length}", f"at most {self.longest}, or a larger `longest`")
        for key in ("start", "end"):
            check_octets(key, getattr(self, key))


class Garbled(NamedTuple):
    """Bytes that looked like a frame and are none."""

    reason: str


class Framer:
    """Takes bytes as they come, gives frames: without the terminator, and without the checksum once that is proven."""

    def __init__(self, keys: FrameKeys, checksum: Checksum | None = None) -> None:
        self.gap = keys.gap
        self._keys = keys
        self._start, self._end = octets(keys.start), octets(keys.end)
        self._checksum = checksum
        self._no_end = f"it does not end within {keys.longest} bytes"
        self._buffer = bytearray()
        self._reset()

    def reset(self) -> None:
        """Forget what has come so far: a new answer is expected."""
        self._buffer.clear()
        self._reset()

    def _reset(self) -> None:
        self._told = 0  # so many bytes at the front of the buffer have been told to be garbled already
        self._overlong = False  # in the midst of a frame that is too long: nothing counts until it ends

    def feed(self, data: bytes) -> list[bytes | Garbled]:
        """What these bytes, after all earlier ones, complete."""
        self._buffer += data
        if self.gap is None:
            return list(self._take())
        if len(self._buffer) > self._keys.longest:
            self._overlong = True
            self._buffer.clear()
        return []

    def idle(self) -> list[bytes | Garbled]:
        """The line has been silent for `gap`: what has come is a frame. Nothing happens where frames do not end by a gap."""
        if self.gap is None or not (self._buffer or self._overlong):
            return []
        frame = bytes(self._buffer)
        frame = frame[max(frame.find(self._start), 0) :]
        opened = None if self._overlong else self._open(frame)
        reason = self._no_end if self._overlong else self._fault(frame)
        self.reset()
        return [Garbled(reason) if opened is None else opened]

    def _take(self) -> Iterator[bytes | Garbled]:
        while self._find_start():
            size = self._measure()
            if size is None or 0 < size > len(self._buffer):
                return
            frame = bytes(self._buffer[:size])
            opened = self._open(frame) if size else None
            if opened is not None:
                self._drop(size)
                self._told = 0
                yield opened
                continue
            if self._told == 0:
                self._told = max(size, 1)
                yield Garbled(self._fault(frame) if size else self._no_end)
            self._give_up(size)

    def _find_start(self) -> bool:
        """Move the first possible start to the front of the buffer; false where there is none yet."""
        buffer, start, end = self._buffer, self._start, self._end
        if self._overlong:
            at = buffer.find(end)
            self._drop(max(len(buffer) - len(end) + 1, 0) if at < 0 else at + len(end))
            if at < 0:
                return False
            self._overlong, self._told = False, 0
        if start:
            at = buffer.find(start)
            # The last bytes may be the first of a start: they stay.
            self._drop(max(len(buffer) - len(start) + 1, 0) if at < 0 else at)
            return at >= 0
        return bool(buffer)

    def _measure(self) -> int | None:
        """Size of the frame at the front of the buffer: None where it cannot be told yet, 0 where it can be none."""
        keys, buffer = self._keys, self._buffer
        if self._end:
            at = buffer.find(self._end, len(self._start), keys.longest - keys.tail)
            if at < 0:
                return 0 if len(buffer) >= keys.longest else None
            if self._start and not self._checksum:  # a frame that broke off before another began
                self._drop(max(buffer.rfind(self._start, 0, at), 0))
                at = buffer.find(self._end, len(self._start))
            return at + len(self._end) + keys.tail
        if keys.length_field is None:
            return keys.length
        field = keys.length_field
        if len(buffer) < field.at + field.size:
            return None
        size = int.from_bytes(buffer[field.at : field.at + field.size], field.endian) + field.plus
        return size if field.at + field.size <= size <= keys.longest else 0

    def _open(self, frame: bytes) -> bytes | None:
        """What the frame says; None where it is none."""
        if not frame.startswith(self._start):
            return None
        if self._end and not self._keys.tail:
            frame = frame[: -len(self._end)]
        return self._checksum.open(frame) if self._checksum else frame

    def _fault(self, frame: bytes) -> str:
        return "its checksum is wrong" if frame.startswith(self._start) else "it does not begin as a frame does"

    def _give_up(self, size: int) -> None:
        """Go on behind a false frame: as near behind it as the next one can be found from."""
        if self._start or not self._end:
            self._drop(1)
        elif size:
            self._drop(size)
        else:
            self._overlong = True

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._told = max(self._told - count, 0)
