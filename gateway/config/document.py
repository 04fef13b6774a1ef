"""One TOML file: its text, what the parser made of it, and where in it everything stands.

Whatever is in the file, or instead of it, comes out as data and problems; nothing is raised. Small slips are mended on the way
(`syntax.py`), so that one typing error does not hide all other mistakes.
"""

import os
import stat
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

import tomli

from gateway.config.positions import Spot, in_text, line_and_column, scan
from gateway.config.problems import Path, Problem, dotted

LARGEST = 8 * 1024 * 1024
"""Bytes. A hub of a thousand devices needs less; what is larger is not a config."""

LONGEST_SUGGESTION = 120
_MOST_SLIPS = 40


class Document:
    """A file that was read. `whole` is false where a part of it could not be made out, so that what is missing may be there."""

    def __init__(self, file: str, text: str = "", problems: tuple[Problem, ...] = ()) -> None:
        self.file = file
        self.problems = list(problems)
        self.whole = not problems
        self.data: dict[str, Any] = {}
        self.text = text
        self._mended = text
        self._shifts: list[tuple[int, int]] = []  # where the mended text was changed, and by how many characters it grew
        self._parse()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Document":
        """The document of a file; a file that cannot be read is a document with one problem."""
        file = os.fspath(path)
        try:
            with FilePath(path).open("rb") as stream:
                if stat.S_ISBLK(os.fstat(stream.fileno()).st_mode):
                    return cls._unreadable(file, "this is a disk", "a file")
                raw = stream.read(LARGEST + 1)
        except FileNotFoundError:
            return cls._unreadable(file, "there is no such file", "the config to be here")
        except IsADirectoryError:
            return cls._unreadable(file, "this is a folder", "a file such as hub.toml in it")
        except PermissionError:
            return cls._unreadable(
                file, "this file must not be read by the present user", f"`chmod a+r {file}`, or to run as another user"
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return cls._unreadable(file, f"this file cannot be read ({reason})", "a file")
        if len(raw) > LARGEST:
            return cls._unreadable(file, f"this file is larger than {LARGEST // 1024 // 1024} MiB", "a config")
        return cls.decode(file, raw)

    @classmethod
    def decode(cls, file: str, raw: bytes) -> "Document":
        """The document of bytes: UTF-8, with or without a byte order mark, with Unix or Windows line ends."""
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            return cls._unreadable(file, "this file is written in UTF-16", "it to be saved as UTF-8")
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = raw[: error.start].decode("utf-8-sig", "replace").replace("\r\n", "\n")
            line, column = line_and_column(before, len(before))
            found = f"byte 0x{raw[error.start]:02X} is not UTF-8"
            return cls(file, "", (Problem(file, line, column, "", found, "the file to be saved as UTF-8"),))
        return cls(file, text.replace("\r\n", "\n"))

    @classmethod
    def _unreadable(cls, file: str, found: str, expected: str) -> "Document":
        return cls(file, "", (Problem(file, 0, 0, "", found, expected),))

    def _parse(self) -> None:
        """Parse, mending slip after slip."""
        for _ in range(_MOST_SLIPS):
            try:
                self.data = tomli.loads(self._mended)
            except tomli.TOMLDecodeError as complaint:
                from gateway.config.syntax import explain

                slip = explain(self._mended, complaint)
                self._tell(slip.at, slip.found, slip.expected, slip.suggestion, slip.path)
                self._mended = self._mended[: slip.start] + slip.mended + self._mended[slip.end :]
                self._shifts.append((slip.start, len(slip.mended) - (slip.end - slip.start)))
                self.whole = self.whole and not slip.lost
            except RecursionError:
                self._tell(0, "lists or tables are nested too deeply", "at most a few levels")
                break
            except ValueError as error:  # an integer of thousands of digits, for one
                self._tell(0, f"a value that cannot be read ({str(error).partition(';')[0]})", "a number of usual size")
                break
            else:
                return
        self.whole = False

    def _tell(self, at: int, found: str, expected: str, suggestion: str = "", path: Path = ()) -> None:
        line, column = self._place(at)
        shown = suggestion if len(suggestion) <= LONGEST_SUGGESTION else ""
        self.problems.append(Problem(self.file, line, column, dotted(path), found, expected, shown))

    def _place(self, offset: int) -> tuple[int, int]:
        """Line and column, in the text as the person wrote it, of an offset into the mended text."""
        for start, growth in reversed(self._shifts):
            if offset > start:
                offset = max(start, offset - growth)
        return line_and_column(self.text, offset)

    @cached_property
    def _spots(self) -> dict[Path, Spot]:
        return scan(self._mended) if self.data else {}

    def place(self, path: Path, *, key: bool = False, offset: int | None = None) -> tuple[int, int]:
        """Line and column of the value at `path`, or of its key; of what it lies in, where the path itself is not in the file.

        `offset` is of a character of the text that the value is.
        """
        for size in range(len(path), 0, -1):
            if spot := self._spots.get(path[:size]):
                if key or size < len(path):
                    return self._place(spot.key)
                return self._place(spot.value if offset is None else in_text(self._mended, spot.value, offset))
        return (1, 1) if self.text else (0, 0)

    def has(self, path: Path) -> bool:
        """Whether the file itself says something at `path`."""
        return path in self._spots
