"""A profile by itself: read for its samples, or every mistake in it."""

import pytest

from drivers.contract import NoValue
from gateway.config import ConfigError, check_file
from gateway.config.profiles import check_profile, read_profile

GOOD = """
driver = "modbus"
maker = "Acme"
timeout = "2 s"
[points]
power = { input = 0, type = "float32", unit = "W" }
level = { input = 4, void = 0xFFFF }
[[samples]]
input = { 0 = "4366 3333", 4 = "FFFF" }
[samples.readings]
power = 230.2
level = { no_value = "void" }
"""


@pytest.fixture
def profile(tmp_path):
    """A function that writes a profile and gives its path."""

    def write(text):
        path = tmp_path / "acme-m3.toml"
        path.write_text(text)
        return path

    return write


def test_a_profile_is_read_with_its_samples_and_what_they_must_give(profile):
    read = read_profile(profile(GOOD))
    assert (read.driver.family, read.device.name, read.device.timeout) == ("modbus", "acme-m3", 2.0)
    ((sample, expected),) = read.samples
    assert sample.input == {"0": "4366 3333", "4": "FFFF"}
    assert expected == {"power": 230.2, "level": NoValue("void")}
    assert read.device.keys.unit >= 1, "an address that only a site can know is some address"
    assert read.driver.decode(read.device, sample)["level"] == NoValue("void")


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ('driver = "modbus"\n', "", 'driver: "driver" is missing, expected the bus family that it is for, such as "modbus"'),
        ('"modbus"', '"modbuss"', 'driver: no driver is of the family "modbuss"; did you mean "modbus"?'),
        ('"modbus"', "5", "driver: found the number 5, expected the bus family that it is for"),
        ("maker", "makr", 'makr: unknown key "makr"; did you mean "maker"?'),
        ('maker = "Acme"', 'bus = "plant"', 'bus: a profile cannot have "bus"'),
        ('maker = "Acme"', 'profile = "other"', 'profile: a profile cannot have "profile"'),
        ('"2 s"', "2", 'timeout: 2 has no unit; did you mean "2 s"?'),
        ("input = 4,", "inptu = 4,", 'points.level.inptu: unknown key "inptu"; did you mean "input"?'),
        ("[points]", "[points]\nstate = { input = 9 }", 'points.state: every device has a point "state"'),
        ('input = { 0 = "4366 3333", 4 = "FFFF" }', "input = 5", "samples[0].input: found the number 5, expected a table"),
        ("input = { 0", "inputs = { 0", 'samples[0].inputs: unknown key "inputs"; did you mean "input"?'),
        ("power = 230.2", "powr = 230.2", 'samples[0].readings.powr: no point is called "powr"; did you mean "power"?'),
        ("power = 230.2", "power = [230.2]", "samples[0].readings.power: found a list, expected a number, a text, true, false"),
        ('[samples.readings]\npower = 230.2\nlevel = { no_value = "void" }', "", 'samples[0]: "readings" is missing'),
        ("[[samples]]", "[samples]", "samples: found a table, expected [[samples]]"),
        ("power = 230.2", "power = 230.4", "samples[0].readings.power: the sample gives 230.2, expected 230.4"),
        ('{ no_value = "void" }', "65535", "samples[0].readings.level: the sample gives no value (void), expected 65535"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_profile_is_told_with_its_place(profile, good, bad, problem):
    assert good in GOOD
    (found,) = check_profile(profile(GOOD.replace(good, bad)))
    assert found.text.startswith(problem)
    assert found.line
    with pytest.raises(ConfigError):
        check_file(profile(GOOD.replace(good, bad)))


def test_a_profile_needs_points(profile):
    (found,) = check_profile(profile('driver = "modbus"\nmaker = "Acme"\n'))
    assert found.text.startswith("points: it has no points, expected a table [points]")


def test_all_mistakes_of_a_profile_are_told_at_once(profile):
    text = GOOD.replace("maker", "makr").replace("float32", "float33").replace("230.2", "{}").replace('"2 s"', "2 s")
    assert [problem.line for problem in check_profile(profile(text))] == [3, 4, 6, 11]


def test_a_profile_that_is_not_there_is_told(tmp_path):
    (found,) = check_profile(tmp_path / "acme.toml")
    assert found.found == "there is no such file"
