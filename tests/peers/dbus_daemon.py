"""A system bus of one's own: a real dbus-daemon on a socket in a folder of the test, on which any name may be owned. No root."""

import contextlib
import shutil
import subprocess

import pytest

CONFIG = """\
<busconfig>
  <type>system</type>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
"""


@contextlib.contextmanager
def system_bus(folder):
    """The address of a running bus, for DBUS_SYSTEM_BUS_ADDRESS, which bleak obeys."""
    program = shutil.which("dbus-daemon")
    if not program:
        pytest.fail("dbus-daemon is missing, and BLE is tested on a real D-Bus: apt-get install dbus")
    config = folder / "bus.conf"
    config.write_text(CONFIG.format(folder=folder))
    command = [program, f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"]
    log = (folder / "dbus.log").open("w")
    with log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as daemon:
        try:
            yield daemon.stdout.readline().strip().split(",")[0]  # printed once it listens
        finally:
            daemon.terminate()
