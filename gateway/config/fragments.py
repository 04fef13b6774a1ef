"""hub.toml and the fragments beside it, as one config. A name that two of them define is a mistake that names both places."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from gateway.config.document import Document
from gateway.config.findings import Findings
from gateway.config.problems import described, nearest, quoted

SINGLE = ("hub", "uplink", "downlink", "outbox", "limits", "desk", "privacy", "digest")
NAMED = ("owner", "bus", "device", "rule", "remedy", "maintenance", "insight")

Sections: TypeAlias = dict[str, dict[str, Any]]
"""What all documents say together: section -> key or name -> value."""


def documents(paths: Iterable[str | os.PathLike[str]]) -> list[Document]:
    """Each file, followed by the fragments in the folder of its name: hub.toml by hub.d/*.toml, in alphabetical order."""
    found = []
    for path in paths:
        found.append(Document.read(path))
        try:
            found += [Document.read(fragment) for fragment in sorted(Path(path).with_suffix(".d").glob("*.toml"))]
        except (OSError, ValueError):  # a name such as "" or "a\0b", which the document itself has told already
            continue
    return found


def merge(findings: Findings) -> Sections:
    """The sections of all documents. Tables such as [hub] may be shared out by key, named ones such as [bus.plant] by name."""
    sections: Sections = {section: {} for section in SINGLE + NAMED}
    for document in list(findings.documents):
        for section, table in document.data.items():
            if section not in sections:
                near = nearest(section, sections)
                headers = [f"[{known}]" if known in SINGLE else f"[{known}.NAME]" for known in sections]
                expected = "" if near else "one of " + ", ".join(headers)
                findings.add_in(document, (section,), f"unknown table {quoted(section)}", expected, near and quoted(near), key=True)
            elif not isinstance(table, dict):
                header = f"[{section}]" if section in SINGLE else f"[{section}.NAME]"
                found = f"found [[{section}]], a list of tables" if isinstance(table, list) else f"found {described(table)}"
                findings.add_in(document, (section,), found, f"a table such as {header}", key=True)
                findings.whole = False
            else:
                _add(sections, section, table, document, findings)
    return sections


def _add(sections: Sections, section: str, table: dict[str, Any], document: Document, findings: Findings) -> None:
    for key, value in table.items():
        at = (section, key)
        if key in sections[section]:
            first = findings.home(at)
            place = f"{first.file} line {first.place(at, key=True)[0]}"
            findings.add_in(document, at, f"already defined in {place}", "one definition", key=True)
        elif section in NAMED and not isinstance(value, dict):
            header = f"[{section}.NAME]"
            findings.add_in(document, at, f"found {described(value)}", f"a table with a name: {header}", key=True)
        else:
            sections[section][key] = value
            findings.settle(at, document)
    findings.settle((section,), document)
