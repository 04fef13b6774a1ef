"""Secrets: written by reference only, read once at the start, and shown to nobody.

A reference is `{ credential = "name" }` (from systemd's LoadCredential), `{ file = "/path" }` or `{ env = "NAME" }`.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.config.problems import Unfit, described, nearest, one_of, quoted

WAYS = ("credential", "file", "env")
_LONGEST = 64 * 1024


class Hidden(str):
    """The text of a secret: a `str` to whoever needs its bytes (`.encode()`, `bytes.fromhex`), stars to whoever prints it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"

    def __str__(self) -> str:
        return "***" if self else ""

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


class Secrets:
    """Where references are looked up. With `resolve=False` they are checked for their form only, and every secret is empty."""

    def __init__(self, environ: Mapping[str, str], credentials_dir: str | os.PathLike[str] | None, *, resolve: bool) -> None:
        self._environ = environ
        self._credentials_dir = None if credentials_dir is None else Path(credentials_dir)
        self._resolve = resolve

    def read(self, reference: Mapping[str, Any], folder: Path) -> Hidden:
        """The text that a reference stands for; a relative file is meant from `folder`. Raises Unfit, without the secret in it."""
        way, name = _parts(reference)
        if way == "credential" and (not re.fullmatch(r"[^/\x00]+", name) or name in (".", "..")):
            raise Unfit(f"found {quoted(name)}", "the name of a credential, without a folder", below=(way,))
        if not self._resolve:
            return Hidden()
        if way == "env":
            text = self._environ.get(name)
            if text is None:
                raise Unfit(f"there is no environment variable {quoted(name)}", "the service to have it", below=(way,))
        elif way == "file":
            text = _content(folder / name, way)
        else:
            text = self._credential(name)
        secret = text.removesuffix("\n").removesuffix("\r")
        if not secret:
            raise Unfit(f"the {way} {quoted(name)} is empty", "the secret in it", below=(way,))
        return Hidden(secret)

    def _credential(self, name: str) -> str:
        remedy = f"LoadCredential={name}:/etc/canary/secrets/{name} in the service's unit"
        if self._credentials_dir is None:
            raise Unfit(f"there is no credential {quoted(name)} ($CREDENTIALS_DIRECTORY is not set)", remedy, below=("credential",))
        path = self._credentials_dir / name
        if not path.exists():
            raise Unfit(f"there is no credential {quoted(name)} in {self._credentials_dir}", remedy, below=("credential",))
        return _content(path, "credential")


def _parts(reference: Mapping[str, Any]) -> tuple[str, str]:
    """The way and the name of a reference."""
    expected = 'one of { credential = "name" }, { file = "/path" }, { env = "NAME" }'
    for key in reference:
        if key not in WAYS:
            near = nearest(key, WAYS)
            raise Unfit(f"unknown key {quoted(key)}", "" if near else one_of(WAYS), near and quoted(near), below=(key,))
    if len(reference) != 1:
        raise Unfit(f"found {' and '.join(reference)}" if reference else "found an empty table", expected)
    ((way, name),) = reference.items()
    if type(name) is not str or not name:
        raise Unfit(
            f"found {described(name)}", f"{'an environment variable' if way == 'env' else f'a {way}'}, as text", below=(way,)
        )
    return way, name


def _content(path: Path, way: str) -> str:
    """The text of a file that nobody else may read."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise Unfit(f"{path} is no file", "a file with the secret in it", below=(way,))
        with path.open("rb") as stream:
            raw = stream.read(_LONGEST + 1)
    except FileNotFoundError:
        raise Unfit(f"there is no file {path}", f"the secret in it: `install -m 600 /dev/stdin {path}`", below=(way,)) from None
    except PermissionError:
        remedy = f"`chown canary {path}`, or {{ credential = ... }}"
        raise Unfit(f"{path} must not be read by the present user", remedy, below=(way,)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Unfit(f"{quoted(str(path))} cannot be read ({reason})", "a file", below=(way,)) from None
    if len(raw) > _LONGEST:
        raise Unfit(f"{path} is too large for a secret", f"at most {_LONGEST // 1024} KiB", below=(way,))
    if mode & 0o007 and way == "file":
        raise Unfit(f"{path} can be read by every user of this machine", f"`chmod 600 {path}`", below=(way,))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Unfit(f"{path} is not text", "text in UTF-8", below=(way,)) from None
