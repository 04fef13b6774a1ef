"""The house: data goes one way, imports go the other, and each heavy or dangerous thing has one room.

What is checked here is what the code says, not what happens to be imported: every `import` of every file, also inside functions.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
FILES = sorted(path for room in ("drivers", "gateway") for path in (HOUSE / room).rglob("*.py"))


def module(path: Path) -> str:
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


LOOKED_AT = (ast.Import, ast.ImportFrom, ast.Attribute)  # the whole trees would weigh on each test that comes after
NODES = {path: [each for each in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(each, LOOKED_AT)] for path in FILES}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports; of `from a import b` both a and a.b, since b may be a module."""
    for node in NODES[path]:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides where it goes"
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


IMPORTS = {module(path): set(imports(path)) for path in FILES}

# Room -> what it may know of the house, itself apart.
KNOWS = {
    "drivers": set(),
    "gateway.clock": set(),
    "gateway.wal": set(),
    "gateway.store": {"gateway.wal"},
    "gateway.diagnosis": {"drivers.contract"},
    "gateway.config": {"drivers", "gateway.diagnosis"},
    "gateway.turns": set(),
    "gateway.polling": {"drivers.contract", "gateway.clock", "gateway.turns", "gateway.watchdog"},
    "gateway.program": {"gateway.polling"},
    "gateway.acting": {
        "drivers.contract", "gateway.clock", "gateway.config.actions", "gateway.config.model", "gateway.polling", "gateway.program",
    },
    "gateway.moments": {"drivers.contract", "gateway.clock", "gateway.diagnosis.contract"},
    "gateway.service": {
        "drivers.contract", "gateway.clock", "gateway.commands", "gateway.config", "gateway.diagnosis", "gateway.moments",
        "gateway.store",
    },
    "gateway.commands": {"drivers.contract", "gateway.config", "gateway.store"},
    "gateway.question": {"gateway.commands", "gateway.config"},
    "gateway.answers": {"gateway.commands", "gateway.question", "gateway.store"},
    "gateway.downlink": {
        "gateway.answers", "gateway.clock", "gateway.commands", "gateway.config", "gateway.link", "gateway.question",
        "gateway.store",
    },
    "gateway.aside": set(),
    "gateway.fetch": {"gateway.aside"},
    "gateway.fetched": {"gateway.config"},
    "gateway.trial": {
        "drivers.contract", "gateway.commands", "gateway.config", "gateway.diagnosis.contract", "gateway.fetch", "gateway.fetched",
    },
    "gateway.hub_commands": {
        "drivers.contract", "gateway.clock", "gateway.commands", "gateway.config", "gateway.diagnosis.engine", "gateway.outbox",
        "gateway.service",
    },
    "gateway.waiting": {"gateway.diagnosis.contract", "gateway.service.contract"},
    "gateway.mind": {
        "drivers.contract", "gateway.clock", "gateway.config", "gateway.diagnosis", "gateway.saved_state", "gateway.service",
        "gateway.store",
    },
    "gateway.outbox": {"gateway.clock", "gateway.moments", "gateway.store"},
    "gateway.backoff": {"gateway.dial"},
    "gateway.link": {"gateway.backoff", "gateway.clock", "gateway.config.model", "gateway.dial", "gateway.reason_codes"},
    "gateway.uplink": {
        "gateway.backoff", "gateway.clock", "gateway.config.model", "gateway.dial", "gateway.downlink", "gateway.link",
        "gateway.moments", "gateway.outbox", "gateway.reason_codes", "gateway.store", "gateway.watchdog",
    },
}  # fmt: skip

# What comes from outside -> the only rooms that may import it. The demo plays the devices, so it may speak as they do.
ONLY = {
    "aiomqtt": {"gateway.link"},
    "paho": {"gateway.link"},
    "pymodbus": {"drivers.modbus.frames", "gateway.demo"},
    "bleak": {"drivers.ble", "drivers.ble.bluez"},
    "structlog": {"gateway"},
    "sqlite3": {"gateway.store", "gateway.outbox"},
    "time": {"gateway.clock"},
    "tomli": {"gateway.config"},
}

# What the pure part of the house does without: input and output, clocks, chance, tasks.
IMPURE = {
    "asyncio", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "select", "shutil",
    "signal", "socket", "sqlite3", "structlog", "subprocess", "tempfile", "threading", "time",
}  # fmt: skip


@pytest.mark.parametrize("room", KNOWS)
def test_a_room_knows_only_the_rooms_before_it(room: str) -> None:
    """Two arrows leave the core and none come back: drivers never see the outbox, the uplink never sees a driver."""
    allowed = KNOWS[room] | {room}
    strangers = {
        f"{name} imports {known}"
        for name, known_by in IMPORTS.items()
        if within(name, room)
        for known in known_by
        if (within(known, "gateway") or within(known, "drivers"))
        and known not in {"gateway", "gateway.__version__"}
        and not any(within(known, each) or within(each, known) for each in allowed)
    }
    assert not strangers


@pytest.mark.parametrize("outside", ONLY)
def test_what_comes_from_outside_has_one_room(outside: str) -> None:
    """A change of a library is a change of one file."""
    users = {name for name, known_by in IMPORTS.items() if any(within(known, outside) for known in known_by)}
    assert {name for name in users if not any(within(name, room) for room in ONLY[outside])} == set()


def test_diagnosis_is_pure() -> None:
    """Readings, deadlines and `now` go in, changes come out; the clever part is tested without a loop, a port or a sleep."""
    assert not {
        f"{name} imports {known}"
        for name, known_by in IMPORTS.items()
        if within(name, "gateway.diagnosis")
        for known in known_by
        if known.partition(".")[0] in IMPURE
    }


def test_tasks_are_made_in_the_task_tree_only() -> None:
    """No orphan tasks: whoever starts one is in agent.py or polling.py, and has a group for it."""
    makers = {
        module(path)
        for path in FILES
        if within(module(path), "gateway") and not within(module(path), "gateway.demo")
        for node in NODES[path]
        if isinstance(node, ast.Attribute) and node.attr in {"create_task", "ensure_future"}
    }
    assert makers <= {"gateway.agent", "gateway.polling"}
