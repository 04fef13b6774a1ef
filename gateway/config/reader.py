"""From files to a `Config`, or to every mistake in them.

    documents (TOML, with the slips of the pen mended)         document.py, syntax.py, positions.py
    one set of sections                                         fragments.py
    typed values, by the types of the classes in model.py,
    of the drivers and of the rule kinds                        tables.py, values.py, units.py
    buses, devices and their profiles; rules and owners         devices.py, profiles.py, points.py; rules.py

Only the drivers that the config names are imported. Where things stand in a file is looked up only when there is a mistake to tell.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from drivers.contract import Keys
from gateway.config.devices import Devices, read_buses
from gateway.config.digest import Digest
from gateway.config.document import Document
from gateway.config.downlink import Downlink
from gateway.config.findings import Findings
from gateway.config.fragments import Sections, documents, merge
from gateway.config.insights import read_insights
from gateway.config.model import Config, Desk, Hub, Limits, Outbox, Uplink
from gateway.config.privacy import Privacy
from gateway.config.problems import Path, Told
from gateway.config.profiles import SEARCH_PATH, Shelf
from gateway.config.remedy_checks import read_remedies
from gateway.config.rules import Rules, check_needs, read_maintenance, read_owners
from gateway.config.secrets import Secrets
from gateway.config.tables import table
from gateway.config.watched import Points

FilePaths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def load(
    paths: FilePaths,
    *,
    profiles: Iterable[str | os.PathLike[str]] = SEARCH_PATH,
    environ: Mapping[str, str] = os.environ,
    credentials_dir: str | os.PathLike[str] | None = None,
    resolve_secrets: bool = True,
) -> Config:
    """Read a config: one file or several, each with the fragments in the folder of its name (hub.toml: hub.d/*.toml).

    profiles:        folders in which profiles are looked for, the first first.
    environ:         where `{ env = ... }` is looked up.
    credentials_dir: where `{ credential = ... }` is looked up; $CREDENTIALS_DIRECTORY of `environ` where it is None.
    resolve_secrets: False leaves every secret empty, so that a config can be checked where its secrets are not.

    Raises ConfigError with every mistake there is, and nothing else whatever the files hold.
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    secrets = Secrets(environ, credentials_dir or environ.get("CREDENTIALS_DIRECTORY"), resolve=resolve_secrets)
    return _read(documents(several), profiles, secrets, resolve_secrets=resolve_secrets)


def load_one(document: Document) -> Config:
    """Read a config that is one document, as `load` would on this machine. Raises ConfigError."""
    secrets = Secrets(os.environ, os.environ.get("CREDENTIALS_DIRECTORY"), resolve=True)
    return _read([document], SEARCH_PATH, secrets, resolve_secrets=True)


def _read(
    found: Iterable[Document], profiles: Iterable[str | os.PathLike[str]], secrets: Secrets, *, resolve_secrets: bool
) -> Config:
    findings = Findings(found, secrets)
    sections = merge(findings)
    config = _build(sections, findings, Shelf(profiles))
    if resolve_secrets and config and config.uplink:
        _check_tls_files(config.uplink, findings)
    findings.close()
    assert config is not None, "a config without problems is whole"
    return config


def _build(sections: Sections, findings: Findings, shelf: Shelf) -> Config | None:
    """The config as far as it can be made out; None where that is not far."""
    hub = _single(Hub, "hub", sections, findings)
    uplink = _single(Uplink, "uplink", sections, findings) if findings.says(("uplink",)) else None
    downlink = _single(Downlink, "downlink", sections, findings)
    outbox = _single(Outbox, "outbox", sections, findings)
    limits = _single(Limits, "limits", sections, findings)
    desk = _single(Desk, "desk", sections, findings)
    privacy = _single(Privacy, "privacy", sections, findings)
    digests = _single(Digest, "digest", sections, findings)
    lines = read_buses(sections, findings)
    devices = Devices(sections, lines, shelf, findings)
    buses = devices.buses()
    owners = read_owners(sections, devices.read, findings)
    points = Points(devices.sorts, sections["bus"])
    rules = Rules(sections, points, shelf, findings)
    maintenance = read_maintenance(sections, points, findings)
    insights = read_insights(sections, points, findings)
    good = rules.good()
    remedies = read_remedies(sections, good, buses, points, findings)
    check_needs(sections, points, devices.good(), good, findings)
    if None in (hub, downlink, outbox, limits, desk, privacy, digests):
        return None
    return Config(
        hub=hub,
        uplink=uplink,
        downlink=downlink,
        privacy=privacy,
        outbox=outbox,
        limits=limits,
        desk=desk,
        owners=owners,
        buses=buses,
        devices=devices.good(),
        rules=good,
        built_in=frozenset(good.keys() - sections["rule"].keys()),
        remedies=remedies,
        maintenance=maintenance,
        insights=insights,
        digests=digests,
        files=tuple(document.file for document in findings.documents),
        digest=hashlib.sha256("\0".join(document.text for document in findings.documents).encode()).hexdigest()[:12],
    )


def _single(kind: type[Keys], section: str, sections: Sections, findings: Findings) -> Any:
    at: Path = (section,)
    try:
        return table(kind).read(sections[section], at, findings)
    except Told:
        return None


def _check_tls_files(uplink: Uplink, findings: Findings) -> None:
    """What can be said about TLS only where the files are."""
    tls = uplink.tls
    for key, file in (("ca", tls.ca), ("certificate", tls.certificate)):
        if file and not FilePath(file).is_file():
            findings.add(("uplink", "tls", key), f"there is no file {file}", "a file in PEM form")
    if bool(tls.certificate) != bool(tls.key):
        missing = "key" if tls.certificate else "certificate"
        findings.add(("uplink", "tls"), f'"{missing}" is missing', "certificate and key together", key=True)
