"""Every shipped profile is free of mistakes, and each of its samples gives the readings that stand beside it."""

import re
from pathlib import Path

import msgspec
import pytest
import tomli

import drivers
from drivers.contract import BusSpec, DeviceFault, DeviceSpec, Driver, NoValue
from drivers.modbus.keys import ModbusRtu
from gateway.config.profiles import check_profile, read_profile

PROFILES = sorted((Path(drivers.__file__).parent / "profiles").glob("*.toml"))


@pytest.fixture(params=PROFILES, ids=lambda path: path.stem)
def profile(request):
    """Each shipped profile."""
    assert not [str(problem) for problem in check_profile(request.param)]
    return read_profile(request.param)


def test_what_its_samples_say_is_what_stands_beside_them(profile):
    assert profile.samples, "a profile proves itself by at least one sample"
    for sample, expected in profile.samples:
        readings = profile.driver.decode(profile.device, sample)
        assert {name: readings.get(name) for name in expected} == {
            name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value for name, value in expected.items()
        }
        assert [type(readings[name]) for name in expected if not isinstance(expected[name], float | int)] == [
            type(value) for value in expected.values() if not isinstance(value, float | int)
        ]


def test_what_a_point_is_said_to_hold_is_what_its_samples_give(profile):
    sorts = {bool: "flag", str: "text", int: "number", float: "number"}
    given = {
        (name, sorts[type(value)])
        for sample, _ in profile.samples
        for name, value in profile.driver.decode(profile.device, sample).items()
        if not isinstance(value, NoValue)
    }
    assert given == {(name, profile.device.points[name].holds) for name, _ in given}


def test_it_names_where_its_points_are_from(profile):
    path = next(path for path in PROFILES if path.stem == profile.device.name)
    assert tomli.loads(path.read_text(encoding="utf-8"))["manual"]


MODBUS = [path for path in PROFILES if 'driver = "modbus"' in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", MODBUS, ids=lambda path: path.stem)
def test_a_modbus_profile_shows_every_point_and_can_be_read_in_time(path):
    """Each point has a sample with a value; at 9600 baud the wire leaves the device time to think within its timeout."""
    profile = read_profile(path)
    shown = {name for _, expected in profile.samples for name, value in expected.items() if not isinstance(value, NoValue)}
    assert shown == set(profile.device.points)
    line = ModbusRtu(port="any", baud=9600, parity="none")
    half = msgspec.structs.replace(profile.device, timeout=profile.device.timeout / 2)
    assert not drivers.load("modbus-rtu").check(BusSpec(name="line", keys=line, devices=(half,)))


# ---------------------------------------------------------------- the README's own examples


def example(first_line):
    """The block of drivers/README.md that begins with this line."""
    text = (Path(drivers.__file__).parent / "README.md").read_text(encoding="utf-8")
    return next(
        block for block in re.findall(r"^```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if block.startswith(first_line)
    )


def test_the_profile_that_the_readme_writes_is_free_of_mistakes_and_proves_itself(tmp_path):
    path = tmp_path / "acme-m3.toml"
    path.write_text(example("# drivers/profiles/acme-m3.toml"), encoding="utf-8")
    profile = read_profile(path)
    assert len(profile.samples) == 2
    for sample, expected in profile.samples:
        readings = profile.driver.decode(profile.device, sample)
        assert {name: readings[name] for name in expected} == expected


async def test_the_driver_that_the_readme_writes_reads(tmp_path):
    code = {"__name__": "canary_sysfs"}
    exec(compile(example("# canary_sysfs.py"), "canary_sysfs.py", "exec"), code)
    driver: Driver = code["SYSFS"]
    (tmp_path / "temp").write_text("48312\n")
    zone = DeviceSpec(
        name="cpu", keys=driver.device_keys(), points={"temperature": driver.point_keys(path="temp", scale=0.001)}, timeout=1.0
    )
    spec = BusSpec(name="here", keys=driver.bus_keys(root=str(tmp_path)), devices=(zone,))
    assert not driver.check(spec)
    bus = driver.open(spec, lambda who, text: None)
    await bus.connect()
    assert dict(zip(bus.polled["cpu"], await bus.read("cpu"), strict=True)) == {"temperature": pytest.approx(48.312)}
    assert driver.decode(zone, driver.sample_keys(files={"temp": "-5000"})) == {"temperature": -5.0}
    (tmp_path / "temp").unlink()
    with pytest.raises(DeviceFault, match="is its kernel module loaded"):
        await bus.read("cpu")
    await bus.close()
