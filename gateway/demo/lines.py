"""Serial lines made of pseudo-terminals: what is plugged in at one end comes out at the other, as with a real adapter."""

import asyncio
import os
import tty
from collections.abc import Callable
from pathlib import Path


class Line:
    """A pseudo-terminal that the hub opens as a serial port, with a machine at its other end.

    `answer` gets each chunk of bytes that the hub wrote and returns what the machine says to it; it may also speak by `say`.
    """

    def __init__(self, path: Path, answer: Callable[[bytes], bytes]) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        path.unlink(missing_ok=True)
        path.symlink_to(os.ttyname(self._slave))
        self.path = path
        self._answer = answer
        asyncio.get_running_loop().add_reader(self._master, self._readable)

    def _readable(self) -> None:
        try:
            heard = os.read(self._master, 4096)
        except OSError:  # nobody has the port open at the moment
            return
        if said := self._answer(heard):
            self.say(said)

    def say(self, data: bytes) -> None:
        """Speak to the hub; what it does not read in time is lost, as on a wire."""
        try:
            os.write(self._master, data)
        except OSError:
            return

    def close(self) -> None:
        """Unplug."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)
        self.path.unlink(missing_ok=True)


class Cable:
    """Two lines joined end to end, for a machine that wants to open a serial port itself."""

    def __init__(self, hub: Path, machine: Path) -> None:
        self.hub = Line(hub, lambda data: self._pass(self.machine, data))
        self.machine = Line(machine, lambda data: self._pass(self.hub, data))

    @staticmethod
    def _pass(end: Line, data: bytes) -> bytes:
        end.say(data)
        return b""

    def close(self) -> None:
        """Unplug both ends."""
        self.hub.close()
        self.machine.close()
