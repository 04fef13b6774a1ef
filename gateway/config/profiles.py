"""Profiles: what is true of every device of a model, in one file, with samples that prove it.

A profile has exactly the keys that a device has inline, plus `[[samples]]`: recorded exchanges and the readings that they must
give. A reading that must be "no value" is written as `{ no_value = "why" }`.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

import drivers
from drivers.contract import DeviceFault, DeviceSpec, Driver, Keys, NoValue, Outcome
from gateway.config.document import Document
from gateway.config.findings import Findings
from gateway.config.model import Device
from gateway.config.points import read_points
from gateway.config.problems import Path, Problem, Unfit, described, nearest, one_of, quoted
from gateway.config.secrets import Secrets
from gateway.config.tables import table
from gateway.config.values import Report

SEARCH_PATH = (FilePath("/etc/canary/profiles"), FilePath(drivers.__file__).parent / "profiles")
"""Where profiles are looked for: the site's own before the shipped ones."""


class Profile(msgspec.Struct, frozen=True):
    """A profile by itself, ready to be tried on its samples with `driver.decode(device, sample)`.

    `device` has the name of the profile. Keys that only a site can know, such as an address, hold some value of their kind.
    """

    driver: Driver
    device: DeviceSpec
    samples: tuple[tuple[Any, Mapping[str, Outcome]], ...]  # each of the driver's `sample_keys`, and the readings it must give


def read_profile(path: str | os.PathLike[str]) -> Profile:
    """The profile in a file. Raises ConfigError."""
    findings, profile = _inspect(path)
    findings.close()
    assert profile is not None, "a profile without problems can be read"
    return profile


def check_profile(path: str | os.PathLike[str]) -> tuple[Problem, ...]:
    """Every mistake in a profile."""
    return _inspect(path)[0].problems()


def _inspect(path: str | os.PathLike[str]) -> tuple[Findings, Profile | None]:
    document = Document.read(path)
    findings = Findings([document], Secrets({}, None, resolve=False))
    written = Written(document)
    report = findings.about(document)
    if not document.whole and not document.data:
        return findings, None
    for key in ("bus", "profile"):
        if key in written.keys:
            report.add((key,), f"a profile cannot have {quoted(key)}", "it in the device that follows this profile", key=True)
    driver = _driver(written.keys.get("driver"), report)
    if driver is None:
        return findings, None
    common, keys = table(Device, driver.device_keys, also=frozenset({"points", "samples"})).read_all(
        document.data, (), report, partial=True
    )
    points = written.read_points(driver, findings)
    samples = list(_samples(document.data.get("samples", []), driver, points, report))
    if common is None or keys is None or None in points.values():
        return findings, None
    device = DeviceSpec(name=FilePath(path).stem, keys=keys, points=points, timeout=common.timeout)
    if report.whole and not findings.problems():
        _prove(driver, device, samples, report)
    return findings, Profile(driver, device, tuple(samples))


def _driver(family: Any, report: Report) -> Driver | None:
    """A driver of the family that a profile is for."""
    if not isinstance(family, str):
        found = f"found {described(family)}" if family is not None else '"driver" is missing'
        report.add(("driver",), found, 'the bus family that it is for, such as "modbus"', key=True)
        return None
    families = set()
    for name in sorted(drivers.available(), key=lambda name: not name.startswith(family)):
        try:
            driver = drivers.load(name)
        except (ImportError, AttributeError):
            continue
        if driver.family == family:
            return driver
        families.add(driver.family)
    near = nearest(family, families)
    report.add(
        ("driver",), f"no driver is of the family {quoted(family)}", "" if near else one_of(sorted(families)), near and quoted(near)
    )
    return None


def _samples(written: Any, driver: Driver, points: Mapping[str, Any], report: Report) -> Iterator[tuple[Any, dict[str, Outcome]]]:
    if not isinstance(written, list):
        report.add(("samples",), f"found {described(written)}", "[[samples]]", key=True)
        return
    keys = table(driver.sample_keys, also=frozenset({"readings"}))
    for number, raw in enumerate(written):
        at: Path = ("samples", number)
        if not isinstance(raw, dict):
            report.add(at, f"found {described(raw)}", "[[samples]]")
            continue
        (sample,) = keys.read_all(raw, at, report)
        expected = _readings(raw.get("readings"), points, at, report)
        if sample is not None:
            yield sample, expected


def _readings(written: Any, points: Mapping[str, Any], at: Path, report: Report) -> dict[str, Outcome]:
    if not isinstance(written, dict) or not written:
        found = '"readings" is missing' if written is None else "found no readings"
        report.add(at, found, "[samples.readings] with what the sample must give", key=True)
        return {}
    readings: dict[str, Outcome] = {}
    for name, value in written.items():
        here = (*at, "readings", name)
        if name not in points:
            near = nearest(name, points)
            report.add(
                here, f"no point is called {quoted(name)}", "" if near else one_of(list(points)), near and quoted(near), key=True
            )
        elif isinstance(value, dict) and list(value) == ["no_value"] and isinstance(value["no_value"], str):
            readings[name] = NoValue(value["no_value"])
        elif isinstance(value, str | int | float):
            readings[name] = value
        else:
            report.add(here, f"found {described(value)}", 'a number, a text, true, false, or { no_value = "why" }')
    return readings


def _prove(driver: Driver, device: DeviceSpec, samples: Iterable[tuple[Any, Mapping[str, Outcome]]], report: Report) -> None:
    """Tell where a sample gives other readings than those beside it, by the very code that decodes live answers."""
    for number, (sample, expected) in enumerate(samples):
        try:
            given = driver.decode(device, sample)
        except DeviceFault as fault:
            report.add(("samples", number), f"it cannot be decoded: {fault.what}", "an exchange as it was recorded")
            continue
        for name, value in expected.items():
            if not _same(given.get(name), value):
                found = _shown(given[name]) if name in given else "nothing"
                report.add(("samples", number, "readings", name), f"the sample gives {found}", _shown(value))


def _same(given: Outcome | None, expected: Outcome) -> bool:
    if isinstance(given, bool) or isinstance(expected, bool) or not isinstance(given, int | float):
        return type(given) is type(expected) and given == expected
    return isinstance(expected, int | float) and math.isclose(given, expected, rel_tol=1e-6)


def _shown(value: Outcome) -> str:
    if isinstance(value, NoValue):
        return f"no value ({value.reason})"
    return f"{value:.7g}" if isinstance(value, float) else quoted(value)


# ---------------------------------------------------------------- beneath a device


class Written:
    """A profile as it is written, to lie beneath a device."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.keys = {key: value for key, value in document.data.items() if key not in ("points", "samples")}
        points = document.data.get("points", {})
        self.points: dict[str, Any] = points if isinstance(points, dict) else {}
        self._read: dict[type[Keys], dict[str, Any]] = {}

    def read_points(self, driver: Driver, findings: Findings) -> dict[str, Any]:
        """Its points, None for each that has a mistake. Devices of one profile share them: they are read once."""
        if driver.point_keys not in self._read:
            report = findings.about(self.document)
            if not self.points and report.whole:
                points = self.document.data.get("points")
                found = "it has no points" if points in (None, {}) else f"found {described(points)}"
                report.add(("points",), found, "a table [points], with a point a line", key=True)
            self._read[driver.point_keys] = read_points(self.points, ("points",), driver, report)
        return self._read[driver.point_keys]


class Shelf:
    """The folders in which profiles are looked for, the first first; each file is read once."""

    def __init__(self, folders: Iterable[str | os.PathLike[str]]) -> None:
        self._folders = [FilePath(folder) for folder in folders]
        self._profiles: dict[str, Written] = {}

    def profile(self, name: str) -> Written:
        """The profile of this name. Raises Unfit when there is none."""
        if name not in self._profiles:
            self._profiles[name] = Written(Document.read(self._file("profile", name, ".toml")))
        return self._profiles[name]

    def model(self, name: str) -> str:
        """The text of the life model of this name, which lies among the profiles. Raises Unfit when there is none."""
        path = self._file("model", name, ".json")
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise Unfit(f"{path} cannot be read", "a file that `canary learn` wrote") from None

    def _file(self, what: str, name: str, suffix: str) -> FilePath:
        folder = next((folder for folder in self._folders if name in _stems(folder, suffix)), None)
        if folder is None:
            known = sorted({stem for folder in self._folders for stem in _stems(folder, suffix)})
            near = nearest(name.removesuffix(suffix), known)
            expected = "" if near else "a file of this name in " + " or ".join(str(folder) for folder in self._folders)
            raise Unfit(f"no {what} is called {quoted(name)}", expected, near and quoted(near))
        return folder / f"{name}{suffix}"


def _stems(folder: FilePath, suffix: str) -> set[str]:
    try:
        return {path.stem for path in folder.iterdir() if path.suffix == suffix}
    except OSError:
        return set()
