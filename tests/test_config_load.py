"""From hub.toml, the fragments beside it and the profiles that it names to typed values."""

import importlib
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from gateway import diagnosis
from gateway.config import Config, ConfigError, changes, check_file, load
from gateway.diagnosis.contract import Quantity

BUS = """
[hub]
id = "hub-0042"
[bus.plant]
driver = "modbus-tcp"
host = "192.168.1.40"
"""


@pytest.fixture
def site(tmp_path):
    """A function that writes files, the first of them as hub.toml, and reads them as a config."""

    def read(text: str, **files: str) -> Config:
        (tmp_path / "hub.toml").write_text(text)
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_toml", ".toml").replace("hub_d", "hub.d")
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        return load(tmp_path / "hub.toml", profiles=[tmp_path / "profiles"])

    return read


def told(site, text, **files) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        site(text, **files)
    return [problem.text for problem in caught.value.problems]


def test_a_config_becomes_typed_values(site):
    config = site(
        BUS
        + """
        [device.freezer-1]
        bus = "plant"
        unit = 3
        every = "1 min 30 s"
        installed = 2024-05-01
        points.core_temp = { input = 100, type = "int16", scale = 0.1, unit = "°C" }
        [rule.warm]
        kind = "threshold"
        on = "freezer-*/core_temp"
        above = "5 °F"
        lasting = "10m"
        advice = ["Check the door."]
        """
    )
    device = config.devices["freezer-1"]
    assert (device.common.every, device.common.timeout, device.common.installed) == (90.0, 1.0, date(2024, 5, 1))
    assert (device.keys.unit, device.points["core_temp"].scale, device.title) == (3, 0.1, "freezer-1")
    bus = config.buses["plant"]
    assert (bus.spec.keys.host, bus.spec.devices[0].name, bus.spec.devices[0].points) == (
        "192.168.1.40",
        "freezer-1",
        device.points,
    )
    rule = config.rules["warm"]
    assert (rule.on, rule.above, rule.lasting, rule.severity) == (("freezer-*/core_temp",), Quantity(5.0, "°F"), 600.0, "warning")
    assert config.uplink is None


def test_a_hub_may_watch_nothing_yet(site):
    config = site('[hub]\nid = "hub-0042"\n')
    assert (config.devices, config.rules.keys() - config.built_in, config.desk.name, config.hub.time_zone) == ({}, set(), "", "UTC")


def test_fragments_are_read_with_the_config_as_one(site, tmp_path):
    config = site(
        BUS,
        hub_d__20_toml='[device.oven]\nbus = "plant"\nunit = 1\npoints.t = { input = 0 }\n[hub]\nsite = "Ghent"\n',
        hub_d__10_toml='[desk]\nname = "CoolCare"\n',
        hub_d__note="this is no fragment",
        **{f"hub_d__{number}_toml": f"[owner.o{number}]\n" for number in (37, 31, 39, 33, 35)},
    )
    assert (config.hub.site, config.desk.name, list(config.devices)) == ("Ghent", "CoolCare", ["oven"])
    files = [Path(file).relative_to(tmp_path).as_posix() for file in config.files]
    assert files == ["hub.toml", *(f"hub.d/{number}.toml" for number in (10, 20, 31, 33, 35, 37, 39))]


def test_several_files_are_read_as_one_config(tmp_path):
    (tmp_path / "one.toml").write_text(BUS)
    (tmp_path / "two.toml").write_text('[device.oven]\nbus = "plant"\nunit = 1\npoints.t = { input = 0 }\n')
    assert list(load([tmp_path / "one.toml", str(tmp_path / "two.toml")]).devices) == ["oven"]


# ---------------------------------------------------------------- profiles

PROFILE = """
driver = "modbus"
maker = "Acme"
every = "2 s"
word_order = "little"
[points]
power = { input = 0, type = "float32", unit = "W" }
energy = { input = 2, type = "uint32", unit = "kWh" }
"""
DEVICE = '[device.meter]\nbus = "plant"\nunit = 1\nprofile = "acme"\n'


def test_a_device_has_what_its_profile_says_and_its_own_words_win(site):
    text = BUS + DEVICE + 'every = "1 s"\npoints.power.label = "Oven"\npoints.door = { discrete = 1 }\n'
    device = site(text, profiles__acme_toml=PROFILE).devices["meter"]
    assert (device.common.maker, device.common.every, device.keys.word_order) == ("Acme", 1.0, "little")
    assert list(device.points) == ["power", "energy", "door"]
    power = device.points["power"]
    assert (power.label, power.input, power.type, power.unit) == ("Oven", 0, "float32", "W")


def test_devices_of_one_profile_share_its_points_in_memory(site):
    config = site(BUS + DEVICE + DEVICE.replace("meter", "other").replace("unit = 1", "unit = 2"), profiles__acme_toml=PROFILE)
    assert config.devices["meter"].points is config.devices["other"].points


def test_a_folder_that_comes_first_wins(tmp_path):
    for folder, maker in (("site", "Ours"), ("shipped", "Theirs")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "acme.toml").write_text(PROFILE.replace("Acme", maker))
    (tmp_path / "hub.toml").write_text(BUS + DEVICE)
    config = load(tmp_path / "hub.toml", profiles=[tmp_path / "nothing", tmp_path / "site", tmp_path / "shipped"])
    assert config.devices["meter"].common.maker == "Ours"


def test_a_mistake_in_a_profile_is_told_once_and_in_the_profile(site):
    broken = PROFILE.replace("uint32", "uint33").replace('maker = "Acme"', "maker = 5")
    problems = told(site, BUS + DEVICE + DEVICE.replace("meter", "other"), profiles__acme_toml=broken)
    assert [problem.partition(":")[0] for problem in problems] == ["maker", "points.energy.type"]


# ---------------------------------------------------------------- rules and what they watch


def test_every_device_and_bus_has_a_state_that_rules_may_watch(site):
    text = BUS + '[device.oven]\nbus = "plant"\nunit = 1\npoints.t = { input = 0, unit = "°C" }\n[rule.r]\nkind = "silent"\n'
    for glob in ("oven/state", "*/state", "bus.plant/state", "bus.*", "oven/*"):
        assert site(f'{text}on = "{glob}"\n').rules["r"].on == (glob,)


def test_a_rule_without_a_kind_is_told_which_kinds_there_are(site):
    (problem,) = told(site, BUS + '[rule.r]\non = "bus.plant/state"\n')
    kinds = ", ".join(f'"{kind}"' for kind in diagnosis.kinds())
    assert problem == f'rule.r: "kind" is missing, expected one of {kinds}'


def test_a_quantity_must_fit_all_points_that_its_rule_can_watch(site):
    text = (
        BUS
        + """
        [device.oven]
        bus = "plant"
        unit = 1
        points = { temp = { input = 0, unit = "°C" }, flow = { input = 1, unit = "m³/h" }, door = { discrete = 0 } }
        [rule.r]
        kind = "threshold"
        """
    )
    assert site(text + 'on = "oven/temp"\nabove = "400 °F"\n')
    assert site(text + 'on = "oven/flow"\nbelow = "3 l/min"\n')
    assert site(text + 'on = "oven/*"\nabove = 5\n'), "a plain number is in the unit of each point"
    (problem,) = told(site, text + 'on = "oven/*"\nabove = "400 °F"\n')
    assert problem.startswith('rule.r.above: "400 °F" does not fit oven/flow, which is in m³/h')


CREEP = """
from gateway.diagnosis.contract import Rate, RuleKeys

class Keys(RuleKeys, frozen=True, kw_only=True):
    by: Rate

def fits(point):
    return None
"""


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("2 °C/min", ""),
        ("3 K/h", ""),
        ("2 °C", 'does not fit oven/temp, which is in °C, expected a quantity such as "2 °C/min"'),
        ("2 loaves/min", 'does not fit oven/temp, which is in °C; did you mean "2 °C/min"?'),
        ("2", 'has no unit; did you mean "2 °C/min"?'),
    ],
)
def test_a_change_per_time_must_fit_as_such(site, tmp_path, monkeypatch, by, words):
    (tmp_path / "creep.py").write_text(CREEP)
    monkeypatch.setattr(diagnosis._kinds, "__path__", [str(tmp_path)])
    diagnosis.kinds.cache_clear()
    text = BUS + '[device.oven]\nbus = "plant"\nunit = 1\npoints.temp = { input = 0, unit = "°C" }\n'
    text += f'[rule.r]\nkind = "creep"\non = "oven/temp"\nby = "{by}"\n'
    try:
        if words:
            (problem,) = told(site, text)
            assert problem.endswith(words)
        else:
            assert site(text).rules["r"].by.value > 0
    finally:
        diagnosis.kinds.cache_clear()
        sys.modules.pop("gateway.diagnosis.kinds.creep", None)


# ---------------------------------------------------------------- the hub's own tables


@pytest.mark.parametrize(
    "url", ["mqtts://broker.example.com", "mqtts://10.0.0.1:8884", "mqtt://localhost", "mqtt://127.0.0.1:1884", "mqtt://[::1]:1883"]
)
def test_the_broker_is_reached_by_tls_or_is_on_this_machine(site, url):
    assert site(f'{BUS}[uplink]\nurl = "{url}"\n').uplink.url == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mqtt://broker.example.com", 'leaves this machine; did you mean "mqtts://broker.example.com"?'),
        ("mqtt://broker.example.com:1883", 'did you mean "mqtts://broker.example.com"?'),
        ("mqtt://192.168.1.5:1884", 'did you mean "mqtts://192.168.1.5:1884"?'),
        ("broker.example.com", 'did you mean "mqtts://broker.example.com"?'),
        ("https://broker.example.com/mqtt", 'did you mean "mqtts://broker.example.com"?'),
        ("mqtts://broker.example.com/", 'with a path; did you mean "mqtts://broker.example.com"?'),
        ("mqtts://", "expected an address such as"),
        ("mqtts://:8883", "expected an address such as"),
        ("mqtts://broker:0", "a port from 1 to 65535"),
        ("mqtts://broker:", "a port from 1 to 65535"),
        ("mqtts://broker:70000", "a port from 1 to 65535"),
        ("mqtts://broker:mqtt", "a port from 1 to 65535"),
        ("mqtts://[::1", "a port from 1 to 65535"),
        ("mqtts://my broker", "expected an address such as"),
        ("", "expected an address such as"),
    ],
)
def test_an_address_of_a_broker_that_will_not_do_is_told_with_one_that_will(site, url, words):
    (problem,) = told(site, f'{BUS}[uplink]\nurl = "{url}"\n')
    assert problem.startswith("uplink.url: ")
    assert words in problem


def test_what_tls_needs_is_looked_for(site, tmp_path):
    (tmp_path / "hub.key").write_text("KEY")
    (tmp_path / "hub.key").chmod(0o600)
    text = f'{BUS}[uplink]\nurl = "mqtts://broker"\n[uplink.tls]\nca = "{tmp_path}/ca.pem"\nkey = {{ file = "hub.key" }}\n'
    missing_file, missing_key = told(site, text)
    assert missing_file == 'uplink.tls: "certificate" is missing, expected certificate and key together'
    assert missing_key == f"uplink.tls.ca: there is no file {tmp_path}/ca.pem, expected a file in PEM form"


# ---------------------------------------------------------------- reload and check


def test_what_changed_between_two_configs_is_named(site):
    text = BUS + DEVICE + '[bus.attic]\ndriver = "modbus-tcp"\nhost = "h"\n[rule.r]\nkind = "silent"\non = "meter/power"\n'
    old = site(text, profiles__acme_toml=PROFILE)
    assert not changes(old, site(text + "# a comment\n"))
    new = site(
        text.replace("unit = 1", "unit = 2") + 'after = "1 h"\n[owner.us]\nname = "Us"\n[rule.s]\nkind = "silent"\non = "*"\n'
    )
    changed = changes(old, new)
    assert (changed.buses, changed.devices, changed.rules - old.built_in) == ({"plant"}, {"meter"}, {"r", "s"})
    assert (changed.owners, changed.hub, changed.uplink, changed.desk) == ({"us"}, False, False, False)
    assert changes(old, site(BUS)).buses == {"plant", "attic"}


def test_a_look_at_a_file_says_in_one_line_what_it_holds(site, tmp_path):
    site(BUS + DEVICE.replace('profile = "acme"', "points.t = { input = 0 }"))
    assert check_file(tmp_path / "hub.toml") == f"{tmp_path}/hub.toml: 1 bus, 1 device, 1 point and 0 rules"
    (tmp_path / "acme.toml").write_text(PROFILE)
    assert check_file(tmp_path / "acme.toml") == f"{tmp_path}/acme.toml: a profile with 2 points and 0 samples"


# ---------------------------------------------------------------- what is not used is not loaded


@pytest.mark.slow
def test_a_driver_that_no_bus_names_is_not_imported(site, tmp_path):
    site(BUS)
    code = "import sys; from gateway.config import load; load(sys.argv[1]); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "hub.toml"], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "drivers.modbus" in loaded
    assert not {"drivers.ble", "drivers.serial_line", "bleak", "serial", "gateway.config.schema"} & loaded
    assert "importlib.metadata" not in loaded, "nobody else's package was looked through for a driver that is ours"
    assert "difflib" not in loaded, "there was no mistake"


def test_devices_that_are_alike_share_their_points(site):
    """A hundred meters of one make have the points of one in memory."""
    config = site(
        BUS + "".join(f'[device.d{n}]\nbus = "plant"\nunit = {n}\npoints.t = {{ input = {n // 3} }}\n' for n in (1, 2, 3))
    )
    one, alike, other = (device.points for device in config.devices.values())
    assert one is alike
    assert one != other


# ---------------------------------------------------------------- third parties

ACME = """
from typing import Annotated, Literal
from collections.abc import Mapping
from msgspec import Meta
from drivers.contract import Complaint, KeyMistake, Keys, PointKeys, Seconds

class AcmeBus(Keys, frozen=True, kw_only=True):
    gate: Annotated[int, Meta(ge=1, le=9, description="Which gate.")]
    is_: Annotated[bool, Meta(description="Whether it is.")] = False
    pair: tuple[int, str] = (1, "a")
    extra: Mapping[str, float] = {}
    either: int | tuple[Literal["x", "y"], ...] = 0

    def __post_init__(self):
        if self.is_ and self.gate > 5:
            raise KeyMistake("is_", "true behind gate 5", "false")
        if self.pair[0] < 0:
            raise ValueError("pairs are never negative")

class AcmeDevice(Keys, frozen=True, kw_only=True):
    warm_up: Annotated[Seconds, Meta(ge=1)] = 5.0

class AcmePoint(PointKeys, frozen=True, kw_only=True):
    slot: int

class Driver:
    family = "acme"
    bus_keys, device_keys, point_keys, sample_keys = AcmeBus, AcmeDevice, AcmePoint, Keys

    def check(self, bus):
        for device in bus.devices:
            for name, point in device.points.items():
                if point.slot > bus.keys.gate:
                    path = ("device", device.name, "points", name, "slot")
                    yield Complaint(path, f"slot {point.slot}", f"at most {bus.keys.gate}")

ACME = Driver()
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """A third party's package, installed beside ours: a module, and an entry point in its metadata."""
    info = tmp_path / "packages" / "acme_canary-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-canary\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[canary.drivers]\nacme = acme_canary:ACME\nlost = acme_lost:ACME\n")
    (info.parent / "acme_canary.py").write_text(ACME)
    monkeypatch.syspath_prepend(str(info.parent))
    yield
    sys.modules.pop("acme_canary", None)
    importlib.invalidate_caches()


def hub(bus: str, device: str = "", point: str = "slot = 1") -> str:
    return f'[hub]\nid = "h"\n[bus.b]\ndriver = "acme"\n{bus}\n[device.d]\nbus = "b"\n{device}\npoints.p = {{ {point} }}\n'


@pytest.mark.usefixtures("acme")
def test_a_third_partys_keys_are_read_like_ours(site):
    config = site(hub('gate = 5\nis = true\npair = [2, "b"]\nextra = { a = 1 }\neither = ["x", "y"]', 'warm_up = "2 min"'))
    keys = config.buses["b"].spec.keys
    assert (keys.gate, keys.is_, keys.pair, keys.extra, keys.either) == (5, True, (2, "b"), {"a": 1.0}, ("x", "y"))
    assert config.devices["d"].keys.warm_up == 120.0


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (hub("gate = 10"), "bus.b.gate: found the number 10, expected a whole number from 1 to 9"),
        (hub("gate = 6\nis = true"), "bus.b.is: true behind gate 5, expected false"),
        (hub("gate = 6\nis_ = true"), 'bus.b.is_: unknown key "is_"; did you mean "is"?'),
        (hub('gate = 6\npair = [-1, ""]'), "bus.b: pairs are never negative"),
        (hub("gate = 6\npair = [1]"), "bus.b.pair: found a list of 1, expected a list of 2: a whole number such as 5, text"),
        (hub("gate = 6\npair = [1, 2]"), 'bus.b.pair[1]: found the number 2, expected text; did you mean "2"?'),
        (hub('gate = 6\nextra = { a = "x" }'), 'bus.b.extra.a: found text "x", expected a number such as 5'),
        (hub('gate = 6\neither = ["z"]'), 'bus.b.either[0]: found text "z", expected one of "x", "y"'),
        (hub("gate = 6", 'warm_up = "1 ms"'), 'device.d.warm_up: found "1 ms", expected a time of at least 1 s'),
        (hub("gate = 6", point="slot = 7"), "device.d.points.p.slot: slot 7, expected at most 6"),
        (hub("gate = 6").replace('"acme"', '"lost"'), 'bus.b.driver: the driver "lost" cannot be loaded (No module'),
    ],
)  # fmt: skip
def test_a_mistake_in_a_third_partys_keys_is_told_like_ours(site, text, problem):
    (found,) = told(site, text)
    assert found.startswith(problem)
