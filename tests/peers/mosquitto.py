"""A real Mosquitto on a free port of loopback, to be killed, stopped and started again at will."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin"


def program() -> str:
    """Where Mosquitto is."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=PATH)
    if not found:
        raise RuntimeError("these tests need the real broker: apt-get install mosquitto")
    return found


class Mosquitto:
    """`with Mosquitto(tmp_path) as broker:`; `broker.port` stays the same over `kill` and `start`.

    lines: more of its config. With `certificate` and `key` (files) it speaks TLS.
    """

    def __init__(self, folder: Path, *lines: str, certificate: Path | None = None, key: Path | None = None) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.secure = certificate is not None
        tls = [f"certfile {certificate}", f"keyfile {key}"] if certificate else []
        if os.geteuid() == 0:
            lines = (*lines, "user root")  # else it takes another, who may not read the folders of a test
        if not any(line.startswith("allow_anonymous") for line in lines):
            lines = (*lines, "allow_anonymous true")
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._config.write_text("\n".join([f"listener {self.port} 127.0.0.1", *tls, *lines]) + "\n")
        self._log = folder / f"mosquitto-{self.port}.log"

    @property
    def url(self) -> str:
        return f"{'mqtts' if self.secure else 'mqtt'}://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self._log.open("ab") as log:
            # -v logs every packet.
            self._process = subprocess.Popen([program(), "-v", "-c", str(self._config)], stdout=log, stderr=log)
        give_up = time.monotonic() + 10
        while time.monotonic() < give_up:
            if self._process.poll() is not None:
                raise RuntimeError(f"Mosquitto ended: {self.log()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.005)
        raise RuntimeError(f"Mosquitto does not listen: {self.log()}")

    def kill(self) -> None:
        """SIGKILL: it loses what it has in memory and says nothing to anybody."""
        assert self._process
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """SIGSTOP: its connections stay open and nobody answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT: after `stop`."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process:
            self.kill()


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
