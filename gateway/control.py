"""Talking to the hub that runs on this machine: a Unix socket in its state folder, for `canary` commands.

One line of JSON asks ({"do": "history"}), lines answer, and the end of the stream ends the answer; the last line is {"error": ...}
when it did not work. Views such as the history are as many lines as it takes; whatever else may be asked of a hub (`commands.py`,
the same that the cloud asks by downlink) is answered by one line of JSON. Whoever may open the folder (the hub's own user, and
root) may ask; nobody else can reach the socket.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from gateway.commands import Answer, CommandError, Commands

SOCKET = "control.sock"
LONGEST = 64 * 1024  # bytes of a question

View = Callable[[Mapping[str, Any]], Iterator[str]]
"""From a question to the lines of its answer. Raises ControlError for what a person did wrong."""


class ControlError(Exception):
    """The hub cannot be asked, or does not do what it is asked; one line for a person."""

    def __init__(self, text: str, name: str = "") -> None:
        super().__init__(text)
        self.name = name  # of a command's mistake: see `commands.ErrorName`


class Control:
    """The hub's side. `async with Control(folder, views, commands):` answers until it is left."""

    def __init__(self, folder: Path, views: Mapping[str, View], commands: Commands | None = None) -> None:
        self._path = folder / SOCKET
        self._views = views
        self._commands = commands or Commands()

    async def __aenter__(self) -> Self:
        """Take the socket, in the place of one that a dead process left."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LONGEST)
        self._path.chmod(0o600)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of it."""
        self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in self._answer(reader):
                writer.write(line.encode() + b"\n")
                await writer.drain()
        except OSError:
            pass  # whoever asked has seen enough
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> AsyncIterator[str]:
        try:
            question = json.loads(await reader.readline())
            asked = question.pop("do")
            view = self._views.get(asked)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            view, asked, question = None, "", {}
        try:
            if view:
                for line in view(question):
                    yield line
            else:
                yield await self._perform(asked, question)
        except ControlError as error:
            yield json.dumps({"error": str(error)})
        except CommandError as error:
            yield json.dumps({"error": str(error), "name": error.name})

    async def _perform(self, name: object, fields: Mapping[str, Any]) -> str:
        known = self._commands.names("person")
        if name not in known:
            raise ControlError(f"asked for something unknown; known: {', '.join(sorted([*self._views, *known]))}")
        return (await self._commands.read(str(name), fields, "person").perform()).decode()


def ask(folder: Path, /, **question: Any) -> Iterator[str]:
    """Ask the hub whose state folder this is; gives the lines of its answer. Raises ControlError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link, contextlib.ExitStack() as stack:
        try:
            link.connect(str(folder / SOCKET))
        except FileNotFoundError as error:
            raise ControlError(f"no hub is running on {folder}; start it with: systemctl start canary") from error
        except PermissionError as error:
            raise ControlError(f"{folder} may only be reached by the hub's own user and by root; try it with sudo") from error
        except OSError as error:
            raise ControlError(f"the hub on {folder} does not answer: {error.strerror}") from error
        link.sendall(json.dumps(question).encode() + b"\n")
        for line in stack.enter_context(link.makefile(encoding="utf-8")):
            if line.startswith('{"error"'):
                told = json.loads(line)
                raise ControlError(told["error"], told.get("name", ""))
            yield line.rstrip("\n")


def perform(folder: Path, name: str, /, **fields: Any) -> Answer:
    """Have that hub do a command, and return its answer. Raises ControlError."""
    for line in ask(folder, do=name, **fields):
        answer: Answer = json.loads(line)
        return answer
    raise ControlError(f"the hub on {folder} was stopped before it answered")
