"""How the hub itself is doing, read from a copy of /proc and /sys."""

from datetime import timedelta

import pytest

from drivers.contract import NoValue
from gateway.clock import VirtualClock
from gateway.diagnosis.hub_parts import EVERY, points
from gateway.health import NAMES, Health

SILENT = NoValue("this machine does not tell")


class Machine:
    """A hub's /proc and /sys in a folder, a clock and an uplink."""

    def __init__(self, root):
        self.root = root
        self.clock = VirtualClock()
        self.online = True
        self.write("sys/class/hwmon/hwmon0/name", "cpu_thermal")
        self.write("sys/class/hwmon/hwmon1/name", "rpi_volt")
        self.write("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0")
        self.write("sys/class/net/lo/operstate", "unknown")
        self.write("sys/class/net/eth0/operstate", "up")
        self.write("sys/class/thermal/thermal_zone0/temp", "48312")
        self.write("proc/meminfo", "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     425 kB")

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def health(self):
        return Health(self.clock, self.root, lambda: self.online, self.root)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def read(health):
    batch = health.look()
    return None if batch is None else dict(zip(batch.points, batch.values, strict=True))


def test_everything_is_read_once_a_minute_and_at_once_when_a_flag_changes(machine):
    health = machine.health()
    first = read(health)
    assert first.keys() == set(NAMES) == {point.name for point in points()}
    assert {name: first[name] for name in ("power", "network", "uplink", "clock")} == dict.fromkeys(
        ("power", "network", "uplink", "clock"), True
    )
    assert (first["clock_leap"], first["cpu_temp"], first["memory_free"]) == (0.0, 48.312, 42.5)
    assert 0 <= first["disk_free"] <= 100
    machine.clock.advance(EVERY - 5)
    assert read(health) is None
    machine.write("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1")
    assert read(health)["power"] is False
    machine.clock.advance(EVERY)
    assert read(health)["power"] is False


@pytest.mark.parametrize(("mask", "well"), [("0", True), ("50000", True), ("50005", False), ("1", False)])
def test_an_older_kernel_tells_the_voltage_by_a_mask(tmp_path, mask, well):
    """What was, since the start, is none of it."""
    machine = Machine(tmp_path)
    machine.write("sys/class/hwmon/hwmon1/name", "other")
    machine.write("sys/devices/platform/soc/soc:firmware/get_throttled", mask)
    assert machine.health().power() is well


def test_no_interface_but_the_loop_is_no_network(machine):
    machine.write("sys/class/net/eth0/operstate", "down")
    assert machine.health().network() is False
    machine.write("sys/class/net/wwan0/operstate", "unknown")
    assert machine.health().network() is True


def test_without_an_uplink_there_is_nothing_to_say_of_it(machine):
    machine.online = None
    assert machine.health().uplink() == NoValue("no uplink")


def test_a_clock_that_is_set_has_leapt(machine):
    """By so much, once; a clock that is being steered has not."""
    health = machine.health()
    read(health)
    machine.clock.advance(5)
    machine.clock._start += 0.5
    assert read(health) is None
    machine.clock.advance(5)
    machine.clock._start += timedelta(hours=-3).total_seconds()
    assert read(health)["clock_leap"] == -3 * 3600
    machine.clock.advance(EVERY)
    assert read(health)["clock_leap"] == 0.0


def test_a_clock_that_is_set_right_for_the_first_time_has_not_leapt(machine, monkeypatch):
    """A Pi boots in the past, and that is nothing to be told."""
    synced = False
    monkeypatch.setattr(machine.clock, "synced", lambda: synced)
    health = machine.health()
    assert read(health)["clock"] is False
    machine.clock._start += 1e8
    synced = True
    values = read(health)
    assert (values["clock"], values["clock_leap"]) == (True, 0.0)


def test_a_machine_that_tells_nothing_is_no_fault(tmp_path):
    """A virtual machine has no such files; damaged ones are none either."""
    clock = VirtualClock()
    values = read(Health(clock, tmp_path / "gone", lambda: None, tmp_path))
    assert values["power"] == values["cpu_temp"] == values["memory_free"] == SILENT
    assert values["network"] == NoValue("no network interface")
    assert values["disk_free"] == NoValue("No such file or directory")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_bytes(b"\xff\xfe MemTotal")
    assert read(Health(clock, tmp_path, lambda: None, tmp_path))["memory_free"] == SILENT
