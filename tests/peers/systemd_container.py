"""A real systemd as PID 1: a small Debian of this machine's release in a container, without network, fresh at each start.

    with Container({"/mnt/project": PROJECT}, PROJECT / "requirements.lock") as machine:
        machine.run("systemctl start canary")

The image is built from Debian's packages once and kept in /var/cache. Needs root, systemd-nspawn and mmdebstrap; where something is
missing `Unavailable` says what. Not shown in here: what needs the kernel's control groups (MemoryMax=, DeviceAllow=) or hardware.
"""

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

CACHE = Path("/var/cache/canary-systemd")
PACKAGES = "systemd-sysv,dbus,bluez,procps,python3,python3-venv"
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
LEAN = ("doc", "man", "locale", "info")
TOOLS = {"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap", "nsenter": "util-linux"}


class Unavailable(Exception):  # noqa: N818
    """What this machine lacks, in one line."""


def _image() -> Path:
    """The root folder of a small Debian, built when it is not there."""
    missing = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    if missing:
        raise Unavailable(f"a container needs apt-get install {' '.join(missing)}")
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    root = CACHE / f"{suite}-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:8]}"
    if not root.exists():
        sources = [str(path) for path in SOURCES if path.exists() and "deb" in path.read_text()]
        lean = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in LEAN]
        half = root.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        _do("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={PACKAGES}", *lean, suite, str(half), *sources)
        half.rename(root)
    return root


def _wheels(lock: Path, root: Path) -> Path:
    """A folder with the packages of a lock file, for the Python of that root folder, which is Debian's."""
    (python,) = (root / "usr" / "bin").glob("python3.[0-9]*[0-9]")
    version = python.name.removeprefix("python")
    folder = CACHE / f"wheels-{version}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:8]}"
    if not folder.exists():
        half = folder.with_suffix(folder.suffix + ".half")
        shutil.rmtree(half, ignore_errors=True)
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
        _do(*pip, "--no-deps", "--only-binary=:all:", f"--python-version={version}", f"--dest={half}", "-r", str(lock))
        half.rename(folder)
    return folder


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(f"{Path(command[0]).name} failed: {last}")


class Container:
    """The machine, switched on.

    bind: folder of the container -> folder of this machine, to be read.
    lock: a lock file of pip; its packages are in the container's folder /mnt/wheels.
    """

    def __init__(self, bind: Mapping[str, Path], lock: Path) -> None:
        self._bind = dict(bind)
        self._lock = lock

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise Unavailable("a container needs root")
        CACHE.mkdir(mode=0o755, exist_ok=True)
        self._alone = (CACHE / "lock").open("w")
        fcntl.flock(self._alone, fcntl.LOCK_EX)  # one at a time builds the image and has it
        try:
            self._boot()
        except BaseException:
            self._alone.close()
            raise
        return self

    def _boot(self) -> None:
        self._log = CACHE / "boot.log"
        root = _image()
        self._bind["/mnt/wheels"] = _wheels(self._lock, root)
        nspawn = ["systemd-nspawn", "--quiet", f"--directory={root}", f"--machine=canary-{os.getpid()}"]
        nspawn += ["--boot", "--volatile=overlay", "--private-network", "--console=pipe", "--link-journal=no"]
        nspawn += ["--register=no", "--keep-unit"]  # it does without systemd on this machine
        nspawn += ["--system-call-filter=adjtimex clock_adjtime"]  # a real machine has them; setting the clock stays out of reach
        nspawn += [f"--bind-ro={outside}:{inside}" for inside, outside in self._bind.items()]
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C at a terminal is for the test, which then switches the machine off.
            null = subprocess.DEVNULL
            self._nspawn = subprocess.Popen(nspawn, stdin=null, stdout=log, stderr=log, start_new_session=True)
        try:
            self.until("test -S /run/systemd/private && systemctl is-system-running --wait", seconds=60)
        except AssertionError:
            self._nspawn.kill()
            self._nspawn.wait()
            said = self._log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise Unavailable(f"systemd does not come up in a container here: {said[-1]}") from None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._nspawn.send_signal(signal.SIGTERM)  # it asks its systemd to power off
        try:
            self._nspawn.wait(20)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._alone.close()

    def _inside(self, script: str) -> list[str]:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        leader = children.read_text().split() if self._nspawn.poll() is None else []
        if not leader:
            return ["false"]
        clean = ["env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin", "HOME=/root", "LANG=C.UTF-8"]
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
        return ["nsenter", f"--target={leader[0]}", *spaces, *clean, "sh", "-ec", script]

    def attempt(self, script: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a script of the shell as root, whatever comes of it."""
        null = subprocess.DEVNULL
        return subprocess.run(self._inside(script), stdin=null, capture_output=True, text=True, timeout=seconds, check=False)

    def run(self, script: str, seconds: float = 60) -> str:
        """Run a script of the shell as root; what it printed."""
        done = self.attempt(script, seconds)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Put a file there, readable by all."""
        folder = shlex.quote(str(Path(path).parent))
        self.run(f"mkdir -p {folder}; printf %s {shlex.quote(text)} >{shlex.quote(path)}")

    def until(self, script: str, seconds: float = 30) -> None:
        """Wait until a script succeeds."""
        give_up = time.monotonic() + seconds
        while (done := self.attempt(script)).returncode:
            assert time.monotonic() < give_up, f"never came true: {script}\n{done.stdout}{done.stderr}"
            assert self._nspawn.poll() is None, "the machine went down"
            time.sleep(0.05)
