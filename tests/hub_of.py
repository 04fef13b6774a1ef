"""Hubs without wires, each with a config of its own that can be edited while it is at work."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

from config_of import config_of
from stories_of import Hub

from gateway.store import Store

Made = Callable[[str, datetime], Hub]


@contextmanager
def hubs(folder: Path) -> Iterator[Made]:
    """A function that makes one from the text of a config and the time at its start; the config of the last is in the folder."""
    with ExitStack() as stack:
        stores = (stack.enter_context(Store.open(folder / f"canary-{number}.db")) for number in count())
        yield lambda text, start: Hub(config_of(text, folder), next(stores), start)


def edit(hub: Hub, folder: Path, old: str, new: str) -> None:
    """Somebody writes something else into the config, and the hub goes on with it."""
    text = (folder / "hub.toml").read_text("utf-8")
    assert old in text
    hub.config = config_of(text.replace(old, new), folder)
    hub.restart()
