"""The service on a real systemd: a small Debian in a container, on which canary is installed by the very commands of README.md."""

import json
import re
from pathlib import Path

import pytest

from peers.systemd_container import Container, Unavailable

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[1]
INSTALL = re.findall(r"^    (.+)", (PROJECT / "README.md").read_text().split("## Install")[1].split("##")[0], re.MULTILINE)
SOURCE = "pyproject.toml README.md LICENSE requirements.lock config systemd gateway drivers"

# Offline is a state, and so is a device that is not there: nobody listens on either port.
CONFIG = """
[hub]
id = "hub-1"
[uplink]
url = "mqtt://127.0.0.1:1"
[bus.line]
driver = "modbus-tcp"
host = "127.0.0.1"
port = 2
[device.freezer]
bus = "line"
unit = 1
every = "1 s"
points.temp = { input = 0, type = "int16", scale = 0.1, unit = "°C" }
"""


@pytest.fixture(scope="module")
def machine():
    """A machine on which the commands of the README were typed, all but the last: `systemctl enable --now canary`."""
    try:
        container = Container({"/mnt/project": PROJECT}, PROJECT / "requirements.lock").__enter__()
    except Unavailable as reason:
        pytest.skip(str(reason))
    try:
        container.run(f"mkdir /usr/src/canary; cd /mnt/project; cp -r {SOURCE} /usr/src/canary")
        assert "enable --now" in INSTALL[-1]
        offline = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/mnt/wheels; cd /usr/src/canary"
        container.run("\n".join([offline, *INSTALL[:-1]]), seconds=180)
        container.write("/etc/canary/hub.toml", CONFIG)
        container.run("mkdir -p /run/systemd/system/canary.service.d")
        yield container
    finally:
        container.__exit__(None, None, None)


class Service:
    """The service, for one test: not started yet, with nothing in its journal."""

    def __init__(self, machine):
        self.machine = machine
        self.besides = []
        now = machine.run("journalctl --sync; journalctl -n 0 --show-cursor --quiet").removeprefix("-- cursor: ")
        self._journalctl = f"journalctl --output=cat --after-cursor='{now}'"

    def start(self, command="systemctl start canary"):
        started = self.machine.attempt(f"systemctl daemon-reload; {command}")
        assert started.returncode == 0, self.journal()

    def show(self, *properties):
        """Properties of the unit, in the order asked for."""
        names = ",".join(properties)
        told = self.machine.run(f"systemctl show canary --property={names}")
        found = dict(line.split("=", 1) for line in told.splitlines())
        return found[properties[0]] if len(properties) == 1 else tuple(found[name] for name in properties)

    def journal(self, *options):
        return self.machine.run(f"journalctl --sync; {self._journalctl} -u canary {' '.join(options)}")

    def says(self, text, unit="canary"):
        """Wait until the journal has it."""
        said = f"{self._journalctl} -u {unit}"
        self.machine.until(f"journalctl --sync; {said} | grep -qF -- '{text}' || {{ {self._journalctl}; false; }}")

    def beside(self, name, program):
        """Start a program of Python that goes on beside the hub, with the tests' peers at hand."""
        self.machine.write(f"/run/{name}.py", program)
        as_service = "systemd-run --quiet --collect --setenv=PYTHONPATH=/mnt/project/tests --setenv=PYTHONDONTWRITEBYTECODE=1"
        self.machine.run(f"{as_service} --unit={name} /opt/canary/bin/python /run/{name}.py")
        self.besides.append(name)
        self.says("ready", unit=name)

    def is_back(self, restarts):
        """Wait until systemd has started it again."""
        shown = "systemctl show canary -P NRestarts -P SubState"
        self.machine.until(f'[ "$({shown} | tr "\\n" " ")" = "{restarts} running " ]')


@pytest.fixture
def service(machine):
    machine.write("/etc/canary/hub.toml", CONFIG)
    service = Service(machine)
    yield service
    # What was run beside it may have ended by itself, and a transient unit is forgotten then.
    beside = "".join(f"systemctl stop {name} || true; " for name in service.besides)
    machine.run(f"systemctl stop canary; {beside}systemctl reset-failed")
    machine.run("rm -f /run/systemd/system/canary.service.d/*; systemctl daemon-reload")


def drop_in(machine, lines):
    machine.write("/run/systemd/system/canary.service.d/test.conf", f"[Service]\n{lines}\n")


def test_the_commands_of_the_readme_start_it_and_return_when_it_is_at_work(service, machine):
    service.start(INSTALL[-1])
    assert service.show("ActiveState", "SubState", "NRestarts") == ("active", "running", "0")
    assert service.show("StatusText").startswith("devices: 1, rules: ")
    assert service.show("WatchdogUSec") == "1min"
    service.says("hub: at work")
    assert machine.run("systemctl is-enabled canary") == "enabled"


def test_offline_and_without_its_device_it_is_at_work_all_the_same(service):
    service.start()
    service.says("polling: bus is down")
    service.says("uplink: offline")
    assert service.show("SubState", "NRestarts") == ("running", "0")


def test_its_state_is_its_own(service, machine):
    service.start()
    assert machine.run("stat -c '%U %a' /var/lib/canary /var/lib/canary/canary.db").splitlines() == ["canary 700", "canary 600"]
    assert machine.run("ps -o user= -p $(systemctl show canary -P MainPID)") == "canary"


def test_a_hub_that_hangs_is_restarted_and_the_journal_says_where_it_hung(service, machine):
    drop_in(machine, "WatchdogSec=5")
    service.start()
    machine.run("systemctl kill --signal=STOP canary")
    service.is_back(restarts=1)
    service.says("Watchdog timeout")
    service.says("gateway/cli/run.py")


def test_a_hub_that_was_killed_is_restarted(service, machine):
    service.start()
    machine.run("systemctl kill --signal=KILL canary")
    service.is_back(restarts=1)


def test_a_mistake_in_the_config_ends_it_with_78_and_it_is_not_started_again(service, machine):
    machine.write("/etc/canary/hub.toml", CONFIG.replace('bus = "line"', 'bus = "lien"'))
    started = machine.attempt("systemctl start canary")
    assert started.returncode != 0
    # "failed" is where the unit stays; one that will be started again is "activating".
    assert service.show("ActiveState", "ExecMainStatus", "NRestarts") == ("failed", "78", "0")
    assert 'did you mean "line"?' in service.journal("--priority=err")
    assert "Traceback" not in service.journal()


def test_a_reload_with_a_mistake_fails_where_it_is_typed_and_the_old_config_stays(service, machine):
    service.start()
    before = service.show("MainPID")
    machine.write("/etc/canary/hub.toml", CONFIG.replace("every =", "evry ="))
    assert machine.attempt("systemctl reload canary").returncode != 0
    assert 'did you mean "every"?' in service.journal()
    assert service.show("SubState", "MainPID", "NRestarts") == ("running", before, "0")
    assert "config reloaded" not in service.journal()


def test_a_mistake_that_the_hub_is_told_of_by_signal_is_in_the_journal_too(service, machine):
    service.start()
    before = service.show("MainPID")
    machine.write("/etc/canary/hub.toml", CONFIG.replace("every =", "evry ="))
    machine.run("systemctl kill --signal=HUP canary")
    service.says("config not reloaded, the old one stays in force")
    assert 'did you mean "every"?' in service.journal()
    machine.until("systemctl is-active canary")
    assert service.show("MainPID") == before


def test_a_good_config_is_reloaded_without_a_restart(service, machine):
    service.start()
    before = service.show("MainPID")
    second = CONFIG.split("[device.freezer]")[1]
    machine.write("/etc/canary/hub.toml", f"{CONFIG}[device.cold-room]{second.replace('unit = 1', 'unit = 2')}")
    machine.run("systemctl reload canary")
    service.says("config reloaded")
    machine.until("systemctl show canary -P StatusText | grep -q '^devices: 2,'")
    assert service.show("ActiveState", "MainPID", "NRestarts") == ("active", before, "0")


BROKER = """
import socket
listener = socket.create_server(("127.0.0.1", 1883))
print("ready", flush=True)
link, _ = listener.accept()
print(link.recv(4096), flush=True)
link.recv(4096)
"""


def test_a_password_comes_from_a_credential_and_goes_to_the_broker_only(service, machine):
    login = 'username = "hub-1"\npassword = { credential = "mqtt-password" }'
    machine.write("/etc/canary/hub.toml", CONFIG.replace('"mqtt://127.0.0.1:1"', f'"mqtt://127.0.0.1"\n{login}'))
    machine.run("printf 'sesame-4711\\n' | install -m 600 /dev/stdin /etc/canary/secrets/mqtt-password")
    drop_in(machine, "LoadCredential=mqtt-password:/etc/canary/secrets/mqtt-password")
    service.beside("broker", BROKER)
    service.start()
    service.says("sesame-4711", unit="broker")
    assert "sesame-4711" not in service.journal()


def test_it_stops_within_five_seconds_in_good_order(service, machine):
    service.start()
    service.says("uplink: offline")
    machine.run("timeout 5 systemctl stop canary")
    assert service.show("Result", "ExecMainStatus", "ActiveState") == ("success", "0", "inactive")
    assert "hub: ended" in service.journal()


def test_systemd_finds_no_fault_with_the_unit_and_finds_it_well_shut(machine):
    verify = machine.attempt("systemd-analyze verify /etc/systemd/system/canary.service")
    assert (verify.returncode, verify.stdout, verify.stderr) == (0, "", "")
    machine.run("systemd-analyze security --no-pager --threshold=17 canary.service")  # 1.7 of 10


# What a hub does, and what nobody may make it do, under the sandbox of the unit.
PROBE = """
import asyncio, ctypes, json, mmap, os, socket, sys, threading
from pathlib import Path
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from gateway.clock import _adjtimex

libc = ctypes.CDLL(None, use_errno=True)

def attempt(what):
    try:
        return repr(what())
    except Exception as error:
        return type(error).__name__

def thread():
    done = []
    started = threading.Thread(target=done.append, args=[1])
    started.start()
    started.join()
    return done

async def bus():
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus
    connected = await MessageBus(bus_type=BusType.SYSTEM).connect()
    name = connected.unique_name
    connected.disconnect()
    return name[:1]

async def child():
    process = await asyncio.create_subprocess_exec("bluetoothctl", "--version", stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said[:12]

print(json.dumps({
    "a C library that calls back": attempt(lambda: ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)()),
    "the kernel's word on the clock": attempt(_adjtimex),
    "to decrypt": attempt(lambda: len(AESCCM(bytes(16), tag_length=4).encrypt(bytes(13), b"12", None))),
    "names of hosts": attempt(lambda: socket.getaddrinfo("broker.example", 1)[0][4][0]),
    "its own figures": attempt(lambda: "Pss:" in Path("/proc/self/smaps_rollup").read_text()),
    "threads": attempt(thread),
    "the system D-Bus": attempt(lambda: asyncio.run(bus())),
    "bluetoothctl": attempt(lambda: asyncio.run(child())),
    "time zones": attempt(lambda: bool(__import__("zoneinfo").ZoneInfo("Europe/Brussels"))),
    "other people's processes": attempt(lambda: Path("/proc/1/cmdline").read_text()),
    "a folder that is open to all": attempt(lambda: Path("/srv/open/x").open("w")),
    "homes": attempt(lambda: os.listdir("/root")),
    "the clock": libc.settimeofday(ctypes.create_string_buffer(16), None),
    "raw packets": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "memory to write code into": attempt(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)),
    "priority": attempt(lambda: os.nice(-1)),
}))
"""


def test_the_sandbox_lets_it_do_its_work_and_nothing_else(service, machine):
    machine.write("/opt/canary/probe.py", PROBE)
    machine.write("/etc/hosts", "192.0.2.1 broker.example\n")
    machine.run("mkdir --mode=1777 /srv/open")
    drop_in(machine, "Type=oneshot\nRestart=no\nWatchdogSec=0\nExecStart=\nExecStart=/opt/canary/bin/python /opt/canary/probe.py")
    asked_outside = machine.run("/opt/canary/bin/python -c 'from gateway.clock import _adjtimex; print(_adjtimex())'")
    service.start()
    told = json.loads(next(line for line in service.journal().splitlines() if line.startswith("{")))
    assert told == {
        "a C library that calls back": "7",
        "the kernel's word on the clock": asked_outside,
        "to decrypt": "6",
        "names of hosts": "'192.0.2.1'",
        "its own figures": "True",
        "threads": "[1]",
        "the system D-Bus": "':'",
        "bluetoothctl": "b'bluetoothctl'",
        "time zones": "True",
        "other people's processes": "FileNotFoundError",
        "a folder that is open to all": "OSError",
        "homes": "PermissionError",
        "the clock": -1,
        "raw packets": "OSError",
        "memory to write code into": "PermissionError",
        "priority": "PermissionError",
    }


# A scale that talks on a serial port of the group dialout, and a thermometer that advertises by BTHome on BlueZ's own D-Bus policy.
DEVICES = """
import asyncio, os, shutil, tty
from peers.bluez import BlueZ

async def main():
    master, slave = os.openpty()
    tty.setraw(slave)
    port = os.ttyname(slave)
    shutil.chown(port, "root", "dialout")
    os.chmod(port, 0o660)
    os.symlink(port, "/dev/serial-scale")
    async with BlueZ() as bluez:
        thermometer = bluez.device("F0:F1:F2:F3:F4:F5", name="Thermometer")
        print("ready", flush=True)
        await bluez.scanning.wait()
        packet = 0
        while True:
            packet = (packet + 1) % 256
            os.write(master, b"12.5 kg\\n")
            await thermometer.advertise(service_data={"fcd2": bytes([0x40, 0x00, packet, 0x02, 0xCA, 0x09])})
            await asyncio.sleep(0.1)

asyncio.run(main())
"""
AIR_AND_LINE = """
[hub]
id = "hub-1"
[bus.line]
driver = "serial"
port = "/dev/serial-scale"
[device.scale]
bus = "line"
frame = { end = "\\n" }
pattern = '(?P<weight>[0-9.]+) kg'
points.weight = { unit = "kg" }
[bus.air]
driver = "ble"
[device.room]
bus = "air"
address = "F0:F1:F2:F3:F4:F5"
format = "bthome"
points.temperature = { object = "temperature" }
[rule.heavy]
kind = "threshold"
on = ["scale/weight"]
above = "10 kg"
[rule.warm]
kind = "threshold"
on = ["room/temperature"]
above = "20 °C"
"""


def test_serial_ports_and_bluetooth_work_from_within_the_sandbox(service, machine):
    service.beside("devices", DEVICES)
    machine.write("/etc/canary/hub.toml", AIR_AND_LINE)
    service.start()
    service.says("12.5")
    service.says("25.06")
